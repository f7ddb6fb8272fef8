"""Train a pitch tracker: decode and split the vocals with an f0, fit the model, write weights and card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from stemclean import training
from stemclean.data.aligned import Frames
from stemclean.data.sources import trusted
from stemclean.errors import ConfigError
from stemclean.manifest import Manifest
from stemclean.models import registry
from stemclean.models.contract import ModelSpec
from stemclean.running import Running
from stemclean.training.processes import together
from stemclean.training.recipe import TrackerRecipe
from stemclean.training.run import Ready, Run, start_from
from stemclean.training.songs import PITCHED, Songs, Start, depends_on, threshold
from stemclean.training.track import PitchLoss, TrackTask

__all__ = ["fit_tracker", "tracker_run"]


def fit_tracker(
    manifest: Manifest,
    folder: Path,
    output: Path,
    recipe: TrackerRecipe,
    *,
    init: str | Path | None = None,
    card: Mapping[str, Any] | None = None,
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
        running: How to run.

    Returns:
        The card, with ``output``, ``seconds``, ``wait_share`` and ``skipped``.

    Raises:
        ConfigError: The recipe is invalid, or there are too few songs.
        WeightsError: The initial weights cannot be loaded or do not fit the model.
    """
    return tracker_run(manifest, folder, recipe, init=init, running=running).result(output, card, running)


def tracker_run(
    manifest: Manifest,
    folder: Path,
    recipe: TrackerRecipe,
    *,
    init: str | Path | None = None,
    running: Running = Running(),
) -> Run:
    """Return the training that :func:`fit_tracker` runs, after its checks. Nothing is decoded yet."""
    usable = trusted(manifest)
    usable = usable.with_stems([stem for stem in usable.stems if stem.labels == [PITCHED] and stem.f0 is not None])
    if not usable.stems:
        raise ConfigError("no stem of vocals has an f0", "put an f0 file beside the vocals, such as vocals.f0.csv")
    loaded = Start(tracker=init).loaded()

    def prepare() -> Ready:
        share, seed = recipe.validation_share, recipe.seed
        songs = Songs(usable, folder, [PITCHED], recipe.spec, running, share=share, seed=seed)
        torch.manual_seed(seed)
        spec = ModelSpec(labels=(PITCHED,), **recipe.spec)
        model = registry.build("pitch", recipe.architecture, spec, dict(recipe.options))
        started = start_from(loaded["pitch"], model, recipe)
        frames = Frames(model.hop / spec.sample_rate, spec.segment // model.hop + 1)
        task = TrackTask(
            model,
            songs.mixer(songs.train, recipe.mixing, frames, 0),
            songs.mixer(songs.validation, recipe.mixing.plain(), frames, 1),
            PitchLoss(recipe.positive_weight, recipe.blur),
            batch_size=recipe.loop.batch_size,
            processes=together().num_processes,
            seed=seed,
            workers=running.workers_or(training.WORKERS),
            validation_examples=recipe.validation_examples,
        )
        entries = {
            "kind": "pitch",
            "architecture": recipe.architecture,
            "spec": spec.to_dict(),
            "options": dict(recipe.options),
            "loudness_lufs": recipe.mixing.loudness_lufs,
            "data": songs.described(),
            **started,
        }
        return Ready(task, model, entries, skipped=songs.pool.skipped, results=threshold)

    return Run(
        {"recipe": recipe.to_dict()},
        depends_on(usable, folder, [recipe.to_dict()], [PITCHED], loaded),
        recipe.loop,
        torch.float32,  # float16 cannot hold the scales of spectra
        prepare,
        manifest.skipped,
        usable.stems,
        recipe.spec,
    )
