"""Who judges which stem: one classifier all of them, or with folds each classifier those that it never heard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from stemclean.errors import ConfigError
from stemclean.manifest import Manifest, Model, Stem
from stemclean.models.calibration import Calibration, chance_of_card
from stemclean.models.contract import Classifier
from stemclean.models.judge import Judge
from stemclean.models.levels import LevelCalibration
from stemclean.models.weights import Weights, bundled, read_card, resolve

__all__ = ["Jury"]


class Jury:
    """Classifiers at work on one dataset; all know the same classes.

    Args:
        loaded: the weights, one or one per fold.
        fold_of: track -> which of the weights judge it; tracks that it does not name go to the first.
        device: where they run; None: CUDA where there is one.
        calibrated: use the calibrations of their cards; otherwise scores are means of windows.
    """

    def __init__(
        self,
        loaded: Sequence[Weights],
        fold_of: Mapping[str, int] | None = None,
        *,
        device: str | None = None,
        calibrated: bool = True,
    ) -> None:
        place = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.weights = list(loaded)
        self.fold_of = dict(fold_of or {})
        self.labels: tuple[str, ...] = loaded[0].model.spec.labels
        self.cards = [one.card if calibrated else _uncalibrated(one.card) for one in loaded]
        """What is known of their scores."""
        self.chance = chance_of_card(self.cards[0])  # of a class in what all of them were calibrated on
        judges = [Judge(one.model, place, LevelCalibration.of_card(one.card)) for one in loaded]
        self._members = [(judge, Calibration.of_card(card)) for judge, card in zip(judges, self.cards, strict=True)]

    def of(self, stem: Stem) -> tuple[Judge, Calibration]:
        """Who judges a stem."""
        return self._members[self.fold_of.get(stem.track, 0)]

    def models(self) -> list[Model]:
        """The weights as a manifest names them."""
        return [Model(uri=one.uri, sha256=one.sha256) for one in self.weights]

    def check(self, dataset: Manifest, *, levels: bool = False) -> None:
        """Refuse a dataset that speaks of classes which the weights do not know.

        Args:
            levels: refuse weights that do not tell how loud a class is, too.

        Raises:
            ConfigError: it does, or they do not.
        """
        for one in self.weights if levels else ():
            if not _tells_levels(one.model):
                raise ConfigError(
                    f"{one.uri} does not tell how loud a class is, which max_bleed_db needs",
                    f"bundled weights that do: {_bundled_with_levels()}\n"
                    "to train some: stemclean train-classifier … --set options.level_head=true",
                )
        unknown = sorted({label for stem in dataset.stems for label in stem.claimed} - set(self.labels))
        if unknown:
            raise ConfigError(
                f"the weights know {', '.join(self.labels)}, but the dataset claims {', '.join(unknown)}",
                "use weights trained on these classes",
            )


def _uncalibrated(card: Mapping[str, Any]) -> dict[str, Any]:
    """A card without what it knows of calibrated scores."""
    return {key: value for key, value in card.items() if key not in ("calibration", "reference")}


def _tells_levels(model: Classifier) -> bool:
    """Whether a classifier has a level head: asked of a segment of silence."""
    with torch.inference_mode():
        segment = torch.zeros(1, model.spec.channels, model.spec.segment)
        return model.levels_db(model(segment)) is not None


def _bundled_with_levels() -> str:
    names = [f"bundled:{name}" for name in bundled()]
    return ", ".join(name for name in names if read_card(resolve(name)[0])["options"].get("level_head")) or "none"
