"""One row: a separator is trained, separates the test songs and is evaluated; a killed run resumes."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.self_refining.trials import timed
from benchmarks.separation import songs
from benchmarks.separation.labelling import Labelling
from benchmarks.separation.rows import Row
from benchmarks.separation.songs import Record, TestSongs
from stemclean.evaluate_separation import evaluate_separation
from stemclean.running import Running
from stemclean.separate import SeparateConfig, separate
from stemclean.train_separator import train_separator
from stemclean.training.recipe import SeparatorRecipe

CARD = ("hours", "hours_of_several", "never_alone", "stems", "tracks")
"""Keys of a card about the training data."""
NO_FAILURE = "extra_estimate"
"""Reason for a class that a song does not have; not counted as a failure."""


@dataclass(frozen=True)
class Bench:
    """Values shared by all rows.

    Args:
        test: songs that are taken apart.
        examples: mixtures that each separator sees, by model.
        overrides: settings over those of all rows.
        workers: processes that mix ahead.
    """

    test: TestSongs
    examples: dict[str, int]
    overrides: Sequence[str] = ()
    workers: int = 0

    def run(self, row: Row, labelling: Labelling, seed: int) -> Record:
        """Train the row of one planted dataset with a seed."""
        seconds: dict[str, float] = {}
        manifest = timed(partial(labelling.path, row.labels), seconds, "label")
        recipes = row.recipes(self.examples[row.model], seed, self.overrides)
        init, card = None, {}
        for stage, recipe in enumerate(recipes, 1):
            output = labelling.outputs(row.labels) / f"{row.model}-{row.name}-seed{seed}-{stage}.safetensors"
            card = timed(
                partial(self._train, manifest, output, recipe, init, labelling, row.labels == "claimed"),
                seconds,
                "train",
            )
            init = output
        report = self._tried(output, seconds)
        return {
            "scores": songs.scores(report["tracks"]),
            "songs": {track["track"]: track["scores"] for track in report["tracks"]},
            "failures": [failure for failure in report["failures"] if failure["reason"] != NO_FAILURE],
            "validation_sdr_db": round(card["metrics"]["validation"]["sdr_db"], 3),
            "parameters": card["parameters"],
            "data": {key: card["data"][key] for key in CARD},
            "labels": labelling.quality(row.labels),
            "classifier": labelling.classifier(row.labels),
            "examples": sum(recipe.loop.examples for recipe in recipes),
            "seconds": seconds,
        }

    def _train(
        self,
        manifest: Path,
        output: Path,
        recipe: SeparatorRecipe,
        init: Path | None,
        labelling: Labelling,
        use_claimed: bool,
    ) -> Record:
        return train_separator(
            manifest,
            output,
            recipe=recipe,
            labels=labelling.planted.truth.labels,
            use_claimed=use_claimed,
            init=init,
            running=Running(cache=labelling.planted.work / "pools", workers=self.workers),
        )

    def _tried(self, weights: Path, seconds: dict[str, float]) -> dict[str, Any]:
        """Evaluate the estimates of the test songs, and remove them."""
        estimates = weights.with_suffix(".estimates")
        separated = partial(separate, self.test.mixtures, estimates, weights_uri=weights, config=SeparateConfig())
        timed(separated, seconds, "separate")
        evaluated = partial(
            evaluate_separation,
            self.test.references,
            estimates,
            weights.with_suffix(".scores"),
            metrics=songs.SHOWN,
            workers=1,
        )
        report: dict[str, Any] = timed(evaluated, seconds, "evaluate")
        shutil.rmtree(estimates)
        return report
