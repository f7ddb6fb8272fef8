"""The manifests of one planted dataset, by who says what its stems hold."""

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
"""How scores become labels, other than as ``refine`` does by itself: 0.9, the claimed class 0.3."""


class Labelling:
    """Who says what the stems hold; what a classifier finds is found once.

    ``true``: the truth; ``claimed``: the claims; ``refined1`` and ``refined2``: rounds of ``refine --self``;
    ``refined2-RULE``: the second one by a rule of :data:`RULES`; ``by_clean``: a classifier trained on the true labels.

    Args:
        planted: the dataset.
        recipe: of the classifiers.
        given: work folder of a ``stemclean refine --self`` on the planted dataset, whose rounds are taken; None: they
            are run here.
    """

    def __init__(self, planted: Planted, recipe: ClassifierRecipe, given: Path | None = None) -> None:
        self.planted, self.given = planted, given
        self.recipe = recipe.changed(seed=planted.seed)
        told = json.dumps({**recipe.to_dict(), "seed": None}, sort_keys=True)
        self.work = planted.work / f"labels-{recipe.loop.examples}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"

    def path(self, name: str) -> Path:
        """The manifest."""
        truth = self.planted.truth  # made, if need be
        if name in ("true", "claimed"):
            return self._trimmed()
        if name == "by_clean":
            return self._round(1, "labels")
        first, _, rule = name.partition("-")
        number = int(first.removeprefix("refined"))
        found = self._ruled(number, rule) if rule else self._round(number, "claimed")
        self._check(manifests.read(found), truth, found)
        return found

    def outputs(self, name: str) -> Path:
        """The folder for what is trained on these labels, which is there."""
        place = self.planted.work / "labels-given" if self.given and name != "by_clean" else self.work
        if name in ("true", "claimed"):
            place = self.planted.work
        place.mkdir(parents=True, exist_ok=True)
        return place

    def classifier(self, name: str) -> Record | None:
        """What the classifier was that labelled: its recipe and how many mixtures it has seen; None: there was none."""
        if name in ("true", "claimed"):
            return None
        if self.given and name != "by_clean":
            recipe = weights.read_card(self.given / "round1.safetensors")["recipe"]
            return {"recipe": recipe["name"], "examples": recipe["loop"]["examples"]}
        return {"recipe": self.recipe.name, "examples": self.recipe.loop.examples}

    def quality(self, name: str) -> Record:
        """How right the labels are, and those of the stems that train, all of them and class by class."""
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
        """The truth, with when each stem sounds: refined manifests say it, and all rows train on that sound alone."""
        trimmed = self.planted.work / "trimmed"
        trim(self.planted.audio / TRUTH, trimmed, regions_only=True)
        return trimmed / MANIFEST_NAME

    def _round(self, number: int, labels: str) -> Path:
        """The manifest of a round; those before it are run where they have not been."""
        if self.given and labels == "claimed":
            return self.given / f"round{number}.manifest.json"
        rounds = rounds_of(self.planted, self.recipe, labels=labels, work=self.work / labels)
        found: Manifest | None = None
        for step in range(1, number + 1):
            sets = rounds.training_sets(found)
            found = rounds.judge(step, sets, rounds.train(step, sets))
        return rounds.manifest_path(number)

    def _ruled(self, number: int, rule: str) -> Path:
        """A round's scores turned into labels by another rule; regions follow, so that the stems are heard again."""
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
        config, told = adaptive.resolve(RULES[rule], sample, self.planted.audio, jury, running)
        created = provenance(config, jury, self.planted.audio, output)
        relabel(rounds.source, self.planted.audio, output, config, jury, running, created, told)
        return output

    @staticmethod
    def _check(found: Manifest, truth: Manifest, path: Path) -> None:
        """Refuse the rounds of other sounds."""
        skipped = {skip.path for skip in found.skipped}
        wanted = {(stem.id, stem.sha256) for stem in truth.stems if stem.path not in skipped}
        if {(stem.id, stem.sha256) for stem in found.stems} != wanted:
            raise ConfigError(f"{path} is not of the planted dataset", "refine what --plant-only has written")

    def clear(self) -> None:
        """Remove the planted audio and what was decoded of it."""
        self.planted.clear()
        shutil.rmtree(self.planted.work / "pools", ignore_errors=True)
