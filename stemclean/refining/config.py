"""How stems are judged."""

from __future__ import annotations

from dataclasses import dataclass

from stemclean.errors import ConfigError

__all__ = ["RefineConfig"]


@dataclass(frozen=True)
class RefineConfig:
    """How stems are judged.

    Args:
        threshold: a class is present above it, in (0, 1); the paper's 0.9.
        claimed_threshold: the same for the class that the dataset claims, see :func:`stemclean.verdicts.found_labels`;
            from 0.2 to 0.5 right and swapped claims of the bundled weights' validation stems part about equally well.
        plain_windows: judge every window by itself, as the paper does, instead of running the trunk once.
        margin: stems with a score this close to its threshold, in logits, are judged again by plain windows, so that
            both ways decide alike (docs/benchmarks.md counts the decisions that differ).
    """

    threshold: float = 0.9
    claimed_threshold: float = 0.3
    plain_windows: bool = False
    margin: float = 1.0

    def __post_init__(self) -> None:
        for name in ("threshold", "claimed_threshold"):
            if not 0 < getattr(self, name) < 1:
                raise ConfigError(
                    f"{name} is {getattr(self, name):g}, but scores lie between 0 and 1", "the paper's threshold is 0.9"
                )
        if self.claimed_threshold > self.threshold:
            raise ConfigError(
                f"claimed_threshold {self.claimed_threshold:g} is above threshold {self.threshold:g}: "
                "a claim would count against its class",
                f"lower it too: --threshold {self.threshold:g} --claimed-threshold {self.threshold:g}",
            )
