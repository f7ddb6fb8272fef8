"""Seconds, samples, frames and decibels; the only place where one becomes another.

Seconds are plain floats, counts are integers. A frame is one STFT column whose centre lies at
``frame * hop_length`` samples (see :mod:`stemclean.audio.stft`).
"""

from __future__ import annotations

import math

__all__ = [
    "amplitude_to_db",
    "db_to_amplitude",
    "round_seconds",
    "samples_to_frames",
    "samples_to_seconds",
    "seconds_to_samples",
]

SECONDS_DECIMALS = 6
"""Decimals of a time in a manifest: 1 microsecond, finer than one sample at any rate in use."""


def seconds_to_samples(seconds: float, sample_rate: int) -> int:
    """The nearest sample to a time.

    >>> seconds_to_samples(0.5, 44100)
    22050
    """
    return round(seconds * sample_rate)


def samples_to_seconds(num_samples: int, sample_rate: int) -> float:
    """The time of a sample, rounded to the microsecond, so that it survives JSON.

    >>> samples_to_seconds(44100, 44100)
    1.0
    """
    return round_seconds(num_samples / sample_rate)


def samples_to_frames(num_samples: int, hop_length: int) -> int:
    """How many whole hops fit; a window of ``num_samples`` has that many frames.

    >>> samples_to_frames(131072, 512)
    256
    """
    return num_samples // hop_length


def round_seconds(seconds: float) -> float:
    """A time as manifests hold it: six decimals."""
    return round(float(seconds), SECONDS_DECIMALS)


def db_to_amplitude(db: float) -> float:
    """Amplitude ratio of a level difference in dB.

    >>> db_to_amplitude(-20.0)
    0.1
    """
    return float(10.0 ** (db / 20.0))


def amplitude_to_db(amplitude: float) -> float:
    """Level of an amplitude in dB; ``-inf`` for zero.

    >>> amplitude_to_db(0.1)
    -20.0
    """
    return 20.0 * math.log10(amplitude) if amplitude > 0 else -math.inf
