"""Another sample rate inside a network: a fixed filter that gradients flow through.

Files are resampled by soxr (:mod:`stemclean.audio.files`); this is for what is between two networks.
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
"""Where the filter is at half amplitude, as a share of the lower Nyquist frequency; it is flat to 0.89 of it."""

MOST_TAPS = 1 << 22
"""Of all phases of the filter; rates that are in use need 650 000 at most, and 384 000 Hz to 383 999 Hz 10^11."""


class Resampler(nn.Module):
    """Band-limited interpolation by a windowed sinc, one phase of it per output sample of a period (Smith, 1984).

    The window is Hann's, the phase linear: output sample k is what the input is at ``k * old / new`` samples. Outside
    its ends the signal is zero. There are no weights.

    Args:
        old_rate, new_rate: in Hz; their ratio in lowest terms is what counts.

    Raises:
        ConfigError: a ratio of so large numbers that the filter would have more than :data:`MOST_TAPS`.
    """

    kernel: Tensor

    def __init__(self, old_rate: int, new_rate: int) -> None:
        super().__init__()
        shared = math.gcd(old_rate, new_rate)
        self.old, self.new = old_rate // shared, new_rate // shared
        cutoff = ROLLOFF * min(self.old, self.new)  # per period of the ratio; old is the input's rate
        self.width = math.ceil(ZEROS * self.old / cutoff)
        if self.new * (self.old + 2 * self.width) > MOST_TAPS:
            raise ConfigError(
                f"{old_rate} Hz cannot be made {new_rate} Hz: as {self.old} to {self.new} they need too large a filter",
                "use sample rates with a larger common divisor",
            )
        phases = torch.arange(self.new, dtype=torch.float64)[:, None] / self.new  # in periods, as all below
        taps = torch.arange(-self.width, self.width + self.old, dtype=torch.float64)[None] / self.old
        place = (taps - phases) * cutoff  # in zero crossings
        window = torch.cos(place / ZEROS * math.pi / 2).square() * (place.abs() < ZEROS)
        kernel = torch.sinc(place) * window * (cutoff / self.old)
        kernel = kernel / kernel.sum(1, keepdim=True)  # a constant stays what it is, at every phase
        self.register_buffer("kernel", kernel[:, None].float(), persistent=False)

    def num_samples(self, before: int) -> int:
        """How many samples ``before`` samples become: as many as begin within them."""
        return -(-before * self.new // self.old)

    def forward(self, waveform: Tensor) -> Tensor:
        """A waveform at the new rate; itself where the rates are alike.

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
