"""``docs/benchmarks.md``: each question with one table, a short answer, and the page with the details."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath
from typing import NamedTuple

from benchmarks.pages import (
    crosstalk,
    detection,
    evaluation,
    joint,
    large_manifests,
    levels,
    noise,
    other_codebase,
    ranking,
    repeat,
    robustness,
    self_refining,
    separation,
    speed,
    technical_faults,
    training_memory,
)
from benchmarks.pages.tables import Read

PATH = "docs/benchmarks.md"
LIMIT = 150
"""Lines that the page may have."""

INTRO = """
Each question has a page with all tables ([how to repeat them](benchmarks/repeat.md)); two more are on
[another codebase](benchmarks/other-codebases.md) and [large manifests](benchmarks/large-manifests.md). Faults are
planted in held-out songs, of which few are real. `refine` uses the classifier alone unless stated otherwise.
"""


class Question(NamedTuple):
    """A heading of the page."""

    title: str
    answer: Callable[[Read], list[str]]
    path: str


PAGES = (
    detection,
    ranking,
    crosstalk,
    levels,
    noise,
    technical_faults,
    self_refining,
    separation,
    other_codebase,
    joint,
    speed,
    large_manifests,
    training_memory,
    evaluation,
    robustness,
    repeat,
)
"""Modules of all pages but this one."""
QUESTIONS = (
    *(Question(page.QUESTION, page.answer, page.PATH) for page in PAGES if hasattr(page, "answer")),
    Question(robustness.ONE_SIDED_QUESTION, robustness.one_sided_answer, robustness.PATH),
)


def parts(read: Read) -> list[str]:
    """Return the page."""
    shown = ["# Benchmarks", INTRO]
    for question in QUESTIONS:
        link = f"[Details](benchmarks/{PurePosixPath(question.path).name})."
        *tables, text = question.answer(read)
        shown += [f"## {question.title}", *tables, f"{text.strip()} {link}"]
    return shown
