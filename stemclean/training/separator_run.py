"""Train one separator: decode the stems, cut and split them, fit the model, write weights and card."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from stemclean import training
from stemclean.data.pool import StemPool, content
from stemclean.data.sources import SourceMixer, trusted
from stemclean.data.sources import pieces as pieces_of
from stemclean.errors import ConfigError
from stemclean.manifest import Manifest, Stem
from stemclean.models import registry, weights
from stemclean.models.contract import ModelSpec
from stemclean.running import Running
from stemclean.training.loop import Progress
from stemclean.training.processes import together
from stemclean.training.recipe import SeparatorRecipe
from stemclean.training.run import LENGTH, Ready, Run, decoded, in_order_of, mixtures, start_from, without_length
from stemclean.training.separate import SeparateTask
from stemclean.training.split import leaked, split_tracks

__all__ = ["fit_separator", "separator_run"]


def fit_separator(
    manifest: Manifest,
    folder: Path,
    output: Path,
    recipe: SeparatorRecipe,
    *,
    labels: Sequence[str] | None = None,
    use_claimed: bool = False,
    init: str | Path | None = None,
    card: Mapping[str, Any] | None = None,
    running: Running = Running(),
) -> dict[str, Any]:
    """Train a separator on a manifest's stems and write its weights and card.

    Args:
        manifest: The stems.
        folder: Folder that the paths of stems are relative to.
        output: The ``.safetensors`` file to write.
        recipe: All settings of the training.
        labels: The classes (None: the classes of the manifest that have stems). Other classes are background.
        use_claimed: Use the dataset's own labels, see :func:`stemclean.data.sources.trusted`.
        init: Initial weights.
        card: Additional entries of the card (data, licences, …).
        running: How to run.

    Returns:
        The card, with ``output``, ``seconds``, ``wait_share`` and ``skipped``.

    Raises:
        ConfigError: The recipe is invalid, or there are too few stems.
        WeightsError: The initial weights cannot be loaded or do not fit the model.
    """
    return separator_run(
        manifest, folder, recipe, labels=labels, use_claimed=use_claimed, init=init, running=running
    ).result(output, card, running)


def separator_run(
    manifest: Manifest,
    folder: Path,
    recipe: SeparatorRecipe,
    *,
    labels: Sequence[str] | None = None,
    use_claimed: bool = False,
    init: str | Path | None = None,
    running: Running = Running(),
) -> Run:
    """Return the training that :func:`fit_separator` runs, after its checks. Nothing is decoded yet."""
    usable = trusted(manifest, use_claimed=use_claimed)
    chosen = labels or _labels(usable)
    start = weights.load(init, kind="separators") if init else None
    classes = in_order_of(start, chosen)

    def prepare() -> Ready:
        tracks, held_out = split_tracks(usable.stems, share=recipe.validation_share, seed=recipe.seed)
        pool = decoded(usable, folder, recipe.spec, running)
        pieces = pieces_of(pool, usable, recipe.mixing)
        spec = ModelSpec(labels=classes, **recipe.spec)
        copies = leaked(usable.stems, held_out)
        of_training = _of_tracks(pieces, tracks, copies)
        train = SourceMixer(of_training, classes, recipe.mixing, spec.segment, seed=(recipe.seed, 0))
        validation = _validation(_of_tracks(pieces, held_out), classes, recipe)
        torch.manual_seed(recipe.seed)
        model = registry.build("separators", recipe.architecture, spec, dict(recipe.options))
        started = start_from(start, model, recipe)
        if start is None:
            model.standardise(mixtures(train))
        task = SeparateTask(
            model,
            train,
            validation,
            recipe.loss,
            batch_size=recipe.loop.batch_size,
            examples=recipe.loop.examples,
            processes=together().num_processes,
            seed=recipe.seed,
            workers=running.workers_or(training.WORKERS),
            validation_examples=recipe.validation_examples,
        )
        entries = {
            "kind": "separators",
            "architecture": recipe.architecture,
            "spec": spec.to_dict(),
            "options": dict(recipe.options),
            "loudness_lufs": recipe.mixing.loudness_lufs,
            "data": _data(pieces, usable, train, tracks, held_out, use_claimed=use_claimed),
            **started,
        }
        return Ready(task, model, entries, skipped=pool.skipped, results=_metrics)

    return Run(
        {"recipe": recipe.to_dict()},
        _depends_on(usable.stems, folder, classes, recipe, start),
        recipe.loop,
        torch.float32,  # float16 cannot hold the scales of spectra
        prepare,
        manifest.skipped,
        usable.stems,
        recipe.spec,
    )


def _labels(manifest: Manifest) -> tuple[str, ...]:
    """Return the classes of the manifest that have stems.

    Raises:
        ConfigError: There are fewer than two.
    """
    counts = Counter(label for stem in manifest.stems for label in stem.labels)
    labels = tuple(label for label in manifest.labels if counts[label])
    if len(labels) < 2:
        raise ConfigError(
            f"there are usable stems of {len(labels)} of the classes; a separator needs at least two",
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
            f"the validation tracks have single-class stems of {mixer.num_single} classes; at least two are needed",
            hint,
        )
    return mixer


def _depends_on(
    stems: Sequence[Stem],
    folder: Path,
    labels: Sequence[str],
    recipe: SeparatorRecipe,
    start: weights.Weights | None,
) -> list[Any]:
    """Return everything that the training depends on; its length counts only if the loss has a schedule."""
    scheduled = len(recipe.loss.keep) > 1 or recipe.loss.robust == "truncated"
    settings = without_length(recipe.to_dict(), frozenset({"validations"}) if scheduled else LENGTH)
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
    return [settings, labels, start and start.sha256, data]


def _metrics(progress: Progress) -> dict[str, Any]:
    """Return the figures of the validations, with ``score`` renamed to the metric that it is."""

    def renamed(figures: Mapping[str, float]) -> dict[str, float]:
        return {SeparateTask.score_name if name == "score" else name: value for name, value in figures.items()}

    return {"metrics": {"validation": renamed(progress.best)}, "history": [renamed(row) for row in progress.history]}


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
