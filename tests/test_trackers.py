"""Every registered pitch tracker keeps the contract; tests of each one's sizes follow."""

from __future__ import annotations

import numpy as np
import pitch_models
import pytest
import torch

from stemclean.models import registry, weights
from stemclean.models.contract import ModelSpec, PitchTracker
from stemclean.models.decoding import targets
from stemclean.models.pitch._classes import class_cents
from stemclean.models.tracking import follow
from stemclean.units import hz_to_cents

RATE, HOP = 8000, 80


def noise(batch=2, time=4000, seed=1):
    return 0.1 * torch.randn(batch, 1, time, generator=torch.Generator().manual_seed(seed))


def harmonics(f0_hz, seed=0):
    """A voice of eight harmonics on an f0 given sample by sample; 0 is silent."""
    rng = np.random.default_rng(seed)
    phase = 2 * np.pi * np.cumsum(f0_hz) / RATE
    sound = sum(np.sin(k * phase + rng.uniform(0, 6)) / k * (k * f0_hz < RATE / 2) for k in range(1, 9))
    return torch.from_numpy((0.1 * sound * (f0_hz > 0)).astype(np.float32))[None, None]


def test_trackers_are_registered():
    assert set(pitch_models.TINY_TRACKERS) == {"rmvpe", "crepe", "harmof0"}
    assert set(pitch_models.TINY_TRACKERS) <= set(pitch_models.TRACKERS)


@pytest.mark.parametrize("name", pitch_models.TRACKERS)
class TestContract:
    def test_frames_and_classes_at_any_length(self, name):
        model = pitch_models.tracker(name).eval()
        assert isinstance(model, PitchTracker) and isinstance(model, torch.nn.Module)
        assert model.cents.dtype == torch.float64 and (model.cents.diff() > 0).all()
        with torch.inference_mode():
            for time in (4000, 4079, 4080, 999):
                logits = model(noise(1, time))
                assert logits.shape == (1, time // model.hop + 1, len(model.cents))
                assert logits.dtype == torch.float32 and logits.isfinite().all()

    def test_every_weight_and_the_input_get_gradients(self, name):
        model, sound = pitch_models.tracker(name).train(), noise().requires_grad_()
        model(sound).square().sum().backward()
        still = [key for key, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]
        assert still == []
        assert sound.grad.isfinite().all() and sound.grad.any()

    def test_silence_has_finite_gradients(self, name):
        """Digital silence, as between two phrases, must not give NaN."""
        model, sound = pitch_models.tracker(name).train(), torch.zeros(2, 1, 4000, requires_grad=True)
        model(sound).square().sum().backward()
        assert sound.grad.isfinite().all()
        assert all(weight.grad.isfinite().all() for weight in model.parameters())

    def test_weights_round_trip(self, name, tmp_path):
        model = pitch_models.tracker(name).eval()
        card = {"kind": "pitch", "architecture": name, "spec": model.spec.to_dict()}
        card["options"] = pitch_models.TINY_TRACKERS.get(name, {})
        weights.save(tmp_path / "model.safetensors", model, card, dtype=torch.float32)
        loaded = weights.load(tmp_path / "model.safetensors", kind="pitch").model
        with torch.inference_mode():
            torch.testing.assert_close(loaded(noise()), model(noise()), rtol=0, atol=0)  # float32: bit by bit

    def test_batching_does_not_change_the_result(self, name):
        model = pitch_models.tracker(name).eval()
        with torch.inference_mode():
            torch.testing.assert_close(model(noise()[1:])[0], model(noise())[1], rtol=1e-4, atol=1e-5)

    def test_a_frame_is_centred_on_its_sample(self, name):
        """The sample with the most influence on a frame, in a stationary sound, is at frame times hop.

        By the energy of the gradient, on average over frames; a recurrent layer looks both ways. A frame either way
        would be a hop; half of it is left to the chance of random weights.
        """
        model = pitch_models.tracker(name).eval()
        sound = noise(4).requires_grad_()
        logits = model(sound)
        offsets = []
        for frame in (20, 24, 28, 32):
            (gradient,) = torch.autograd.grad(logits[:, frame].square().sum(), sound, retain_graph=True)
            energy = gradient.square().sum((0, 1))
            near = slice(frame * HOP - 600, frame * HOP + 601)
            offsets.append(float((energy[near] * torch.arange(-600, 601)).sum() / energy[near].sum()))
        assert np.mean(offsets) == pytest.approx(0, abs=HOP / 2)

    def test_a_short_training_reduces_the_loss(self, name):
        """Fifteen steps on voices of two notes bring the loss down by a fifth: gradients point the right way."""
        model = pitch_models.tracker(name, **({} if name == "harmof0" else {"dropout": 0.0})).train()
        f0_hz = np.repeat([[150.0, 310.0, 0.0, 150.0], [310.0, 0.0, 150.0, 310.0]], 5, axis=1)
        sounds = torch.cat([harmonics(np.repeat(row, HOP), seed) for seed, row in enumerate(f0_hz)])
        expected = torch.from_numpy(targets(np.pad(f0_hz, ((0, 0), (0, 1))), model.cents.numpy()))
        optimizer = torch.optim.Adam(model.parameters(), 3e-2)
        losses = []
        for _ in range(15):
            loss = torch.nn.functional.binary_cross_entropy_with_logits(model(sounds), expected)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        assert losses[-1] < 0.8 * losses[0]


class Hummed(torch.nn.Module):
    """A tracker that looks up each frame's own sample: class 100 where it is 0.5, class 200 where it is -0.5."""

    def __init__(self, rate=8000, hop=80):
        super().__init__()
        self.spec, self.hop, self.cents = ModelSpec(rate, 1, ("vocals",), 4000), hop, class_cents()
        self.lengths = []

    def forward(self, waveform):
        self.lengths.append(waveform.shape[-1])
        samples = torch.nn.functional.pad(waveform[:, 0], (0, 1))[:, :: self.hop]
        logits = torch.full((*samples.shape, 360), -9.0)
        logits[..., 100], logits[..., 200] = 36 * samples - 9, -36 * samples - 9
        return logits


class TestLongSounds:
    @pytest.mark.parametrize("seconds", [0.005, 0.3, 7.99, 8.0, 8.01, 25.3])
    def test_every_frame_is_computed_once_in_order(self, seconds):
        rng = np.random.default_rng(0)
        sound = np.repeat(rng.choice([0.5, 0.0, -0.5], round(seconds * 100) + 1), 80)[None, : round(seconds * 8000)]
        model = Hummed()
        blocks = [sound[:, at : at + 12345].astype(np.float32) for at in range(0, sound.shape[1], 12345)]
        track = follow(model, blocks, device="cpu")
        expected = np.pad(sound[0], (0, 1))[::80]
        assert track.num_frames == sound.shape[1] // 80 + 1 and track.hop == 0.01 and track.start == 0
        assert np.array_equal(track.voiced, expected != 0)
        assert np.array_equal(
            hz_to_cents(track.f0_hz[expected > 0]).round() == 3997, np.ones((expected > 0).sum(), bool)
        )
        assert max(model.lengths) <= 8000 * 10  # bounded

    def test_a_cascade_runs_at_its_own_rate(self):
        """Stereo at 11 025 Hz before a tracker at 8 kHz: frames every 10 ms, as many as the length has."""
        model = pitch_models.cascade("xumx", "rmvpe", sample_rate=11025, segment=4410)
        track = follow(model, 0.1 * np.random.default_rng(0).standard_normal((2, 110250)).astype(np.float32))
        assert track.num_frames == 1001 and track.hop == 0.01


class TestPaperSizes:
    """Built on the meta device: the counts alone, no memory."""

    @staticmethod
    def millions(name):
        with torch.device("meta"):
            model = registry.build("pitch", name, ModelSpec(16000, 1, ("vocals",), 40960), {})
        return sum(p.numel() for p in model.parameters()) / 1e6

    def test_crepe_has_the_papers_size(self):
        assert self.millions("crepe") == pytest.approx(22.2, abs=0.05)  # its paper, section 2.1: 22.2 million

    def test_rmvpe_has_the_papers_size(self):
        assert self.millions("rmvpe") == pytest.approx(90.4, abs=0.1)  # the published weights, 181 MB in half precision

    def test_harmof0_has_the_papers_size(self):
        assert self.millions("harmof0") == pytest.approx(0.37, abs=0.01)  # ours: with 60 rows an octave
