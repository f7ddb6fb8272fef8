"""Assign stems to classifiers: one classifier for all stems, or, with folds, one that was not trained on the stem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from stemclean.errors import ConfigError
from stemclean.manifest import Manifest, Model, Stem
from stemclean.models import devices
from stemclean.models.calibration import Calibration, chance_of_card
from stemclean.models.contract import Classifier
from stemclean.models.judge import Judge
from stemclean.models.levels import LevelCalibration
from stemclean.models.weights import Weights, bundled, read_card, resolve

__all__ = ["Jury"]


class Jury:
    """The classifiers that judge a dataset; all have the same classes.

    Args:
        loaded: the weights: one, or one per fold.
        fold_of: track -> index of the weights that judge it; other tracks are judged by the first.
        device: device that they run on; None: CUDA if available.
        calibrated: use the calibrations on the model cards; otherwise scores are means over windows.
    """

    def __init__(
        self,
        loaded: Sequence[Weights],
        fold_of: Mapping[str, int] | None = None,
        *,
        device: str | None = None,
        calibrated: bool = True,
    ) -> None:
        place = devices.chosen(device)
        self.weights = list(loaded)
        self.fold_of = dict(fold_of or {})
        self.labels: tuple[str, ...] = loaded[0].model.spec.labels
        self.cards = [weights.card if calibrated else _uncalibrated(weights.card) for weights in loaded]
        """The model cards; without ``calibrated``, without their calibration."""
        self.chance = chance_of_card(self.cards[0])  # prior of a class in the data that all were calibrated on
        judges = [Judge(weights.model, place, LevelCalibration.of_card(weights.card)) for weights in loaded]
        self._members = [(judge, Calibration.of_card(card)) for judge, card in zip(judges, self.cards, strict=True)]

    def of(self, stem: Stem) -> tuple[Judge, Calibration]:
        """Return the classifier that judges a stem, and its calibration."""
        return self._members[self.fold_of.get(stem.track, 0)]

    def models(self) -> list[Model]:
        """Return the weights as they are named in a manifest."""
        return [Model(uri=weights.uri, sha256=weights.sha256) for weights in self.weights]

    def check(self, dataset: Manifest, *, levels: bool = False) -> None:
        """Check that the weights fit a dataset.

        Args:
            dataset: the dataset to judge.
            levels: require weights that estimate the level of each class.

        Raises:
            ConfigError: the dataset claims a class that the weights do not know, or the weights estimate no levels.
        """
        for weights in self.weights if levels else ():
            if not _estimates_levels(weights.model):
                raise ConfigError(
                    f"{weights.uri} does not estimate the level of each class, which max_bleed_db needs",
                    f"bundled weights that do: {_bundled_with_levels()}\n"
                    "or train your own: stemclean train-classifier … --set options.level_head=true",
                )
        unknown = sorted({label for stem in dataset.stems for label in stem.claimed} - set(self.labels))
        if unknown:
            raise ConfigError(
                f"the weights know {', '.join(self.labels)}, but the dataset claims {', '.join(unknown)}",
                "use weights trained on these classes",
            )


def _uncalibrated(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model card without its calibration."""
    return {key: value for key, value in card.items() if key not in ("calibration", "reference")}


def _estimates_levels(model: Classifier) -> bool:
    """Return whether a classifier has a level head; a segment of silence is run through it to find out."""
    with torch.inference_mode():
        segment = torch.zeros(1, model.spec.channels, model.spec.segment)
        return model.levels_db(model(segment)) is not None


def _bundled_with_levels() -> str:
    names = [f"bundled:{name}" for name in bundled()]
    return ", ".join(name for name in names if read_card(resolve(name)[0])["options"].get("level_head")) or "none"
