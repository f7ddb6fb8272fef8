"""Weights that a run has finished: whether they are those that are asked for, what their card says, where they go."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stemclean.errors import WeightsError
from stemclean.models import weights
from stemclean.training.processes import together

__all__ = ["card_of", "published", "recarded"]


def card_of(output: Path, key: str, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """The card of weights that this very run has written, length and all; None where there are none.

    Args:
        output: the ``.safetensors`` file.
        key: of the run: data, settings and start.
        settings: keys of the card with what they must say, such as ``recipe``.
    """
    try:
        card = weights.read_card(output)
    except WeightsError:
        return None
    same = all(card.get(name) == json.loads(json.dumps(value)) for name, value in settings.items())
    return card if card.get("run") == key and same else None


def recarded(output: Path, written: dict[str, Any], card: Mapping[str, Any] | None) -> dict[str, Any]:
    """The card with what is to be said in it now (a licence, …), on disk too."""
    wanted = {**written, **json.loads(json.dumps(dict(card or {})))}
    processes = together()
    if wanted != written and processes.is_main_process:
        weights.write_card(output, wanted)
    processes.wait_for_everyone()
    return wanted


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
