"""Convert pitch classes to f0 and back.

The f0 is decoded as in CREPE (Kim et al. 2018) and RMVPE (arXiv 2306.15412): it is the mean of the cents of the classes
around the one with the highest posterior, weighted by their posteriors. A frame is unvoiced if its highest posterior is
below a threshold. The confidence is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemclean.audio.f0 import F0Track
from stemclean.units import cents_to_hz, hz_to_cents

__all__ = ["THRESHOLD", "decode", "targets", "threshold_of"]

THRESHOLD = 0.5
"""Default voicing threshold: as likely as not (ours)."""

AROUND = 4
"""Number of classes averaged on each side of the most likely one: 80 cents."""

BLUR_CENTS = 25.0
"""Standard deviation of a blurred target (Kim et al. 2018, equation 5)."""


def threshold_of(card: Mapping[str, Any]) -> float:
    """Return the voicing threshold that was best in the validation of the weights; 0.5 if the card has none.

    Args:
        card: Card of a tracker or a cascade.
    """
    return float(card.get("threshold", THRESHOLD))


def decode(
    posteriors: NDArray[np.floating],
    cents: NDArray[np.floating],
    hop: int,
    sample_rate: int,
    threshold: float = THRESHOLD,
    start: float = 0.0,
) -> F0Track:
    """Decode the posteriors of pitch classes to the most likely f0 of each frame.

    The voicing of a frame is its highest posterior p. Its confidence (ours) is the posterior of the voicing decision:
    p if the frame is voiced, 1 - p if not. Unvoiced frames have an f0 of 0.

    Args:
        posteriors: Posteriors in [0, 1]. Shape: (frame, bin)
        cents: Centres of the classes in cents above 10 Hz. Shape: (bin,)
        hop: Samples between frames.
        sample_rate: Sample rate in Hz.
        threshold: A frame is voiced if its highest posterior reaches this threshold.
        start: Time of the centre of the first frame, in seconds.
    """
    posteriors, cents = np.asarray(posteriors, np.float64), np.asarray(cents, np.float64)
    num_frames, num_bins = posteriors.shape
    best = posteriors.argmax(1)
    near = best[:, None] + np.arange(-AROUND, AROUND + 1)  # (frame, neighbour)
    inside = (near >= 0) & (near < num_bins)
    near = near.clip(0, num_bins - 1)
    weights = np.take_along_axis(posteriors, near, 1) * inside
    highest = posteriors[np.arange(num_frames), best]
    voiced = (highest >= threshold) & (highest > 0)
    total = np.where(voiced, weights.sum(1), 1.0)
    f0_cents = (weights * cents[near]).sum(1) / total
    return F0Track(
        f0_hz=np.where(voiced, cents_to_hz(np.where(voiced, f0_cents, 0.0)), 0.0),
        voicing=highest,
        hop=hop / sample_rate,
        start=start,
        confidence=np.where(voiced, highest, 1 - highest),
    )


def targets(f0_hz: NDArray[np.floating], cents: NDArray[np.floating], *, blur: bool = False) -> NDArray[np.float32]:
    """Return the training targets of a tracker: 1 for the class of a frame's f0, 0 for other classes.

    The targets of unvoiced frames are all 0, and so are those of an f0 more than half a class outside the classes.

    Args:
        f0_hz: True f0; 0 is unvoiced. Shape: (..., frame)
        cents: Centres of the classes. Shape: (bin,)
        blur: Use a Gaussian of 25 cents around the f0 instead of one class (Kim et al. 2018, equation 5).

    Shape:
        ``(..., frame)`` -> ``(..., frame, bin)``.
    """
    f0_cents = hz_to_cents(f0_hz)[..., None]
    cents = np.asarray(cents, np.float64)
    step = cents[1] - cents[0]
    voiced = (f0_cents >= cents[0] - step / 2) & (f0_cents < cents[-1] + step / 2)
    if blur:
        return np.asarray(voiced * np.exp(-((f0_cents - cents) ** 2) / (2 * BLUR_CENTS**2)), np.float32)
    return np.asarray(voiced & (np.abs(f0_cents - cents).argmin(-1)[..., None] == np.arange(len(cents))), np.float32)
