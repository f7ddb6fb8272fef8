"""The training loop: steps, schedule, weight averaging, validation and checkpoints, for any task.

It runs on a CPU, a GPU or several (put ``accelerate launch`` or ``torchrun`` before the command). The batch size of a
recipe is that of all processes together, and a process may split its share into micro-batches. However a batch is
split, its gradient is that of the whole batch, except for rounding and dropout.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Protocol

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from stemclean.errors import ConfigError, StemcleanError
from stemclean.progress import warn
from stemclean.settings import WHOLE, Chance, Count, Settings
from stemclean.training import checkpoints, processes, talk
from stemclean.training.memory import keep_freed_memory
from stemclean.training.norms import batch_norms, measure_norms, share_norms

__all__ = ["LoopConfig", "Progress", "Task", "Totals", "fit"]

Batch = tuple[Tensor, ...]
Totals = dict[str, Tensor]


class Task(Protocol):
    """A training task: its batches, losses and validation.

    A task may also have:

    * ``score_name``: the name of the validation's ``score`` in the progress bar;
    * ``state_dict`` and ``load_state_dict``: a state of plain numbers and lists, which is saved in the checkpoint;
    * ``indivisible``: the reason why its batches cannot be split into micro-batches (a clause), or None;
    * ``forward(model, batch)``: runs the model on a batch, to measure the statistics of its batch norms.
    """

    def batches(self, rank: int, start_step: int) -> Iterator[Batch]:
        """Yield this process's share of the batch of every step, from ``start_step`` on, without end.

        Every tensor of a batch has one row per example.
        """

    def totals(self, batch: Batch) -> Totals:
        """Return the divisors of the losses (counts, sums of weights) over the given examples; ``()`` each."""

    def losses(self, model: nn.Module, batch: Batch, totals: Totals | None = None) -> dict[str, Tensor]:
        """Return the named losses of some examples as shares of the whole step's; ``loss`` is minimised.

        Args:
            model: The model.
            batch: Examples of the step.
            totals: Totals over all examples of the step (None: ``batch`` holds all of them).
        """

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Return named validation figures; a higher ``score`` is better."""


_Decay = Annotated[float, Field(ge=0, lt=1)]


class LoopConfig(Settings):
    """Settings of the training loop.

    Args:
        examples: Number of examples of the whole training.
        batch_size: Examples per step, over all processes.
        micro_batch_size: Examples that a process runs at a time; their gradients are accumulated, so that the same step
            needs less memory. 0: the process's whole share of the step.
        learning_rate: Peak learning rate of AdamW.
        warmup: Share of the steps over which the learning rate rises.
        decay: Share of the steps, at the end, over which it falls to zero along a cosine. It is constant in between, so
            that a run can be made longer or shorter without starting again.
        weight_decay: Weight decay of matrices and kernels; biases and norms have none.
        ema: Decay of the moving average of the weights, which is validated and saved; 0: no averaging.
        betas: Betas of AdamW; those of the Adam paper are (0.9, 0.999).
        eps: Epsilon of AdamW; that of the Adam paper is 1e-8.
        clip: Maximum norm of the gradient; 0: no clipping.
        validations: Number of validations of the whole training.
        precision: ``auto`` (bf16 if the hardware supports it), ``bf16`` or ``no``.
    """

    section: ClassVar[str] = "loop"

    examples: Annotated[int, Field(ge=1, le=10**12), WHOLE] = 100_000
    batch_size: Count = 64
    micro_batch_size: Annotated[int, Field(ge=0, le=1_000_000), WHOLE] = 0
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 1e-3
    warmup: Chance = 0.02
    decay: Chance = 0.3
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.05
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.999
    betas: tuple[_Decay, _Decay] = (0.9, 0.98)
    eps: Annotated[float, Field(gt=0, le=1)] = 1e-8
    clip: Annotated[float, Field(ge=0, le=1e9)] = 1.0
    validations: Count = 10
    precision: Literal["auto", "bf16", "no"] = "auto"

    @property
    def steps(self) -> int:
        """Total number of optimiser steps."""
        return max(1, self.examples // self.batch_size)


@dataclass
class Progress:
    """The result of a fit.

    Args:
        step: Number of steps done, including those of resumed runs.
        best: Figures of the best validation.
        history: Figures of all validations.
        seconds: Duration of this call.
        wait_share: Share of this call's step time spent waiting for batches, in [0, 1]. The first step, in which the
            workers start, does not count; None: there was no other.
    """

    step: int
    best: dict[str, float]
    history: list[dict[str, float]]
    seconds: float
    wait_share: float | None = None


def fit(
    task: Task,
    model: nn.Module,
    config: LoopConfig,
    checkpoint: Path,
    *,
    run_key: str = "",
    device: torch.device | None = None,
    resume: bool = True,
    quiet: bool = False,
    logs: str | Path | None = None,
) -> tuple[nn.Module, Progress]:
    """Train a model and return it with the averaged weights that validated best.

    Progress is written to stderr: a bar on a terminal, otherwise a line per minute; and a line per validation.

    Args:
        task: Batches, losses and validation.
        model: The model to train.
        config: Settings of the loop.
        checkpoint: Checkpoint file, written at each validation and twice in between. The previous checkpoint is kept as
            well, see :func:`stemclean.training.checkpoints.remove`.
        run_key: Key of the run. Runs with different keys cannot resume from each other's checkpoints.
        device: Device to train on; None: see :func:`stemclean.training.processes.place`.
        resume: Resume from the last checkpoint, or from the previous one if the last is damaged. Checkpoints that are
            damaged or belong to another run are renamed.
        quiet: Show no progress.
        logs: Folder for TensorBoard logs; None: no logs.

    Returns:
        The model on the CPU in evaluation mode, and the result of the fit.

    Raises:
        ConfigError: Logs are requested but TensorBoard is not installed, or the batch cannot be split.
        StemcleanError: The loss is not finite, or a worker process was killed.
    """
    place = Place.of(device or processes.place(None), config.precision)
    process = processes.together()
    if place.device.type == "cpu":
        keep_freed_memory()
    log = talk.Log(logs)
    _check_batch(task, model, config, process.num_processes)
    model.to(place.device)
    if process.num_processes > 1:
        share_norms(model)
    run = _Run(model, config)
    if resume:
        run = _resumed(run, checkpoint, run_key, task)
    validate_every = max(1, config.steps // config.validations)
    began = time.monotonic()
    talks = process.is_main_process and not quiet
    bar = tqdm(total=config.steps, initial=run.step, desc="train", unit="step", disable=None if talks else True)
    lines = talk.Lines(run.step, config.steps, talks=talks, has_bar=not bar.disable)
    score_name = getattr(task, "score_name", "score")
    stopwatch = talk.Stopwatch()
    batches = task.batches(process.process_index, run.step)
    with ExitStack() as stack:
        stack.callback(getattr(batches, "close", lambda: None))  # ends its workers, also after an error
        stack.enter_context(place.current())
        while run.step < config.steps:
            stopwatch.start()
            batch = place.moved(next(batches))
            stopwatch.waited()
            losses = run.learn(task, batch, place)
            stopwatch.stop()  # learn() fetched the loss, so the accelerator has finished the step
            bar.update()
            bar.set_postfix(
                talk.shown(run.loss_mean, run.history, run.best, score_name, stopwatch.share), refresh=False
            )
            log.step(run.step, losses, run.learning_rate)
            at_validation = run.step % validate_every == 0 or run.step == config.steps
            if at_validation:
                run.note(_validated(task, run.average, place))
                log.validation(run.step, run.history[-1])
            lines.tell(run.step, run.history[-1] if at_validation else {"loss": run.loss_mean}, at_once=at_validation)
            if (at_validation or run.step % max(1, validate_every // 3) == 0) and process.is_main_process:
                checkpoints.save(checkpoint, run.state(task), run_key)
    bar.close()
    log.close()
    if run.best_weights is not None:
        model.load_state_dict(run.best_weights)
    return model.cpu().eval(), Progress(run.step, run.best, run.history, time.monotonic() - began, stopwatch.share)


@dataclass(frozen=True)
class Place:
    """Where a training runs.

    Args:
        device: Device of the model.
        bf16: Whether to use mixed precision.
    """

    device: torch.device
    bf16: bool = False

    @classmethod
    def of(cls, device: torch.device, precision: str) -> Place:
        """Return the place with the precision of a :class:`LoopConfig`; ``auto`` depends on the device."""
        return cls(device, precision == "bf16" or (precision == "auto" and _has_bf16(device)))

    def autocast(self) -> AbstractContextManager[Any]:
        """Run the operations of a block in mixed precision, if that is chosen."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else nullcontext()

    def current(self) -> AbstractContextManager[Any]:
        """Make a GPU the current one in a block, so that no memory is taken on another."""
        return torch.cuda.device(self.device) if self.device.type == "cuda" else nullcontext()

    def moved(self, batch: Batch) -> Batch:
        """Return a batch on the device."""
        if self.device.type != "cuda":
            return tuple(part.to(self.device) for part in batch)
        return tuple(part.pin_memory().to(self.device, non_blocking=True) for part in batch)


class _Run:
    """The state of a run, which changes from step to step and is saved in checkpoints.

    Args:
        model: The model, on its device.
        config: Settings of the loop.
    """

    def __init__(self, model: nn.Module, config: LoopConfig) -> None:
        self.model, self.config = model, config
        groups = _parameter_groups(model, config.weight_decay)
        self.optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, eps=config.eps)
        self.average = AveragedModel(model, avg_fn=_moving(config.ema))
        self.step = 0
        self.best: dict[str, float] = {}
        self.history: list[dict[str, float]] = []
        self.best_weights: dict[str, Tensor] | None = None
        self.loss_mean, self.num_losses = 0.0, 0

    @property
    def learning_rate(self) -> float:
        """Learning rate of the last step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def learn(self, task: Task, batch: Batch, place: Place) -> dict[str, Tensor]:
        """Do one step; returns the losses of its whole batch, over all processes.

        Raises:
            StemcleanError: The loss is not finite. The model is unchanged by this step.
        """
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * group["scale"] * _schedule(self.step, config)
        self.model.train()
        losses = _gradients(task, self.model, batch, config.micro_batch_size, place)
        loss = float(losses["loss"])
        if not math.isfinite(loss):
            raise StemcleanError(
                f"training diverged: the loss of step {self.step + 1} is {loss}",
                "try a lower loop.learning_rate, or loop.precision=no",
            )
        if config.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), config.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        if self.step > config.steps * config.warmup:
            self.average.update_parameters(self.model)
        self.num_losses = min(self.num_losses + 1, 100)
        self.loss_mean += (loss - self.loss_mean) / self.num_losses
        return losses

    def note(self, figures: dict[str, float]) -> None:
        """Record the figures of a validation, and the weights if they are the best so far."""
        figures = {"step": float(self.step), "loss": self.loss_mean, **figures}
        self.history.append(figures)
        if not self.best or figures["score"] >= self.best["score"]:
            self.best = figures
            self.best_weights = {k: v.cpu().clone() for k, v in self.average.module.state_dict().items()}

    def state(self, task: Task) -> dict[str, Any]:
        """Return the content of a checkpoint."""
        return {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            **self.task_state(task),
            **{name: getattr(self, name) for name in ("step", "best", "history", "best_weights")},
            "loss_mean": (self.loss_mean, self.num_losses),
        }

    @staticmethod
    def task_state(task: Task) -> dict[str, Any]:
        """Return the task's part of a checkpoint; empty if it has no state."""
        return {"task": task.state_dict()} if hasattr(task, "state_dict") else {}

    def load(self, state: dict[str, Any], task: Task) -> None:
        """Restore the state from a checkpoint."""
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        for name in ("step", "best", "history", "best_weights"):
            setattr(self, name, state[name])
        self.loss_mean, self.num_losses = state.get("loss_mean", (0.0, 0))
        if "task" in state:
            task.load_state_dict(state["task"])  # type: ignore[attr-defined]


def _resumed(run: _Run, checkpoint: Path, run_key: str, task: Task) -> _Run:
    """Return the run restored from its newest valid checkpoint; unchanged if there is none."""
    initial = copy.deepcopy((run.model.state_dict(), run.task_state(task)))
    any_damaged = False
    for path in checkpoints.newest_first(checkpoint):
        try:
            run.load(checkpoints.read(path, run_key), task)
            break
        except FileNotFoundError:
            continue
        except checkpoints.DamagedError as error:
            checkpoints.set_aside(path, str(error))
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError):
            checkpoints.set_aside(path, "another version of stemclean wrote it")
            run = _restarted(run, task, *initial)
        any_damaged = True
    if any_damaged and processes.together().is_main_process:
        warn(f"training resumes from step {run.step}" if run.step else "training restarts from the beginning")
    return run


def _restarted(run: _Run, task: Task, weights: dict[str, Tensor], task_state: dict[str, Any]) -> _Run:
    """Return the run as it was before a checkpoint was partly loaded."""
    run.model.load_state_dict(weights)
    if task_state:
        task.load_state_dict(task_state["task"])  # type: ignore[attr-defined]
    return _Run(run.model, run.config)


def _gradients(task: Task, model: nn.Module, batch: Batch, size: int, place: Place) -> dict[str, Tensor]:
    """Compute the gradient of a step's whole batch, over all processes; returns its losses.

    Args:
        task: The task.
        model: The model, whose parameters get the gradient.
        batch: This process's share of the batch.
        size: Examples per micro-batch; 0: all.
        place: For mixed precision.
    """
    parts = processes.parts(batch, size)
    totals = processes.add_up(_summed([task.totals(part) for part in parts]))
    losses_of_parts = []
    for part in parts:
        with place.autocast():
            losses = task.losses(model, part, totals)
        losses["loss"].backward()
        losses_of_parts.append({name: loss.detach() for name, loss in losses.items()})
    processes.add_gradients(model.parameters())
    return processes.add_up(_summed(losses_of_parts))


def _summed(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Sum figures by name over parts."""
    return {name: torch.stack([figures[name] for figures in parts]).sum(0) for name in parts[0]}


def _check_batch(task: Task, model: nn.Module, config: LoopConfig, num_processes: int) -> None:
    """Refuse a batch that cannot be shared among the processes, or split into micro-batches.

    Raises:
        ConfigError: There are fewer examples than processes, or micro-batches would change the result.
    """
    largest = max(len(processes.share(config.batch_size, rank, num_processes)) for rank in range(num_processes))
    if not 0 < config.micro_batch_size < largest:
        return
    reason = getattr(task, "indivisible", None)
    if reason is None and batch_norms(model):
        reason = "the model has batch norms, whose statistics are computed over all examples of a step"
    if reason:
        raise ConfigError(
            f"loop.micro_batch_size is {config.micro_batch_size}, but {reason}",
            "leave it out; to save memory, lower loop.batch_size or use several GPUs",
        )


def _validated(task: Task, average: AveragedModel, place: Place) -> dict[str, float]:
    average.module.eval()
    with place.autocast():
        if forward := getattr(task, "forward", None):
            measure_norms(average.module, partial(_first_batches, task, place), partial(forward, average.module))
    with torch.inference_mode(), place.autocast():
        figures = task.validate(average.module)
    shared: dict[str, float] = processes.from_first(figures)  # so that all processes choose the same best weights
    return shared


def _first_batches(task: Task, place: Place) -> Iterator[Batch]:
    """Yield this process's share of the batches from the first step of the run on."""
    for batch in task.batches(processes.together().process_index, 0):
        yield place.moved(batch)


def _moving(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """Return the update of an exponential moving average.

    It starts as a plain mean, so that the first steps do not dominate the average of a short run.
    """

    def update(mean: Tensor, value: Tensor, count: Tensor | int) -> Tensor:
        return mean + (value - mean) * max(1 - decay, 9 / (10 + int(count)))

    return update


def _schedule(step: int, config: LoopConfig) -> float:
    """Return the factor on the learning rate: linear warm-up, plateau, cosine decay."""
    progress = step / config.steps
    if progress < config.warmup:
        return (step + 1) / (config.steps * config.warmup + 1)
    if progress > 1 - config.decay:
        return 0.5 + 0.5 * math.cos(math.pi * (progress - 1 + config.decay) / config.decay)
    return 1.0


def _parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return the groups of the optimiser; ``scale`` is a group's share of the learning rate.

    A model says the share of each parameter by a method ``learning_rate_scale(name)``; without it, all have 1.
    """
    scale_of: Callable[[str], float] = getattr(model, "learning_rate_scale", lambda _: 1.0)
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {(True, 1.0): [], (False, 1.0): []}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((parameter.ndim > 1, scale_of(name)), []).append(parameter)
    return [
        {"params": parameters, "weight_decay": weight_decay if decayed else 0.0, "scale": scale}
        for (decayed, scale), parameters in groups.items()
    ]


def _has_bf16(device: torch.device) -> bool:
    """Return whether a device has native bf16 arithmetic."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    if device.type != "cpu":
        return False
    return torch.backends.cpu.get_cpu_capability() == "AVX512" and _cpu_has_bf16()


def _cpu_has_bf16() -> bool:
    """Return whether this CPU has native bf16 arithmetic; without it autocast is slower than float32."""
    return bool(
        getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
        or getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)()
    )
