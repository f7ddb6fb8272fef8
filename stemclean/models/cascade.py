"""A cascade: a separator followed by a pitch tracker, as one differentiable module.

As in MAJL (Wei et al. 2025, arXiv 2501.03689), any separator can be combined with any pitch tracker. The input of the
tracker is the separator's estimate of the tracked class, resampled and mixed down to mono according to the specs of the
two models.
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
"""Kind of model -> name of the part of a cascade."""


class Cascade(nn.Module):
    """Estimates the sources of a mixture and the pitch of the voice.

    Args:
        separator: The separator.
        tracker: The pitch tracker; its only label must be one of the separator's.

    Raises:
        ConfigError: The separator does not estimate the class that the tracker tracks.
    """

    def __init__(self, separator: Separator, tracker: PitchTracker) -> None:
        super().__init__()
        (self.pitched,) = tracker.spec.labels
        if self.pitched not in separator.spec.labels:
            raise ConfigError(
                f"the tracker tracks {self.pitched}, but the separator estimates {', '.join(separator.spec.labels)}",
                "train a separator with that class",
            )
        self.separator: Any = separator
        self.tracker: Any = tracker
        self.resampler = Resampler(separator.spec.sample_rate, tracker.spec.sample_rate)

    @property
    def spec(self) -> ModelSpec:
        """Spec of the separator."""
        return cast("ModelSpec", self.separator.spec)

    @property
    def pitched_row(self) -> int:
        """Index of the estimate that is the input of the tracker."""
        return self.spec.labels.index(self.pitched)

    def num_frames(self, num_samples: int) -> int:
        """Return the number of pitch frames for a number of samples at the separator's sample rate."""
        return int(self.resampler.num_samples(num_samples) // self.tracker.hop + 1)

    def track(self, sounds: Tensor) -> Tensor:
        """Run the tracker on sounds at the separator's sample rate, mixed down to mono and resampled.

        Shape:
            ``(batch, channel, time)`` -> ``(batch, frame, bin)``.
        """
        logits: Tensor = self.tracker(self.resampler(sounds.mean(1, keepdim=True)))
        return logits

    def forward(self, mixture: Tensor) -> tuple[Tensor, Tensor]:
        """Return the estimates of all classes, and the pitch logits of the tracked class.

        Shape:
            ``(batch, channel, time)`` -> ``(batch, stem, channel, time)`` and ``(batch, frame, bin)``.
        """
        estimates: Tensor = self.separator(mixture)
        return estimates, self.track(estimates[:, self.pitched_row])


def options_of(separator: Mapping[str, Any], tracker: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ``options`` of a cascade's card: ``architecture``, ``spec`` and ``options`` of both parts.

    Args:
        separator, tracker: Cards, or other mappings with these keys.
    """
    parts = {"separator": separator, "tracker": tracker}
    return {name: {key: part[key] for key in ("architecture", "spec", "options")} for name, part in parts.items()}


def part_card(card: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return the card of one part of a cascade.

    Args:
        card: Card of the cascade.
        kind: ``separators`` or ``pitch``.
    """
    return {**card, **card["options"][PARTS[kind]], "kind": kind}


def build(options: Mapping[str, Any]) -> Cascade:
    """Build a cascade from the ``options`` of its card; see :func:`options_of`.

    Raises:
        ConfigError: A part cannot be built.
    """
    models = {}
    for kind, name in PARTS.items():
        part = options[name]
        models[name] = registry.build(kind, part["architecture"], bounds.spec_of(part["spec"]), part["options"])
    return Cascade(**models)
