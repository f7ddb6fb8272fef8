"""How a verb runs: its device, workers, cache, logs, and whether it resumes. The same for all verbs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Running"]


@dataclass(frozen=True)
class Running:
    """How a verb runs. None of this is a setting of its result: a run resumes whatever changes here.

    Args:
        cache: folder for decoded audio; None: ``$XDG_CACHE_HOME/stemclean/pools``. Used by training.
        cache_limit_gb: maximum size of that folder, in 10^9 bytes; the least recently used files are removed, but none
            that are in use. None: 50 for the default folder, and no limit for a given folder.
        device: ``cpu``, ``cuda``, ``cuda:1``, …; None: a GPU if there is one.
        workers: number of processes that prepare training examples (0: this process does), or of stems that are judged
            in parallel. None: the verb's default.
        resume: continue an interrupted run of the same data, settings and weights, with the same result as without the
            interruption; a finished run is not repeated. Otherwise start over.
        keep_checkpoint: keep the checkpoint of a training (ten times the size of the weights) after the weights are
            written, so that the training can be extended later. An interrupted run always leaves its checkpoint.
        logs: folder for TensorBoard logs of a training (needs the extra ``tensorboard``); None: no logs.
        quiet: show no progress.
    """

    cache: str | Path | None = None
    cache_limit_gb: float | None = None
    device: str | None = None
    workers: int | None = None
    resume: bool = True
    keep_checkpoint: bool = False
    logs: str | Path | None = None
    quiet: bool = False

    def workers_or(self, default: int) -> int:
        """Return the number of workers, or the verb's default."""
        return default if self.workers is None else self.workers
