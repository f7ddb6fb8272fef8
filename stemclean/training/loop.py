"""The training loop: steps, schedule, averaging, validation, checkpoints. It knows no task.

Runs on a CPU, a GPU or many through Accelerate (``accelerate launch`` or ``torchrun`` in front of the same command).
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from stemclean.errors import ConfigError

__all__ = ["LoopConfig", "Progress", "Task", "fit"]

Batch = tuple[Tensor, ...]


class Task(Protocol):
    """What is learned."""

    def batches(self, rank: int, start_step: int) -> Iterator[Batch]:
        """Endless batches for one process; ``start_step`` lets a resumed run see new ones."""

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Named losses; the key ``loss`` is minimised."""

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Named figures; ``score`` is the one to raise."""


@dataclass(frozen=True)
class LoopConfig:
    """How a model is fitted.

    Args:
        examples: how many are seen in all.
        batch_size: examples a step, over all processes.
        learning_rate: AdamW's peak.
        warmup: share of the steps over which the rate rises.
        decay: share of the steps, at the end, over which it falls to zero along a cosine; constant in between, so that
            a run can be made longer or shorter without starting again.
        weight_decay: of matrices and kernels; biases and norms have none.
        ema: decay of the running mean of the weights, which is what is validated and kept; 0: none.
        clip: largest norm of the gradient.
        validations: how often in all.
        precision: ``auto`` (bf16 where the machine has it), ``bf16`` or ``no``.
    """

    examples: int = 100_000
    batch_size: int = 64
    learning_rate: float = 1e-3
    warmup: float = 0.02
    decay: float = 0.3
    weight_decay: float = 0.05
    ema: float = 0.999
    clip: float = 1.0
    validations: int = 10
    precision: str = "auto"

    def __post_init__(self) -> None:
        for name in ("examples", "batch_size", "validations"):
            if getattr(self, name) < 1:
                raise ConfigError(f"loop.{name} is {getattr(self, name)}", "give 1 at least")

    @property
    def steps(self) -> int:
        """Optimiser steps in all."""
        return max(1, self.examples // self.batch_size)


@dataclass
class Progress:
    """What a fit came to: the best validation, the steps done and seconds spent in this call."""

    step: int
    best: dict[str, float]
    history: list[dict[str, float]]
    seconds: float


def fit(
    task: Task, model: nn.Module, config: LoopConfig, checkpoint: Path, *, resume: bool = True, quiet: bool = False
) -> tuple[nn.Module, Progress]:
    """Train a model; the best average of its weights comes back.

    Args:
        checkpoint: file that a killed run goes on from; written at each validation and twice in between.
        resume: go on from it where it exists.

    Returns:
        (the model with the weights that validated best, what happened)
    """
    AcceleratorState._reset_state()  # noqa: SLF001 - a second training in this process may want another precision
    accelerator = Accelerator(mixed_precision=_precision(config.precision))
    optimizer = torch.optim.AdamW(
        _parameter_groups(model, config.weight_decay), lr=config.learning_rate, betas=(0.9, 0.98)
    )
    average = AveragedModel(model, avg_fn=_moving(config.ema)).to(accelerator.device)
    step, best, history, best_weights = 0, {}, [], None
    if resume and checkpoint.exists():
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        step, best, history, best_weights = state["step"], state["best"], state["history"], state["best_weights"]
    model, optimizer = accelerator.prepare(model, optimizer)
    validate_every = max(1, config.steps // config.validations)
    began = time.monotonic()
    bar = tqdm(
        total=config.steps,
        initial=step,
        desc="train",
        unit="step",
        disable=True if quiet or not accelerator.is_main_process else None,
    )
    batches = task.batches(accelerator.process_index, step)
    loss_mean, first = 0.0, step
    while step < config.steps:
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * _schedule(step, config)
        batch = tuple(part.to(accelerator.device, non_blocking=True) for part in next(batches))
        model.train()
        with accelerator.autocast():
            losses = task.losses(model, batch)
        accelerator.backward(losses["loss"])
        accelerator.clip_grad_norm_(model.parameters(), config.clip)
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        if step > config.steps * config.warmup:
            average.update_parameters(accelerator.unwrap_model(model))
        loss_mean += (float(losses["loss"].detach()) - loss_mean) / min(step - first, 100)
        bar.update()
        bar.set_postfix(
            loss=f"{loss_mean:.4f}", **{k: f"{v:.3f}" for k, v in best.items() if k == "score"}, refresh=False
        )
        at_validation = step % validate_every == 0 or step == config.steps
        if at_validation:
            figures = {"step": float(step), "loss": loss_mean, **_validated(task, average, accelerator)}
            history.append(figures)
            if not best or figures["score"] >= best["score"]:
                best, best_weights = figures, {k: v.cpu().clone() for k, v in average.module.state_dict().items()}
            if accelerator.is_main_process and not quiet:
                bar.write("  ".join(f"{key} {value:.4g}" for key, value in figures.items()))
        if (at_validation or step % max(1, validate_every // 3) == 0) and accelerator.is_main_process:
            plain = accelerator.unwrap_model(model)
            state = {"model": plain.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict()}
            _save(checkpoint, {**state, "step": step, "best": best, "history": history, "best_weights": best_weights})
    bar.close()
    plain = accelerator.unwrap_model(model)
    if best_weights is not None:
        plain.load_state_dict(best_weights)
    accelerator.end_training()
    return plain.cpu().eval(), Progress(step, best, history, time.monotonic() - began)


def _validated(task: Task, average: AveragedModel, accelerator: Accelerator) -> dict[str, float]:
    average.module.eval()
    with torch.inference_mode(), accelerator.autocast():
        return task.validate(average.module)


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


def _save(path: Path, state: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    torch.save(state, temporary)
    os.replace(temporary, path)
