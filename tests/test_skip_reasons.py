"""Reasons of skipped files come from one list, and each of them is used."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import stemclean
from stemclean.errors import SkipReason
from stemclean.manifest import Skip

MODULES = sorted(Path(stemclean.__file__).parent.rglob("*.py"))
PLACE = {"AudioError": 1, "LabelError": 1, "broken": 2}
"""Function that takes a reason -> position of that argument."""


def reasons(tree: ast.Module) -> Iterator[ast.expr]:
    """The reasons that are given to skips and to the errors that become skips."""
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
        if name in (*PLACE, "Skip"):
            yield from (keyword.value for keyword in call.keywords if keyword.arg == "reason")
            place = PLACE.get(name)
            if place is not None and len(call.args) > place:
                yield call.args[place]


def members(tree: ast.Module) -> set[str]:
    found = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    return {node.attr for node in found if isinstance(node.value, ast.Name) and node.value.id == "SkipReason"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_no_reason_is_written_as_text(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    texts = [node for reason in reasons(tree) for node in ast.walk(reason) if isinstance(node, ast.Constant)]
    assert [node.value for node in texts if isinstance(node.value, str)] == []
    assert members(tree) <= set(SkipReason.__members__)


def test_every_reason_is_used_and_explained() -> None:
    used = set().union(*(members(ast.parse(path.read_text(encoding="utf-8"))) for path in MODULES))
    assert used == set(SkipReason.__members__)
    assert all(reason.meaning and reason.name == reason.value.upper() for reason in SkipReason)


def test_in_json_a_reason_is_its_text() -> None:
    skip = Skip(path="a.wav", reason=SkipReason.EMPTY)
    assert skip.model_dump(mode="json")["reason"] == "empty"
    assert Skip.model_validate_json('{"path": "a.wav", "reason": "of_a_newer_version"}').reason == "of_a_newer_version"
