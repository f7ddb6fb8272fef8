"""museval, whose figures ours are compared with."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import pytest


@functools.cache
def _loaded() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own imports warn
        try:
            import museval
        except (ImportError, RuntimeError) as error:  # stempeg, which it imports, wants the programs of FFmpeg
            return str(error)
    return museval


def museval() -> Any:
    """Return the module; skip the test where it cannot be imported."""
    loaded = _loaded()
    if isinstance(loaded, str):
        pytest.skip(f"museval cannot be imported: {loaded.splitlines()[0]}")
    return loaded
