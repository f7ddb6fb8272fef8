"""One training run, for every kind of model: find it finished, or prepare it, fit it, and write weights and card.

A kind of model is a function that returns a :class:`Run`: its settings, what the result depends on, and how to prepare
data, model and task. Everything else is the same for all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

import stemclean
from stemclean.data.pool import StemPool
from stemclean.manifest import Manifest, Skip, Stem
from stemclean.models import weights
from stemclean.running import Running
from stemclean.training import checkpoints, finished, processes
from stemclean.training.loop import LoopConfig, Progress, Task, fit
from stemclean.training.recipe import Spec

__all__ = ["LENGTH", "Ready", "Run", "decoded", "in_order_of", "mixtures", "start_from", "without_length"]

LENGTH = frozenset({"examples", "validations", "decay"})
"""Settings of the loop that a longer run may change when it resumes a shorter one."""


@dataclass(frozen=True)
class Ready:
    """A training that can start.

    Args:
        task: Its batches, losses and validation.
        model: The model that is written.
        card: Entries of the card about model and data.
        net: The part of the model that the loop trains; None: all of it.
        skipped: Stems that could not be decoded.
        results: Returns the card's entries that are only known after the training.
    """

    task: Task
    model: nn.Module
    card: Mapping[str, Any]
    net: nn.Module | None = None
    skipped: Sequence[Skip] = ()
    results: Callable[[Progress], Mapping[str, Any]] = lambda _: {}


@dataclass(frozen=True)
class Run:
    """A training run.

    Args:
        settings: Entries of the card with all settings, such as ``recipe``. Weights with other settings are trained
            again.
        depends_on: Everything that the result depends on except the length of the training, ready for JSON: settings,
            classes, initial weights and stems.
        loop: Settings of the training loop.
        dtype: Data type of the floating-point tensors on disk.
        prepare: Decodes the data and builds the model; only called if the weights are not finished yet.
        skipped: Stems that were skipped before.
        stems: The stems that it is trained on.
        spec: Sample rate and channels of their decoded audio.
    """

    settings: Mapping[str, Any]
    depends_on: Sequence[Any]
    loop: LoopConfig
    dtype: torch.dtype
    prepare: Callable[[], Ready]
    skipped: Sequence[Skip]
    stems: Sequence[Stem]
    spec: Spec

    @cached_property
    def key(self) -> str:
        """Key of the run: the SHA-256 of what it depends on."""
        return hashlib.sha256(json.dumps(self.depends_on, sort_keys=True).encode()).hexdigest()

    def result(self, output: Path, card: Mapping[str, Any] | None, running: Running) -> dict[str, Any]:
        """Train, unless an earlier run has, and write the weights and their card.

        Args:
            output: The ``.safetensors`` file to write.
            card: Additional entries of the card (data, licences, …).
            running: How to run.

        Returns:
            The card, with ``output``, ``seconds``, ``wait_share`` and ``skipped``.

        Raises:
            ConfigError: There are too few stems, or the device does not exist.
            WeightsError: The initial weights do not fit the model.
        """
        device = processes.place(running.device)  # first, because it connects the processes
        keep_checkpoint = running.keep_checkpoint
        if running.resume and (
            written := finished.find(output, self.key, self.settings, card, keep_checkpoint=keep_checkpoint)
        ):
            return self._summary(written, output, None)
        ready = self.prepare()
        fitted, progress = fit(
            ready.task,
            ready.net or ready.model,
            self.loop,
            checkpoints.path_of(output, self.key),
            run_key=self.key,
            device=device,
            resume=running.resume,
            quiet=running.quiet,
            logs=running.logs,
        )
        written = {
            **self.settings,
            **ready.card,
            "created_by": f"stemclean {stemclean.__version__}",
            "torch": torch.__version__,
            "parameters": sum(parameter.numel() for parameter in fitted.parameters()),
            "metrics": {"validation": progress.best},
            "history": progress.history,
            "run": self.key,
            **ready.results(progress),
            **(card or {}),
        }
        finished.keep(output, ready.model, written, dtype=self.dtype, keep_checkpoint=keep_checkpoint)
        return self._summary(written, output, progress, ready.skipped)

    def _summary(
        self, card: dict[str, Any], output: Path, progress: Progress | None, skipped: Sequence[Skip] = ()
    ) -> dict[str, Any]:
        return {
            **card,
            "output": str(output),
            "seconds": progress.seconds if progress else 0.0,
            "wait_share": progress.wait_share if progress else None,
            "skipped": [skip.model_dump() for skip in (*self.skipped, *skipped)],
        }


class _Recipe(Protocol):
    @property
    def architecture(self) -> str: ...
    @property
    def options(self) -> dict[str, Any]: ...


def decoded(manifest: Manifest, folder: Path, spec: Spec, running: Running, **options: Any) -> StemPool:
    """Return the decoded stems of a manifest. One process decodes them, the others then read its cache.

    Args:
        manifest: The stems.
        folder: Folder that their paths are relative to.
        spec: Sample rate and channels.
        running: Cache and progress.
        options: As for :meth:`stemclean.data.pool.StemPool.build`.
    """
    together = processes.together()
    with together.main_process_first():
        return StemPool.build(
            manifest,
            folder,
            sample_rate=spec["sample_rate"],
            channels=spec["channels"],
            cache=running.cache,
            limit_gb=running.cache_limit_gb,
            quiet=running.quiet or not together.is_main_process,
            **options,
        )


def in_order_of(start: weights.Weights | None, labels: Sequence[str]) -> tuple[str, ...]:
    """Return the classes in the order of the initial weights' outputs, if those are the same classes."""
    if start and set(start.model.spec.labels) == set(labels):
        return tuple(start.model.spec.labels)
    return tuple(labels)


def start_from(
    start: weights.Weights | None, model: Any, recipe: _Recipe, entry: str = "init"
) -> dict[str, dict[str, Any]]:
    """Load initial weights, if any, into a new model; returns the card's entry on them.

    Raises:
        WeightsError: They do not fit the model.
    """
    if start is None:
        return {}
    fresh = weights.start_from(start, model, recipe.architecture, recipe.options)
    return {entry: {"uri": start.uri, "sha256": start.sha256, "fresh": fresh}}


def mixtures(mixer: Any, count: int = 64) -> torch.Tensor:
    """Return the first mixtures of a mixer, from which a separator estimates the scale of its input.

    Shape:
        ``(batch, channel, time)``
    """
    return torch.stack([torch.from_numpy(mixer.example(number).targets.sum(0)) for number in range(count)])


def without_length(settings: Mapping[str, Any], length: frozenset[str] = LENGTH) -> dict[str, Any]:
    """Remove the length of the training loop from settings, so that a longer run can resume a kept checkpoint."""
    loop = {key: value for key, value in settings.get("loop", {}).items() if key not in length}
    return {**settings, "loop": loop}
