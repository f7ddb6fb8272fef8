"""Weights of examples in joint training, on a constructed batch."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from stemclean.errors import ConfigError
from stemclean.training import weighting
from stemclean.training.weighting import DynamicAverage, HardSamples, SampleLosses

EASY, HARD_TO_SEPARATE, HARD_TO_TRACK, NOISY = range(4)


def batch(**changes):
    """Easy: both losses small. Hard to separate: the tracker fails on the estimate alone. Hard to track: on the
    reference as well. Noisy: as the third, but with labels that are trusted by a fifth.
    """
    losses = SampleLosses(
        separation=torch.tensor([0.01, 0.05, 0.01, 0.01]),
        pitch=torch.tensor([0.05, 0.30, 0.30, 0.30]),
        reference=torch.tensor([0.05, 0.05, 0.30, 0.30]),
        separation_trust=torch.tensor([1.0, 1.0, 1.0, 0.2]),
        pitch_trust=torch.tensor([1.0, 1.0, 1.0, 0.2]),
    )
    return replace(losses, **changes)


@pytest.mark.parametrize("name", weighting.names())
class TestEvery:
    def test_weights_have_mean_one_and_no_gradient(self, name):
        losses = batch(separation=torch.rand(4, requires_grad=True).detach())
        for _ in range(5):
            weights = weighting.build(name, 2).weights(losses)
            assert all(w.shape == (4,) and not w.requires_grad and (w >= 0).all() for w in weights)
            assert float(torch.stack(weights).mean()) == pytest.approx(1, abs=1e-6)

    def test_unlabelled_examples_have_no_weight(self, name):
        trust_values = torch.tensor([1.0, 0.0, 1.0, 0.0])
        weights = weighting.build(name, 2).weights(
            batch(separation_trust=trust_values, pitch_trust=trust_values.flip(0))
        )
        for task_weights, trust in zip(weights, (trust_values, trust_values.flip(0)), strict=True):
            assert torch.equal(task_weights > 0, trust > 0) and float(task_weights.mean()) == pytest.approx(1)

    def test_a_batch_without_labels_of_a_task_has_no_weight_in_it(self, name):
        separation, pitch = weighting.build(name, 2).weights(batch(separation_trust=torch.zeros(4)))
        assert not separation.any() and separation.isfinite().all() and float(pitch.mean()) == pytest.approx(1)

    def test_the_state_round_trips_through_json(self, name):
        """As a checkpoint keeps it: broken off in the middle of a pass, it goes on as if it had not been."""
        whole, broken = weighting.build(name, 2), weighting.build(name, 2)
        for step in range(7):
            losses = batch(separation=torch.rand(4, generator=torch.Generator().manual_seed(step)))
            if step == 3:
                state = json.loads(json.dumps(broken.state_dict()))
                broken = weighting.build(name, 2)
                broken.load_state_dict(state)
            for first, second in zip(whole.weights(losses), broken.weights(losses), strict=True):
                assert torch.equal(first, second)


def test_uniform_weights_are_the_confidences():
    separation, pitch = weighting.build("uniform", 1).weights(batch())
    assert separation.tolist() == pytest.approx([1.25, 1.25, 1.25, 0.25]) == pitch.tolist()


class TestHardSamples:
    def test_batch_weights_match_the_definition(self):
        """By hand: the unit is (0.05 + 0.3 + 0.3 + 0.2 * 0.3) / 3.2 = 0.2219 (the mean pitch loss, by trust)."""
        unit = 0.71 / 3.2
        gap, hard = [0, 0.25 / unit, 0, 0], [0.05 / unit, 0.05 / unit, 0.3 / unit, 0.3 / unit]
        trust, both = [1, 1, 1, 0.2], [1, 1, 1, 0.04]
        for task_weights, hardness in zip(HardSamples().weights(batch()), (gap, hard), strict=True):
            plain = [t * (1 + b * h) for t, b, h in zip(trust, both, hardness, strict=True)]
            assert task_weights.tolist() == pytest.approx([w * 4 / sum(plain) for w in plain], rel=1e-5)

    def test_each_kind_of_example_is_weighted_as_defined(self):
        separation, pitch = HardSamples().weights(batch())
        assert separation.argmax() == HARD_TO_SEPARATE and pitch.argmax() == HARD_TO_TRACK
        assert separation.argmin() == NOISY == pitch.argmin()
        assert separation[HARD_TO_TRACK] == separation[EASY] and pitch[HARD_TO_SEPARATE] == pitch[EASY]

    def test_outliers_are_bounded(self):
        """One example cannot take the batch: its weight is at most 4 times that of an easy one."""
        losses = batch(pitch=torch.tensor([0.01, 50.0, 0.01, 0.01]), pitch_trust=torch.ones(4))
        separation, _ = HardSamples().weights(losses)
        assert separation[HARD_TO_SEPARATE] / separation[EASY] == pytest.approx(4)

    def test_incomparable_examples_are_weighted_by_confidence(self):
        """A mixture with an f0, whose voice nobody knows: reference NaN."""
        reference = torch.tensor([0.05, 0.05, math.nan, 0.3])
        trust = torch.tensor([1.0, 1.0, 0.0, 0.2])
        separation, pitch = HardSamples().weights(batch(reference=reference, separation_trust=trust))
        assert separation[HARD_TO_TRACK] == 0 and pitch.isfinite().all()
        assert pitch[HARD_TO_TRACK] < pitch[EASY]  # 1 against 1 + r
        assert float(pitch.mean()) == pytest.approx(1)


class TestDynamicAverage:
    def test_the_slower_task_gets_more_weight(self):
        """Passes of two steps; separation halves from pass to pass, pitch stays. Equation 7 by hand, T = 2."""
        average, task_weights = DynamicAverage(2), []
        trusted = batch(separation_trust=torch.ones(4), pitch_trust=torch.ones(4))
        for step in range(8):
            scale = 0.5 ** (step // 2)
            separation, pitch = average.weights(replace(trusted, separation=trusted.separation * scale))
            task_weights.append((float(separation.mean()), float(pitch.mean())))
        assert task_weights[:4] == [pytest.approx((1, 1))] * 4
        slow, fast = math.exp(1 / 2), math.exp(0.5 / 2)
        assert task_weights[4:] == [pytest.approx((2 * fast / (slow + fast), 2 * slow / (slow + fast)))] * 4


def test_unknown_names_are_refused_and_plugins_accepted(monkeypatch):
    with pytest.raises(ConfigError, match='no weighting named "gradnorm"'):
        weighting.build("gradnorm", 1)
    point = SimpleNamespace(name="theirs", load=lambda: weighting.Uniform)
    monkeypatch.setattr(weighting, "entry_points", lambda group: [point] if group == "stemclean.weightings" else [])
    assert weighting.names() == ["dwa", "dwhs", "theirs", "uniform"]
    assert isinstance(weighting.build("theirs", 3), weighting.Uniform)
