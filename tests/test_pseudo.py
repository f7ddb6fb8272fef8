"""Pseudo labels: their level and their confidence."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stemclean.audio.f0 import F0Track
from stemclean.audio.loudness import integrated_lufs
from stemclean.models.cascade import Cascade
from stemclean.models.contract import ModelSpec
from stemclean.models.pitch._classes import class_cents
from stemclean.models.weights import Weights
from stemclean.refining.pseudo import agreement, pseudo_f0, pseudo_vocals
from stemclean.units import cents_to_hz

RATE, HOP = 8000, 80
NOTE = float(cents_to_hz(class_cents()[120]))


class Half(torch.nn.Module):
    """A separator that gives half of the mixture to each class."""

    def __init__(self):
        super().__init__()
        self.spec = ModelSpec(RATE, 1, ("vocals", "other"), 4000)
        self.inputs = []

    def forward(self, mixture):
        self.inputs.append(mixture)
        return torch.stack([0.5 * mixture, 0.5 * mixture], 1)


class OneNote(torch.nn.Module):
    """A tracker that always finds the same note, with a given certainty."""

    def __init__(self, posterior=0.8):
        super().__init__()
        self.spec, self.hop = ModelSpec(RATE, 1, ("vocals",), 4000), HOP
        self.register_buffer("cents", class_cents(), persistent=False)
        self.logit, self.inputs = float(np.log(posterior / (1 - posterior))), []

    def forward(self, waveform):
        self.inputs.append(waveform)
        logits = torch.full((len(waveform), waveform.shape[-1] // HOP + 1, 360), -30.0)
        logits[..., 120] = self.logit
        return logits


def noise(seconds=2.0, level=0.1):
    return (level * np.random.default_rng(0).standard_normal((1, round(seconds * RATE)))).astype(np.float32)


def loaded(model, **card):
    return Weights(model, {"loudness_lufs": -20.0, **card}, "file:x.safetensors", "0" * 64)


class TestF0:
    def test_confidence_is_the_posterior_at_the_decision(self):
        for posterior, voiced, sure in ((0.8, True, 0.8), (0.3, False, 0.7)):
            track = pseudo_f0(loaded(OneNote(posterior)), noise(), device="cpu")
            assert track.voiced.all() == voiced == track.voiced.any()
            assert track.confidence == pytest.approx(sure, abs=1e-6) and track.num_frames == 201

    def test_the_voicing_threshold_comes_from_the_card(self):
        weights = loaded(OneNote(0.3), threshold=0.25)
        assert pseudo_f0(weights, noise(), device="cpu").voiced.all()
        assert not pseudo_f0(weights, noise(), threshold=0.5, device="cpu").voiced.any()

    def test_the_voice_is_scaled_to_the_training_loudness(self):
        for level in (0.01, 0.3):
            model = OneNote()
            pseudo_f0(loaded(model), noise(level=level), device="cpu")
            model_input = model.inputs[0][0].numpy()[:, RATE : 3 * RATE]  # the core of the window, after its context
            assert integrated_lufs(model_input, RATE) == pytest.approx(-20, abs=0.3)  # 0.4 s blocks of noise


class TestVocals:
    def test_the_estimate_has_the_mixtures_level(self):
        model = Cascade(Half(), OneNote())
        f0 = F0Track.of(np.full(201, NOTE), 0.01)
        for level in (0.01, 0.3):
            mixture = noise(level=level)
            estimate, confidence = pseudo_vocals(loaded(model), mixture, f0, device="cpu")
            np.testing.assert_allclose(
                estimate, 0.5 * mixture, atol=1e-5 * level
            )  # one gain and its inverse in float32
            assert confidence == 1.0

    def test_confidence_is_the_share_of_recovered_voiced_frames(self):
        f0_hz = np.where(np.arange(201) < 50, 0.0, np.where(np.arange(201) < 100, NOTE, 1.5 * NOTE))
        f0 = F0Track.of(f0_hz, 0.01)
        _, confidence = pseudo_vocals(loaded(Cascade(Half(), OneNote())), noise(), f0, device="cpu")
        assert confidence == pytest.approx(50 / 151)


class TestAgreement:
    def test_agreement_is_raw_pitch_accuracy(self):
        mir_eval = pytest.importorskip("mir_eval")
        rng = np.random.default_rng(1)
        truth = rng.choice([0.0, 150.0, 220.0], 300)
        estimated_hz = np.where(truth > 0, truth, 100.0) * 2 ** (rng.uniform(-100, 100, 300) / 1200)
        reference, estimate = F0Track.of(truth, 0.01), F0Track.of(estimated_hz, 0.01)
        voicing = (truth > 0).astype(float)
        cents, cents_heard = (1200 * np.log2(np.where(f > 0, f, 10.0) / 10) for f in (truth, estimated_hz))
        theirs = mir_eval.melody.raw_pitch_accuracy(voicing, cents, np.ones(300), cents_heard)
        assert agreement(reference, estimate, np.ones(300, bool)) == pytest.approx(theirs, abs=1e-9)

    def test_without_voiced_frames_unvoiced_ones_count(self):
        silent, sung = F0Track.of(np.zeros(100), 0.01), F0Track.of(np.full(100, 200.0), 0.01)
        assert agreement(silent, sung, np.arange(100) < 25) == 0.75
