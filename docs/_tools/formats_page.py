"""docs/formats.md: the formats of export, from the docstrings of their modules, and why audio is left out."""

from __future__ import annotations

import inspect
import re
import sys

from stemclean.exporting.selection import REASONS
from stemclean.layouts import base

PATH = "docs/formats.md"

HEAD = """\
<!-- Written by docs/_tools/formats_page.py; change the modules in stemclean/layouts instead. -->
# Formats of export

`stemclean export refined.json --to FORMAT DST` writes a refined dataset for another codebase. All formats share these
rules:

- A class gets only audio in which nothing but that class was found. Stems that were dropped, hold several classes, or
  are duplicates are left out; the report gives the hours for each reason.
- `--classes vocals,accompaniment` exports coarser classes. A stem goes to a class only if all of its labels are members
  of that class: a stem of bass and drums is accompaniment, but neither bass nor drums. If several classes qualify, it
  goes to the one with the fewest members. `accompaniment` (also `instrumental` or `rest`) means all classes that are
  not named. To list the members yourself, give a TOML or JSON file:

    ```toml
    vocals = ["vocals"]
    rhythm = ["bass", "drums"]
    ```

- `--cut` exports only the parts of a stem in which nothing but its class was found, joined with short cross-fades, so
  that a half-clean stem is half kept. Time-aligned formats put silence in the place of the other parts. Parts shorter
  than a second are left out. `--min-quality 0.8` leaves out stems whose label quality is lower: it is the probability
  that the claim is right, so relabelled stems go, too. Both leave declared validation and test stems as they are.
- Files that a trainer can read as they are stay where they are; the others are converted (`--format flac` or `wav`).
  With `--link symlink`, `hardlink` or `copy`, the former come into `DST`, too. If a sound would be clipped, all stems
  of its song are turned down by the same gain.
- Nothing is written into the source. Written audio is never rewritten, so the same command can be repeated at any time.

| format | for | sample rate | declared validation and test stems |
|---|---|---|---|
"""


def render() -> str:
    """The page's text."""
    writers = {name: layout for name, layout in base.layouts().items() if isinstance(layout, base.Writer)}
    rows, sections = [], []
    for name, layout in writers.items():
        docstring = inspect.getdoc(sys.modules[type(layout).__module__]) or ""
        rate = f"{layout.sample_rate} Hz" if layout.sample_rate else "as it is"
        held_out = "exported with their split" if layout.held_out else "left out"
        rows.append(f"| [`{name}`](#{name}) | {layout.reader} | {rate} | {held_out} |")
        sections.append(f"## {name}\n\n{_markdown(docstring)}\n")
    reasons = [f"| `{code}` | {meaning} |" for code, meaning in REASONS.items()]
    return "\n".join(
        [
            HEAD + "\n".join(rows),
            "",
            "Settings are changed with `--set KEY=VALUE`; see the end of the page of [settings](settings.md).",
            "",
            *sections,
            "## Why audio is left out",
            "",
            "Besides these, the reasons are those of [verdicts](manifest.md#reasons-of-a-verdict) and of",
            "[skipped files](manifest.md#reasons-of-a-skipped-file).",
            "",
            "| code | meaning |",
            "|---|---|",
            *reasons,
            "",
        ]
    )


def _markdown(docstring: str) -> str:
    """A docstring as Markdown."""
    text = re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", docstring)
    return re.sub(r"``(.+?)``", r"`\1`", text)
