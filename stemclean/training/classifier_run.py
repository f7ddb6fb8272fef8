"""Train one classifier: decode the stems, split the tracks, fit the model, write weights and card."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

import stemclean
from stemclean.data.pool import StemPool, content
from stemclean.errors import ConfigError
from stemclean.manifest import Manifest, Skip, Stem
from stemclean.models import registry, weights
from stemclean.models.contract import ModelSpec
from stemclean.training import checkpoints, finished
from stemclean.training.calibrate import calibrate
from stemclean.training.classify import LOSSES, ClassifyTask
from stemclean.training.loop import fit
from stemclean.training.processes import together
from stemclean.training.recipe import ClassifierRecipe
from stemclean.training.split import leaked, split_tracks

__all__ = ["fit_classifier"]


def fit_classifier(
    manifest: Manifest,
    folder: Path,
    output: Path,
    recipe: ClassifierRecipe,
    *,
    labels: Sequence[str] | None = None,
    cache: Path | None = None,
    cache_limit_gb: float | None = None,
    init: str | Path | None = None,
    decoded: Callable[[], StemPool] | None = None,
    card: dict[str, Any] | None = None,
    resume: bool = True,
    keep_checkpoint: bool = False,
    workers: int = 1,
    quiet: bool = False,
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
        cache: Folder for decoded audio.
        cache_limit_gb: Limit of its size, see :meth:`~stemclean.data.pool.StemPool.build`.
        init: Initial weights (``bundled:``, ``hub:`` or ``file:``), for fine-tuning.
        decoded: Called once to get the decoded stems, with the labels of the manifest (None: decode them).
        card: Additional entries of the card (data, licences, …).
        resume: Resume from a checkpoint of the same data and recipe beside the output.
        keep_checkpoint: Keep the checkpoint (ten times the size of the weights) after the weights are written, so that
            the run can be extended. An interrupted run always leaves its checkpoint.
        workers: Number of worker processes that mix examples in advance; 0: mix in this process.
        quiet: Show no progress.

    Returns:
        The card, with ``output``, ``seconds`` and ``skipped``.

    Raises:
        ConfigError: The recipe is invalid, or there are too few stems.
        WeightsError: The initial weights cannot be loaded or do not fit the model.
    """
    if recipe.loss not in LOSSES:
        raise ConfigError(f'no loss named "{recipe.loss}"', f"known: {', '.join(LOSSES)}")
    stems = [stem for stem in manifest.stems if stem.trainable]
    labels = tuple(labels or _labels(manifest, stems))
    start = weights.load(init) if init else None
    if start and set(start.model.spec.labels) == set(labels):
        labels = start.model.spec.labels  # keep the order of the outputs
    key = _run_key(stems, folder, labels, recipe, start)
    settings = {"recipe": recipe.to_dict()}
    if resume and (written := finished.find(output, key, settings, card, keep_checkpoint=keep_checkpoint)):
        return _summary(written, output, 0.0, manifest.skipped)
    train_tracks, validation_tracks = split_tracks(stems, share=recipe.validation_share, seed=recipe.seed)
    if not validation_tracks:
        raise ConfigError(
            f"{len(train_tracks)} track(s) are too few: at least one must be held out for validation",
            "give at least two tracks of each class",
        )
    copies = leaked(manifest.stems, validation_tracks)
    model, started = _model(recipe, labels, start)
    processes = together()
    with processes.main_process_first():  # the other processes then read its cache
        pool = (
            decoded()
            if decoded
            else StemPool.build(
                manifest.with_stems(stems),
                folder,
                sample_rate=recipe.spec["sample_rate"],
                channels=recipe.spec["channels"],
                cache=cache,
                limit_gb=cache_limit_gb,
                quiet=quiet or not processes.is_main_process,
            )
        )
    task = ClassifyTask(
        model,
        train=pool.where([s.track in train_tracks and s.id not in copies for s in pool.stems]),
        validation=pool.where([s.track in validation_tracks for s in pool.stems]),
        mixing=recipe.mixing,
        loss=recipe.loss,
        batch_size=recipe.loop.batch_size,
        equalizer_db=recipe.equalizer_db,
        masks=recipe.masks,
        disguised=recipe.disguised,
        processes=processes.num_processes,
        seed=recipe.seed,
        workers=workers,
        validation_examples=recipe.validation_examples,
    )
    checkpoint = checkpoints.path_of(output, key)
    model.net, progress = fit(task, model.net, recipe.loop, checkpoint, run_key=key, resume=resume, quiet=quiet)
    calibration = {}
    if recipe.calibration.excerpts:
        fitted, of_levels = calibrate(model.eval(), task.validation, recipe.calibration, seed=recipe.seed, quiet=quiet)
        calibration = {"calibration": fitted.to_card(labels), "level_calibration": of_levels.to_card()}
    written = {
        "kind": "classifiers",
        "architecture": recipe.architecture,
        "spec": model.spec.to_dict(),
        "options": dict(recipe.options),
        **settings,
        "created_by": f"stemclean {stemclean.__version__}",
        "torch": torch.__version__,
        "parameters": sum(p.numel() for p in model.net.parameters()),
        "data": _data(pool, train_tracks, validation_tracks),
        "metrics": {"validation": progress.best},
        "history": progress.history,
        "run": key,
        **started,
        **calibration,
        **(card or {}),
    }
    finished.keep(output, model, written, dtype=torch.float16, keep_checkpoint=keep_checkpoint)
    return _summary(written, output, progress.seconds, [*manifest.skipped, *pool.skipped])


def _model(
    recipe: ClassifierRecipe, labels: Sequence[str], start: weights.Weights | None
) -> tuple[Any, dict[str, Any]]:
    """Build the model before its first step; returns it and the card's entry on its initial weights."""
    torch.manual_seed(recipe.seed)
    spec = ModelSpec(recipe.spec["sample_rate"], recipe.spec["channels"], tuple(labels), recipe.spec["segment"])
    model = registry.build("classifiers", recipe.architecture, spec, dict(recipe.options))
    if start is None:
        return model, {}
    fresh = weights.start_from(start, model, recipe.architecture, recipe.options)
    return model, {"init": {"uri": start.uri, "sha256": start.sha256, "fresh": fresh}}


def _labels(manifest: Manifest, stems: Sequence[Stem]) -> tuple[str, ...]:
    """Return the classes of the manifest that have stems.

    Raises:
        ConfigError: There are fewer than two.
    """
    counts = Counter(label for stem in stems for label in stem.labels)
    labels = tuple(label for label in manifest.labels if counts[label])
    if len(labels) < 2:
        raise ConfigError(
            f"{len(stems)} usable stems of {len(labels)} class(es): a classifier needs at least two classes",
            "check the folder, or use existing weights: `stemclean refine --weights`",
        )
    return labels


def _run_key(
    stems: Sequence[Stem],
    folder: Path,
    labels: Sequence[str],
    recipe: ClassifierRecipe,
    start: weights.Weights | None,
) -> str:
    """Return the SHA-256 of everything the training depends on, except its length: a longer run resumes a shorter."""
    plain = recipe.to_dict()
    plain["loop"] = {k: v for k, v in plain["loop"].items() if k not in {"examples", "validations", "decay"}}
    del plain["calibration"]
    data = [[*content(stem, folder), stem.track, stem.split, stem.labels, stem.sampling_weight] for stem in stems]
    document = [plain, labels, start and start.sha256, data]
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _summary(card: dict[str, Any], output: Path, seconds: float, skipped: Sequence[Skip]) -> dict[str, Any]:
    """Return the result of :func:`fit_classifier`."""
    return {**card, "output": str(output), "seconds": seconds, "skipped": [skip.model_dump() for skip in skipped]}


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
