"""Differentiable resampling with a fixed filter, for use between two networks.

Files are resampled by soxr (:mod:`stemclean.audio.files`).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from stemclean.errors import ConfigError

__all__ = ["Resampler"]

ZEROS = 24
"""Zero crossings of the sinc on each side."""
ROLLOFF = 0.945
"""Frequency at which the filter has half amplitude, relative to the lower Nyquist frequency; it is flat up to 0.89."""

MOST_TAPS = 1 << 22
"""Maximum number of taps of all phases; common sample rates need at most 650 000, 384 000 Hz to 383 999 Hz 10^11."""


class Resampler(nn.Module):
    """Band-limited interpolation by a windowed sinc, with one phase per output sample of a period (Smith, 1984).

    The window is a Hann window and the phase is linear: output sample k is the value of the input at ``k * old / new``
    samples. The signal is zero outside its ends. There are no trainable weights.

    Args:
        old_rate, new_rate: sample rates in Hz; only their ratio matters.

    Raises:
        ConfigError: the filter for this ratio would have more than :data:`MOST_TAPS` taps.
    """

    kernel: Tensor

    def __init__(self, old_rate: int, new_rate: int) -> None:
        super().__init__()
        shared = math.gcd(old_rate, new_rate)
        self.old, self.new = old_rate // shared, new_rate // shared
        cutoff = ROLLOFF * min(self.old, self.new)  # per period of the ratio; self.old is the rate of the input
        self.width = math.ceil(ZEROS * self.old / cutoff)
        if self.new * (self.old + 2 * self.width) > MOST_TAPS:
            raise ConfigError(
                f"{old_rate} Hz cannot be made {new_rate} Hz: as {self.old} to {self.new} they need too large a filter",
                "use sample rates with a larger common divisor",
            )
        phases = torch.arange(self.new, dtype=torch.float64)[:, None] / self.new  # in periods, as all below
        taps = torch.arange(-self.width, self.width + self.old, dtype=torch.float64)[None] / self.old
        position = (taps - phases) * cutoff  # in zero crossings
        window = torch.cos(position / ZEROS * math.pi / 2).square() * (position.abs() < ZEROS)
        kernel = torch.sinc(position) * window * (cutoff / self.old)
        kernel = kernel / kernel.sum(1, keepdim=True)  # a constant input is unchanged in each phase
        self.register_buffer("kernel", kernel[:, None].float(), persistent=False)

    def num_samples(self, before: int) -> int:
        """Return the number of output samples for ``before`` input samples: all that begin within the input."""
        return -(-before * self.new // self.old)

    def forward(self, waveform: Tensor) -> Tensor:
        """Resample a waveform; return it unchanged if the rates are equal.

        Shape:
            ``(..., time)`` -> ``(..., num_samples(time))``, float32.
        """
        if self.old == self.new:
            return waveform
        rows = waveform.float().reshape(-1, 1, waveform.shape[-1])
        with torch.autocast(waveform.device.type, enabled=False):
            rows = functional.pad(rows, (self.width, self.width + self.old))
            phases = functional.conv1d(rows, self.kernel, stride=self.old)  # (row, phase, period)
        resampled = phases.transpose(1, 2).flatten(1)[:, : self.num_samples(waveform.shape[-1])]
        return resampled.reshape(*waveform.shape[:-1], -1)
