"""Convert between units of time, level and pitch; all such conversions are in this module.

Times in seconds are floats, counts are integers. A frame is one STFT column; its centre is at ``frame * hop_length``
samples (see :mod:`stemclean.audio.stft`). A pitch is a frequency in Hz, a MIDI note number (69 is A4 = 440 Hz, 12 per
octave, fractions allowed) or a number of cents above :data:`CENTS_REFERENCE_HZ`. In all three units, 0 means unvoiced,
and stays 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "CENTS_REFERENCE_HZ",
    "amplitude_to_db",
    "cents_to_hz",
    "db_to_amplitude",
    "hz_to_cents",
    "hz_to_midi",
    "midi_to_hz",
    "round_seconds",
    "samples_to_frames",
    "samples_to_seconds",
    "seconds_to_samples",
]

SECONDS_DECIMALS = 6
"""Decimals of a time in a manifest: 1 microsecond, finer than one sample at any rate in use."""

CENTS_REFERENCE_HZ = 10.0
"""Frequency at 0 cents, as in mir_eval.melody and in the pitch classes of CREPE and RMVPE."""

_A4_HZ, _A4_MIDI = 440.0, 69.0


def seconds_to_samples(seconds: float, sample_rate: int) -> int:
    """Return the sample nearest to a time.

    >>> seconds_to_samples(0.5, 44100)
    22050
    """
    return round(seconds * sample_rate)


def samples_to_seconds(num_samples: int, sample_rate: int) -> float:
    """Return the time of a sample, rounded to the microsecond so that it survives JSON.

    >>> samples_to_seconds(44100, 44100)
    1.0
    """
    return round_seconds(num_samples / sample_rate)


def samples_to_frames(num_samples: int, hop_length: int) -> int:
    """Return the number of whole hops in ``num_samples``, which is its number of frames.

    >>> samples_to_frames(131072, 512)
    256
    """
    return num_samples // hop_length


def round_seconds(seconds: float) -> float:
    """Round a time to the six decimals of manifests."""
    return round(float(seconds), SECONDS_DECIMALS)


def db_to_amplitude(db: float) -> float:
    """Return the amplitude ratio of a level difference in dB.

    >>> db_to_amplitude(-20.0)
    0.1
    """
    return float(10.0 ** (db / 20.0))


def amplitude_to_db(amplitude: float) -> float:
    """Return the level of an amplitude in dB; ``-inf`` for zero.

    >>> amplitude_to_db(0.1)
    -20.0
    """
    return 20.0 * math.log10(amplitude) if amplitude > 0 else -math.inf


def hz_to_midi(hz: ArrayLike) -> NDArray[np.float64]:
    """Convert frequencies in Hz to MIDI note numbers.

    >>> hz_to_midi([440.0, 880.0, 0.0]).tolist()
    [69.0, 81.0, 0.0]
    """
    return _where_pitched(hz, lambda some: 12.0 * np.log2(some / _A4_HZ) + _A4_MIDI)


def midi_to_hz(midi: ArrayLike) -> NDArray[np.float64]:
    """Convert MIDI note numbers to frequencies in Hz.

    >>> midi_to_hz([69.0, 57.0, 0.0]).tolist()
    [440.0, 220.0, 0.0]
    """
    return _where_pitched(midi, lambda some: _A4_HZ * np.exp2((some - _A4_MIDI) / 12.0))


def hz_to_cents(hz: ArrayLike) -> NDArray[np.float64]:
    """Convert frequencies in Hz to cents above :data:`CENTS_REFERENCE_HZ`.

    >>> hz_to_cents([20.0, 40.0, 0.0]).tolist()
    [1200.0, 2400.0, 0.0]
    """
    return _where_pitched(hz, lambda some: 1200.0 * np.log2(some / CENTS_REFERENCE_HZ))


def cents_to_hz(cents: ArrayLike) -> NDArray[np.float64]:
    """Convert cents above :data:`CENTS_REFERENCE_HZ` to frequencies in Hz.

    >>> cents_to_hz([1200.0, 0.0]).tolist()
    [20.0, 0.0]
    """
    return _where_pitched(cents, lambda some: CENTS_REFERENCE_HZ * np.exp2(some / 1200.0))


def _where_pitched(
    values: ArrayLike, convert: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Apply ``convert`` to the values that are not 0, and keep the zeros."""
    array = np.asarray(values, np.float64)
    converted = np.zeros_like(array)
    pitched = array != 0.0
    converted[pitched] = convert(array[pitched])
    return converted
