"""Pseudo labels for half-labelled songs: f0 of voices that have none, voices of mixtures whose f0 is known.

The second stage of MAJL (Wei et al. 2025, arXiv 2501.03689) learns from such labels, each with a confidence that stands
for its quality. How the confidence is measured is ours: the paper's definition is not available to us.
"""

from __future__ import annotations

import numpy as np
import torch

from stemclean.audio.f0 import F0Track
from stemclean.audio.loudness import relative_lufs
from stemclean.audio.waveform import Waveform
from stemclean.data.sources import loudness_gain
from stemclean.models.decoding import threshold_of
from stemclean.models.overlap_add import overlap_add
from stemclean.models.tracking import follow
from stemclean.models.weights import Weights

__all__ = ["agreement", "pseudo_f0", "pseudo_vocals"]

TOLERANCE_CENTS = 50.0
"""Within which an f0 is right, as in mir_eval.melody."""
OVERLAP = 0.25
"""Of the separator's segments."""


def pseudo_f0(
    loaded: Weights, vocals: Waveform, *, threshold: float | None = None, device: str | None = None
) -> F0Track:
    """The f0 of a clean voice, with the confidence of every frame.

    The confidence is the tracker's posterior at its decision: of the pitch where the frame is voiced, of no pitch where
    it is not (ours).

    Args:
        loaded: weights of a tracker, or of a cascade loaded as ``pitch``.
        vocals: at the tracker's rate, one channel; brought to the loudness of the weights' training, which for a
            tracker is that of voices. For a cascade it is that of mixtures, in which its tracker heard voices softer.
        threshold: posterior from which on a frame is voiced; None: what the weights' validation found best.
        device: of torch; None: a GPU where there is one.
    """
    at = threshold_of(loaded.card) if threshold is None else threshold
    return follow(loaded.model, _levelled(loaded, vocals), threshold=at, device=device)


def pseudo_vocals(
    loaded: Weights, mixture: Waveform, known: F0Track, *, device: str | None = None
) -> tuple[Waveform, float]:
    """The voice in a mixture whose f0 is known, and how far it is trusted.

    The confidence says how well the tracker, run on the estimate, recovers the known f0; see :func:`agreement` (ours).

    Args:
        loaded: weights of a cascade.
        mixture: at the rate and with the channels of the cascade. Shape: (channel, time)
        known: f0 of the voice.
        device: of torch; None: a GPU where there is one.

    Returns:
        (the estimate at the mixture's own level, the confidence in [0, 1]). Shape: (channel, time)
    """
    model = loaded.model
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    model.to(place).eval()
    levelled = _levelled(loaded, mixture)
    row = model.pitched_row

    def separated(segments: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            estimates = model.separator(torch.from_numpy(np.ascontiguousarray(segments)).to(place))
        return np.asarray(estimates[:, row].float().cpu().numpy(), np.float32)

    estimate = np.concatenate(list(overlap_add([levelled], separated, model.spec.segment, overlap=OVERLAP)), axis=-1)
    with torch.inference_mode():
        heard = model.resampler(torch.from_numpy(estimate.mean(0, keepdims=True)).to(place)).cpu().numpy()
    found = follow(model.tracker, heard, threshold=0.0, device=device)
    voiced = found.voicing >= threshold_of(loaded.card)
    gain = _gain(loaded, mixture)
    return np.asarray(estimate / np.float32(gain), np.float32), agreement(known, found, voiced)


def agreement(known: F0Track, found: F0Track, voiced: np.ndarray) -> float:
    """How well one f0 recovers another, in [0, 1].

    The share of the known voiced frames in which the found f0 is within 50 cents, whether it was held for voiced or
    not (raw pitch accuracy). Where nothing is sung throughout: the share of frames that were found unvoiced.

    Args:
        known: what should be found; brought to the other's frames.
        found: with an f0 in every frame.
        voiced: what of it is held for voiced. Shape: (frame,)
    """
    truth = known.resampled(found.hop, found.start, found.num_frames)
    sung = truth.voiced
    if not sung.any():
        return float(np.mean(~voiced)) if len(voiced) else 0.0
    return float(np.mean(np.abs(truth.cents() - found.cents())[sung] <= TOLERANCE_CENTS))


def _gain(loaded: Weights, sound: Waveform) -> float:
    return loudness_gain(relative_lufs(sound, loaded.model.spec.sample_rate), loaded.card.get("loudness_lufs"))


def _levelled(loaded: Weights, sound: Waveform) -> Waveform:
    return np.asarray(sound * np.float32(_gain(loaded, sound)), np.float32)
