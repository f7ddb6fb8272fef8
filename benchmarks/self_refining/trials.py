"""One noisy dataset and the classifiers trained on it; each finished step is reused after a kill.

``clean`` is trained on the true labels, ``noisy`` on the claims, ``refined1`` on the stems in which ``noisy`` found
exactly one class, ``refined2`` on those in which ``refined1`` did, and so on: ``noisy`` is round 1 of
``refine --self``, ``refinedN`` round N + 1. ``crosstalkN`` is the same round where bleed between stems is measured.
``foldsK-N`` is round N with K folds, whose labels alone are looked at.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.self_refining import measuring
from benchmarks.self_refining.measuring import Mixes, Record
from benchmarks.self_refining.planting import CLEAN, Noise, Planted
from stemclean.manifest import Manifest
from stemclean.models.weights import Weights
from stemclean.refining.config import RefineConfig, SelfConfig
from stemclean.refining.jury import Jury
from stemclean.refining.listening import provenance, relabel
from stemclean.refining.rounds import Rounds
from stemclean.running import Running
from stemclean.training.recipe import ClassifierRecipe, read

JUDGED_BY = RefineConfig(margin=0.0, crosstalk=False)
"""The rule of ``refine``, but borderline stems are not scored twice, which saves a third of the time."""


@dataclass
class Bench:
    """Values shared by all trials.

    Args:
        songs: folder of the clean songs.
        judged: the stems that are judged.
        judged_folder: what their paths are relative to.
        mixes: mixtures of them.
        labels: the classes.
        recipe: how every classifier is trained, but for the seed.
        work: folder for what is made on the way.
        device: where stems are judged; None: CUDA where there is one.
    """

    songs: Path
    judged: Manifest
    judged_folder: Path
    mixes: Mixes
    labels: Sequence[str]
    recipe: ClassifierRecipe
    work: Path
    device: str | None = None

    def __post_init__(self) -> None:
        self.device = self.device or ("cuda" if torch.cuda.is_available() else "cpu")

    def classify(self, loaded: Weights, output: Path) -> Record:
        """Return a classifier's figures on the scored stems and mixtures, and write its scores to a file."""
        jury = Jury([loaded], device=self.device)
        created = provenance(JUDGED_BY, jury, self.judged_folder, output)
        judged = relabel(self.judged, self.judged_folder, output, JUDGED_BY, jury, Running(), created)
        if judged.skipped:
            raise RuntimeError(f"{judged.skipped[0].path} could not be judged: {judged.skipped[0].detail}")
        mixes = self.mixes.classified(loaded.model, loaded.card["options"], str(self.device))
        return {"stems": measuring.single_stems(judged, self.labels), "mixes": mixes}


class Trial:
    """One planted dataset; results are made on first use.

    Args:
        bench: what is shared.
        noise: what is planted.
        seed: of what is planted and of every training.
    """

    def __init__(self, bench: Bench, noise: Noise, seed: int) -> None:
        self.bench = bench
        self.recipe = bench.recipe.changed(seed=seed)
        self.planted = Planted(bench.songs, bench.work, noise, seed)

    def rounds(self, *, labels: str = "claimed", folds: int = 1, crosstalk: bool = False) -> Rounds:
        """Return the rounds of ``refine --self``, on the claims or on the true labels (``labels``)."""
        name = {"claimed": "self", "labels": "clean"}[labels] + (f"-folds{folds}" if folds > 1 else "")
        return rounds_of(
            self.planted,
            self.recipe,
            work=self.planted.work / (name + "-crosstalk" * crosstalk),
            labels=labels,
            folds=folds,
            crosstalk=crosstalk,
            device=self.bench.device,
        )

    def run(self, name: str) -> Record:
        """Train a classifier; judge it, and the labels that it was given."""
        number, folds = round_of(name)
        labels_of = "labels" if name == "clean" else "claimed"
        rounds = self.rounds(labels=labels_of, folds=folds, crosstalk=name.startswith("crosstalk"))
        truth, labels = {stem.id: stem.labels for stem in self.planted.truth.stems}, self.bench.labels
        seconds: dict[str, float] = {}
        refined: Manifest | None = None
        for step in range(1, number + 1):
            sets = rounds.training_sets(refined)
            jury = timed(partial(rounds.train, step, sets), seconds, "train")
            if step < number:
                refined = timed(partial(rounds.judge, step, sets, jury), seconds, "relabel")
        report: Record = {
            "training": [measuring.training_quality(training_set, truth, labels) for training_set in sets]
        }
        if folds == 1:
            believed = {stem.id: stem.labels for stem in (refined or rounds.source).stems}
            report["given"] = {"as_trained": measuring.label_quality(truth, believed, labels)}
            report["given"] |= measuring.relabelled_quality(refined, truth, labels) if refined else {}
            output = rounds.work / f"round{number}.judged.json"
            report |= timed(partial(self.bench.classify, jury.weights[0], output), seconds, "judge")
        if folds > 1 or (name == "clean" and self.planted.noise != CLEAN):  # what it makes of the labels
            refined_ = timed(partial(rounds.judge, number, sets, jury), seconds, "relabel")
            report["found"] = measuring.relabelled_quality(refined_, truth, labels)
        return report | {"seconds": seconds}

    def clear(self) -> None:
        """Remove the audio; it is planted again, byte by byte, where it is needed again."""
        self.planted.clear()
        shutil.rmtree(self.planted.work / "pools", ignore_errors=True)


def recipe_of(name: str, examples: int, overrides: Sequence[str] = ()) -> ClassifierRecipe:
    """Return the recipe with the settings shared by all runs.

    Four validations; no calibration, so that a score is the mean of its windows, as in the paper; and no source made
    almost inaudible, which is not in the paper either and is label noise to a network that learns as briefly as here.
    """
    alike = [f"loop.examples={examples}", "loop.validations=4", "calibration.excerpts=0", "mixing.quiet_chance=0.0"]
    return read(name, [*alike, *overrides])


def rounds_of(
    planted: Planted,
    recipe: ClassifierRecipe,
    *,
    work: Path,
    labels: str = "claimed",
    folds: int = 1,
    crosstalk: bool = False,
    device: str | None = None,
) -> Rounds:
    """Return the rounds of ``refine --self`` on a planted dataset.

    Args:
        work: their work folder.
        labels: the claims, or the true labels (``labels``).
        crosstalk: whether bleed between stems is measured.
        device: where stems are judged; None: CUDA where there is one.
    """
    return Rounds(
        planted.believing(labels),
        planted.audio,
        planted.audio,
        work,
        recipe,
        JUDGED_BY.changed(crosstalk=crosstalk),
        SelfConfig(folds=folds),
        Running(cache=planted.work / "pools", device=device),
    )


def round_of(name: str) -> tuple[int, int]:
    """Return the number of the round, and of folds.

    >>> round_of("clean"), round_of("noisy"), round_of("refined2"), round_of("crosstalk1"), round_of("folds3-1")
    ((1, 1), (1, 1), (3, 1), (2, 1), (1, 3))
    """
    if name in ("clean", "noisy"):
        return 1, 1
    if match := re.fullmatch(r"(?:refined|crosstalk)(\d+)", name):
        return int(match[1]) + 1, 1
    folds, number = re.fullmatch(r"folds(\d+)-(\d+)", name).groups()  # type: ignore[union-attr]
    return int(number), int(folds)


def timed(work: Callable[[], Any], seconds: dict[str, float], stage: str) -> Any:
    """Return the result of the work, and add its time to the stage's seconds."""
    began = time.monotonic()
    result = work()
    seconds[stage] = round(seconds.get(stage, 0.0) + time.monotonic() - began, 1)
    return result
