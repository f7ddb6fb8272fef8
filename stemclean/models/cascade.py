"""A separator and a pitch tracker, one behind the other, as one differentiable module.

MAJL (Wei et al. 2025, arXiv 2501.03689) trains any separator with any pitch estimator in a cascade: the tracker hears
the separator's estimate of the class that it follows. What stands between the two, a change of rate and a down-mix, is
known from their specs alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor, nn

from stemclean.audio.resampler import Resampler
from stemclean.errors import ConfigError
from stemclean.models import bounds, registry
from stemclean.models.contract import ModelSpec, PitchTracker, Separator

__all__ = ["PARTS", "Cascade", "build", "options_of", "part_card"]

PARTS = {"separators": "separator", "pitch": "tracker"}
"""Kinds of models and the part of a cascade that each is."""


class Cascade(nn.Module):
    """Mixtures in; estimates of all classes out, and how sure each frame is of each pitch class.

    Args:
        separator: any.
        tracker: any whose one label is among the separator's.

    Raises:
        ConfigError: the separator does not give the class that the tracker follows.
    """

    def __init__(self, separator: Separator, tracker: PitchTracker) -> None:
        super().__init__()
        (self.pitched,) = tracker.spec.labels
        if self.pitched not in separator.spec.labels:
            raise ConfigError(
                f"the tracker follows {self.pitched}, the separator gives {', '.join(separator.spec.labels)}",
                "train a separator with that class",
            )
        self.separator: Any = separator
        self.tracker: Any = tracker
        self.resampler = Resampler(separator.spec.sample_rate, tracker.spec.sample_rate)

    @property
    def spec(self) -> ModelSpec:
        """The separator's."""
        return cast("ModelSpec", self.separator.spec)

    @property
    def pitched_row(self) -> int:
        """Which of the estimates the tracker hears."""
        return self.spec.labels.index(self.pitched)

    def num_frames(self, num_samples: int) -> int:
        """Frames of a sound of so many samples at the separator's rate."""
        return int(self.resampler.num_samples(num_samples) // self.tracker.hop + 1)

    def track(self, sounds: Tensor) -> Tensor:
        """Logits of sounds as the separator has them: down-mixed to one channel and brought to the tracker's rate.

        Shape:
            ``(batch, channel, time)`` -> ``(batch, frame, bin)``.
        """
        logits: Tensor = self.tracker(self.resampler(sounds.mean(1, keepdim=True)))
        return logits

    def forward(self, mixture: Tensor) -> tuple[Tensor, Tensor]:
        """Separate, then follow.

        Shape:
            ``(batch, channel, time)`` -> ``(batch, stem, channel, time)`` and ``(batch, frame, bin)``.
        """
        estimates: Tensor = self.separator(mixture)
        return estimates, self.track(estimates[:, self.pitched_row])


def options_of(separator: Mapping[str, Any], tracker: Mapping[str, Any]) -> dict[str, Any]:
    """What a cascade's card holds as ``options``: ``architecture``, ``spec`` and ``options`` of both its parts.

    Args:
        separator, tracker: cards, or anything with these keys.
    """
    parts = {"separator": separator, "tracker": tracker}
    return {name: {key: part[key] for key in ("architecture", "spec", "options")} for name, part in parts.items()}


def part_card(card: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The card that a part of a cascade would have if it were alone.

    Args:
        card: of a cascade.
        kind: ``separators`` or ``pitch``.
    """
    return {**card, **card["options"][PARTS[kind]], "kind": kind}


def build(options: Mapping[str, Any]) -> Cascade:
    """A cascade from what its card holds as ``options``; see :func:`options_of`.

    Raises:
        ConfigError: a part that cannot be built.
    """
    models = {}
    for kind, name in PARTS.items():
        part = options[name]
        models[name] = registry.build(kind, part["architecture"], bounds.spec_of(part["spec"]), part["options"])
    return Cascade(**models)
