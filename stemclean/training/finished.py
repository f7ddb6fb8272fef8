"""Weights that a run has finished: whether they are those that are asked for, what their card says, where they go."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stemclean.errors import WeightsError
from stemclean.models import weights
from stemclean.training import checkpoints
from stemclean.training.processes import together

__all__ = ["found", "keep", "published"]


def found(
    output: Path,
    key: str,
    settings: Mapping[str, Any],
    card: Mapping[str, Any] | None,
    *,
    keep_checkpoint: bool = False,
) -> dict[str, Any] | None:
    """The card of weights that this very run has written, length and all; None where there are none.

    What the run did not come to any more, since it was killed, is done: the card beside the weights is written, and the
    checkpoint goes.

    Args:
        output: the ``.safetensors`` file.
        key: of the run: data, settings and start.
        settings: keys of the card with what they must say, such as ``recipe``.
        card: what is to be said in the card now (a licence, …).
        keep_checkpoint: leave it there, without the one before it.
    """
    try:
        written = weights.read_card(output)
    except WeightsError:
        return None
    same = all(written.get(name) == json.loads(json.dumps(value)) for name, value in settings.items())
    if written.get("run") != key or not same:
        return None
    wanted = {**written, **json.loads(json.dumps(dict(card or {})))}
    processes = together()
    if processes.is_main_process:
        until = output.stat().st_mtime
        checkpoints.remove(checkpoints.path_of(output, key), keep_last=keep_checkpoint, until=until)
        if wanted != written or not output.with_suffix(".json").exists():
            weights.write_card(output, wanted)
    processes.wait_for_everyone()
    return wanted


def keep(
    output: Path, model: nn.Module, card: dict[str, Any], *, dtype: torch.dtype, keep_checkpoint: bool = False
) -> None:
    """Write the weights of a training that is done, and take its checkpoint away; of several processes, one does.

    Args:
        output: the ``.safetensors`` file.
        card: with ``run``, the key of the run.
        dtype: of the floating-point tensors on disk.
        keep_checkpoint: leave it there, without the one before it.
    """
    processes = together()
    if processes.is_main_process:
        weights.save(output, model, card, dtype=dtype)
        checkpoints.remove(checkpoints.path_of(output, card["run"]), keep_last=keep_checkpoint)
    processes.wait_for_everyone()


def published(result: dict[str, Any], repo: str | None, *, quiet: bool = False) -> dict[str, Any]:
    """What a verb gives back, its weights pushed where that is asked for; of several processes, one pushes.

    Args:
        result: with ``output``, the file of weights.
        repo: ``ORG/REPO``; None: nothing is published.

    Returns:
        The same with ``published``, where the weights can be had from now on; without it, where nothing is published.

    Raises:
        WeightsError: the hub cannot be reached, or refuses. The weights stay.
    """
    if repo is None:
        return result
    if not together().is_main_process:
        return {**result, "published": f"hub:{repo}"}
    output = result["output"]
    try:
        return {**result, "published": weights.push(output, repo, quiet=quiet)}
    except WeightsError as error:
        hint = f"{error.hint}\nthe weights stay in {output}; the same command pushes them without training again"
        raise WeightsError(error.message, hint) from None
