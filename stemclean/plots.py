"""Write plots with matplotlib, which is optional: checks before the work, and files without a date."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stemclean.disk import replacing
from stemclean.errors import ConfigError
from stemclean.outputs import refuse_foreign

__all__ = ["check", "plot"]

ENDINGS = (".png", ".svg", ".pdf")


def check(path: Path) -> None:
    """Check that a plot can be written, before any input is read.

    Raises:
        ConfigError: matplotlib is not installed, the file extension is not supported, or the file exists and is not a
            plot by stemclean.
    """
    if path.suffix.lower() not in ENDINGS:
        raise ConfigError(
            f"{path}: the name of a plot must end in {', '.join(ENDINGS)}", f"name it {path.with_suffix('.png')}"
        )
    try:
        importlib.import_module("matplotlib.figure")
    except ImportError:
        hint = 'python -m pip install "stemclean[plots]"'
        raise ConfigError("plots need matplotlib, which is not installed", hint) from None
    refuse_foreign(path, lambda path: b"stemclean" in path.read_bytes(), "picture that stemclean drew")


@contextmanager
def plot(path: Path, width: float, height: float) -> Iterator[Any]:
    """Yield an empty matplotlib figure, and write it on leaving.

    Args:
        path: the image file, which :func:`check` has accepted.
        width, height: in inches, of 130 pixels each.
    """
    figure = importlib.import_module("matplotlib.figure").Figure(figsize=(width, height), dpi=130, layout="constrained")
    yield figure
    kind = path.suffix.lower().lstrip(".")
    undated: dict[str, Any] = {
        "png": {"Software": "stemclean"},
        "svg": {"Date": None, "Creator": "stemclean"},
        "pdf": {"CreationDate": None, "Creator": "stemclean"},
    }
    with replacing(path) as temporary:
        figure.savefig(temporary, format=kind, metadata=undated[kind])
