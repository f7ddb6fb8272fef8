"""What a training would read and write, for ``--dry-run``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stemclean.data import pool_cache
from stemclean.manifest import Manifest
from stemclean.plans import Plan, Product, plan_of
from stemclean.running import Running
from stemclean.training.loop import LoopConfig
from stemclean.training.recipe import Spec
from stemclean.training.run import Run

__all__ = ["LEFT_OPEN", "cache_of", "length_of", "local", "plan_training"]

LEFT_OPEN = "it depends on the model and the machine; the training shows the time left after its first steps"
"""Why the duration of a training is unknown: a step cannot be timed before the audio is decoded."""
SAMPLE_BYTES = 2
"""Size of a sample of decoded audio."""


def plan_training(
    command: str, data: str | Path, output: str | Path, source: Manifest, run: Run, running: Running
) -> Plan:
    """Return the plan of a training. Its duration depends on the model, and is left open.

    Args:
        command: the command.
        data: the dataset as it was given.
        output: the weights to write.
        source: the dataset.
        run: the training.
        running: how it would run.
    """
    output = Path(output)
    seconds = sum(stem.duration for stem in run.stems)
    trained = {"training_stems": len(run.stems), "training_hours": round(seconds / 3600, 3)}
    products = [Product(output, 1), Product(output.with_suffix(".json"), 1), cache_of(seconds, run.spec, running)]
    figures = length_of(run.loop) | trained
    return plan_of(command, data, source, products, figures=figures, unknown_because=LEFT_OPEN)


def length_of(loop: LoopConfig) -> dict[str, Any]:
    """Return the length of a training."""
    return {"examples": loop.examples, "batch_size": loop.batch_size, "steps": loop.steps}


def cache_of(seconds: float, spec: Spec, running: Running) -> Product:
    """Return the cache of decoded audio. Silence is cut from it, so that it is no larger than this."""
    folder = pool_cache.cache_folder() / "pools" if running.cache is None else Path(running.cache)
    size = round(seconds * spec["sample_rate"]) * spec["channels"] * SAMPLE_BYTES
    return Product(folder, 2, size)


def local(uri: str | Path | None) -> str | Path | None:
    """Return weights that can be loaded without a download; None for those of the hub."""
    return None if str(uri).startswith("hub:") else uri
