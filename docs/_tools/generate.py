"""Write every page and file that is generated, or check that they are fresh.

    python docs/_tools/generate.py            # write
    python docs/_tools/generate.py --check    # exit with 1 where one is stale

A generator is a module beside this one with ``PATH``, relative to the repository, and ``render() -> str``. The README's
block holds what a network said; it is written here and compared, finding by finding, in tests/test_docs_fresh.py.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GENERATORS = ("schema", "manifest_page", "commands_page", "weights_page", "readme")


def stale(write: bool) -> list[Path]:
    """The generated files that were not fresh, relative to the repository; ``write`` makes them so."""
    sys.path.insert(0, str(Path(__file__).parent))
    found = []
    for name in GENERATORS if write else GENERATORS[:-1]:  # scores differ in the last digit from machine to machine
        generator = importlib.import_module(name)
        path = ROOT / generator.PATH
        text = generator.render()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            found.append(Path(generator.PATH))
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
