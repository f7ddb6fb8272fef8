"""Compute pseudo labels for half-labelled songs: the f0 of vocals, and the vocals of mixtures with a known f0.

The second stage of MAJL (Wei et al. 2025, arXiv 2501.03689) trains on these labels, weighted by their confidence. The
way we measure confidence is ours, because the paper's definition is not available to us.
"""

from __future__ import annotations

import numpy as np
import torch

from stemclean.audio.f0 import F0Track
from stemclean.audio.loudness import relative_lufs
from stemclean.audio.waveform import Waveform
from stemclean.data.sources import loudness_gain
from stemclean.models import devices
from stemclean.models.decoding import threshold_of
from stemclean.models.overlap_add import overlap_add
from stemclean.models.tracking import follow
from stemclean.models.weights import Weights

__all__ = ["agreement", "pseudo_f0", "pseudo_vocals"]

TOLERANCE_CENTS = 50.0
"""Maximum error of a correct f0, as in mir_eval.melody."""
OVERLAP = 0.25
"""Overlap of the separator's segments, as a share of their length."""


def pseudo_f0(
    loaded: Weights, vocals: Waveform, *, threshold: float | None = None, device: str | None = None
) -> F0Track:
    """Estimate the f0 of clean vocals, with a confidence for every frame.

    The confidence is the tracker's posterior of its decision: of the pitch in a voiced frame, of no pitch in an
    unvoiced one (ours).

    Args:
        loaded: weights of a tracker, or of a cascade loaded as ``pitch``.
        vocals: vocals at the tracker's sample rate, one channel. They are scaled to the training loudness
            of the weights: that of vocals for a tracker, that of mixtures for a cascade, whose tracker was trained on
            softer vocals.
        threshold: minimum posterior of a voiced frame; None: the best one on the weights' validation data.
        device: torch device; None: a GPU if available.
    """
    at = threshold_of(loaded.card) if threshold is None else threshold
    return follow(loaded.model, _levelled(loaded, vocals), threshold=at, device=device)


def pseudo_vocals(
    loaded: Weights, mixture: Waveform, known: F0Track, *, device: str | None = None
) -> tuple[Waveform, float]:
    """Separate the vocals of a mixture with a known f0, and rate the estimate.

    The confidence is the agreement of the known f0 with the one that the tracker finds in the estimate; see
    :func:`agreement` (ours).

    Args:
        loaded: weights of a cascade.
        mixture: mixture with the sample rate and channels of the cascade. Shape: (channel, time)
        known: f0 of the vocals.
        device: torch device; None: a GPU if available.

    Returns:
        (the estimate at its level in the mixture, the confidence in [0, 1]). Shape: (channel, time)
    """
    model = loaded.model
    place = devices.chosen(device)
    model.to(place).eval()
    levelled = _levelled(loaded, mixture)
    row = model.pitched_row

    def separated(segments: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            estimates = model.separator(torch.from_numpy(np.ascontiguousarray(segments)).to(place))
        return np.asarray(estimates[:, row].float().cpu().numpy(), np.float32)

    estimate = np.concatenate(list(overlap_add([levelled], separated, model.spec.segment, overlap=OVERLAP)), axis=-1)
    with torch.inference_mode():
        mono = model.resampler(torch.from_numpy(estimate.mean(0, keepdims=True)).to(place)).cpu().numpy()
    found = follow(model.tracker, mono, threshold=0.0, device=device)
    voiced = found.voicing >= threshold_of(loaded.card)
    gain = _gain(loaded, mixture)
    return np.asarray(estimate / np.float32(gain), np.float32), agreement(known, found, voiced)


def agreement(known: F0Track, found: F0Track, voiced: np.ndarray) -> float:
    """Compare an estimated f0 with a known one.

    Args:
        known: the known f0; it is resampled to the frames of ``found``.
        found: the estimate, with an f0 in every frame.
        voiced: which frames of the estimate are voiced. Shape: (frame,)

    Returns:
        The share of the voiced frames of ``known`` in which ``found`` is within 50 cents, voiced or not (raw pitch
        accuracy). If ``known`` has no voiced frame: the share of frames that are unvoiced in the estimate.
    """
    truth = known.resampled(found.hop, found.start, found.num_frames)
    reference_voiced = truth.voiced
    if not reference_voiced.any():
        return float(np.mean(~voiced)) if len(voiced) else 0.0
    return float(np.mean(np.abs(truth.cents() - found.cents())[reference_voiced] <= TOLERANCE_CENTS))


def _gain(loaded: Weights, sound: Waveform) -> float:
    return loudness_gain(relative_lufs(sound, loaded.model.spec.sample_rate), loaded.card.get("loudness_lufs"))


def _levelled(loaded: Weights, sound: Waveform) -> Waveform:
    return np.asarray(sound * np.float32(_gain(loaded, sound)), np.float32)
