"""Clean stem datasets for music source separation.

Each command has a function in the module of its name (``from stemclean.refine import refine``). Other names that most
programs need are here. They are imported when first used, so that ``import stemclean`` is fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from stemclean.corrupt import CorruptConfig as CorruptConfig
    from stemclean.errors import StemcleanError as StemcleanError
    from stemclean.evaluate import evaluate_labels as evaluate_labels
    from stemclean.labels import FOUR_STEMS as FOUR_STEMS
    from stemclean.layouts import load as load
    from stemclean.layouts import scan as scan
    from stemclean.manifest import Manifest as Manifest
    from stemclean.manifest import Stem as Stem
    from stemclean.refine import RefineConfig as RefineConfig
    from stemclean.running import Running as Running
    from stemclean.trim import TrimConfig as TrimConfig

_HOMES = {
    "CorruptConfig": "corrupt",
    "FOUR_STEMS": "labels",
    "Manifest": "manifest",
    "RefineConfig": "refine",
    "Running": "running",
    "Stem": "manifest",
    "StemcleanError": "errors",
    "TrimConfig": "trim",
    "evaluate_labels": "evaluate",
    "load": "layouts",
    "scan": "layouts",
}
"""Public name -> its module."""

_MODULES = frozenset(
    "corrupt evaluate evaluate_pitch evaluate_separation export f0 layouts manifest pseudo_label refine".split()
    + "separate train_classifier train_joint train_separator train_tracker trim".split()
)
"""Modules that are available after ``import stemclean``, such as ``stemclean.manifest.read(...)``."""

__all__ = ["__version__", *sorted(_HOMES)]  # noqa: PLE0604  all are strings


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_MODULES})
