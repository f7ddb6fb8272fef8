"""Batches processed in micro-batches: the gradients are those of the whole batch, for every loss."""

from __future__ import annotations

import pytest
import torch
from pitch_models import separator, tracker
from torch import nn

from stemclean.errors import ConfigError
from stemclean.models import registry
from stemclean.models.contract import ModelSpec
from stemclean.training import loop
from stemclean.training.classify import ClassifyTask
from stemclean.training.joint import JointConfig, JointTask
from stemclean.training.loop import LoopConfig, fit
from stemclean.training.separate import LossConfig, SeparateTask
from stemclean.training.track import PitchLoss, TrackTask
from stemclean.training.weighting import build

BATCH = 7
TOLERANCE = 2e-5
"""Of the largest gradient: sums of float32 in another order."""


def config(micro_batch_size, **more):
    return LoopConfig(examples=70, batch_size=BATCH, micro_batch_size=micro_batch_size, **more)


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)))


def classify(loss="bce"):
    """Levels and cells are known of few examples, and those all fall into one part or another."""
    torch.manual_seed(0)
    options = {"backbone": "convnext_atto", "n_mels": 32, "hop_length": 1024, "patch": [4, 2], "level_head": "cells"}
    model = registry.build("classifiers", "convnext", ModelSpec(44100, 2, ("a", "b"), 65536), options)
    task = ClassifyTask(model, None, None, None, loss=loss, batch_size=BATCH)
    target = (noise(BATCH, 2) > 0).float()
    levels_db = torch.where(noise(BATCH, 2, 1)[..., 0] > 0, -10.0, -1.0)
    levels_db[[0, 3, 4, 6]] = torch.nan
    features = noise(BATCH, 2, 32, 64)
    cells = model.cell_power(features).shape[1:]
    shares = noise(BATCH, 3, *cells).softmax(1)
    shares[[1, 2, 6]] = torch.nan
    return task, model.net, (features, target, levels_db, torch.arange(BATCH), shares)


def separate(name="band_split", **loss):
    model = separator(name, labels=("a", "b", "c"))
    for module in model.modules():
        if hasattr(module, "dropout"):
            module.dropout = 0.0  # what is dropped depends on the parts
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    task = SeparateTask(model, None, None, LossConfig(**loss), BATCH, 100)
    rows = torch.arange(3).repeat(BATCH, 1)
    rows[2:5, 2] = 1
    targets = 0.1 * noise(BATCH, 3, 2, 4000)
    targets[2:5, 2] = 0
    return task, model, (targets, rows, torch.arange(BATCH))


class Deaf(nn.Module):
    """A tracker without batch norms."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(80, 360)
        self.cents = tracker("crepe").cents

    def forward(self, waveform):
        return self.layer(nn.functional.pad(waveform[:, 0], (0, 80)).unfold(1, 80, 80))


def follow(model=None):
    """Trust is all in a few frames of some examples."""
    model = model or Deaf()
    task = TrackTask(model, None, None, PitchLoss(), BATCH)
    trust = torch.zeros(BATCH, 51)
    trust[1, :40], trust[5, 3], trust[6] = 1.0, 0.5, 0.2
    batch = (noise(BATCH, 1, 1, 4000), torch.zeros(BATCH, 1), torch.ones(BATCH))
    return task, model, (*batch, 100 + 100 * noise(BATCH, 51).abs(), trust, torch.arange(BATCH))


def learned(task, model, batch, size):
    """Gradients by name, and the losses of the step."""
    model.zero_grad()
    model.train()
    losses = loop._gradients(task, model, batch, size, loop.Place(torch.device("cpu")))
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}, losses


@pytest.mark.parametrize("size", [1, 2, 3, 6])
@pytest.mark.parametrize(
    "made",
    [
        classify,
        lambda: classify("gce"),
        separate,
        lambda: separate("hdemucs"),
        lambda: separate(combination=True, multi_domain=1.0, multi_resolution=0.1),
        follow,
    ],
    ids=["classifier", "gce", "band_split", "hdemucs", "sums", "tracker"],
)
def test_gradients_equal_those_of_the_whole_batch(made, size):
    """Seven examples in parts of 1, 2, 3 and 6, so that the last part is another one than the rest."""
    task, model, batch = made()
    whole, whole_losses = learned(task, model, batch, 0)
    parts, in_parts = learned(task, model, batch, size)
    assert whole.keys() == parts.keys()
    largest = max(float(gradient.abs().max()) for gradient in whole.values())
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient, atol=TOLERANCE * largest, rtol=1e-4, msg=name)
    for name, figure in whole_losses.items():
        assert float(in_parts[name]) == pytest.approx(float(figure), rel=1e-4), name


def test_micro_batches_do_not_change_the_result(tmp_path):
    """Ten steps, in parts and whole: the same weights, but for what ten steps make of rounding."""
    fitted = {}
    for size in (0, 3):
        task, model, batch = separate()
        task.batches = lambda rank, start, batch=batch: iter([batch] * 10)
        task.validate = lambda model: {"score": 0.0}
        settings = config(size, learning_rate=1e-3, precision="no", eps=1e-3)
        fitted[size], _ = fit(task, model, settings, tmp_path / f"{size}.checkpoint", quiet=True)
    for first, second in zip(fitted[0].parameters(), fitted[3].parameters(), strict=True):
        torch.testing.assert_close(first, second, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda: follow(tracker("crepe")), "the model has batch norms"),
        (lambda: separate("xumx"), "the model has batch norms"),
        (lambda: separate(robust="masked"), "loss.robust and loss.keep compare all losses of a step"),
        (lambda: separate(keep=((0.0, 0.5),)), "loss.robust and loss.keep compare all losses of a step"),
    ],
)
def test_losses_that_compare_examples_refuse_micro_batches(made, reason, tmp_path):
    task, model, _ = made()
    with pytest.raises(ConfigError, match=f"loop.micro_batch_size is 3, but {reason}"):
        fit(task, model, config(3), tmp_path / "x.checkpoint", quiet=True)
    task.batches, task.validate = lambda rank, start: iter(()), None
    with pytest.raises(StopIteration):  # parts as large as the batch are the batch
        fit(task, model, config(BATCH), tmp_path / "x.checkpoint", quiet=True)


def test_joint_training_refuses_micro_batches(tmp_path):
    task = JointTask(Deaf(), None, None, LossConfig(), PitchLoss(), JointConfig(), build("dwhs", 1), BATCH)
    with pytest.raises(ConfigError, match="weights of joint training compare all examples of a step"):
        fit(task, task.model, config(3), tmp_path / "x.checkpoint", quiet=True)
