"""Operations of cases that no single command performs."""

from __future__ import annotations

import tomllib
from pathlib import Path

from stemclean import manifest
from stemclean.layouts import f0_labels
from stemclean.models import model_card, registry, weights
from stemclean.models.calibration import Calibration, chance_of_card
from stemclean.models.contract import ModelSpec
from stemclean.models.decoding import threshold_of
from stemclean.models.levels import LevelCalibration
from stemclean.models.noise_reference import reference_of_card
from stemclean.training import recipe

__all__ = ["iter_stems", "load_weights", "read_f0", "read_recipe"]

READERS = {"classifiers": recipe.read, "separators": recipe.read_separator, "pitch": recipe.read_tracker}
LABELS = {"classifiers": ("vocals", "bass"), "separators": ("vocals", "bass"), "pitch": ("vocals",)}


def iter_stems(path: Path) -> None:
    """Read every stem."""
    for _ in manifest.iter_stems(path):
        pass


def read_f0(path: Path) -> None:
    """Read an f0 file in the format that it appears to have."""
    f0_labels.read(path, f0_labels.sniff(path))


def read_recipe(path: Path) -> None:
    """Read a recipe of a kind, and build its model."""
    try:
        kind = tomllib.loads(path.read_text(encoding="utf-8")).get("kind")
    except (ValueError, RecursionError):
        kind = None
    kind = kind if isinstance(kind, str) and kind in READERS else "classifiers"
    read = READERS[kind](path)  # type: ignore[operator]
    registry.build(kind, read.architecture, ModelSpec(**read.spec, labels=LABELS[kind]), dict(read.options))


def load_weights(path: Path) -> None:
    """Weights as what their file's name says, and all that is read of their card."""
    card = weights.load(f"file:{path}", kind=path.stem).card
    Calibration.of_card(card)
    LevelCalibration.of_card(card)
    chance_of_card(card)
    threshold_of(card)
    reference_of_card(card, card["spec"]["labels"])
    model_card.render(card, "hub:org/name")
