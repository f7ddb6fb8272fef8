"""The manifests of one planted dataset, by source of the labels."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from benchmarks.self_refining import measuring
from benchmarks.self_refining.measuring import Record
from benchmarks.self_refining.planting import TRUTH, Planted
from benchmarks.self_refining.trials import rounds_of
from stemclean import manifest as manifests
from stemclean.data.sources import trusted
from stemclean.errors import ConfigError
from stemclean.manifest import Manifest
from stemclean.models import weights
from stemclean.refining import adaptive
from stemclean.refining.config import RefineConfig
from stemclean.refining.jury import Jury
from stemclean.refining.listening import provenance, relabel
from stemclean.running import Running
from stemclean.training.recipe import ClassifierRecipe
from stemclean.training.split import split_tracks
from stemclean.trim import MANIFEST_NAME, trim

RULES = {
    "paper": RefineConfig(threshold=0.9, claimed_threshold=0.9, margin=0.0, crosstalk=False),
    "0.5": RefineConfig(threshold=0.5, claimed_threshold=0.5, margin=0.0, crosstalk=False),
    "adaptive": RefineConfig(threshold="adaptive", margin=0.0, crosstalk=False),
}
"""Rules for labels other than the default of ``refine`` (0.9, the claimed class 0.3)."""


class Labelling:
    """Sources of labels for the stems; each classifier is run once.

    ``true``: the truth; ``claimed``: the claims; ``refined1`` and ``refined2``: rounds of ``refine --self``;
    ``refined2-RULE``: the second one by a rule of :data:`RULES`; ``by_clean``: a classifier trained on the true labels.

    Args:
        planted: the dataset.
        recipe: of the classifiers.
        outputs_given: work folder of a ``stemclean refine --self`` on the planted dataset, whose rounds are used; None:
            they are run here.
    """

    def __init__(self, planted: Planted, recipe: ClassifierRecipe, outputs_given: Path | None = None) -> None:
        self.planted, self.outputs_given = planted, outputs_given
        self.recipe = recipe.changed(seed=planted.seed)
        description = json.dumps({**recipe.to_dict(), "seed": None}, sort_keys=True)
        self.work = (
            planted.work / f"labels-{recipe.loop.examples}-{hashlib.sha256(description.encode()).hexdigest()[:8]}"
        )

    def path(self, name: str) -> Path:
        """Return the manifest's path."""
        truth = self.planted.truth  # made, if need be
        if name in ("true", "claimed"):
            return self._trimmed()
        if name == "by_clean":
            return self._round(1, "labels")
        first, _, rule = name.partition("-")
        number = int(first.removeprefix("refined"))
        refined = self._ruled(number, rule) if rule else self._round(number, "claimed")
        self._check(manifests.read(refined), truth, refined)
        return refined

    def outputs(self, name: str) -> Path:
        """Return the existing folder for models trained on these labels."""
        folder = self.planted.work / "labels-given" if self.outputs_given and name != "by_clean" else self.work
        if name in ("true", "claimed"):
            folder = self.planted.work
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def classifier(self, name: str) -> Record | None:
        """Describe the classifier that labelled: its recipe and number of mixtures; None if there was none."""
        if name in ("true", "claimed"):
            return None
        if self.outputs_given and name != "by_clean":
            recipe = weights.read_card(self.outputs_given / "round1.safetensors")["recipe"]
            return {"recipe": recipe["name"], "examples": recipe["loop"]["examples"]}
        return {"recipe": self.recipe.name, "examples": self.recipe.loop.examples}

    def quality(self, name: str) -> Record:
        """Return how right the labels are, and those of the training stems, overall and per class."""
        manifest = manifests.read(self.path(name))
        known = trusted(manifest, use_claimed=name == "claimed")
        truth = {stem.id: stem.labels for stem in self.planted.truth.stems}
        believed = {stem.id: stem.labels for stem in known.stems}
        labels = manifest.labels
        trained = measuring.training_quality(known, truth, labels)
        alone = known.with_stems([stem for stem in known.stems if len(stem.labels) == 1])
        return {
            "labels": measuring.label_quality(truth, believed, labels),
            "trained_on": trained,
            "alone": measuring.training_quality(alone, truth, labels),
        }

    def _trimmed(self) -> Path:
        """Return the truth with active times, as refined manifests have them: all rows train on active sound only."""
        trimmed = self.planted.work / "trimmed"
        trim(self.planted.audio / TRUTH, trimmed, regions_only=True)
        return trimmed / MANIFEST_NAME

    def _round(self, number: int, labels: str) -> Path:
        """Return the manifest of a round; missing earlier rounds are run."""
        if self.outputs_given and labels == "claimed":
            return self.outputs_given / f"round{number}.manifest.json"
        rounds = rounds_of(self.planted, self.recipe, labels=labels, work=self.work / labels)
        refined: Manifest | None = None
        for step in range(1, number + 1):
            sets = rounds.training_sets(refined)
            refined = rounds.judge(step, sets, rounds.train(step, sets))
        return rounds.manifest_path(number)

    def _ruled(self, number: int, rule: str) -> Path:
        """Return the labels that another rule derives from a round's scores; stems are scored again for regions."""
        before, after = (self._round(step, "claimed") for step in (number - 1, number))
        output = after.with_name(f"round{number}-{rule}.json")
        if output.exists():
            return output
        jury = Jury([weights.load(after.parent / f"round{number}.safetensors")])
        rounds = rounds_of(self.planted, self.recipe, work=self.work / "claimed")
        stems = rounds.training_sets(manifests.read(before))[0].stems
        _, validating = split_tracks(stems, share=self.recipe.validation_share, seed=self.recipe.seed)
        sample = adaptive.sample([stem for stem in stems if stem.track in validating])
        running = Running()
        config, report = adaptive.resolve(RULES[rule], sample, self.planted.audio, jury, running)
        created = provenance(config, jury, self.planted.audio, output)
        relabel(rounds.source, self.planted.audio, output, config, jury, running, created, report)
        return output

    @staticmethod
    def _check(refined: Manifest, truth: Manifest, path: Path) -> None:
        """Refuse the rounds of other sounds."""
        skipped = {skip.path for skip in refined.skipped}
        expected_stems = {(stem.id, stem.sha256) for stem in truth.stems if stem.path not in skipped}
        if {(stem.id, stem.sha256) for stem in refined.stems} != expected_stems:
            raise ConfigError(f"{path} is not of the planted dataset", "refine what --plant-only has written")

    def clear(self) -> None:
        """Remove the planted audio and what was decoded of it."""
        self.planted.clear()
        shutil.rmtree(self.planted.work / "pools", ignore_errors=True)
