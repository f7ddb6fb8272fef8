"""What each setting of a recipe may be: numbers within a range, names out of some. Whatever lies outside is refused."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from stemclean.data.augment import CHAINS
from stemclean.errors import ConfigError

__all__ = ["CHOICES", "RANGES", "Within", "check"]


@dataclass(frozen=True)
class Within:
    """A range of numbers; of a setting that holds several, of each.

    Args:
        low, high: its ends.
        above, below: the low, the high end is not in it.
        whole: no fractions.
        rising: of several numbers, none is less than the one before.
    """

    low: float
    high: float = math.inf
    above: bool = False
    below: bool = False
    whole: bool = False
    rising: bool = False

    def holds(self, value: Any) -> bool:
        """Whether a value is in it."""
        numbers = list(value) if isinstance(value, list | tuple) else [value]
        if not all(isinstance(n, int | float) and not isinstance(n, bool) and self._one(n) for n in numbers):
            return False
        return not self.rising or (len(numbers) == 2 and numbers[0] <= numbers[1])

    def _one(self, number: float) -> bool:
        fits = self.low < number if self.above else self.low <= number
        fits &= number < self.high if self.below else number <= self.high
        return fits and math.isfinite(number) and (not self.whole or number == int(number))

    def __str__(self) -> str:
        """As an error says it."""
        kind = "whole numbers" if self.whole else "numbers"
        low = f"{'above' if self.above else 'of at least'} {self.low:g}"
        high = "" if self.high == math.inf else f" and {'below' if self.below else 'at most'} {self.high:g}"
        return f"{kind} {low}{high}{', the least first' if self.rising else ''}"


CHANCE, COUNT, SOME = Within(0, 1), Within(1, whole=True), Within(0, whole=True)
LEVELS_DB = Within(-120, 60, rising=True)
LOUDNESS = Within(-70, 0)

RANGES: dict[str, Within] = {
    "seed": Within(0, 2**23, below=True, whole=True),
    "validation_share": Within(0, 1, above=True, below=True),
    "validation_examples": COUNT,
    "equalizer_db": Within(0, 60),
    "masks": Within(0, 100, whole=True),
    "disguised": CHANCE,
    "positive_weight": Within(0, 1e6, above=True),
    "spec.sample_rate": Within(1000, 384_000, whole=True),
    "spec.channels": Within(1, 2, whole=True),
    "spec.segment": Within(256, 2**26, whole=True),
    "loop.examples": COUNT,
    "loop.batch_size": COUNT,
    "loop.micro_batch_size": SOME,
    "loop.learning_rate": Within(0, 10, above=True),
    "loop.warmup": CHANCE,
    "loop.decay": CHANCE,
    "loop.weight_decay": Within(0, 10),
    "loop.ema": Within(0, 1, below=True),
    "loop.betas": Within(0, 1, below=True),
    "loop.eps": Within(0, 1, above=True),
    "loop.clip": Within(0),
    "loop.validations": COUNT,
    "mixing.chance": Within(0, 1, above=True),
    "mixing.most": SOME,
    "mixing.reuse": COUNT,
    "mixing.quiet_db": LEVELS_DB,
    "mixing.speed": Within(0.5, 2, rising=True),
    "mixing.peak_db": LEVELS_DB,
    "mixing.gain_db": LEVELS_DB,
    "mixing.loudness_lufs": LOUDNESS,
    "mixing.min_piece": Within(0, 3600),
    "mixing.absent_chance": Within(0, 1, below=True),
    **{
        f"mixing.{name}": CHANCE
        for name in (
            "same_song_chance", "quiet_chance", "noise_chance", "empty_chance", "multi_label_probability",
            "swap_chance", "invert_chance",
        )
    },
    "loss.n_fft": Within(2, 2**20, whole=True),
    "loss.hop_length": Within(1, 2**20, whole=True),
    "loss.multi_domain": Within(0, 1e6),
    "loss.multi_resolution": Within(0, 1e6),
    "calibration.excerpts": SOME,
    "calibration.segments": Within(1, 1000, whole=True),
    "calibration.bleed_chance": CHANCE,
    "calibration.bleed_db": LEVELS_DB,
    "joint.sep_weight": Within(0, 2),
}  # fmt: skip
"""Setting -> what it may be."""

CHOICES: dict[str, tuple[str, ...]] = {"loop.precision": ("auto", "bf16", "no"), "mixing.effects": tuple(CHAINS)}
"""Setting -> the names that it may be."""


def check(settings: Iterable[tuple[str, Any]]) -> None:
    """Refuse the first setting that lies outside.

    Args:
        settings: full names, as ``loop.clip``, and values.

    Raises:
        ConfigError: with the setting's name, and what it may be.
    """
    for name, value in settings:
        if name in RANGES and not RANGES[name].holds(value):
            raise ConfigError(f"{name} is {value!r}", f"give {RANGES[name]}")
        if name in CHOICES and value not in CHOICES[name]:
            raise ConfigError(f"{name} is {value!r}", f"known: {', '.join(CHOICES[name])}")
