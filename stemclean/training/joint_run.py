"""Cascades and trackers from songs to a weights file: pool, songs, split, task, loop, card."""

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
from stemclean.errors import ConfigError
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
        folder: what paths of the manifest are relative to.
        output: the ``.safetensors`` file.
        recipe: of the separator; it has the word on loss, mixing, loop and seed. Of its mixing, only what a song as a
            whole can have: loudness, gains, swapped channels and inverted classes.
        tracker_recipe: of the tracker: network and pitch loss.
        config: how both are joined.
        labels: the classes; None: those that a stem holds without holding all of the manifest's.
        start: weights to start from.
        card: more to say in the card.
        running: how it runs.

    Returns:
        The card, with ``output``, ``seconds``, ``wait_share`` and ``skipped``: mixtures of more than the classes, too.

    Raises:
        ConfigError: recipes that cannot be meant, or too few songs.
        WeightsError: weights to start from that cannot be had or do not fit.
    """
    mixing = _mixing(recipe)
    known = trusted(manifest)
    loaded = start.loaded()
    classes = _classes(known, labels, loaded["separators"])
    known = _narrowed(known, classes, given=bool(labels))
    manifest = known.with_stems(known.stems, skipped=[*manifest.skipped, *_beyond(known, classes)])
    key = _run_key(known, folder, [recipe.to_dict(), tracker_recipe.to_dict(), config.to_dict()], classes, loaded)
    settings = {"recipe": recipe.to_dict(), "tracker_recipe": tracker_recipe.to_dict(), "joint": config.to_dict()}
    keep = running.keep_checkpoint
    if running.resume and (written := finished.found(output, key, settings, card, keep_checkpoint=keep)):
        return _told(written, output, manifest)
    songs = Songs(
        known,
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
    started = _started(model, loaded, parts)
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
        weighting.build(config.weighting, _steps_of_a_pass(songs, recipe)),
        batch_size=recipe.loop.batch_size,
        processes=processes,
        seed=recipe.seed,
        workers=running.workers,
        validation_examples=recipe.validation_examples,
    )
    told = {
        "kind": "cascades",
        "architecture": f"{recipe.architecture}+{tracker_recipe.architecture}",
        "spec": model.spec.to_dict(),
        "options": cascade.options_of(**parts),
        "loudness_lufs": mixing.loudness_lufs,
        **settings,
        **started,
    }
    return _fitted(task, model, recipe.loop, output, key, told, songs, manifest, card, running)


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
    """Train a pitch tracker on voices whose f0 is known, and write its weights and card.

    Args:
        init: weights of a tracker, or of a cascade, to start from.

    The rest, what comes back and what is raised as in :func:`fit_joint`.
    """
    known = trusted(manifest)
    known = known.with_stems([stem for stem in known.stems if stem.labels == [PITCHED] and stem.f0 is not None])
    if not known.stems:
        raise ConfigError("no stem of vocals has an f0", "put it beside the vocals, in a file such as vocals.f0.csv")
    loaded = Start(tracker=init).loaded()
    key = _run_key(known, folder, [recipe.to_dict()], [PITCHED], loaded)
    settings = {"recipe": recipe.to_dict()}
    keep = running.keep_checkpoint
    if running.resume and (written := finished.found(output, key, settings, card, keep_checkpoint=keep)):
        return _told(written, output, manifest)
    songs = Songs(known, folder, [PITCHED], dict(recipe.spec), running, share=recipe.validation_share, seed=recipe.seed)
    torch.manual_seed(recipe.seed)
    spec = ModelSpec(labels=(PITCHED,), **recipe.spec)
    model = registry.build("pitch", recipe.architecture, spec, dict(recipe.options))
    started = {}
    if (begin := loaded["pitch"]) is not None:
        fresh = weights.start_from(begin, model, recipe.architecture, recipe.options)
        started = {"init": {"uri": begin.uri, "sha256": begin.sha256, "fresh": fresh}}
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
    told = {
        "kind": "pitch",
        "architecture": recipe.architecture,
        "spec": spec.to_dict(),
        "options": dict(recipe.options),
        "loudness_lufs": recipe.mixing.loudness_lufs,
        **settings,
        **started,
    }
    return _fitted(task, model, recipe.loop, output, key, told, songs, manifest, card, running)


def _fitted(
    task: Any,
    model: Any,
    loop: LoopConfig,
    output: Path,
    key: str,
    told: dict[str, Any],
    songs: Songs,
    manifest: Manifest,
    card: dict[str, Any] | None,
    running: Running,
) -> dict[str, Any]:
    """Run the loop, write weights and card; what the verb gives back."""
    checkpoint = checkpoints.path_of(output, key)
    fitted, progress = fit(
        task, model, loop, checkpoint, run_key=key, resume=running.resume, quiet=running.quiet, logs=running.logs
    )
    written = {
        **told,
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
    # half precision has no room for norms of spectra
    finished.keep(output, fitted, written, dtype=torch.float32, keep_checkpoint=running.keep_checkpoint)
    return _told(written, output, manifest, songs, progress)


def _told(
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
    """What of a separator's mixing a song as a whole can have.

    Raises:
        ConfigError: effects, absent classes or a robust loss, which joint training does not have.
    """
    plain = SourceMixing()
    given = recipe.mixing
    if given.effects != plain.effects or given.absent_chance or recipe.loss.robust != "none" or recipe.loss.keep:
        raise ConfigError(
            f"recipe {recipe.name}: joint training takes songs as they are, without effects, absent classes or a "
            "robust loss",
            'set mixing.effects="none", mixing.absent_chance=0.0 and loss.robust="none"',
        )
    return AlignedMixing(
        loudness_lufs=given.loudness_lufs,
        gain_db=given.gain_db,
        swap_chance=given.swap_chance,
        invert_chance=given.invert_chance,
    )


def _classes(manifest: Manifest, labels: Sequence[str] | None, start: weights.Weights | None) -> tuple[str, ...]:
    """The classes of the separator, in the order of the weights that it starts from."""
    apart = {label for stem in manifest.stems if not _mixed(stem, manifest) for label in stem.labels}
    if len(apart) < 2:  # one class and mixtures: what is left of them are the others
        apart = {label for stem in manifest.stems for label in stem.labels}
    classes = tuple(labels) if labels else tuple(label for label in manifest.labels if label in apart)
    if PITCHED not in classes or len(classes) < 2:
        raise ConfigError(
            f"joint training separates {PITCHED} from another class; here is {', '.join(classes) or 'no stem'}",
            "give songs with stems of both, or a mixture with an f0",
        )
    if start and set(start.model.spec.labels) == set(classes):
        return tuple(start.model.spec.labels)
    return classes


def _mixed(stem: Stem, manifest: Manifest) -> bool:
    """Whether a stem is a song's mixture: it came as one, and holds all classes."""
    return len(stem.claimed) > 1 and set(stem.labels) == set(manifest.labels)


def _narrowed(manifest: Manifest, classes: Sequence[str], *, given: bool) -> Manifest:
    """The same where mixtures hold the classes alone, unless they were given: of the others there is no stem."""
    if given or set(classes) == set(manifest.labels):
        return manifest
    held = {"labels": [label for label in manifest.labels if label in classes]}
    return manifest.with_stems([s.model_copy(update=held) if _mixed(s, manifest) else s for s in manifest.stems])


def _beyond(manifest: Manifest, classes: Sequence[str]) -> list[Skip]:
    """Mixtures that hold more than the classes, from which nothing is learned."""
    return [
        Skip(path=stem.path, reason="mixture", detail=f"it holds {', '.join(stem.labels)}")
        for stem in manifest.stems
        if _mixed(stem, manifest) and not set(stem.labels) <= set(classes)
    ]


def _started(model: Any, loaded: Mapping[str, weights.Weights | None], parts: Mapping[str, Any]) -> dict[str, Any]:
    """Give the parts their first weights; what the card says of it."""
    told = {}
    for kind, name in cascade.PARTS.items():
        begin = loaded[kind]
        if begin is not None:
            part = parts[name]
            fresh = weights.start_from(begin, getattr(model, name), part["architecture"], part["options"])
            told[f"init_{name}"] = {"uri": begin.uri, "sha256": begin.sha256, "fresh": fresh}
    return told


def _mixtures(mixer: AlignedMixer, count: int = 64) -> torch.Tensor:
    """Mixtures from which a model learns the scale of its input. Shape: (batch, channel, time)."""
    return torch.stack([torch.from_numpy(mixer.example(number).targets.sum(0)) for number in range(count)])


def _steps_of_a_pass(songs: Songs, recipe: SeparatorRecipe) -> int:
    """Steps in which as much is heard as all training songs hold."""
    excerpts = sum(track.num_samples for track in songs.train) / recipe.spec["segment"]
    return max(1, round(excerpts / recipe.loop.batch_size))


def _run_key(
    manifest: Manifest,
    folder: Path,
    settings: Sequence[Mapping[str, Any]],
    labels: Sequence[str],
    loaded: Mapping[str, weights.Weights | None],
) -> str:
    """SHA-256 of all that a training depends on; its length is not among it, as no schedule hangs on it."""
    settings = [_lengthless(part) for part in settings]
    begun = {kind: start and start.sha256 for kind, start in loaded.items()}
    what = [settings, list(labels), begun, [_content(stem, folder) for stem in manifest.stems]]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def _lengthless(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without how long a loop runs, so that a kept checkpoint goes on in a longer one."""
    loop = {k: v for k, v in settings.get("loop", {}).items() if k not in ("examples", "validations", "decay")}
    return {**settings, "loop": loop}


def _content(stem: Stem, folder: Path) -> list[object]:
    f0 = stem.f0 and [stem.f0.path, stem.f0.sha256, stem.f0.by]
    estimated = stem.estimated and [stem.estimated.by, stem.estimated.confidence]
    return [*content(stem, folder), stem.track, stem.split, stem.labels, f0, estimated]
