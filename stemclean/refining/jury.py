"""Who judges which stem: one classifier all of them, or with folds each classifier those that it never heard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from stemclean.errors import ConfigError
from stemclean.manifest import Manifest, Model, Stem
from stemclean.models.calibration import Calibration
from stemclean.models.judge import Judge
from stemclean.models.weights import Weights

__all__ = ["Jury"]


class Jury:
    """Classifiers at work on one dataset; all know the same classes.

    Args:
        loaded: the weights, one or one per fold.
        fold_of: track -> which of the weights judge it; tracks that it does not name go to the first.
        device: where they run; None: CUDA where there is one.
    """

    def __init__(
        self, loaded: Sequence[Weights], fold_of: Mapping[str, int] | None = None, *, device: str | None = None
    ) -> None:
        place = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.weights = list(loaded)
        self.fold_of = dict(fold_of or {})
        self.labels: tuple[str, ...] = loaded[0].model.spec.labels
        self._members = [(Judge(one.model, place), Calibration.of_card(one.card)) for one in loaded]

    def of(self, stem: Stem) -> tuple[Judge, Calibration]:
        """Who judges a stem."""
        return self._members[self.fold_of.get(stem.track, 0)]

    def models(self) -> list[Model]:
        """The weights as a manifest names them."""
        return [Model(uri=one.uri, sha256=one.sha256) for one in self.weights]

    def check(self, dataset: Manifest) -> None:
        """Refuse a dataset that speaks of classes which the weights do not know.

        Raises:
            ConfigError: it does.
        """
        unknown = sorted({label for stem in dataset.stems for label in stem.claimed} - set(self.labels))
        if unknown:
            raise ConfigError(
                f"the weights know {', '.join(self.labels)}, but the dataset claims {', '.join(unknown)}",
                "use weights trained on these classes",
            )
