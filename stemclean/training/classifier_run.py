"""One classifier from stems to a weights file: pool, split, task, loop, card."""

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

    Stems whose verdict is ``drop``, stems without labels and declared test stems are left out. Weights that a run of
    the same data, recipe and start has finished are not trained again.

    Args:
        folder: what stem paths are relative to.
        output: the ``.safetensors`` file.
        labels: the classes; None: those of the manifest that have stems.
        cache, cache_limit_gb: folder for decoded audio and its bound, see
            :meth:`~stemclean.data.pool.StemPool.build`.
        init: weights to start from (``bundled:``, ``hub:``, ``file:``), so that training goes on where theirs ended.
        decoded: gives the stems in memory, with the manifest's labels, once they are needed; None: they are decoded
            here.
        card: more to say in the card (data, licences, …).
        resume: go on from a checkpoint of the same data and recipe beside the output.
        keep_checkpoint: leave it there when the weights are written (ten times their size), so that the run can be
            made longer; a run that is stopped leaves it in any case.
        workers: processes that mix ahead of the model; 0 mixes in this one.

    Returns:
        The card, with ``output``, ``seconds`` and ``skipped``.

    Raises:
        ConfigError: a recipe that cannot be meant, or too few stems to learn from.
        WeightsError: weights to start from that cannot be had or do not fit.
    """
    if recipe.loss not in LOSSES:
        raise ConfigError(f'no loss named "{recipe.loss}"', f"known: {', '.join(LOSSES)}")
    stems = [stem for stem in manifest.stems if stem.trainable]
    labels = tuple(labels or _labels(manifest, stems))
    start = weights.load(init) if init else None
    if start and set(start.model.spec.labels) == set(labels):
        labels = start.model.spec.labels  # the order of its outputs
    key = _run_key(stems, folder, labels, recipe, start)
    settings = {"recipe": recipe.to_dict()}
    if resume and (written := finished.found(output, key, settings, card, keep_checkpoint=keep_checkpoint)):
        return _told(written, output, 0.0, manifest.skipped)
    train_tracks, validation_tracks = split_tracks(stems, share=recipe.validation_share, seed=recipe.seed)
    if not validation_tracks:
        raise ConfigError(
            f"{len(train_tracks)} track(s) are too few to hold one out for validation",
            "give at least two tracks of each class",
        )
    copies = leaked(manifest.stems, validation_tracks)
    model, started = _model(recipe, labels, start)
    processes = together()
    with processes.main_process_first():  # the others find the cache
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
    return _told(written, output, progress.seconds, [*manifest.skipped, *pool.skipped])


def _model(
    recipe: ClassifierRecipe, labels: Sequence[str], start: weights.Weights | None
) -> tuple[Any, dict[str, Any]]:
    """The model before its first step, and what the card says of where it started."""
    torch.manual_seed(recipe.seed)
    spec = ModelSpec(recipe.spec["sample_rate"], recipe.spec["channels"], tuple(labels), recipe.spec["segment"])
    model = registry.build("classifiers", recipe.architecture, spec, dict(recipe.options))
    if start is None:
        return model, {}
    fresh = weights.start_from(start, model, recipe.architecture, recipe.options)
    return model, {"init": {"uri": start.uri, "sha256": start.sha256, "fresh": fresh}}


def _labels(manifest: Manifest, stems: Sequence[Stem]) -> tuple[str, ...]:
    """The manifest's classes that have stems; a classifier needs two."""
    counts = Counter(label for stem in stems for label in stem.labels)
    labels = tuple(label for label in manifest.labels if counts[label])
    if len(labels) < 2:
        raise ConfigError(
            f"{len(stems)} usable stems of {len(labels)} class(es): a classifier needs two classes at least",
            "check the folder, or `stemclean refine --weights` with weights that exist",
        )
    return labels


def _run_key(
    stems: Sequence[Stem],
    folder: Path,
    labels: Sequence[str],
    recipe: ClassifierRecipe,
    start: weights.Weights | None,
) -> str:
    """SHA-256 of all that a training depends on but its length: a longer run goes on from a shorter one."""
    plain = recipe.to_dict()
    plain["loop"] = {k: v for k, v in plain["loop"].items() if k not in {"examples", "validations", "decay"}}
    del plain["calibration"]
    told = [[*content(stem, folder), stem.track, stem.split, stem.labels, stem.sampling_weight] for stem in stems]
    what = [plain, labels, start and start.sha256, told]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def _told(card: dict[str, Any], output: Path, seconds: float, skipped: Sequence[Skip]) -> dict[str, Any]:
    return {**card, "output": str(output), "seconds": seconds, "skipped": [skip.model_dump() for skip in skipped]}


def _data(pool: StemPool, train_tracks: set[str], validation_tracks: set[str]) -> dict[str, Any]:
    """Hours per class and tracks per split, for the card."""
    hours: dict[str, float] = defaultdict(float)
    for stem in pool.stems:
        for label in stem.labels:
            hours[label] += stem.num_samples / pool.sample_rate / 3600
    return {
        "hours": {label: round(value, 3) for label, value in sorted(hours.items())},
        "stems": len(pool.stems),
        "tracks": {"train": len(train_tracks), "validation": len(validation_tracks)},
    }
