"""The rounds of self-refining: choose the training stems, train the classifiers, judge, and record the changes."""

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
from stemclean.refining.config import RefineConfig, SelfConfig
from stemclean.refining.jury import Jury
from stemclean.refining.listening import provenance, relabel
from stemclean.running import Running
from stemclean.training.classifier_run import fit_classifier
from stemclean.training.recipe import ClassifierRecipe
from stemclean.training.split import fold_tracks, leaked, split_tracks

__all__ = ["Rounds", "bookkeeping"]


@dataclass
class Rounds:
    """State shared by the rounds on one dataset.

    Every round leaves its files in the work folder: ``roundN.safetensors`` (with folds,
    ``roundN.foldK.safetensors``), the model card beside it, and ``roundN.manifest.json``. Unfinished rounds also leave
    the checkpoint of a training run and the journal of a pass. A later run with the same data and settings reuses them.

    Args:
        source: the original dataset.
        folder: folder that its paths are relative to.
        data: the dataset as the user named it.
        work: the work folder.
        recipe: recipe of every training run.
        config: settings of judging.
        method: settings of the rounds.
        running: how to run; ``workers`` is the number of stems judged in parallel.
    """

    source: Manifest
    folder: Path
    data: str | Path
    work: Path
    recipe: ClassifierRecipe
    config: RefineConfig
    method: SelfConfig
    running: Running
    fold_of: dict[str, int] = field(init=False, default_factory=dict)
    """Track -> the fold that it is judged in; empty without folds. Held-out tracks are in no fold."""
    _decoded: StemPool | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.method.folds > 1:
            self.fold_of = fold_tracks(self.source.stems, folds=self.method.folds, seed=self.recipe.seed)
            self._check_folds()

    def training_sets(self, refined: Manifest | None) -> list[Manifest]:
        """Return the training set of each classifier of a round; with folds, each set excludes the fold's own tracks.

        Args:
            refined: result of the previous round; None: the first round, which uses the original labels.
        """
        return [self._training_set(refined, fold) for fold in range(self.method.folds)]

    def train(self, number: int, sets: Sequence[Manifest]) -> Jury:
        """Train the classifiers of a round, or load those that an earlier run has trained.

        Raises:
            ConfigError: the previous round left no stems, or too few, to train on.
        """
        if number > 1 and not all(any(not stem.held_out for stem in training.stems) for training in sets):
            which = "of a single class" if self.method.retrain_on == "single" else "with any class"
            raise ConfigError(
                f"round {number - 1} left no stems {which} to train the next round on",
                "train longer (--set loop.examples=N), or keep more stems per class (--min-single-share 0.2)",
            )
        paths = [self._weights_path(number, fold) for fold in range(len(sets))]
        for fold, (path, training) in enumerate(zip(paths, sets, strict=True)):
            fit_classifier(
                training,
                self.folder,
                path,
                self.recipe,
                labels=self._labels(),
                pool=partial(self._pool, training),
                card={"round": number} | ({"fold": fold + 1, "folds": len(sets)} if self.fold_of else {}),
                running=replace(self.running, workers=None, logs=self._logs(path)),
            )
        loaded = [weights.load(path) for path in paths]
        return Jury(loaded, self.fold_of, device=self.running.device, calibrated=self.config.calibrated)

    def judge(self, number: int, sets: Sequence[Manifest], jury: Jury) -> Manifest:
        """Relabel the original audio with the round's classifiers, or load the result of an earlier run.

        The result is read back from disk, so that an interrupted run and an uninterrupted one use the same rounded
        scores.
        """
        target = self.manifest_path(number)
        earlier = self._finished(number, jury)
        if earlier is not None:
            return earlier
        config, thresholds = adaptive.resolve(
            self.config, self._sample(sets), self.folder, jury, self.running, self.source.stems
        )
        created = provenance(config, jury, manifests.input_of(self.data, target, self.source), self._about(number))
        relabel(self._with_crosstalk(number), self.folder, target, config, jury, self.running, created, thresholds)
        return manifests.read(target)

    def _with_crosstalk(self, number: int) -> Manifest:
        """Return the dataset with the bleed measured in the previous round, which is the same in every round."""
        if number == 1 or not self.config.crosstalk:
            return self.source
        measured = {stem.id: stem.crosstalk for stem in manifests.read(self.manifest_path(number - 1)).stems}
        stems = [stem.model_copy(update={"crosstalk": measured.get(stem.id)}) for stem in self.source.stems]
        return self.source.with_stems(stems)

    def manifest_path(self, number: int) -> Path:
        """Return the path of a round's manifest."""
        return self.work / f"round{number}.manifest.json"

    def _about(self, number: int) -> dict[str, Any]:
        """Return the settings for a round's manifest: those of a run that ends with this round."""
        settings = {"rounds": number, "threshold": self.config.threshold, "recipe": self.recipe.to_dict()}
        return self.method.to_dict() | settings

    def _usable(self) -> list[Stem]:
        """Return the stems that may train or validate: labelled, not dropped, and not declared as test stems."""
        return [stem for stem in self.source.stems if stem.trainable]

    def _labels(self) -> list[str] | None:
        """Return the classes that have stems, for all rounds and folds; None if too few: training reports the error."""
        held = {label for stem in self._usable() for label in stem.labels}
        return [label for label in self.source.labels if label in held] if len(held) > 1 else None

    def _training_set(self, refined: Manifest | None, fold: int) -> Manifest:
        """Return the original stems, so that the audio is the same in all rounds, with their current labels."""
        judged = {track for track, number in self.fold_of.items() if number == fold}
        current = self.source.stems if refined is None else refined.stems
        copies = leaked(current, judged)
        candidates = [
            stem
            for stem in (self._usable() if refined is None else current)
            if stem.track not in judged and stem.id not in copies
        ]
        sounds = {stem.id: stem.same_sound for stem in current}
        if refined is None:
            labelling: Labelling = {stem.id: stem.labels for stem in candidates}
        else:
            labelling = choose(candidates, refined.labels, self.method).labelling
        chosen = [
            stem.model_copy(update={"labels": list(labelling[stem.id]), "verdict": None, "same_sound": sounds[stem.id]})
            for stem in self.source.stems
            if stem.id in labelling
        ]
        return self.source.with_stems(chosen)

    def _check_folds(self) -> None:
        for label in self._labels() or ():
            folds = {self.fold_of[s.track] for s in self._usable() if label in s.labels and s.track in self.fold_of}
            if len(folds) == 1:
                raise ConfigError(
                    f"all stems of {label} fall into fold {min(folds) + 1} of {self.method.folds}: "
                    "the classifier that judges them would be trained without this class",
                    f"choose another number of --folds, or add tracks with {label}",
                )

    def _pool(self, training: Manifest) -> StemPool:
        """Return the decoded stems of a training set; the dataset is decoded once for all training runs."""
        if self._decoded is None:
            self._decoded = StemPool.build(
                self.source.with_stems(self._usable()),
                self.folder,
                sample_rate=self.recipe.spec["sample_rate"],
                channels=self.recipe.spec["channels"],
                cache=self.running.cache,
                limit_gb=self.running.cache_limit_gb,
                silence_floor_dbfs=self.config.silence_floor_dbfs,
                quiet=self.running.quiet,
            )
        pool, labels = self._decoded, {stem.id: tuple(stem.labels) for stem in training.stems}
        held = [replace(stem, labels=labels[stem.id]) for stem in pool.stems if stem.id in labels]
        return StemPool(held, pool.audio, pool.sample_rate, pool.skipped)

    def _sample(self, sets: Sequence[Manifest]) -> list[Stem]:
        """Return stems that the classifier judging them was not trained on, with the labels used in training."""
        if self.fold_of:
            return adaptive.sample(list({stem.id: stem for training in sets for stem in training.stems}.values()))
        stems = sets[0].stems
        _, validation = split_tracks(stems, share=self.recipe.validation_share, seed=self.recipe.seed)
        return adaptive.sample([stem for stem in stems if stem.track in validation])

    def _weights_path(self, number: int, fold: int) -> Path:
        name = f"round{number}.fold{fold + 1}" if self.fold_of else f"round{number}"
        return self.work / f"{name}.safetensors"

    def _logs(self, weights_path: Path) -> Path | None:
        """Return the folder for the logs of one training."""
        return Path(self.running.logs) / weights_path.stem if self.running.logs else None

    def _finished(self, number: int, jury: Jury) -> Manifest | None:
        """Return the round's manifest if an earlier run with the same data, weights and settings has written it."""
        target = self.manifest_path(number)
        earlier = self._earlier(target)
        if earlier is None:
            return None
        config = self.config
        if config.threshold == "adaptive":
            if not isinstance(earlier.created.config.get("threshold"), dict):
                return None
            config = config.changed(threshold=earlier.created.config["threshold"])
        wanted = provenance(config, jury, manifests.input_of(self.data, target, self.source), self._about(number))
        return earlier if _as_stored(earlier.created) == _as_stored(wanted) else None

    def _earlier(self, target: Path) -> Manifest | None:
        """Return the manifest of an earlier run on the same data, if there is one."""
        if not (self.running.resume and target.exists()):
            return None
        try:
            earlier = manifests.read(target)
        except ManifestError:
            return None
        skipped = {skip.path for skip in earlier.skipped}
        wanted = {_identity(stem) for stem in self.source.stems}
        same = {_identity(stem) for stem in earlier.stems} == {stem for stem in wanted if stem[-1] not in skipped}
        return earlier if same else None


def bookkeeping(
    number: int, before: Manifest, refined: Manifest, sets: Sequence[Manifest], jury: Jury, method: SelfConfig
) -> dict[str, Any]:
    """Describe a round for the summary.

    Returns:
        - ``round``: its number; ``weights``: ``uri`` and ``sha256`` of each classifier.
        - ``trained_on``: for each classifier, class -> number of stems used for training or validation.
        - ``labels_changed``: number of stems whose labels changed; ``added``, ``removed``: class -> number of stems
          that gained or lost it.
        - ``trains_next``: class -> number of ``stems`` that the next round is, or would be, trained on; how many of
          them it was ``found`` in, and how many were ``filled_up``; how many stems claim it (``claimed``).
    """
    labels = jury.labels
    choice = choose(refined.stems, labels, method)
    earlier = {stem.id: set(stem.labels) for stem in before.stems}
    pairs = [(earlier[stem.id], set(stem.labels)) for stem in refined.stems if stem.id in earlier]
    return {
        "round": number,
        "weights": [model.model_dump() for model in jury.models()],
        "trained_on": [
            _counted([stem.labels for stem in training.stems if not stem.held_out], labels) for training in sets
        ],
        "labels_changed": sum(old != new for old, new in pairs),
        "added": _counted([new - old for old, new in pairs], labels),
        "removed": _counted([old - new for old, new in pairs], labels),
        "trains_next": {
            label: {
                "stems": choice.found[label] + choice.filled_up[label],
                "found": choice.found[label],
                "filled_up": choice.filled_up[label],
                "claimed": choice.claimed[label],
            }
            for label in labels
        },
    }


def _counted(labellings: Sequence[Sequence[str] | set[str]], labels: Sequence[str]) -> dict[str, int]:
    return {label: sum(label in held for held in labellings) for label in labels}


def _identity(stem: Stem) -> tuple[Any, ...]:
    """Return what identifies a stem in all rounds."""
    decision = stem.decision.model_dump_json() if stem.decision else ""
    return (stem.id, stem.sha256, stem.split, stem.track, decision, *stem.claimed, stem.path)


def _as_stored(created: Created) -> Any:
    """Convert to the form stored in a manifest: lists instead of tuples, rounded floats."""
    text = json.dumps(created.model_dump(mode="json"), sort_keys=True)
    return json.loads(text, parse_float=lambda number: round(float(number), 6))
