"""Train one classifier: decode the stems, split the tracks, fit the model, write weights and card."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from stemclean import training
from stemclean.data.pool import StemPool, content
from stemclean.errors import ConfigError
from stemclean.manifest import Manifest, Stem
from stemclean.models import registry, weights
from stemclean.models.contract import ModelSpec
from stemclean.running import Running
from stemclean.training.calibrate import calibrate
from stemclean.training.classify import LOSSES, ClassifyTask
from stemclean.training.loop import Progress
from stemclean.training.processes import together
from stemclean.training.recipe import ClassifierRecipe
from stemclean.training.run import Ready, Run, decoded, in_order_of, start_from, without_length
from stemclean.training.split import leaked, split_tracks

__all__ = ["classifier_run", "fit_classifier"]


def fit_classifier(
    manifest: Manifest,
    folder: Path,
    output: Path,
    recipe: ClassifierRecipe,
    *,
    labels: Sequence[str] | None = None,
    init: str | Path | None = None,
    pool: Callable[[], StemPool] | None = None,
    card: Mapping[str, Any] | None = None,
    running: Running = Running(),
) -> dict[str, Any]:
    """Train a classifier on a manifest's stems and write its weights and card.

    Stems with the verdict ``drop``, stems without labels and declared test stems are not used. If the output already
    holds the finished weights of the same data, recipe and initial weights, nothing is trained.

    Args:
        manifest: The stems.
        folder: Folder that the paths of stems are relative to.
        output: The ``.safetensors`` file to write.
        recipe: All settings of the training.
        labels: The classes (None: the classes of the manifest that have stems).
        init: Initial weights (``bundled:``, ``hub:`` or ``file:``), for fine-tuning.
        pool: Called once to get the decoded stems, with the labels of the manifest (None: decode them).
        card: Additional entries of the card (data, licences, …).
        running: How to run; by default, one process mixes examples in advance.

    Returns:
        The card, with ``output``, ``seconds``, ``wait_share`` and ``skipped``.

    Raises:
        ConfigError: The recipe is invalid, or there are too few stems.
        WeightsError: The initial weights cannot be loaded or do not fit the model.
    """
    return classifier_run(manifest, folder, recipe, labels=labels, init=init, pool=pool, running=running).result(
        output, card, running
    )


def classifier_run(
    manifest: Manifest,
    folder: Path,
    recipe: ClassifierRecipe,
    *,
    labels: Sequence[str] | None = None,
    init: str | Path | None = None,
    pool: Callable[[], StemPool] | None = None,
    running: Running = Running(),
) -> Run:
    """Return the training that :func:`fit_classifier` runs, after its checks. Nothing is decoded yet."""
    if recipe.loss not in LOSSES:
        raise ConfigError(f'no loss named "{recipe.loss}"', f"known: {', '.join(LOSSES)}")
    stems = [stem for stem in manifest.stems if stem.trainable]
    start = weights.load(init) if init else None
    classes = in_order_of(start, labels or _labels(manifest, stems))

    def prepare() -> Ready:
        train_tracks, validation_tracks = split_tracks(stems, share=recipe.validation_share, seed=recipe.seed)
        if not validation_tracks:
            raise ConfigError(
                "too few tracks: at least one must be held out for validation",
                "give at least two tracks of each class",
            )
        torch.manual_seed(recipe.seed)
        spec = ModelSpec(labels=classes, **recipe.spec)
        model = registry.build("classifiers", recipe.architecture, spec, dict(recipe.options))
        started = start_from(start, model, recipe)
        usable = manifest.with_stems(stems)
        sounds = pool() if pool else decoded(usable, folder, recipe.spec, running)
        copies = leaked(manifest.stems, validation_tracks)
        task = ClassifyTask(
            model,
            train=sounds.where([stem.track in train_tracks and stem.id not in copies for stem in sounds.stems]),
            validation=sounds.where([stem.track in validation_tracks for stem in sounds.stems]),
            mixing=recipe.mixing,
            loss=recipe.loss,
            batch_size=recipe.loop.batch_size,
            equalizer_db=recipe.equalizer_db,
            masks=recipe.masks,
            disguised=recipe.disguised,
            processes=together().num_processes,
            seed=recipe.seed,
            workers=running.workers_or(training.CLASSIFIER_WORKERS),
            validation_examples=recipe.validation_examples,
        )

        def calibration(_: Progress) -> dict[str, Any]:
            if not recipe.calibration.excerpts:
                return {}
            settings, seed = recipe.calibration, recipe.seed
            scores, levels = calibrate(model.eval(), task.validation, settings, seed=seed, quiet=running.quiet)
            return {"calibration": scores.to_card(classes), "level_calibration": levels.to_card()}

        entries = {
            "kind": "classifiers",
            "architecture": recipe.architecture,
            "spec": spec.to_dict(),
            "options": dict(recipe.options),
            "data": _data(sounds, train_tracks, validation_tracks),
            **started,
        }
        return Ready(task, model, entries, model.net, sounds.skipped, calibration)

    return Run(
        {"recipe": recipe.to_dict()},
        _depends_on(stems, folder, classes, recipe, start),
        recipe.loop,
        torch.float16,
        prepare,
        manifest.skipped,
        stems,
        recipe.spec,
    )


def _labels(manifest: Manifest, stems: Sequence[Stem]) -> tuple[str, ...]:
    """Return the classes of the manifest that have stems.

    Raises:
        ConfigError: There are fewer than two.
    """
    counts = Counter(label for stem in stems for label in stem.labels)
    labels = tuple(label for label in manifest.labels if counts[label])
    if len(labels) < 2:
        raise ConfigError(
            f"there are usable stems of {len(labels)} of the classes; a classifier needs at least two",
            "check the folder, or use existing weights: `stemclean refine --weights`",
        )
    return labels


def _depends_on(
    stems: Sequence[Stem],
    folder: Path,
    labels: Sequence[str],
    recipe: ClassifierRecipe,
    start: weights.Weights | None,
) -> list[Any]:
    """Return everything that the training depends on, except its length."""
    settings = without_length(recipe.to_dict())
    del settings["calibration"]
    data = [[*content(stem, folder), stem.track, stem.split, stem.labels, stem.sampling_weight] for stem in stems]
    return [settings, labels, start and start.sha256, data]


def _data(pool: StemPool, train_tracks: set[str], validation_tracks: set[str]) -> dict[str, Any]:
    """Return the hours per class and tracks per split, for the card."""
    hours: dict[str, float] = defaultdict(float)
    for stem in pool.stems:
        for label in stem.labels:
            hours[label] += stem.num_samples / pool.sample_rate / 3600
    return {
        "hours": {label: round(value, 3) for label, value in sorted(hours.items())},
        "stems": len(pool.stems),
        "tracks": {"train": len(train_tracks), "validation": len(validation_tracks)},
    }
