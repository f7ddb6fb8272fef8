"""Keep the memory that a training step frees, so that the next step can use it.

By default glibc returns large blocks to the system as soon as they are freed, and the system has to zero the pages that
it hands out again. Training on a CPU allocates the same hundreds of megabytes in every step and would spend much of its
time on this.
"""

from __future__ import annotations

import ctypes
import platform

__all__ = ["keep_freed_memory"]

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameter numbers of ``malloc.h``."""
KEPT = 1 << 30
"""Bytes: blocks up to this size are kept when freed, and up to this much memory may be kept unused."""


def keep_freed_memory() -> bool:
    """Let this process keep freed memory; returns whether that worked (glibc only).

    This overrides environment variables such as ``MALLOC_TRIM_THRESHOLD_``. The process no longer shrinks when arrays
    are freed, and its peak memory is higher because of fragmentation.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(mallopt(parameter, KEPT) == 1 for parameter in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD))
