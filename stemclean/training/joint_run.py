"""Train a cascade: decode and split the songs, fit separator and tracker jointly, write weights and card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from stemclean import training
from stemclean.data.aligned import AlignedMixing, Frames
from stemclean.data.sources import SourceMixing, trusted
from stemclean.errors import ConfigError, SkipReason
from stemclean.manifest import Manifest, Skip, Stem
from stemclean.models import cascade, weights
from stemclean.running import Running
from stemclean.training import weighting
from stemclean.training.joint import JointConfig, JointTask
from stemclean.training.processes import together
from stemclean.training.recipe import SeparatorRecipe, TrackerRecipe
from stemclean.training.run import Ready, Run, in_order_of, mixtures, start_from
from stemclean.training.songs import PITCHED, Songs, Start, depends_on, threshold
from stemclean.training.track import PitchLoss

__all__ = ["fit_joint", "joint_run"]


def fit_joint(
    manifest: Manifest,
    folder: Path,
    output: Path,
    recipe: SeparatorRecipe,
    tracker_recipe: TrackerRecipe,
    config: JointConfig = JointConfig(),
    *,
    labels: Sequence[str] | None = None,
    start: Start = Start(),
    card: Mapping[str, Any] | None = None,
    running: Running = Running(),
) -> dict[str, Any]:
    """Train a separator and a pitch tracker as one cascade, and write its weights and card.

    Args:
        manifest: The songs.
        folder: Folder that the paths of the manifest are relative to.
        output: The ``.safetensors`` file to write.
        recipe: Recipe of the separator. Its loss, mixing, loop and seed are those of the joint training. Of the mixing,
            only loudness, gains, swapped channels and inverted polarity can be used.
        tracker_recipe: Recipe of the tracker, for its architecture and pitch loss.
        config: Settings of joint training.
        labels: The classes (None: the classes of all stems that are not whole mixtures).
        start: Initial weights.
        card: Additional entries of the card.
        running: How to run.

    Returns:
        The card, with ``output``, ``seconds``, ``wait_share`` and ``skipped``. Mixtures that hold other classes are
        skipped.

    Raises:
        ConfigError: A recipe is invalid, or there are too few songs.
        WeightsError: The initial weights cannot be loaded or do not fit the model.
    """
    return joint_run(
        manifest, folder, recipe, tracker_recipe, config, labels=labels, start=start, running=running
    ).result(output, card, running)


def joint_run(
    manifest: Manifest,
    folder: Path,
    recipe: SeparatorRecipe,
    tracker_recipe: TrackerRecipe,
    config: JointConfig,
    *,
    labels: Sequence[str] | None = None,
    start: Start = Start(),
    running: Running = Running(),
) -> Run:
    """Return the training that :func:`fit_joint` runs, after its checks. Nothing is decoded yet."""
    mixing = _mixing(recipe)
    usable = trusted(manifest)
    loaded = start.loaded()
    classes = _classes(usable, labels, loaded["separators"])
    usable = _narrowed(usable, classes, chosen=bool(labels))
    settings = {"recipe": recipe.to_dict(), "tracker_recipe": tracker_recipe.to_dict(), "joint": config.to_dict()}

    def prepare() -> Ready:
        share, seed = recipe.validation_share, recipe.seed
        songs = Songs(
            usable, folder, classes, recipe.spec, running, share=share, seed=seed, confidences=config.confidences
        )
        torch.manual_seed(seed)
        parts = {
            "separator": _part(recipe, classes),
            "tracker": _part(tracker_recipe, [PITCHED]),
        }
        model = cascade.build(parts)
        frames = Frames(model.tracker.hop / model.tracker.spec.sample_rate, model.num_frames(recipe.spec.segment))
        train = songs.mixer(songs.train, mixing, frames, 0)
        started = {
            **start_from(loaded["separators"], model.separator, recipe, "init_separator"),
            **start_from(loaded["pitch"], model.tracker, tracker_recipe, "init_tracker"),
        }
        if loaded["separators"] is None:
            model.separator.standardise(mixtures(train))
        task = JointTask(
            model,
            train,
            songs.mixer(songs.validation, mixing.plain(), frames, 1),
            recipe.loss,
            PitchLoss(tracker_recipe.positive_weight, tracker_recipe.blur),
            config,
            weighting.build(config.weighting, _steps_per_epoch(songs, recipe)),
            batch_size=recipe.loop.batch_size,
            processes=together().num_processes,
            seed=seed,
            workers=running.workers_or(training.WORKERS),
            validation_examples=recipe.validation_examples,
        )
        entries = {
            "kind": "cascades",
            "architecture": f"{recipe.architecture}+{tracker_recipe.architecture}",
            "spec": model.spec.to_dict(),
            "options": cascade.options_of(**parts),
            "loudness_lufs": mixing.loudness_lufs,
            "data": songs.described(),
            **started,
        }
        return Ready(task, model, entries, skipped=songs.pool.skipped, results=threshold)

    return Run(
        settings,
        depends_on(usable, folder, list(settings.values()), classes, loaded),
        recipe.loop,
        torch.float32,  # float16 cannot hold the scales of spectra
        prepare,
        [*manifest.skipped, *_beyond(usable, classes)],
        usable.stems,
        recipe.spec,
    )


def _part(recipe: SeparatorRecipe | TrackerRecipe, labels: Sequence[str]) -> dict[str, Any]:
    """Return the description of a part of a cascade."""
    spec = {**recipe.spec, "labels": list(labels)}
    return {"architecture": recipe.architecture, "spec": spec, "options": dict(recipe.options)}


def _mixing(recipe: SeparatorRecipe) -> AlignedMixing:
    """Return the part of a separator's mixing that applies to whole songs.

    Raises:
        ConfigError: The recipe sets effects, absent classes or a robust loss, which joint training does not support.
    """
    plain = SourceMixing()
    mixing = recipe.mixing
    if mixing.effects != plain.effects or mixing.absent_chance or recipe.loss.robust != "none" or recipe.loss.keep:
        raise ConfigError(
            f"recipe {recipe.name}: joint training uses songs as they are, without effects, absent classes or a "
            "robust loss",
            'set mixing.effects="none", mixing.absent_chance=0.0 and loss.robust="none"',
        )
    return AlignedMixing(
        loudness_lufs=mixing.loudness_lufs,
        gain_db=mixing.gain_db,
        swap_chance=mixing.swap_chance,
        invert_chance=mixing.invert_chance,
    )


def _classes(manifest: Manifest, labels: Sequence[str] | None, start: weights.Weights | None) -> tuple[str, ...]:
    """Return the classes of the separator, in the order of its initial weights."""
    separate = {label for stem in manifest.stems if not _is_mixture(stem, manifest) for label in stem.labels}
    if len(separate) < 2:  # stems of one class and mixtures: the other classes are the residual
        separate = {label for stem in manifest.stems for label in stem.labels}
    classes = tuple(labels) if labels else tuple(label for label in manifest.labels if label in separate)
    if PITCHED not in classes or len(classes) < 2:
        raise ConfigError(
            f"joint training separates {PITCHED} from at least one other class, but the classes are: "
            f"{', '.join(classes) or 'none'}",
            "give songs with stems of both, or mixtures with an f0",
        )
    return in_order_of(start, classes)


def _is_mixture(stem: Stem, manifest: Manifest) -> bool:
    """Return whether a stem is the mixture of a song: it is declared as one, and holds all classes."""
    return len(stem.claimed) > 1 and set(stem.labels) == set(manifest.labels)


def _narrowed(manifest: Manifest, classes: Sequence[str], *, chosen: bool) -> Manifest:
    """Remove all other classes from the labels of mixtures, unless the user chose the classes.

    Without a choice, the other classes have no stems, so nothing else is known of them.
    """
    if chosen or set(classes) == set(manifest.labels):
        return manifest
    update = {"labels": [label for label in manifest.labels if label in classes]}
    return manifest.with_stems([s.model_copy(update=update) if _is_mixture(s, manifest) else s for s in manifest.stems])


def _beyond(manifest: Manifest, classes: Sequence[str]) -> list[Skip]:
    """Return the mixtures that hold other classes, which are skipped."""
    return [
        Skip(path=stem.path, reason=SkipReason.MIXTURE, detail=f"it holds {', '.join(stem.labels)}")
        for stem in manifest.stems
        if _is_mixture(stem, manifest) and not set(stem.labels) <= set(classes)
    ]


def _steps_per_epoch(songs: Songs, recipe: SeparatorRecipe) -> int:
    """Return the number of steps whose excerpts are as long as all training songs together."""
    excerpts = sum(track.num_samples for track in songs.train) / recipe.spec["segment"]
    return max(1, round(excerpts / recipe.loop.batch_size))
