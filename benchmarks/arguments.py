"""The command line that several benchmarks share."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["parser_of"]


def parser_of(name: str, description: str | None, source: str, about: str) -> argparse.ArgumentParser:
    """Return a parser with the arguments that every benchmark has: the data, and the JSON file to write.

    Args:
        name: name of the benchmark.
        description: docstring of its module.
        source: name of the data in the help, such as ``SONGS``.
        about: what the data is.
    """
    parser = argparse.ArgumentParser(
        prog=name, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(source.lower(), type=Path, metavar=source, help=about)
    parser.add_argument("output", type=Path, metavar="OUT.json")
    return parser
