"""Any separator followed by any tracker: one differentiable module, built from their specs."""

from __future__ import annotations

import pitch_models
import pytest
import torch

from stemclean.errors import ConfigError, WeightsError
from stemclean.models import cascade as cascades
from stemclean.models import registry, weights
from stemclean.models.cascade import Cascade

SEPARATORS = registry.names("separators")


def sound(channels=2, time=4000, batch=2):
    return 0.1 * torch.randn(batch, channels, time, generator=torch.Generator().manual_seed(1))


def parts_of(model, separator, tracker):
    return [
        {"architecture": name, "spec": part.spec.to_dict(), "options": options.get(name, {})}
        for name, part, options in (
            (separator, model.separator, pitch_models.TINY_SEPARATORS),
            (tracker, model.tracker, pitch_models.TINY_TRACKERS),
        )
    ]


@pytest.mark.parametrize("tracker", pitch_models.TRACKERS)
@pytest.mark.parametrize("separator", SEPARATORS)
def test_every_pair_gets_gradients_from_the_pitch_loss(separator, tracker):
    """Stereo at 11 025 Hz before mono at 8 kHz: every weight of both has a gradient, and the step changes it."""
    model = pitch_models.cascade(separator, tracker, sample_rate=11025, segment=4410).train()
    mixture = sound(time=4410)
    model.separator.standardise(mixture)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    estimates, logits = model(mixture)
    assert estimates.shape == (2, 2, 2, 4410)
    assert logits.shape == (2, model.num_frames(4410), 360) and logits.dtype == torch.float32
    before = [p.detach().clone() for p in model.separator.parameters()]
    torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.zeros_like(logits)).backward()
    still = [key for key, weight in model.tracker.named_parameters() if weight.grad is None]
    assert still == []
    reached = [weight.grad is not None and bool(weight.grad.any()) for weight in model.separator.parameters()]
    # What serves the other class alone has none; the trunk, and all that serves the voice, has.
    assert sum(reached) >= 0.4 * len(reached)
    assert all(weight.grad.isfinite().all() for weight in model.parameters() if weight.grad is not None)
    optimizer.step()
    moved = [not torch.equal(old, new) for old, new in zip(before, model.separator.parameters(), strict=True)]
    assert sum(moved) >= 0.4 * len(moved)


def test_sample_rates_and_channels_are_converted():
    """The tracker's input is the mean of the voice's channels at the tracker's rate."""
    model = pitch_models.cascade("xumx", "rmvpe", sample_rate=16000, segment=8000).eval()
    tracker_inputs = []
    model.tracker.register_forward_pre_hook(lambda _, inputs: tracker_inputs.append(inputs[0]))
    time = torch.arange(8000) / 16000
    voice = torch.sin(2 * torch.pi * 440 * time)
    with torch.inference_mode():
        model.track(torch.stack([1.5 * voice, 0.5 * voice])[None])
    expected = torch.sin(2 * torch.pi * 440 * torch.arange(4000) / 8000)
    assert tracker_inputs[0].shape == (1, 1, 4000)
    # -70 dB: the filter's ripple, away from the ends.
    torch.testing.assert_close(tracker_inputs[0][0, 0, 200:-200], expected[200:-200], atol=3e-4, rtol=0)


def test_a_tracker_of_a_class_that_is_not_separated_is_refused():
    separator = pitch_models.separator("xumx", labels=("bass", "drums"))
    with pytest.raises(ConfigError, match="the tracker tracks vocals, but the separator estimates bass, drums"):
        Cascade(separator, pitch_models.tracker("rmvpe"))


class TestWeights:
    @pytest.fixture
    def saved(self, tmp_path):
        model = pitch_models.cascade("xumx", "rmvpe").eval()
        model.separator.standardise(sound())
        separator, tracker = parts_of(model, "xumx", "rmvpe")
        card = {
            "kind": "cascades",
            "architecture": "xumx+rmvpe",
            "spec": model.spec.to_dict(),
            "options": cascades.options_of(separator, tracker),
            "loudness_lufs": -14.0,
        }
        return model, weights.save(tmp_path / "cascade.safetensors", model, card, dtype=torch.float32)

    def test_cascade_weights_round_trip(self, saved):
        model, path = saved
        loaded = weights.load(path, kind="cascades").model
        with torch.inference_mode():
            for first, second in zip(loaded(sound()), model(sound()), strict=True):
                torch.testing.assert_close(first, second, rtol=0, atol=0)  # float32: bit by bit

    def test_cascade_parts_load_separately(self, saved):
        model, path = saved
        separator, tracker = (weights.load(path, kind=kind) for kind in ("separators", "pitch"))
        with torch.inference_mode():
            assert torch.equal(separator.model(sound()), model.separator(sound()))
            assert torch.equal(tracker.model(sound(1)), model.tracker(sound(1)))
        assert separator.card["architecture"] == "xumx" and separator.card["loudness_lufs"] == -14.0
        assert tracker.card["spec"]["labels"] == ["vocals"] and tracker.card["kind"] == "pitch"
        assert separator.sha256 == tracker.sha256

    def test_a_part_does_not_load_as_a_cascade(self, saved, tmp_path):
        tracker = pitch_models.tracker("rmvpe")
        card = {"kind": "pitch", "architecture": "rmvpe", "spec": tracker.spec.to_dict()}
        card["options"] = pitch_models.TINY_TRACKERS["rmvpe"]
        path = weights.save(tmp_path / "tracker.safetensors", tracker, card)
        assert weights.load(path, kind="pitch").model.hop == 80
        for kind, noun in (("cascades", "cascade"), ("separators", "separator")):
            with pytest.raises(WeightsError, match=f"weights of a pitch tracker; those of a {noun} are needed"):
                weights.load(path, kind=kind)
        with pytest.raises(WeightsError, match="weights of a cascade; those of a classifier are needed"):
            weights.load(saved[1])
