"""Memory that a training step frees is reused without asking the system."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

STEPS = """
import resource
import sys

import torch
from torch import nn

from stemclean.training.memory import keep_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def steps():
    for _ in range(8):
        net(torch.zeros(4, 2, 1 << 16)).square().mean().backward()

net = nn.Sequential(*(layer for _ in range(3) for layer in (nn.Conv1d(2, 2, 5, padding=2), nn.ReLU())))
assert sys.argv[1] == "plain" or keep_freed_memory()
steps()
before = faults()
steps()
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep memory as they like")
def test_training_steps_reuse_memory_pages():
    """Some 130 000 page faults without it, none with it; a tenth leaves room for what Python itself does."""
    plain, kept = (
        int(subprocess.run([sys.executable, "-c", STEPS, how], check=True, capture_output=True, text=True).stdout)
        for how in ("plain", "kept")
    )
    assert plain > 1000
    assert kept < plain / 10
