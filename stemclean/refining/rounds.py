"""The rounds of self-refining: which stems train a classifier, who judges, what a round changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from stemclean import manifest as manifests
from stemclean.data.pool import StemPool
from stemclean.errors import ConfigError, ManifestError
from stemclean.manifest import Created, Manifest, Stem
from stemclean.models import weights
from stemclean.refining import adaptive
from stemclean.refining.choosing import Labelling, choose
from stemclean.refining.config import RefineConfig, Running, SelfConfig
from stemclean.refining.jury import Jury
from stemclean.refining.listening import provenance, relabel
from stemclean.training.classifier_run import fit_classifier
from stemclean.training.recipe import ClassifierRecipe
from stemclean.training.split import fold_tracks, leaked, split_tracks

__all__ = ["Rounds", "bookkeeping"]


@dataclass
class Rounds:
    """What the rounds of one dataset share. Everything that a round leaves lies in the work folder.

    ``roundN.safetensors`` (with folds ``roundN.foldK.safetensors``) and the card beside it, ``roundN.manifest.json``,
    and, as long as it is unfinished, the checkpoint of a training and the journal of a pass. All of these are found
    again by a run of the same data and settings.

    Args:
        source: the dataset as it came; ``folder`` is what its paths are relative to, ``data`` how the user named it.
        work: the work folder.
        recipe: of every training.
        config: how stems are judged.
        method: how the rounds go.
        running: see :class:`Running`.
        cache: folder for decoded audio; None: the usual one.
    """

    source: Manifest
    folder: Path
    data: str | Path
    work: Path
    recipe: ClassifierRecipe
    config: RefineConfig
    method: SelfConfig
    running: Running
    cache: Path | None = None
    fold_of: dict[str, int] = field(init=False, default_factory=dict)
    """Track -> the fold that it is judged in; empty without folds. Held-out tracks are in none."""
    _decoded: StemPool | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.method.folds > 1:
            self.fold_of = fold_tracks(self.source.stems, folds=self.method.folds, seed=self.recipe.seed)
            self._check_folds()

    def training_sets(self, refined: Manifest | None) -> list[Manifest]:
        """What each classifier of a round is trained on: one set, or with folds one for each, without its tracks.

        Args:
            refined: what the round before found; None: the first round, which takes the labels as they came.
        """
        return [self._training_set(refined, fold) for fold in range(self.method.folds)]

    def train(self, number: int, sets: Sequence[Manifest]) -> Jury:
        """The round's classifiers, trained unless an earlier run has.

        Raises:
            ConfigError: the round before left nothing to train on, or too little.
        """
        if number > 1 and not all(any(not stem.held_out for stem in one.stems) for one in sets):
            which = "of a single class" if self.method.retrain_on == "single" else "with any class"
            raise ConfigError(
                f"round {number - 1} left no stems {which} to train the next round on",
                "train longer, as with --set loop.examples=N, or fill up the classes: --min-single-share 0.2",
            )
        paths = [self._weights_path(number, fold) for fold in range(len(sets))]
        for fold, (path, training) in enumerate(zip(paths, sets, strict=True)):
            fit_classifier(
                training,
                self.folder,
                path,
                self.recipe,
                labels=self._labels(),
                decoded=partial(self._pool, training),
                card={"round": number} | ({"fold": fold + 1, "folds": len(sets)} if self.fold_of else {}),
                resume=self.running.resume,
                quiet=self.running.quiet,
            )
        loaded = [weights.load(path) for path in paths]
        return Jury(loaded, self.fold_of, device=self.running.device, calibrated=self.config.calibrated)

    def judge(self, number: int, sets: Sequence[Manifest], jury: Jury) -> Manifest:
        """The original audio relabelled by the round's classifiers; as an earlier run has it, where one was done.

        It is read back from disk, so that a run which was stopped decides on the same rounded scores as one which
        was not.
        """
        target = self.manifest_path(number)
        earlier = self._finished(number, jury)
        if earlier is not None:
            return earlier
        config, told = adaptive.resolve(
            self.config, self._sample(sets), self.folder, jury, self.running, self.source.stems
        )
        created = provenance(config, jury, self.data, target, self._about(number))
        relabel(self._measured(number), self.folder, target, config, jury, self.running, created, told)
        return manifests.read(target)

    def _measured(self, number: int) -> Manifest:
        """The dataset with what the round before measured between its stems, which is the same in every round."""
        if number == 1 or not self.config.crosstalk:
            return self.source
        known = {stem.id: stem.crosstalk for stem in manifests.read(self.manifest_path(number - 1)).stems}
        stems = [stem.model_copy(update={"crosstalk": known.get(stem.id)}) for stem in self.source.stems]
        return self.source.with_stems(stems)

    def manifest_path(self, number: int) -> Path:
        """Where a round's manifest lies."""
        return self.work / f"round{number}.manifest.json"

    def _about(self, number: int) -> dict[str, Any]:
        """The settings as a round's manifest holds them: those of a run with no more rounds."""
        asked = {"rounds": number, "threshold": self.config.threshold, "recipe": self.recipe.to_dict()}
        return self.method.to_dict() | asked

    def _usable(self) -> list[Stem]:
        """Stems that may train or validate: no declared test stems, none without labels, none to drop."""
        return [stem for stem in self.source.stems if stem.trainable]

    def _labels(self) -> list[str] | None:
        """The classes that have stems, the same in all rounds and folds; None: too few, which the training tells."""
        held = {label for stem in self._usable() for label in stem.labels}
        return [label for label in self.source.labels if label in held] if len(held) > 1 else None

    def _training_set(self, refined: Manifest | None, fold: int) -> Manifest:
        """Stems as they came, so that their audio is the same in all rounds, with the labels that are believed now."""
        judged = {track for track, number in self.fold_of.items() if number == fold}
        known = self.source.stems if refined is None else refined.stems
        copies = leaked(known, judged)
        heard = [
            stem
            for stem in (self._usable() if refined is None else known)
            if stem.track not in judged and stem.id not in copies
        ]
        sounds = {stem.id: stem.same_sound for stem in known}
        if refined is None:
            believed: Labelling = {stem.id: stem.labels for stem in heard}
        else:
            believed = choose(heard, refined.labels, self.method).labelling
        chosen = [
            stem.model_copy(update={"labels": list(believed[stem.id]), "verdict": None, "same_sound": sounds[stem.id]})
            for stem in self.source.stems
            if stem.id in believed
        ]
        return self.source.with_stems(chosen)

    def _check_folds(self) -> None:
        for label in self._labels() or ():
            folds = {self.fold_of[s.track] for s in self._usable() if label in s.labels and s.track in self.fold_of}
            if len(folds) == 1:
                raise ConfigError(
                    f"all stems of {label} fall into fold {min(folds) + 1} of {self.method.folds}: "
                    "who judges them would never have heard the class",
                    f"give another number of --folds, or more tracks with {label}",
                )

    def _pool(self, training: Manifest) -> StemPool:
        """The decoded stems of a training set. All trainings of all rounds share one decoding."""
        if self._decoded is None:
            self._decoded = StemPool.build(
                self.source.with_stems(self._usable()),
                self.folder,
                sample_rate=self.recipe.spec["sample_rate"],
                channels=self.recipe.spec["channels"],
                cache=self.cache,
                silence_floor_dbfs=self.config.silence_floor_dbfs,
                quiet=self.running.quiet,
            )
        pool, labels = self._decoded, {stem.id: tuple(stem.labels) for stem in training.stems}
        held = [replace(stem, labels=labels[stem.id]) for stem in pool.stems if stem.id in labels]
        return StemPool(held, pool.audio, pool.sample_rate, pool.skipped)

    def _sample(self, sets: Sequence[Manifest]) -> list[Stem]:
        """Stems that their judge was not trained on, with the labels of the training."""
        if self.fold_of:
            return adaptive.sample(list({stem.id: stem for training in sets for stem in training.stems}.values()))
        stems = sets[0].stems
        _, validation = split_tracks(stems, share=self.recipe.validation_share, seed=self.recipe.seed)
        return adaptive.sample([stem for stem in stems if stem.track in validation])

    def _weights_path(self, number: int, fold: int) -> Path:
        name = f"round{number}.fold{fold + 1}" if self.fold_of else f"round{number}"
        return self.work / f"{name}.safetensors"

    def _finished(self, number: int, jury: Jury) -> Manifest | None:
        """The round's manifest of an earlier run of the same data, weights and settings."""
        target = self.manifest_path(number)
        earlier = self._earlier(target)
        if earlier is None:
            return None
        config = self.config
        if config.threshold == "adaptive":
            if not isinstance(earlier.created.config.get("threshold"), dict):
                return None
            config = config.changed(threshold=earlier.created.config["threshold"])
        wanted = provenance(config, jury, self.data, target, self._about(number))
        return earlier if _as_stored(earlier.created) == _as_stored(wanted) else None

    def _earlier(self, target: Path) -> Manifest | None:
        """A manifest that an earlier run of the same data has left."""
        if not (self.running.resume and target.exists()):
            return None
        try:
            earlier = manifests.read(target)
        except ManifestError:
            return None
        skipped = {skip.path for skip in earlier.skipped}
        wanted = {_identity(stem) for stem in self.source.stems}
        same = {_identity(stem) for stem in earlier.stems} == {one for one in wanted if one[-1] not in skipped}
        return earlier if same else None


def bookkeeping(
    number: int, before: Manifest, refined: Manifest, sets: Sequence[Manifest], jury: Jury, method: SelfConfig
) -> dict[str, Any]:
    """What a round did, for the summary.

    Returns:
        - ``round``: its number; ``weights``: ``uri`` and ``sha256`` of each classifier.
        - ``trained_on``: for each classifier, class -> how many stems it was trained on or validated itself on.
        - ``labels_changed``: stems whose set of labels is another than before; ``added``, ``removed``: class ->
          how many stems it was found in, and no longer.
        - ``trains_next``: class -> ``stems`` that the next round is, or would be, trained on; how many of them it was
          ``found`` in and how many were ``filled_up``; how many claim it (``claimed``).
    """
    labels = jury.labels
    chosen = choose(refined.stems, labels, method)
    earlier = {stem.id: set(stem.labels) for stem in before.stems}
    pairs = [(earlier[stem.id], set(stem.labels)) for stem in refined.stems if stem.id in earlier]
    return {
        "round": number,
        "weights": [model.model_dump() for model in jury.models()],
        "trained_on": [_counted([s.labels for s in one.stems if not s.held_out], labels) for one in sets],
        "labels_changed": sum(old != new for old, new in pairs),
        "added": _counted([new - old for old, new in pairs], labels),
        "removed": _counted([old - new for old, new in pairs], labels),
        "trains_next": {
            label: {
                "stems": chosen.found[label] + chosen.filled_up[label],
                "found": chosen.found[label],
                "filled_up": chosen.filled_up[label],
                "claimed": chosen.claimed[label],
            }
            for label in labels
        },
    }


def _counted(labellings: Sequence[Sequence[str] | set[str]], labels: Sequence[str]) -> dict[str, int]:
    return {label: sum(label in held for held in labellings) for label in labels}


def _identity(stem: Stem) -> tuple[Any, ...]:
    """What a stem is known by in all rounds."""
    return (stem.id, stem.sha256, stem.split, stem.track, *stem.claimed, stem.path)


def _as_stored(created: Created) -> Any:
    """As a manifest on disk holds it: lists for tuples, floats rounded."""
    text = json.dumps(created.model_dump(mode="json"), sort_keys=True)
    return json.loads(text, parse_float=lambda number: round(float(number), 6))
