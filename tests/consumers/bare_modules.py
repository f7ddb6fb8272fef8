"""Import one module of a package whose own imports need half a training framework."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


def bare(name: str, package: str) -> ModuleType:
    """Import a module without running the ``__init__`` of the packages that it is in.

    Args:
        name: full name of the module.
        package: name on PyPI; installed with ``pip install --no-deps``, because it pins an old torch or needs much.
    """
    top, *inner = name.split(".")[:-1]
    spec = importlib.util.find_spec(top)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"{package} is not installed: pip install --no-deps {package}", allow_module_level=True)
    parent, folder = top, Path(next(iter(spec.submodule_search_locations)))
    for part in [None, *inner]:
        parent, folder = (parent, folder) if part is None else (f"{parent}.{part}", folder / part)
        if parent not in sys.modules:
            module = ModuleType(parent)
            module.__path__ = [str(folder)]
            sys.modules[parent] = module
    return importlib.import_module(name)
