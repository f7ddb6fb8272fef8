"""Compare the stems of a song with its mixture: what is missing, inverted, late or too much. Ours.

Everything is compared at 8 kHz in mono, where codecs and sample rates agree. The response of the mixture to a stem,
that is, the cross-spectrum divided by the spectrum of the stem, has a peak at the delay of the stem with the sign of
its polarity. After alignment, the gains of all stems are fitted together by least squares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

__all__ = ["MAX_STEMS", "SAMPLE_RATE", "MixtureFit", "Part", "fit_mixture"]

SAMPLE_RATE = 8000
"""Sample rate of the comparison in Hz."""

MAX_STEMS = 64
"""Songs with more stems are not compared, to bound the memory."""

MAX_DELAY = 0.5
"""Longest delay in seconds that is looked for."""

NEAR = 0.02
"""Seconds around the peak of a response that belong to it."""

CLEAR = 8.0
"""Height of a peak over the spread of the response elsewhere from which on the stem is in the mixture."""

AUDIBLE_DB = -35.0
"""Level of a stem relative to the mixture from which on its absence would show."""

REGULARISATION = 1e-3
"""Power that is added to the spectrum of a stem, relative to its mean, before dividing by it."""


@dataclass(frozen=True)
class Part:
    """A stem as part of a mixture.

    Args:
        stem: id of the stem.
        gain: its gain in the mixture, relative to the other stems; negative: inverted.
        delay: seconds by which the stem must be delayed to fit the mixture; negative: it is late.
        coherent: whether the mixture contains it.
        audible: whether it is loud enough for its absence to show.
    """

    stem: str
    gain: float
    delay: float
    coherent: bool
    audible: bool


@dataclass(frozen=True)
class MixtureFit:
    """How well the stems of a song add up to its mixture.

    Args:
        residual_db: power of the mixture minus the sum of the stems as they are, with one gain for all, relative to the
            mixture.
        best_residual_db: the same with a gain and a delay for each stem.
        parts: the stems.
    """

    residual_db: float
    best_residual_db: float
    parts: tuple[Part, ...]


def fit_mixture(mixture: NDArray[np.float32], stems: Mapping[str, NDArray[np.float32]]) -> MixtureFit | None:
    """Fit the stems of a song to its mixture.

    Args:
        mixture: the mixture at :data:`SAMPLE_RATE`. Shape: (time,)
        stems: id -> the stem. Shape: (time,) each

    Returns:
        The fit; None if the mixture or all stems are silent.
    """
    power = float(mixture @ mixture)
    sounds = {name: stem for name, stem in stems.items() if stem.any()}
    if power <= 0 or not sounds:
        return None
    length = max(len(mixture), *map(len, sounds.values()))
    size = scipy.fft.next_fast_len(length + round(2 * MAX_DELAY * SAMPLE_RATE), real=True)
    spectrum = scipy.fft.rfft(mixture, size)
    found = {name: _response(spectrum, scipy.fft.rfft(stem, size), size) for name, stem in sounds.items()}
    aligned = [_delayed(stem, found[name][0], len(mixture)) for name, stem in sounds.items()]
    best_db, gains = _fitted(mixture, aligned, power)
    plain = np.sum([_delayed(stem, 0, len(mixture)) for stem in sounds.values()], axis=0)
    residual_db, common = _fitted(mixture, [plain], power)
    scale = abs(float(common[0])) or 1.0
    parts = []
    for (name, stem), gain in zip(sounds.items(), gains, strict=True):
        delay, sign, coherent = found[name]
        relative = abs(float(gain)) / scale * sign
        level_db = 10 * np.log10(float(stem @ stem) * scale**2 / power + 1e-20)
        parts.append(Part(name, relative, delay / SAMPLE_RATE, coherent, bool(level_db >= AUDIBLE_DB)))
    return MixtureFit(residual_db, best_db, tuple(parts))


def _response(mixture: NDArray[np.complex64], stem: NDArray[np.complex64], size: int) -> tuple[int, int, bool]:
    """Return the delay in samples and the sign of the highest peak of the response, and whether it is clear."""
    power = np.square(np.abs(stem))
    response = scipy.fft.irfft(mixture * np.conj(stem) / (power + REGULARISATION * power.mean()), size)
    longest, near = round(MAX_DELAY * SAMPLE_RATE), round(NEAR * SAMPLE_RATE)
    around = np.concatenate([response[-longest:], response[: longest + 1]])
    peak = int(np.argmax(np.abs(around)))
    elsewhere = np.delete(around, slice(max(0, peak - near), peak + near + 1))
    spread = 1.4826 * float(np.median(np.abs(elsewhere)))
    clear = bool(abs(around[peak]) >= CLEAR * spread)
    return peak - longest, 1 if around[peak] >= 0 else -1, clear


def _delayed(stem: NDArray[np.float32], delay: int, length: int) -> NDArray[np.float32]:
    """Return a stem that starts later by some samples, with a given length."""
    moved = stem[-delay:] if delay < 0 else np.pad(stem, (delay, 0))
    return np.pad(moved[:length], (0, max(0, length - len(moved))))


def _fitted(
    mixture: NDArray[np.float32], sounds: Sequence[NDArray[np.float32]], power: float
) -> tuple[float, NDArray[np.float64]]:
    """Return the residual in dB after a least-squares fit, and the gains."""
    matrix = np.array([[float(a @ b) for b in sounds] for a in sounds])
    right = np.array([float(sound @ mixture) for sound in sounds])
    gains, *_ = scipy.linalg.lstsq(matrix, right)
    residual = max(power - float(right @ gains), 0.0)
    return float(10 * np.log10(residual / power + 1e-12)), np.asarray(gains, np.float64)
