"""Between two rounds of self-refining: which stems train the next one, and what an earlier run has left."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from stemclean.manifest import Manifest, Stem
from stemclean.training.recipe import ClassifierRecipe

__all__ = ["counts", "fingerprint", "made_from", "single_class"]


def single_class(refined: Manifest, min_share: float) -> tuple[Manifest, dict[str, int]]:
    """The stems to train the next round on: those with exactly one class, and per class at least a share of its claims.

    Returns:
        (their manifest, class -> how many claimed stems were added because too few were left)
    """
    single = [stem for stem in refined.stems if len(stem.labels) == 1]
    chosen = {stem.id for stem in single}
    filled: dict[str, int] = {}
    for label in refined.labels:
        claims = [
            stem
            for stem in refined.stems
            if stem.claimed == [label] and stem.verdict and stem.verdict.reason != "silent"
        ]
        missing = int(-(-min_share * len(claims) // 1)) - sum(stem.labels == [label] for stem in single)
        if missing <= 0:
            continue
        spare = sorted((stem for stem in claims if stem.id not in chosen), key=_best_first)
        taken = spare[:missing]
        single += [stem.model_copy(update={"labels": [label], "verdict": None}) for stem in taken]
        chosen.update(stem.id for stem in taken)
        filled[label] = len(taken)
    return refined.with_stems(sorted(single, key=lambda stem: stem.id)), filled


def _best_first(stem: Stem) -> tuple[float, str]:
    quality = stem.verdict.label_quality if stem.verdict else None
    return -(quality or 0.0), stem.id


def counts(chosen: Manifest) -> dict[str, int]:
    """Stems that hold each class and no other."""
    return {label: sum(stem.labels == [label] for stem in chosen.stems) for label in chosen.labels}


def fingerprint(training: Manifest, recipe: ClassifierRecipe) -> str:
    """SHA-256 of what weights depend on: the recipe, the stems and their labels."""
    what = [recipe.to_dict(), [[stem.id, stem.sha256, stem.labels] for stem in training.stems]]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def made_from(path: Path, training: Manifest, recipe: ClassifierRecipe) -> bool:
    """Whether weights of an earlier run were trained on just these stems by just this recipe."""
    card = path.with_suffix(".json")
    return (
        path.exists()
        and card.exists()
        and json.loads(card.read_text()).get("trained_on") == fingerprint(training, recipe)
    )
