"""The separators' losses compared with hand computation, and batches that depend only on the step."""

from __future__ import annotations

import itertools
import multiprocessing
import time
from collections import deque
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from stemclean.data.pool import PooledStem, StemPool
from stemclean.data.sources import SourceMixer, SourceMixing
from stemclean.errors import ConfigError, StemcleanError
from stemclean.models.contract import ModelSpec
from stemclean.training import numbered
from stemclean.training.separate import LossConfig, SeparateTask, sum_of_rows

LABELS = ("vocals", "bass", "drums", "other")
SPEC = ModelSpec(4000, 2, LABELS, 600)


def pool():
    rng = np.random.default_rng(0)
    stems = [PooledStem(label, label, (label,), 4000 * n, 4000, 0.05, 1.0) for n, label in enumerate(LABELS)]
    stems.append(PooledStem("both", "both", ("bass", "drums"), 16000, 4000, 0.05, 1.0))
    return StemPool(stems, rng.integers(-3000, 3000, (20000, 2)).astype(np.int16), 4000)


def task(loss=None, workers=0, **fields):
    ways = (SourceMixing(), SourceMixing(multi_label_probability=0.0))
    mixers = [SourceMixer(pool(), LABELS, config, 600, seed=(n,)) for n, config in enumerate(ways)]
    settings = {"batch_size": 3, "examples": 300, "validation_examples": 5, **fields}
    model = SimpleNamespace(spec=SPEC)
    return SeparateTask(model, *mixers, loss or LossConfig(), workers=workers, **settings)


class Fixed(nn.Module):
    """A model with given outputs."""

    def __init__(self, estimates):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.estimates = estimates

    def forward(self, mixture):
        return self.estimates * self.scale


def sounds(seed, batch=3):
    return torch.randn(batch, 4, 2, 600, generator=torch.Generator().manual_seed(seed))


ALONE = torch.arange(4).expand(3, 4)
FIRST = torch.arange(3)


def loss_of(config, estimates, targets, rows=ALONE, first=FIRST):
    return float(task(config).losses(Fixed(estimates), (targets, rows, first))["loss"].detach())


class TestLosses:
    def test_plain_losses_equal_torchs(self):
        estimates, targets = sounds(0), sounds(1)
        for kind, function in (("l1", nn.functional.l1_loss), ("mse", nn.functional.mse_loss)):
            assert loss_of(LossConfig(kind=kind), estimates, targets) == pytest.approx(
                float(function(estimates, targets)), rel=1e-5
            )

    def test_magnitudes_equal_open_unmix(self):
        """torch.stft as it comes, squared differences of magnitudes, mean over everything."""
        estimates, targets = sounds(0), sounds(1)
        window = torch.hann_window(64)
        estimated, expected = (
            torch.stft(s.reshape(-1, 600), 64, 16, window=window, pad_mode="constant", return_complex=True).abs()
            for s in (estimates, targets)
        )
        loss = loss_of(LossConfig(kind="magnitude", n_fft=64, hop_length=16), estimates, targets)
        assert loss == pytest.approx(float((estimated - expected).square().mean()), rel=1e-4)  # float32 sums

    def test_a_shared_source_is_compared_with_the_sum_of_its_classes(self):
        estimates, targets = sounds(0), sounds(1)
        rows = torch.tensor([[0, 1, 1, 3], [0, 1, 2, 3], [0, 1, 2, 3]])
        targets[0, 2] = 0  # bass and drums stand together in row 1
        expected = (estimates - targets).abs().mean((2, 3))
        expected[0, 1] = (estimates[0, 1] + estimates[0, 2] - targets[0, 1]).abs().mean()
        expected[0, 2] = 0  # drums alone are not known
        assert loss_of(LossConfig(), estimates, targets, rows) == pytest.approx(float(expected.sum() / 12), rel=1e-5)

    def test_a_perfect_sum_has_zero_loss_however_it_is_split(self):
        targets = sounds(1)
        rows = torch.tensor([[0, 1, 1, 3]]).expand(3, 4)
        targets[:, 2] = 0
        estimates = targets.clone()
        estimates[:, 1], estimates[:, 2] = 0.3 * targets[:, 1], 0.7 * targets[:, 1]
        for kind in ("l1", "mse", "magnitude"):
            assert loss_of(LossConfig(kind=kind, n_fft=64, hop_length=16), estimates, targets, rows) == pytest.approx(
                0, abs=1e-6
            )

    def test_rows_are_summed(self):
        estimates = sounds(0, 1)
        summed, counted = sum_of_rows(estimates, torch.tensor([[3, 1, 1, 3]]))
        assert counted.tolist() == [[False, True, False, True]]
        torch.testing.assert_close(summed[:, 3], estimates[:, 0] + estimates[:, 3])
        torch.testing.assert_close(summed[:, 1], estimates[:, 1] + estimates[:, 2])

    def test_background_is_in_the_mixture_only(self):
        """A fifth row; where a class is in it (third example), nothing is known of that class."""
        estimates, targets = sounds(0), torch.cat([sounds(1), sounds(2)[:, :1]], 1)
        rows = torch.tensor([[0, 1, 2, 3], [0, 1, 2, 3], [0, 4, 2, 3]])
        expected = (estimates - targets[:, :4]).abs().mean((2, 3))
        expected[2, 1] = 0
        model_inputs = []
        model = Fixed(estimates)
        model.register_forward_pre_hook(lambda _, inputs: model_inputs.append(inputs[0]))
        loss = task().losses(model, (targets, rows, FIRST))["loss"]
        assert float(loss.detach()) == pytest.approx(float(expected.sum() / 12), rel=1e-5)
        torch.testing.assert_close(model_inputs[0], targets.sum(1))
        for config in (LossConfig(kind="mse", combination=True), LossConfig(multi_domain=10.0, robust="masked")):
            perfect = targets[:, :4].clone()
            perfect[2, 1] = torch.nan_to_num(estimates[2, 1])  # whatever it says of that class changes nothing
            other = perfect.clone()
            other[2, 1] = -3.0
            assert loss_of(config, perfect, targets, rows) == loss_of(config, other, targets, rows)

    def test_combination_compares_all_fourteen_sums(self):
        estimates, targets = sounds(0), sounds(1)
        choices = [c for n in (1, 2, 3) for c in itertools.combinations(range(4), n)]
        assert len(choices) == 14
        by_hand = [(estimates[:, c].sum(1) - targets[:, c].sum(1)).square().mean() for c in map(list, choices)]
        assert loss_of(LossConfig(kind="mse", combination=True), estimates, targets) == pytest.approx(
            float(sum(by_hand) / 14), rel=1e-5
        )

    def test_weighted_sdr_ranges_from_minus_one_to_plus_one(self):
        targets = sounds(1)
        plain = LossConfig(kind="mse", multi_domain=10.0)
        assert loss_of(plain, targets, targets) == pytest.approx(-10.0, abs=1e-3)
        targets[:, 1:] = 0  # the first class is the mixture; its opposite is as wrong as can be, the rests are right
        added = loss_of(plain, -targets, targets) - loss_of(LossConfig(kind="mse"), -targets, targets)
        assert added == pytest.approx(10 * (1 - 3) / 4, abs=1e-3)

    def test_resolutions_add_complex_distances(self):
        estimates, targets = sounds(0), sounds(1)
        extra = loss_of(LossConfig(multi_resolution=1.0), estimates, targets) - loss_of(
            LossConfig(), estimates, targets
        )
        assert extra > 0
        assert loss_of(LossConfig(multi_resolution=1.0), targets, targets) == 0

    def test_silence_has_finite_gradients(self):
        """Zeros in targets and estimates must not give NaN."""
        for config in (
            LossConfig(kind="magnitude", n_fft=64, hop_length=16, multi_domain=1.0),
            LossConfig(multi_resolution=1.0),
        ):
            model = Fixed(torch.zeros(3, 4, 2, 600))
            task(config).losses(model, (torch.zeros(3, 4, 2, 600), ALONE, FIRST))["loss"].backward()
            assert model.scale.grad.isfinite()


class TestRobust:
    def test_the_worst_examples_of_a_class_are_dropped(self):
        """Errors 1, 2 and 3 in every class: at quantile 0.7 of three, 2.4, the 3 goes."""
        targets = torch.zeros(3, 4, 2, 600)
        estimates = torch.tensor([1.0, 2.0, 3.0]).reshape(3, 1, 1, 1).expand(3, 4, 2, 600)
        keep = LossConfig(keep=((0.0, 0.7),))
        assert loss_of(keep, estimates, targets) == pytest.approx((1 + 2) / 3)
        assert loss_of(LossConfig(robust="masked"), estimates, targets) == pytest.approx((1 + 2) / 3)

    def test_shared_sources_are_ranked_separately(self):
        targets = torch.zeros(3, 4, 2, 600)
        estimates = torch.tensor([1.0, 2.0, 3.0]).reshape(3, 1, 1, 1).expand(3, 4, 2, 600)
        rows = torch.tensor([[0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 1, 3]])
        losses = task(LossConfig(robust="masked")).losses(Fixed(estimates), (targets, rows, FIRST))
        # Of drums, two are known; the larger goes. Of all others one of three goes, 6 of bass and drums together.
        assert float(losses["loss"].detach()) == pytest.approx((3 * (1 + 2) + 1) / 12)
        assert float(losses["kept"]) == pytest.approx(7 / 11)

    def test_a_single_example_is_never_dropped(self):
        estimates, targets = sounds(0, 1), sounds(1, 1)
        plain = loss_of(LossConfig(), estimates, targets, ALONE[:1])
        assert loss_of(LossConfig(robust="masked"), estimates, targets, ALONE[:1]) == pytest.approx(plain)

    def test_the_schedule_of_dropping(self):
        truncated = LossConfig(robust="truncated")
        assert [truncated.quantile(progress) for progress in (0.0, 0.5, 0.6, 0.7, 0.8, 1.0)] == [
            0.7,
            0.7,
            0.5,
            0.5,
            0.3,
            0.3,
        ]
        assert LossConfig(robust="masked").quantile(0.3) == 0.95
        assert LossConfig().quantile(0.9) == 1.0
        late = LossConfig(keep=((0.5, 0.8),))
        assert (late.quantile(0.49), late.quantile(0.5)) == (1.0, 0.8)

    def test_the_schedule_follows_the_examples(self):
        targets = torch.zeros(3, 4, 2, 600)
        estimates = torch.tensor([1.0, 2.0, 3.0]).reshape(3, 1, 1, 1).expand(3, 4, 2, 600)
        late = LossConfig(keep=((0.5, 0.4),))
        assert loss_of(late, estimates, targets, first=torch.arange(149, 152)) == pytest.approx(2.0)
        assert loss_of(late, estimates, targets, first=torch.arange(150, 153)) == pytest.approx(1 / 3)


def read_after_a_kill(stream):
    """Killed while it waits for work: within a call of torch it may take one of torch's locks along."""
    (worker,) = multiprocessing.active_children()
    time.sleep(1)
    worker.kill()
    deque(islice(stream, 20), maxlen=0)


class TestBatches:
    def test_workers_and_resuming_do_not_change_the_examples(self):
        def steps(numbers, workers=0, start=0):
            stream = task(workers=workers).batches(0, start)
            return [next(stream) for _ in range(numbers)]

        whole = steps(4)
        for again in (steps(4, workers=2), whole[:2] + steps(2, start=2)):
            for first, second in zip(whole, again, strict=True):
                assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))

    def test_processes_divide_the_examples(self):
        """However many there are, together they see what one sees, whether or not the batch divides."""
        alone = next(task(batch_size=7).batches(0, 5))
        for processes in (2, 3, 7):
            shared = [next(task(batch_size=7, processes=processes).batches(rank, 5)) for rank in range(processes)]
            for whole, *parts in zip(alone, *shared, strict=True):
                assert torch.equal(whole, torch.cat(parts))
        assert alone[2].tolist() == list(range(35, 42))

    def test_more_processes_than_examples_are_refused(self):
        with pytest.raises(ConfigError, match=r"loop.batch_size is 3, too small for 4 processes"):
            next(task(processes=4).batches(0, 0))

    def test_a_killed_worker_is_reported(self):
        stream = task(workers=1).batches(0, 0)
        next(stream)
        with pytest.raises(StemcleanError, match="killed"):
            read_after_a_kill(stream)

    def test_an_error_in_a_worker_is_raised_unchanged(self):
        def broken(numbers):
            raise RuntimeError("a bug")

        with pytest.raises(RuntimeError, match="a bug"):
            next(numbered.batches(broken, 2, rank=0, processes=1, start_step=0, workers=1))

    def test_dropout_depends_only_on_the_examples(self):
        model = nn.Sequential(nn.Dropout(0.5), nn.Flatten(1), nn.Linear(1200, 4800), nn.Unflatten(1, (4, 2, 600)))
        batch = next(task().batches(0, 0))
        first = task().losses(model, batch)["loss"]
        torch.rand(7)
        assert torch.equal(first, task().losses(model, batch)["loss"])
        other = task().losses(model, (*batch[:2], torch.arange(3, 6)))["loss"]
        assert not torch.equal(first, other)


class Halves(nn.Module):
    """Every class is a quarter of the mixture."""

    def __init__(self):
        super().__init__()
        self.share = nn.Parameter(torch.tensor(0.25))

    def forward(self, mixture):
        return (self.share * mixture)[:, None].expand(-1, 4, -1, -1)


def test_validation_scores_the_sdr():
    separate_task = task()
    with torch.inference_mode():
        figures = separate_task.validate(Halves())
    examples = [separate_task.validation.example(number).targets for number in range(5)]
    for row, label in enumerate(LABELS):
        ratios = [10 * np.log10((t[row] ** 2).sum() / ((t.sum(0) / 4 - t[row]) ** 2).sum()) for t in examples]
        assert figures[f"sdr_db/{label}"] == pytest.approx(np.median(ratios), abs=1e-4)  # float32 sums
    assert figures["score"] == pytest.approx(np.mean([figures[f"sdr_db/{label}"] for label in LABELS]))


def test_invalid_arguments_are_refused():
    for wrong in ({"kind": "l3"}, {"robust": "brave"}, {"keep": ((0.0, 1.5),)}, {"keep": ((0.5,),)}):
        with pytest.raises(ConfigError):
            LossConfig(**wrong)
    many = SimpleNamespace(spec=ModelSpec(1000, 2, tuple("abcdefg"), 600))
    with pytest.raises(ConfigError, match="supports at most 6 classes, not 7"):
        SeparateTask(many, None, None, LossConfig(combination=True), 1, 1)
