"""Progress of a training: a bar or lines on stderr, and TensorBoard logs."""

from __future__ import annotations

import sys
import time
from importlib.util import find_spec
from pathlib import Path

from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor
from tqdm import tqdm

from stemclean.errors import ConfigError
from stemclean.training.processes import on_cpus

__all__ = ["Lines", "Log", "Stopwatch", "check_logs", "shown"]

TELL_EVERY = 60.0
"""Seconds between two progress lines if stderr is not a terminal."""

LOG_EVERY = 10
"""Steps between two entries of the TensorBoard logs."""


class Lines:
    """Progress lines on stderr, such as ``step 120 of 1600  loss 0.213  score 0.87  25:10 left``.

    Args:
        first: Step at which this call begins.
        steps: Total number of steps.
        talks: Whether to write anything.
        has_bar: Whether a progress bar is shown; then only the lines that are due at once are written.
    """

    def __init__(self, first: int, steps: int, *, talks: bool, has_bar: bool) -> None:
        self._first, self._steps, self._talks, self._has_bar = first, steps, talks, has_bar
        self._began = self._last_line = time.monotonic()

    def tell(self, step: int, figures: dict[str, float], *, at_once: bool) -> None:
        """Write a line if one is due, or in any case with ``at_once``."""
        now = time.monotonic()
        if not self._talks or not (at_once or (not self._has_bar and now - self._last_line >= TELL_EVERY)):
            return
        self._last_line = now
        seconds_left = (now - self._began) / (step - self._first) * (self._steps - step)
        columns = [f"{key} {value:.4g}" for key, value in figures.items() if key != "step"]
        line = "  ".join([f"step {step} of {self._steps}", *columns, f"{tqdm.format_interval(seconds_left)} left"])
        tqdm.write(line, file=sys.stderr)


def check_logs(folder: str | Path | None) -> None:
    """Check that logs can be written, if a folder for them is given.

    Raises:
        ConfigError: TensorBoard is not installed.
    """
    if folder is not None and not find_spec("tensorboard"):
        raise ConfigError("logs need TensorBoard, which is not installed", "pip install 'stemclean[tensorboard]'")


class Log:
    """TensorBoard logs of a run in a folder; without one, nothing is logged.

    Raises:
        ConfigError: TensorBoard is not installed.
    """

    def __init__(self, folder: str | Path | None) -> None:
        self._accelerator: Accelerator | None = None
        if folder is not None:
            check_logs(folder)
            AcceleratorState._reset_state()  # noqa: SLF001 - it may have been made with another precision
            self._accelerator = Accelerator(
                mixed_precision="no", cpu=on_cpus(), log_with="tensorboard", project_dir=folder
            )
            self._accelerator.init_trackers("")

    def step(self, step: int, losses: dict[str, Tensor], learning_rate: float) -> None:
        """Log the losses of every tenth step."""
        if self._accelerator is not None and step % LOG_EVERY == 0:
            figures = {f"train/{name}": float(value.detach()) for name, value in losses.items()}
            self._accelerator.log({**figures, "train/learning_rate": learning_rate}, step)

    def validation(self, step: int, figures: dict[str, float]) -> None:
        """Log the figures of a validation."""
        if self._accelerator is not None:
            self._accelerator.log({f"validation/{name}": value for name, value in figures.items()}, step)

    def close(self) -> None:
        """Write what is buffered. Unlike ``Accelerator.end_training``, this keeps the processes connected."""
        if self._accelerator is not None:
            for tracker in self._accelerator.trackers:
                tracker.finish()


class Stopwatch:
    """Measures the share of the step time that was spent waiting for batches."""

    def __init__(self) -> None:
        self._began = self._got = 0.0
        self._waiting = self._stepping = 0.0
        self._steps = 0

    def start(self) -> None:
        """Start a step."""
        self._began = time.perf_counter()

    def waited(self) -> None:
        """Note that the batch of the step has arrived."""
        self._got = time.perf_counter()

    def stop(self) -> None:
        """End the step."""
        self._steps += 1
        if self._steps > 1:  # the workers start in the first step
            self._waiting += self._got - self._began
            self._stepping += time.perf_counter() - self._began

    @property
    def share(self) -> float | None:
        """Share of the time spent waiting, in [0, 1]; None before the second step."""
        return self._waiting / self._stepping if self._stepping else None


def shown(
    loss: float, history: list[dict[str, float]], best: dict[str, float], score_name: str, wait_share: float | None
) -> dict[str, str]:
    """Return the figures that the progress bar shows."""
    figures = {"loss": f"{loss:.4f}"}
    if history:
        figures |= {score_name: f"{history[-1]['score']:.3f}", "best": f"{best['score']:.3f}"}
    if wait_share is not None:
        figures["wait"] = f"{wait_share:.0%}"
    return figures
