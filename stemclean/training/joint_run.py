"""Train a cascade or a pitch tracker: decode and split the songs, fit the model, write weights and card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

import stemclean
from stemclean.data.aligned import AlignedMixer, AlignedMixing, Frames
from stemclean.data.pool import content
from stemclean.data.sources import SourceMixing, trusted
from stemclean.errors import ConfigError, SkipReason
from stemclean.manifest import Manifest, Skip, Stem
from stemclean.models import cascade, registry, weights
from stemclean.models.contract import ModelSpec
from stemclean.models.decoding import THRESHOLD
from stemclean.training import checkpoints, finished, weighting
from stemclean.training.joint import JointConfig, JointTask
from stemclean.training.loop import LoopConfig, Progress, fit
from stemclean.training.processes import together
from stemclean.training.recipe import SeparatorRecipe, TrackerRecipe
from stemclean.training.songs import PITCHED, Running, Songs, Start
from stemclean.training.track import PitchLoss, TrackTask

__all__ = ["fit_joint", "fit_tracker"]


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
    card: dict[str, Any] | None = None,
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
        running: Cache, workers, checkpoints and logs.

    Returns:
        The card, with ``output``, ``seconds``, ``wait_share`` and ``skipped``. Mixtures that hold other classes are
        skipped.

    Raises:
        ConfigError: A recipe is invalid, or there are too few songs.
        WeightsError: The initial weights cannot be loaded or do not fit the model.
    """
    mixing = _mixing(recipe)
    usable = trusted(manifest)
    loaded = start.loaded()
    classes = _classes(usable, labels, loaded["separators"])
    usable = _narrowed(usable, classes, chosen=bool(labels))
    manifest = usable.with_stems(usable.stems, skipped=[*manifest.skipped, *_beyond(usable, classes)])
    key = _run_key(usable, folder, [recipe.to_dict(), tracker_recipe.to_dict(), config.to_dict()], classes, loaded)
    settings = {"recipe": recipe.to_dict(), "tracker_recipe": tracker_recipe.to_dict(), "joint": config.to_dict()}
    keep = running.keep_checkpoint
    if running.resume and (written := finished.find(output, key, settings, card, keep_checkpoint=keep)):
        return _summary(written, output, manifest)
    songs = Songs(
        usable,
        folder,
        classes,
        dict(recipe.spec),
        running,
        share=recipe.validation_share,
        seed=recipe.seed,
        confidences=config.confidences,
    )
    torch.manual_seed(recipe.seed)
    parts = {
        "separator": {"architecture": recipe.architecture, "spec": {**recipe.spec, "labels": list(classes)}},
        "tracker": {"architecture": tracker_recipe.architecture, "spec": {**tracker_recipe.spec, "labels": [PITCHED]}},
    }
    parts["separator"]["options"], parts["tracker"]["options"] = dict(recipe.options), dict(tracker_recipe.options)
    model = cascade.build(parts)
    frames = Frames(model.tracker.hop / model.tracker.spec.sample_rate, model.num_frames(recipe.spec["segment"]))
    train = songs.mixer(songs.train, mixing, frames, 0)
    started = _load_parts(model, loaded, parts)
    if loaded["separators"] is None:
        model.separator.standardise(_mixtures(train))
    processes = together().num_processes
    task = JointTask(
        model,
        train,
        songs.mixer(songs.validation, mixing.plain(), frames, 1),
        recipe.loss,
        PitchLoss(tracker_recipe.positive_weight, tracker_recipe.blur),
        config,
        weighting.build(config.weighting, _steps_per_epoch(songs, recipe)),
        batch_size=recipe.loop.batch_size,
        processes=processes,
        seed=recipe.seed,
        workers=running.workers,
        validation_examples=recipe.validation_examples,
    )
    entries = {
        "kind": "cascades",
        "architecture": f"{recipe.architecture}+{tracker_recipe.architecture}",
        "spec": model.spec.to_dict(),
        "options": cascade.options_of(**parts),
        "loudness_lufs": mixing.loudness_lufs,
        **settings,
        **started,
    }
    return _fit_and_write(task, model, recipe.loop, output, key, entries, songs, manifest, card, running)


def fit_tracker(
    manifest: Manifest,
    folder: Path,
    output: Path,
    recipe: TrackerRecipe,
    *,
    init: str | Path | None = None,
    card: dict[str, Any] | None = None,
    running: Running = Running(),
) -> dict[str, Any]:
    """Train a pitch tracker on vocals with a known f0, and write its weights and card.

    Args:
        manifest: The stems; those of vocals with an f0 are used.
        folder: Folder that the paths of the manifest are relative to.
        output: The ``.safetensors`` file to write.
        recipe: All settings of the training.
        init: Initial weights, of a tracker or of a cascade.
        card: Additional entries of the card.
        running: Cache, workers, checkpoints and logs.

    Returns:
        As :func:`fit_joint`.

    Raises:
        ConfigError: The recipe is invalid, or there are too few songs.
        WeightsError: The initial weights cannot be loaded or do not fit the model.
    """
    usable = trusted(manifest)
    usable = usable.with_stems([stem for stem in usable.stems if stem.labels == [PITCHED] and stem.f0 is not None])
    if not usable.stems:
        raise ConfigError("no stem of vocals has an f0", "put an f0 file beside the vocals, such as vocals.f0.csv")
    loaded = Start(tracker=init).loaded()
    key = _run_key(usable, folder, [recipe.to_dict()], [PITCHED], loaded)
    settings = {"recipe": recipe.to_dict()}
    keep = running.keep_checkpoint
    if running.resume and (written := finished.find(output, key, settings, card, keep_checkpoint=keep)):
        return _summary(written, output, manifest)
    share, seed = recipe.validation_share, recipe.seed
    songs = Songs(usable, folder, [PITCHED], dict(recipe.spec), running, share=share, seed=seed)
    torch.manual_seed(recipe.seed)
    spec = ModelSpec(labels=(PITCHED,), **recipe.spec)
    model = registry.build("pitch", recipe.architecture, spec, dict(recipe.options))
    started = {}
    if (initial := loaded["pitch"]) is not None:
        fresh = weights.start_from(initial, model, recipe.architecture, recipe.options)
        started = {"init": {"uri": initial.uri, "sha256": initial.sha256, "fresh": fresh}}
    frames = Frames(model.hop / spec.sample_rate, spec.segment // model.hop + 1)
    processes = together().num_processes
    task = TrackTask(
        model,
        songs.mixer(songs.train, recipe.mixing, frames, 0),
        songs.mixer(songs.validation, recipe.mixing.plain(), frames, 1),
        PitchLoss(recipe.positive_weight, recipe.blur),
        batch_size=recipe.loop.batch_size,
        processes=processes,
        seed=recipe.seed,
        workers=running.workers,
        validation_examples=recipe.validation_examples,
    )
    entries = {
        "kind": "pitch",
        "architecture": recipe.architecture,
        "spec": spec.to_dict(),
        "options": dict(recipe.options),
        "loudness_lufs": recipe.mixing.loudness_lufs,
        **settings,
        **started,
    }
    return _fit_and_write(task, model, recipe.loop, output, key, entries, songs, manifest, card, running)


def _fit_and_write(
    task: Any,
    model: Any,
    loop: LoopConfig,
    output: Path,
    key: str,
    entries: dict[str, Any],
    songs: Songs,
    manifest: Manifest,
    card: dict[str, Any] | None,
    running: Running,
) -> dict[str, Any]:
    """Run the training loop and write weights and card; returns the result of :func:`fit_joint`.

    Args:
        entries: Entries of the card that describe the model.
    """
    checkpoint = checkpoints.path_of(output, key)
    fitted, progress = fit(
        task, model, loop, checkpoint, run_key=key, resume=running.resume, quiet=running.quiet, logs=running.logs
    )
    written = {
        **entries,
        "created_by": f"stemclean {stemclean.__version__}",
        "torch": torch.__version__,
        "parameters": sum(p.numel() for p in fitted.parameters()),
        "threshold": progress.best.get("threshold", THRESHOLD),
        "data": songs.described(),
        "metrics": {"validation": progress.best},
        "history": progress.history,
        "run": key,
        **(card or {}),
    }
    # float16 cannot hold the scales of spectra
    finished.keep(output, fitted, written, dtype=torch.float32, keep_checkpoint=running.keep_checkpoint)
    return _summary(written, output, manifest, songs, progress)


def _summary(
    card: dict[str, Any],
    output: Path,
    manifest: Manifest,
    songs: Songs | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    skipped = [*manifest.skipped, *(songs.pool.skipped if songs else [])]
    return {
        **card,
        "output": str(output),
        "seconds": progress.seconds if progress else 0.0,
        "wait_share": progress.wait_share if progress else None,
        "skipped": [skip.model_dump() for skip in skipped],
    }


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
    if start and set(start.model.spec.labels) == set(classes):
        return tuple(start.model.spec.labels)
    return classes


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


def _load_parts(model: Any, loaded: Mapping[str, weights.Weights | None], parts: Mapping[str, Any]) -> dict[str, Any]:
    """Load the initial weights of the parts; returns the card's entries on them."""
    entries = {}
    for kind, name in cascade.PARTS.items():
        initial = loaded[kind]
        if initial is not None:
            part = parts[name]
            fresh = weights.start_from(initial, getattr(model, name), part["architecture"], part["options"])
            entries[f"init_{name}"] = {"uri": initial.uri, "sha256": initial.sha256, "fresh": fresh}
    return entries


def _mixtures(mixer: AlignedMixer, count: int = 64) -> torch.Tensor:
    """Return mixtures from which a model estimates the scale of its input. Shape: (batch, channel, time)."""
    return torch.stack([torch.from_numpy(mixer.example(number).targets.sum(0)) for number in range(count)])


def _steps_per_epoch(songs: Songs, recipe: SeparatorRecipe) -> int:
    """Return the number of steps whose excerpts are as long as all training songs together."""
    excerpts = sum(track.num_samples for track in songs.train) / recipe.spec["segment"]
    return max(1, round(excerpts / recipe.loop.batch_size))


def _run_key(
    manifest: Manifest,
    folder: Path,
    settings: Sequence[Mapping[str, Any]],
    labels: Sequence[str],
    loaded: Mapping[str, weights.Weights | None],
) -> str:
    """Return the SHA-256 of everything the training depends on, except its length."""
    settings = [_without_length(part) for part in settings]
    initial = {kind: start and start.sha256 for kind, start in loaded.items()}
    document = [settings, list(labels), initial, [_content(stem, folder) for stem in manifest.stems]]
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _without_length(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Remove the length of the training loop from settings, so that a longer run can resume a kept checkpoint."""
    loop = {k: v for k, v in settings.get("loop", {}).items() if k not in ("examples", "validations", "decay")}
    return {**settings, "loop": loop}


def _content(stem: Stem, folder: Path) -> list[object]:
    f0 = stem.f0 and [stem.f0.path, stem.f0.sha256, stem.f0.by]
    estimated = stem.estimated and [stem.estimated.by, stem.estimated.confidence]
    return [*content(stem, folder), stem.track, stem.split, stem.labels, f0, estimated]
