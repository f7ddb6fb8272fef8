"""torchaudio's native library only fits some versions of torch, so no module may need it."""

from __future__ import annotations

import os
import pkgutil
import subprocess
import sys

import stemclean

PROGRAM = """
import importlib, sys, warnings
sys.modules["torchaudio"] = None  # so that importing it raises ImportError
warnings.simplefilter("error")
for name in sys.argv[1:]:
    importlib.import_module(name)
import torch
from stemclean.models import registry
from stemclean.models.contract import ModelSpec
model = registry.build("separators", "hdemucs", ModelSpec(44100, 2, ("vocals", "rest"), 44100), {"channels": 8})
with torch.inference_mode():
    print(*model(torch.randn(1, 2, 44100)).shape)
assert not [name for name in sys.modules if name.startswith("torchaudio.")]
"""


def public_modules() -> list[str]:
    names = (module.name for module in pkgutil.walk_packages(stemclean.__path__, "stemclean."))
    return sorted(name for name in names if not any(part.startswith("_") for part in name.split(".")))


def test_every_module_is_imported_and_hybrid_demucs_runs_without_torchaudio() -> None:
    modules = public_modules()
    assert {"stemclean.models.separators.hdemucs", "stemclean.refine", "stemclean.cli.refine"} <= set(modules)
    command = [sys.executable, "-c", PROGRAM, *modules]
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert (result.returncode, result.stdout.split()) == (0, ["1", "2", "2", "44100"]), result.stderr
