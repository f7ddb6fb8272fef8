"""Write all generated pages and files, or check that they are up to date.

    python docs/_tools/generate.py            # write
    python docs/_tools/generate.py --check    # exit with 1 if one is stale

A generator is a module in this folder with ``PATH``, relative to the repository, and ``render() -> str``. The output
block of the README depends on a network; it is written here, and tests/test_docs_fresh.py compares its findings. The
benchmark pages are written from their results by ``benchmarks.page``, which also draws the plots.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GENERATORS = ("schema", "manifest_page", "commands_page", "weights_page", "settings_page", "formats_page", "readme")


def stale(write: bool) -> list[Path]:
    """The generated files that were stale, relative to the repository; ``write`` updates them."""
    sys.path.insert(0, str(Path(__file__).parent))
    found = []
    for name in GENERATORS if write else GENERATORS[:-1]:  # the last digit of scores depends on the machine
        generator = importlib.import_module(name)
        found += _stale_of({generator.PATH: generator.render()}, write)
    sys.path.insert(0, str(ROOT))
    return found + _stale_of(importlib.import_module("benchmarks.page").render(), write)


def _stale_of(pages: dict[str, str], write: bool) -> list[Path]:
    """The stale ones among pages (path -> text); ``write`` updates them."""
    found = []
    for name, text in pages.items():
        path = ROOT / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            found.append(Path(name))
            if write:
                path.write_text(text, encoding="utf-8")
    return found


if __name__ == "__main__":
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit(__doc__)
    found = stale(write=not check)
    for path in found:
        print(f"{'stale' if check else 'wrote'} {path}")
    if check and found:
        sys.exit("run: python docs/_tools/generate.py")
