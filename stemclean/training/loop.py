"""The training loop: steps, schedule, averaging, validation, checkpoints. It knows no task.

Runs on a CPU, a GPU or many (``accelerate launch`` or ``torchrun`` in front of the same command). The batch of a recipe
is that of all processes together, and a process may hear its share of it in parts: however a batch is shared out and
cut, its gradient is that of the whole, but for rounding and for what dropout draws.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Protocol

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
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
    """What is learned.

    A task may have a ``score_name``, under which the progress line shows the validation's ``score``; a state of its own
    (``state_dict``, ``load_state_dict``; plain numbers and lists), which is kept in the checkpoint; and a reason why
    its batches cannot be heard in parts, ``indivisible``, a sentence or None.
    """

    def batches(self, rank: int, start_step: int) -> Iterator[Batch]:
        """Endless batches: of each step from ``start_step`` on, the examples that are this process's.

        Every tensor of a batch has a row for each example.
        """

    def totals(self, batch: Batch) -> Totals:
        """What the losses are divided by (counts, sums of weights), of some of a step's examples; ``()`` each."""

    def losses(self, model: nn.Module, batch: Batch, totals: Totals | None = None) -> dict[str, Tensor]:
        """Named losses of some of a step's examples, as shares of the step's; the key ``loss`` is minimised.

        Args:
            totals: of all examples of the step; None: ``batch`` holds them all.
        """

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Named figures; ``score`` is the one to raise."""


_Decay = Annotated[float, Field(ge=0, lt=1)]


class LoopConfig(Settings):
    """How a model is fitted.

    Args:
        examples: how many are seen in all.
        batch_size: examples a step, over all processes.
        micro_batch_size: examples that a process hears at once; their gradients are added up until the step has all its
            examples, so that less memory is needed for the same step. 0: all that a process has of a step.
        learning_rate: AdamW's peak.
        warmup: share of the steps over which the rate rises.
        decay: share of the steps, at the end, over which it falls to zero along a cosine; constant in between, so that
            a run can be made longer or shorter without starting again.
        weight_decay: of matrices and kernels; biases and norms have none.
        ema: decay of the running mean of the weights, which is what is validated and kept; 0: none.
        betas, eps: of AdamW: decays of the means of the gradients and of their squares, and what is added to the
            root of the latter. (0.9, 0.999) and 1e-8 are those of Adam's own paper.
        clip: largest norm of the gradient; 0: any.
        validations: how often in all.
        precision: ``auto`` (bf16 where the machine has it), ``bf16`` or ``no``.
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
        """Optimiser steps in all."""
        return max(1, self.examples // self.batch_size)


@dataclass
class Progress:
    """What a fit came to.

    Args:
        step: steps done in all.
        best: the best validation; ``history``: all of them.
        seconds: spent in this call.
        wait_share: of the time of this call's steps, how much the model waited for batches, in [0, 1]; the first step,
            in which the workers start, does not count; None: too few steps to tell.
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
    resume: bool = True,
    quiet: bool = False,
    logs: Path | None = None,
) -> tuple[nn.Module, Progress]:
    """Train a model; the best average of its weights comes back.

    Progress stands on stderr: a bar on a terminal, elsewhere a line a minute, and a line at each validation.

    Args:
        checkpoint: file that a killed run goes on from; written at each validation and twice in between. The one before
            it is kept as well. See :func:`stemclean.training.checkpoints.remove`.
        run_key: differs where one run cannot go on from another's checkpoint.
        resume: go on from the last checkpoint, or from the one before it where that is damaged. What is damaged, and
            what is another run's, is set aside.
        logs: folder for TensorBoard; None: no logs.

    Returns:
        (the model with the weights that validated best, what happened)

    Raises:
        ConfigError: logs without TensorBoard.
    """
    AcceleratorState._reset_state()  # noqa: SLF001 - a second training in this process may want another precision
    process = processes.together()
    accelerator = Accelerator(
        mixed_precision=_precision(config.precision), cpu=processes.on_cpus(), **talk.logging(logs)
    )
    if accelerator.device.type == "cpu":
        keep_freed_memory()
    log = talk.Log(accelerator if logs else None)
    _check_batch(task, model, config, process.num_processes)
    model.to(accelerator.device)
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
        stack.callback(getattr(batches, "close", lambda: None))  # its workers end, whatever happens
        while run.step < config.steps:
            stopwatch.start()
            batch = tuple(part.to(accelerator.device, non_blocking=True) for part in next(batches))
            stopwatch.waited()
            losses = run.learn(task, batch, accelerator)
            stopwatch.stop()  # the loss was fetched: an accelerator is done with the step
            bar.update()
            bar.set_postfix(
                talk.shown(run.loss_mean, run.history, run.best, score_name, stopwatch.share), refresh=False
            )
            log.step(run.step, losses, run.learning_rate)
            at_validation = run.step % validate_every == 0 or run.step == config.steps
            if at_validation:
                run.note(_validated(task, run.average, accelerator))
                log.validation(run.step, run.history[-1])
            lines.tell(run.step, run.history[-1] if at_validation else {"loss": run.loss_mean}, at_once=at_validation)
            if (at_validation or run.step % max(1, validate_every // 3) == 0) and process.is_main_process:
                checkpoints.save(checkpoint, run.state(task), run_key)
    bar.close()
    log.close()
    if run.best_weights is not None:
        model.load_state_dict(run.best_weights)
    return model.cpu().eval(), Progress(run.step, run.best, run.history, time.monotonic() - began, stopwatch.share)


class _Run:
    """All that changes from step to step, and that a run which was broken off must know again.

    Args:
        model: on its device.
        config: how it is fitted.
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
        """Of the last step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def learn(self, task: Task, batch: Batch, accelerator: Accelerator) -> dict[str, Tensor]:
        """One step; the losses of its whole batch, over all processes.

        Raises:
            StemcleanError: the loss is no finite number; the model is as it was before the step.
        """
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * _schedule(self.step, config)
        self.model.train()
        losses = _gradients(task, self.model, batch, config.micro_batch_size, accelerator)
        loss = float(losses["loss"])
        if not math.isfinite(loss):
            raise StemcleanError(
                f"the loss of step {self.step + 1} is {loss}: nothing more would be learned",
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
        """Keep what a validation found, and the weights if none before were better."""
        figures = {"step": float(self.step), "loss": self.loss_mean, **figures}
        self.history.append(figures)
        if not self.best or figures["score"] >= self.best["score"]:
            self.best = figures
            self.best_weights = {k: v.cpu().clone() for k, v in self.average.module.state_dict().items()}

    def state(self, task: Task) -> dict[str, Any]:
        """What a checkpoint holds."""
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
        """What a checkpoint holds of the task, if anything."""
        return {"task": task.state_dict()} if hasattr(task, "state_dict") else {}

    def load(self, state: dict[str, Any], task: Task) -> None:
        """Take up where a checkpoint was written."""
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        for name in ("step", "best", "history", "best_weights"):
            setattr(self, name, state[name])
        self.loss_mean, self.num_losses = state.get("loss_mean", (0.0, 0))
        if "task" in state:
            task.load_state_dict(state["task"])  # type: ignore[attr-defined]


def _resumed(run: _Run, checkpoint: Path, run_key: str, task: Task) -> _Run:
    """A run where its newest good checkpoint was written; as it is where there is none."""
    begun = copy.deepcopy((run.model.state_dict(), run.task_state(task)))
    any_aside = False
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
            run = _restarted(run, task, *begun)
        any_aside = True
    if any_aside and processes.together().is_main_process:
        warn(f"the training goes on from step {run.step}" if run.step else "the training begins anew")
    return run


def _restarted(run: _Run, task: Task, weights: dict[str, Tensor], of_task: dict[str, Any]) -> _Run:
    """A run as it was before a checkpoint was half loaded."""
    run.model.load_state_dict(weights)
    if of_task:
        task.load_state_dict(of_task["task"])  # type: ignore[attr-defined]
    return _Run(run.model, run.config)


def _gradients(task: Task, model: nn.Module, batch: Batch, size: int, accelerator: Accelerator) -> dict[str, Tensor]:
    """Give every parameter the gradient of a step's whole batch; the batch's losses.

    Args:
        batch: this process's share.
        size: examples that are heard at once; 0: all.
    """
    parts = processes.parts(batch, size)
    totals = processes.add_up(_summed([task.totals(part) for part in parts]))
    told = []
    for part in parts:
        with accelerator.autocast():
            losses = task.losses(model, part, totals)
        losses["loss"].backward()
        told.append({name: loss.detach() for name, loss in losses.items()})
    processes.add_gradients(model.parameters())
    return processes.add_up(_summed(told))


def _summed(each: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Figures of the same names, added up."""
    return {name: torch.stack([figures[name] for figures in each]).sum(0) for name in each[0]}


def _check_batch(task: Task, model: nn.Module, config: LoopConfig, num_processes: int) -> None:
    """Refuse a batch that cannot be shared out, or not be heard in parts as if it were whole."""
    largest = max(len(processes.share(config.batch_size, rank, num_processes)) for rank in range(num_processes))
    if not 0 < config.micro_batch_size < largest:
        return
    reason = getattr(task, "indivisible", None)
    if reason is None and batch_norms(model):
        reason = "the model has batch norms, which take their statistics over all examples of a step"
    if reason:
        raise ConfigError(
            f"loop.micro_batch_size is {config.micro_batch_size}, but {reason}",
            "leave it out; a smaller loop.batch_size or several GPUs need less memory as well",
        )


def _validated(task: Task, average: AveragedModel, accelerator: Accelerator) -> dict[str, float]:
    average.module.eval()
    with accelerator.autocast():
        if hear := getattr(task, "hear", None):
            measure_norms(average.module, partial(_heard, task, accelerator), partial(hear, average.module))
    with torch.inference_mode(), accelerator.autocast():
        figures = task.validate(average.module)
    found: dict[str, float] = processes.of_the_first(figures)  # all of them keep the same weights
    return found


def _heard(task: Task, accelerator: Accelerator) -> Iterator[Batch]:
    """The first batches of the run; of each, this process's share."""
    for batch in task.batches(processes.together().process_index, 0):
        yield tuple(part.to(accelerator.device) for part in batch)


def _moving(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """Exponential mean that starts as a plain one, so that short runs are not held back by their first steps."""

    def update(mean: Tensor, value: Tensor, count: Tensor | int) -> Tensor:
        return mean + (value - mean) * max(1 - decay, 9 / (10 + int(count)))

    return update


def _schedule(step: int, config: LoopConfig) -> float:
    """Factor on the learning rate: linear rise, plateau, cosine fall."""
    done = step / config.steps
    if done < config.warmup:
        return (step + 1) / (config.steps * config.warmup + 1)
    if done > 1 - config.decay:
        return 0.5 + 0.5 * math.cos(math.pi * (done - 1 + config.decay) / config.decay)
    return 1.0


def _parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    plain = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]


def _precision(asked: str) -> str:
    if asked != "auto":
        return asked
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "no"
    return "bf16" if torch.backends.cpu.get_cpu_capability() == "AVX512" and _cpu_has_bf16() else "no"


def _cpu_has_bf16() -> bool:
    """Native bf16 arithmetic on this CPU; without it autocast is slower than float32."""
    return bool(
        getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
        or getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)()
    )
