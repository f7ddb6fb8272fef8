"""The training loop on a problem with a known answer: it learns, resumes after a kill, and keeps the best weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stemclean.training import norms, talk
from stemclean.training.loop import LoopConfig, fit


class Line:
    """Learn y = 2 x; counts the steps it was asked for."""

    def __init__(self, stop_after: int | None = None):
        self.stop_after = stop_after
        self.taken = 0
        self.started_at = None

    def batches(self, rank, start_step):
        self.started_at = start_step
        generator = torch.Generator().manual_seed(start_step)
        while True:
            x = torch.randn(16, 1, generator=generator)
            yield x, 2 * x

    def totals(self, batch):
        return {"examples": torch.tensor(float(len(batch[0])))}

    def losses(self, model, batch, totals=None):
        if self.stop_after is not None and self.taken >= self.stop_after:
            raise KeyboardInterrupt
        self.taken += 1
        x, y = batch
        return {"loss": (model(x) - y).square().sum() / (totals or self.totals(batch))["examples"]}

    def validate(self, model):
        return {"score": -abs(float(next(model.parameters()).detach()) - 2)}


CONFIG = LoopConfig(
    examples=16 * 120, batch_size=16, learning_rate=0.1, validations=6, precision="no", weight_decay=0.0, ema=0.9
)


def model():
    torch.manual_seed(0)
    return nn.Linear(1, 1, bias=False)


def test_training_learns_and_returns_the_best_weights(tmp_path):
    fitted, progress = fit(Line(), model(), CONFIG, tmp_path / "run.checkpoint", quiet=True)
    assert float(fitted.weight.detach()) == pytest.approx(2, abs=0.05)
    assert progress.step == 120 and len(progress.history) == 6
    assert progress.best["score"] == max(figures["score"] for figures in progress.history)


def test_a_clip_of_zero_turns_clipping_off(tmp_path):
    """It must not set the norm of the gradient to zero, which would train nothing."""
    fitted, _ = fit(Line(), model(), CONFIG.changed(clip=0), tmp_path / "off.checkpoint", quiet=True)
    assert float(fitted.weight.detach()) == pytest.approx(2, abs=0.05)
    huge, _ = fit(Line(), model(), CONFIG.changed(clip=1e9), tmp_path / "huge.checkpoint", quiet=True)
    assert torch.equal(fitted.weight, huge.weight)


def test_a_killed_run_resumes_from_its_checkpoint(tmp_path):
    checkpoint = tmp_path / "run.checkpoint"
    with pytest.raises(KeyboardInterrupt):
        fit(Line(stop_after=70), model(), CONFIG, checkpoint, quiet=True)
    task = Line()
    _, progress = fit(task, model(), CONFIG, checkpoint, quiet=True)
    assert 0 < task.started_at <= 70 and task.taken == 120 - task.started_at
    assert progress.step == 120
    again = Line()
    fit(again, model(), CONFIG, checkpoint, quiet=True)
    assert again.taken == 0
    fresh = Line()
    fit(fresh, model(), CONFIG, checkpoint, resume=False, quiet=True)
    assert fresh.taken == 120


def test_progress_is_logged_in_lines_without_a_terminal(tmp_path, capsys, monkeypatch):
    """stdout is for data; on stderr stands a line at each validation, and one now and then."""
    fit(Line(), model(), CONFIG, tmp_path / "a.checkpoint")
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert not out
    assert [line.split("  ")[0] for line in lines] == [f"step {step} of 120" for step in range(20, 121, 20)]
    assert all("loss " in line and "score " in line and line.endswith(" left") for line in lines)
    assert lines[-1].endswith("00:00 left")
    monkeypatch.setattr(talk, "TELL_EVERY", 0.0)
    fit(Line(), model(), CONFIG, tmp_path / "b.checkpoint")
    assert len(capsys.readouterr().err.splitlines()) == 120
    fit(Line(), model(), CONFIG, tmp_path / "c.checkpoint", quiet=True)
    assert capsys.readouterr() == ("", "")


class Scaled(Line):
    """As a line, with a batch norm behind it; inputs are ten times as large as batch norms expect."""

    def batches(self, rank, start_step):
        for x, y in super().batches(rank, start_step):
            yield 10 * x, y

    def forward(self, model, batch):
        model(batch[0])


class Silent(Scaled):
    forward = None


def test_batch_norms_of_averaged_weights_are_measured(tmp_path):
    """The statistics are those of what the averaged weights make of the run's first batches, not of the last ones."""

    def normed():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))

    task, statistics = Scaled(), {}
    for kind in (Scaled, Silent):
        fitted, _ = fit(kind(), normed(), CONFIG, tmp_path / f"{kind.__name__}.checkpoint", quiet=True)
        outputs = [fitted[0](x).detach() for (x, _), _ in zip(task.batches(0, 0), range(norms.BATCHES), strict=False)]
        expected = float(torch.stack([one.var() for one in outputs]).mean())
        statistics[kind] = float(fitted[1].running_var) / expected
    # a mean of the same 24 variances
    assert statistics[Scaled] == pytest.approx(1, rel=1e-4)
    # 16 numbers a batch, ten of which count: the variance is known to a few parts in a hundred at best
    assert abs(statistics[Silent] - 1) > 1e-3
    assert fitted[1].momentum == 0.1
