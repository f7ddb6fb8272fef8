"""``docs/benchmarks.md`` and the pages below it, from ``benchmarks/results/*.json``.

    python -m benchmarks.page            # write the pages and their plots; the plots need matplotlib
    python -m benchmarks.page --check    # exit with 1 where a page is stale

The words stand in :mod:`benchmarks.pages`, the numbers in the results; a section whose result is missing says so.
"""

from __future__ import annotations

import re
import sys
import textwrap

from benchmarks.pages import overview, self_refining_plots, separation
from benchmarks.pages.results import ROOT, read
from benchmarks.pages.tables import Read

WIDTH = 120
"""Characters of a line of prose."""
HARD_SPACE = "\N{NO-BREAK SPACE}"
TOGETHER = re.compile(r"`[^`]+`|\[[^\]]+\]\([^)]+\)|[+-]?\d[\d.]*(?: \d{3})*(?: ± [\d.]+)?(?: (?:%|dB|s\b))?")
"""Code, links, and numbers with their deviation or unit: no line ends within them."""


def render(read: Read = read) -> dict[str, str]:
    """Path of every page, relative to the repository, and its text."""
    return {page.PATH: text_of(page.parts(read)) for page in (overview, *overview.PAGES)}


def text_of(parts: list[str]) -> str:
    """Parts as a page: a blank line between two of them, and paragraphs wrapped."""
    blocks = [block for part in parts for block in _blocks(part.strip("\n"))]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _blocks(part: str) -> list[str]:
    """Paragraphs of a part; code stays in one piece."""
    if part.startswith("```"):
        return [part]
    return [_wrapped(block.strip("\n")) for block in part.split("\n\n")]


def _wrapped(block: str) -> str:
    """Wrap a paragraph; headings, tables, lists, images and commands stay as they are."""
    if block.startswith(("#", "|", "- ", "![", "`python")):
        return block
    text = TOGETHER.sub(lambda found: found[0].replace(" ", HARD_SPACE), " ".join(block.split()))
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False).replace(HARD_SPACE, " ")


def stale(pages: dict[str, str]) -> list[str]:
    """Paths whose file is missing or has another text."""
    return [
        path
        for path, text in pages.items()
        if not (ROOT / path).exists() or (ROOT / path).read_text(encoding="utf-8") != text
    ]


def main() -> None:
    """Command line."""
    pages = render()
    if sys.argv[1:] == ["--check"]:
        if old := stale(pages):
            sys.exit(f"{', '.join(old)}: stale; run: python -m benchmarks.page")
    elif sys.argv[1:]:
        sys.exit(__doc__)
    else:
        for path in stale(pages):
            (ROOT / path).parent.mkdir(exist_ok=True)
            (ROOT / path).write_text(pages[path], encoding="utf-8")
            print(f"wrote {path}")
        for plot in (*self_refining_plots.draw(read), *separation.draw(read)):
            print(f"drew {plot.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
