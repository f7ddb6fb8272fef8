"""Track the pitch of sounds of any length, in overlapping windows whose middles are kept, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from stemclean.audio.f0 import F0Track
from stemclean.audio.waveform import Sound, Waveform, as_blocks
from stemclean.models import devices
from stemclean.models.cascade import Cascade
from stemclean.models.decoding import THRESHOLD, decode

__all__ = ["follow"]

CORE = 8.0
"""Approximate length in seconds of the middle of a window, whose frames are kept."""
CONTEXT = 1.0
"""Approximate length in seconds of the context on each side, longer than the models' effective receptive field."""


def follow(model: Any, sound: Sound, *, threshold: float = THRESHOLD, device: str | None = None) -> F0Track:
    """Estimate the f0 of a voice with a tracker, or of the voice in a mixture with a cascade.

    Args:
        model: A :class:`~stemclean.models.contract.PitchTracker` or :class:`~stemclean.models.cascade.Cascade`. It is
            moved to the device and set to evaluation mode.
        sound: The voice or, for a cascade, the mixture, with the sample rate and channels of ``model.spec`` and the
            loudness of the training (``loudness_lufs`` in the card).
        threshold: Voicing threshold, see :func:`stemclean.models.decoding.decode`.
        device: Device of torch (None: a GPU if there is one).

    Returns:
        The f0 with voicing and confidence, one frame per hop of the tracker, the first at 0 s: ``num_samples // hop +
        1`` frames at the tracker's sample rate.
    """
    torch_device = devices.chosen(device)
    model = model.to(torch_device).eval()
    tracker = model.tracker if isinstance(model, Cascade) else model
    rate, tracker_rate = model.spec.sample_rate, tracker.spec.sample_rate
    # The smallest number of samples that corresponds to a whole number of frames, and that number of frames.
    shared = math.gcd(tracker.hop * rate, tracker_rate)
    unit, frames = tracker.hop * rate // shared, tracker_rate // shared
    core, context = (max(1, round(seconds * rate / unit)) for seconds in (CORE, CONTEXT))
    cents = tracker.cents.cpu().numpy()
    parts = []
    for window, num_new in _windows(sound, core * unit, context * unit):
        with torch.inference_mode():
            batch = torch.from_numpy(window)[None].to(torch_device)
            logits = model(batch)[1] if isinstance(model, Cascade) else model(batch)
            posteriors = logits[0].sigmoid().cpu().numpy()
        last = context * frames + (core * frames if num_new == core * unit else num_new * frames // unit + 1)
        parts.append(decode(posteriors[context * frames : last], cents, tracker.hop, tracker_rate, threshold))
    return F0Track(
        np.concatenate([part.f0_hz for part in parts]),
        np.concatenate([part.voicing for part in parts]),
        tracker.hop / tracker_rate,
        0.0,
        np.concatenate([part.confidence for part in parts if part.confidence is not None]),
    )


def _windows(sound: Sound, core: int, context: int) -> Iterator[tuple[Waveform, int]]:
    """Yield windows of ``context + core + context`` samples, and how many samples of the core lie in the sound.

    These are ``core`` samples in all windows but the last, which has fewer. The sound is zero-padded at both ends.
    """
    pending: Waveform | None = None
    for block in as_blocks(sound):
        before = np.zeros((len(block), context), np.float32) if pending is None else pending
        pending = np.concatenate([before, block], axis=1)
        while pending.shape[1] > core + 2 * context:
            yield np.ascontiguousarray(pending[:, : core + 2 * context]), core
            pending = pending[:, core:]
    if pending is None:
        return
    while True:
        remaining = pending.shape[1] - context
        window = pending[:, : core + 2 * context]
        padded = np.pad(window, ((0, 0), (0, core + 2 * context - window.shape[1])))
        yield padded, min(remaining, core)
        if remaining < core:
            return
        pending = pending[:, core:]
