"""Finished weights: find those of an earlier run, write new ones, push them to the hub."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stemclean.errors import WeightsError
from stemclean.models import addresses, devices, hub, weights
from stemclean.running import Running
from stemclean.training import checkpoints
from stemclean.training.processes import together
from stemclean.training.talk import check_logs

__all__ = ["check", "find", "keep", "published"]


def check(output: str | Path, repo: str | None, running: Running) -> None:
    """Check before the work what a training needs after it, and its device.

    Args:
        output: The file to write.
        repo: ``ORG/REPO`` to push the weights to (None: push nothing).
        running: How to run.

    Raises:
        ConfigError: The output is no file of weights, the device does not exist, or TensorBoard is missing.
        WeightsError: The hub does not know the user, or the name of the repository is invalid.
    """
    addresses.check_output(output)
    devices.check(running.device)
    check_logs(running.logs)
    if repo is not None:
        hub.check_publishing(repo)


def find(
    output: Path,
    key: str,
    settings: Mapping[str, Any],
    card: Mapping[str, Any] | None,
    *,
    keep_checkpoint: bool = False,
) -> dict[str, Any] | None:
    """Return the card of the weights if the same run, of the same length, has already written them; otherwise None.

    If that run was killed before its last steps, they are done now: write the card beside the weights, delete the
    checkpoint.

    Args:
        output: The ``.safetensors`` file.
        key: Key of the run (data, settings and initial weights).
        settings: Entries that the card must have, such as ``recipe``.
        card: Additional entries of the card, which are updated (a licence, …).
        keep_checkpoint: Keep the last checkpoint; the previous one is deleted.
    """
    try:
        written = weights.read_card(output)
    except WeightsError:
        return None
    same = all(written.get(name) == json.loads(json.dumps(value)) for name, value in settings.items())
    if written.get("run") != key or not same:
        return None
    updated = {**written, **json.loads(json.dumps(dict(card or {})))}
    processes = together()
    if processes.is_main_process:
        until = output.stat().st_mtime
        checkpoints.remove(checkpoints.path_of(output, key), keep_last=keep_checkpoint, until=until)
        if updated != written or not output.with_suffix(".json").exists():
            weights.write_card(output, updated)
    processes.wait_for_everyone()
    return updated


def keep(
    output: Path, model: nn.Module, card: dict[str, Any], *, dtype: torch.dtype, keep_checkpoint: bool = False
) -> None:
    """Write the weights of a finished run and delete its checkpoint; only the main process does.

    Args:
        output: The ``.safetensors`` file.
        model: The trained model.
        card: The card; its ``run`` is the key of the run.
        dtype: Data type of the floating-point tensors on disk.
        keep_checkpoint: Keep the last checkpoint; the previous one is deleted.
    """
    processes = together()
    if processes.is_main_process:
        weights.save(output, model, card, dtype=dtype)
        checkpoints.remove(checkpoints.path_of(output, card["run"]), keep_last=keep_checkpoint)
    processes.wait_for_everyone()


def published(result: dict[str, Any], repo: str | None, *, quiet: bool = False) -> dict[str, Any]:
    """Push the weights of a result to the hub if a repository is given; only the main process pushes.

    Args:
        result: Result of a training; ``output`` is the file of weights.
        repo: ``ORG/REPO`` (None: push nothing).
        quiet: Show no progress.

    Returns:
        The result, with the URI of the pushed weights as ``published`` if a repository is given.

    Raises:
        WeightsError: The hub cannot be reached, or refuses the upload. The local weights stay.
    """
    if repo is None:
        return result
    if not together().is_main_process:
        return {**result, "published": f"hub:{repo}"}
    output = result["output"]
    try:
        return {**result, "published": weights.push(output, repo, quiet=quiet)}
    except WeightsError as error:
        hint = f"{error.hint}\nthe weights stay in {output}; run the same command again to push them without training"
        raise WeightsError(error.message, hint) from None
