"""What a training tells of itself while it runs: a bar or lines on stderr, and logs for TensorBoard."""

from __future__ import annotations

import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import Tensor
from tqdm import tqdm

from stemclean.errors import ConfigError

__all__ = ["Lines", "Log", "Stopwatch", "logging", "shown"]

TELL_EVERY = 60.0
"""Seconds between two lines of progress where no terminal shows a bar."""

LOG_EVERY = 10
"""Steps from one line of the logs to the next."""


class Lines:
    """Progress in lines on stderr, as ``step 120 of 1600  loss 0.213  score 0.87  25:10 left``."""

    def __init__(self, first: int, steps: int, *, talks: bool, has_bar: bool) -> None:
        self._first, self._steps, self._talks, self._has_bar = first, steps, talks, has_bar
        self._began = self._told = time.monotonic()

    def tell(self, step: int, figures: dict[str, float], *, at_once: bool) -> None:
        """A line, if it is time for one, or in any case."""
        now = time.monotonic()
        if not self._talks or not (at_once or (not self._has_bar and now - self._told >= TELL_EVERY)):
            return
        self._told = now
        left = (now - self._began) / (step - self._first) * (self._steps - step)
        told = [f"{key} {value:.4g}" for key, value in figures.items() if key != "step"]
        line = "  ".join([f"step {step} of {self._steps}", *told, f"{tqdm.format_interval(left)} left"])
        tqdm.write(line, file=sys.stderr)


def logging(folder: Path | None) -> dict[str, Any]:
    """What an accelerator must know for logs in a folder."""
    if folder is None:
        return {}
    if not find_spec("tensorboard"):
        raise ConfigError("logs need TensorBoard, which is not installed", "pip install 'stemclean[tensorboard]'")
    return {"log_with": "tensorboard", "project_dir": folder}


class Log:
    """Figures of a run for TensorBoard; of no accelerator: none."""

    def __init__(self, accelerator: Accelerator | None) -> None:
        self._accelerator = accelerator
        if accelerator is not None:
            accelerator.init_trackers("")

    def step(self, step: int, losses: dict[str, Tensor], learning_rate: float) -> None:
        """What a step came to, now and then."""
        if self._accelerator is not None and step % LOG_EVERY == 0:
            figures = {f"train/{name}": float(value.detach()) for name, value in losses.items()}
            self._accelerator.log({**figures, "train/learning_rate": learning_rate}, step)

    def validation(self, step: int, figures: dict[str, float]) -> None:
        """What a validation found."""
        if self._accelerator is not None:
            self._accelerator.log({f"validation/{name}": value for name, value in figures.items()}, step)

    def close(self) -> None:
        """Write what is left; the processes stay connected, as ``Accelerator.end_training`` would not leave them."""
        if self._accelerator is not None:
            for tracker in self._accelerator.trackers:
                tracker.finish()


class Stopwatch:
    """How much of the steps' time was spent on waiting for batches."""

    def __init__(self) -> None:
        self._began = self._got = 0.0
        self._waiting = self._stepping = 0.0
        self._steps = 0

    def start(self) -> None:
        """A step begins."""
        self._began = time.perf_counter()

    def waited(self) -> None:
        """Its batch is there."""
        self._got = time.perf_counter()

    def stop(self) -> None:
        """It is done."""
        self._steps += 1
        if self._steps > 1:  # in the first step the workers start
            self._waiting += self._got - self._began
            self._stepping += time.perf_counter() - self._began

    @property
    def share(self) -> float | None:
        """In [0, 1]; None: too few steps to tell."""
        return self._waiting / self._stepping if self._stepping else None


def shown(
    loss: float, history: list[dict[str, float]], best: dict[str, float], score_name: str, wait_share: float | None
) -> dict[str, str]:
    """What the progress bar says after the counts."""
    told = {"loss": f"{loss:.4f}"}
    if history:
        told |= {score_name: f"{history[-1]['score']:.3f}", "best": f"{best['score']:.3f}"}
    if wait_share is not None:
        told["wait"] = f"{wait_share:.0%}"
    return told
