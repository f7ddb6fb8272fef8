"""Train one separator: decode the stems, cut and split them, fit the model, write weights and card."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import torch

import stemclean
from stemclean.data.pool import StemPool, content
from stemclean.data.sources import SourceMixer, trusted
from stemclean.data.sources import pieces as pieces_of
from stemclean.errors import ConfigError
from stemclean.manifest import Manifest, Stem
from stemclean.models import registry, weights
from stemclean.models.contract import ModelSpec, Separator
from stemclean.training import checkpoints, finished
from stemclean.training.loop import fit
from stemclean.training.processes import together
from stemclean.training.recipe import SeparatorRecipe
from stemclean.training.separate import SeparateTask
from stemclean.training.split import leaked, split_tracks

__all__ = ["fit_separator"]

STANDARDISED_ON = 64
"""Number of mixtures from which a model estimates the scale of its input."""


def fit_separator(
    manifest: Manifest,
    folder: Path,
    output: Path,
    recipe: SeparatorRecipe,
    *,
    labels: Sequence[str] | None = None,
    use_claimed: bool = False,
    cache: Path | None = None,
    cache_limit_gb: float | None = None,
    init: str | Path | None = None,
    card: dict[str, Any] | None = None,
    resume: bool = True,
    keep_checkpoint: bool = False,
    workers: int = 2,
    logs: Path | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Train a separator on a manifest's stems and write its weights and card.

    Args:
        manifest: The stems.
        folder: Folder that the paths of stems are relative to.
        output: The ``.safetensors`` file to write.
        recipe: All settings of the training.
        labels: The classes (None: the classes of the manifest that have stems). Other classes are background.
        use_claimed: Use the dataset's own labels, see :func:`stemclean.data.sources.trusted`.
        cache: Folder for decoded audio.
        cache_limit_gb: Limit of its size, see :meth:`stemclean.data.pool.StemPool.build`.
        init: Initial weights.
        card: Additional entries of the card (data, licences, …).
        resume: Resume from a checkpoint of the same data and recipe beside the output.
        keep_checkpoint: Keep the checkpoint after the weights are written.
        workers: Number of worker processes that mix examples in advance; 0: mix in this process.
        logs: Folder for TensorBoard logs.
        quiet: Show no progress.

    Returns:
        The card, with ``output``, ``seconds``, ``wait_share`` and ``skipped``.

    Raises:
        ConfigError: The recipe is invalid, or there are too few stems.
        WeightsError: The initial weights cannot be loaded or do not fit the model.
    """
    usable = trusted(manifest, use_claimed=use_claimed)
    classes = tuple(labels) if labels else _labels(usable)
    start = weights.load(init, kind="separators") if init else None
    if start and set(start.model.spec.labels) == set(classes):
        classes = start.model.spec.labels  # keep the order of the outputs
    key = _run_key(usable.stems, folder, classes, recipe, start)
    settings = {"recipe": recipe.to_dict()}
    if resume and (written := finished.find(output, key, settings, card, keep_checkpoint=keep_checkpoint)):
        skipped = [skip.model_dump() for skip in manifest.skipped]
        return {**written, "output": str(output), "seconds": 0.0, "wait_share": None, "skipped": skipped}
    train_tracks, validation_tracks = split_tracks(usable.stems, share=recipe.validation_share, seed=recipe.seed)
    processes = together()
    with processes.main_process_first():  # the other processes then read its cache
        pool = StemPool.build(
            usable,
            folder,
            sample_rate=recipe.spec["sample_rate"],
            channels=recipe.spec["channels"],
            cache=cache,
            limit_gb=cache_limit_gb,
            quiet=quiet or not processes.is_main_process,
        )
    pieces = pieces_of(pool, usable, recipe.mixing)
    segment, seed = recipe.spec["segment"], recipe.seed
    copies = leaked(usable.stems, validation_tracks)
    train = SourceMixer(_of_tracks(pieces, train_tracks, copies), classes, recipe.mixing, segment, seed=(seed, 0))
    validation = _validation(_of_tracks(pieces, validation_tracks), classes, recipe)
    torch.manual_seed(seed)
    spec = ModelSpec(recipe.spec["sample_rate"], recipe.spec["channels"], classes, segment)
    model = registry.build("separators", recipe.architecture, spec, dict(recipe.options))
    started = _start(model, start, recipe, train)
    task = SeparateTask(
        model,
        train,
        validation,
        recipe.loss,
        batch_size=recipe.loop.batch_size,
        examples=recipe.loop.examples,
        processes=processes.num_processes,
        seed=seed,
        workers=workers,
        validation_examples=recipe.validation_examples,
    )
    checkpoint = checkpoints.path_of(output, key)
    fitted, progress = fit(task, model, recipe.loop, checkpoint, run_key=key, resume=resume, quiet=quiet, logs=logs)
    written = {
        "kind": "separators",
        "architecture": recipe.architecture,
        "spec": spec.to_dict(),
        "options": dict(recipe.options),
        "loudness_lufs": recipe.mixing.loudness_lufs,
        **settings,
        "created_by": f"stemclean {stemclean.__version__}",
        "torch": torch.__version__,
        "parameters": sum(p.numel() for p in fitted.parameters()),
        "data": _data(pieces, usable, train, train_tracks, validation_tracks, use_claimed=use_claimed),
        "metrics": {"validation": _renamed(progress.best)},
        "history": [_renamed(figures) for figures in progress.history],
        "run": key,
        **started,
        **(card or {}),
    }
    # float16 cannot hold the scales of spectra
    finished.keep(output, fitted, written, dtype=torch.float32, keep_checkpoint=keep_checkpoint)
    return {
        **written,
        "output": str(output),
        "seconds": progress.seconds,
        "wait_share": progress.wait_share,
        "skipped": [skip.model_dump() for skip in (*manifest.skipped, *pool.skipped)],
    }


def _labels(manifest: Manifest) -> tuple[str, ...]:
    """Return the classes of the manifest that have stems.

    Raises:
        ConfigError: There are fewer than two.
    """
    counts = Counter(label for stem in manifest.stems for label in stem.labels)
    labels = tuple(label for label in manifest.labels if counts[label])
    if len(labels) < 2:
        raise ConfigError(
            f"{len(manifest.stems)} usable stems of {len(labels)} class(es): a separator needs at least two classes",
            'check the folder; stems with the verdict "drop" are not used',
        )
    return labels


def _of_tracks(pool: StemPool, tracks: set[str], copies: Collection[str] = ()) -> StemPool:
    """Return the stems of some tracks, without copies of others."""
    return pool.where([stem.track in tracks and stem.id not in copies for stem in pool.stems])


def _validation(pool: StemPool, labels: Sequence[str], recipe: SeparatorRecipe) -> SourceMixer:
    """Return a mixer of held-out tracks, with single-class sources and without data augmentation.

    Raises:
        ConfigError: There are no such tracks, or they hold fewer than two classes.
    """
    hint = "give at least two tracks of each class, or declare validation tracks"
    if not pool.stems:
        raise ConfigError("too few tracks to hold one out for validation", hint)
    mixer = SourceMixer(pool, labels, recipe.mixing.plain(), recipe.spec["segment"], seed=(recipe.seed, 1))
    if mixer.num_single < 2:
        raise ConfigError(
            f"the validation tracks have single-class stems of {mixer.num_single} class(es), but two are needed", hint
        )
    return mixer


def _start(
    model: Separator, start: weights.Weights | None, recipe: SeparatorRecipe, mixer: SourceMixer
) -> dict[str, Any]:
    """Initialise a new model; returns the card's entry on its initial weights."""
    if start:
        fresh = weights.start_from(start, model, recipe.architecture, recipe.options)  # type: ignore[arg-type]
        return {"init": {"uri": start.uri, "sha256": start.sha256, "fresh": fresh}}
    mixtures = [torch.from_numpy(mixer.example(number).targets.sum(0)) for number in range(STANDARDISED_ON)]
    model.standardise(torch.stack(mixtures))
    return {}


def _run_key(
    stems: Sequence[Stem],
    folder: Path,
    labels: Sequence[str],
    recipe: SeparatorRecipe,
    start: weights.Weights | None,
) -> str:
    """Return the SHA-256 of everything the training depends on; its length counts only if the loss has a schedule."""
    plain = recipe.to_dict()
    loop = plain["loop"]
    scheduled = len(recipe.loss.keep) > 1 or recipe.loss.robust == "truncated"
    free = {"validations"} if scheduled else {"examples", "validations", "decay"}
    plain["loop"] = {key: value for key, value in loop.items() if key not in free}
    data = [
        [
            *content(stem, folder),
            stem.track,
            stem.split,
            stem.labels,
            [[region.start, region.end, region.labels] for region in stem.regions],
            stem.sampling_weight,
        ]
        for stem in stems
    ]
    document = [plain, labels, start and start.sha256, data]
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _renamed(figures: dict[str, float]) -> dict[str, float]:
    """Rename ``score`` in the figures of a validation to the metric that it is."""
    return {SeparateTask.score_name if name == "score" else name: value for name, value in figures.items()}


def _data(
    pool: StemPool,
    manifest: Manifest,
    train: SourceMixer,
    train_tracks: set[str],
    validation_tracks: set[str],
    *,
    use_claimed: bool,
) -> dict[str, Any]:
    """Return the hours of each class alone and of several together, and the tracks per split, for the card."""
    alone: dict[str, float] = defaultdict(float)
    together = 0.0
    for piece in pool.stems:
        hours = piece.num_samples / pool.sample_rate / 3600
        if len(piece.labels) == 1:
            alone[piece.labels[0]] += hours
        else:
            together += hours
    return {
        "hours": {label: round(value, 3) for label, value in sorted(alone.items())},
        "hours_of_several": round(together, 3),
        "never_alone": [label for label in train.labels if label not in train.alone],
        "background": list(train.background),
        "stems": len(manifest.stems),
        "labels": "claimed" if use_claimed else "believed",
        "tracks": {"train": len(train_tracks), "validation": len(validation_tracks)},
    }
