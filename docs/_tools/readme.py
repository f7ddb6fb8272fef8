"""The real output of the first command in the README.

The block between ``<!-- output: COMMAND -->`` and ``<!-- end of output -->`` is the output of COMMAND, run as if in the
root of the repository, but without writing to it. If the example or the bundled weights are missing, the block is not
changed.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

PATH = "README.md"

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"(<!-- output: (?P<command>.+?) -->\n)(?P<old>.*?)(<!-- end of output -->)", re.DOTALL)


def render() -> str:
    """The README with fresh output."""
    text = (ROOT / PATH).read_text(encoding="utf-8")
    return BLOCK.sub(lambda block: block[1] + (_block(block["command"]) or block["old"]) + block[4], text)


def _block(command: str) -> str | None:
    """The command and its output as a Markdown block, or None if it cannot be run."""
    program, *arguments = shlex.split(command)
    inputs = [ROOT / word for word in arguments if "/" in word]
    if not all(path.exists() for path in inputs) or not any((ROOT / "stemclean" / "weights").glob("*.safetensors")):
        return None
    with tempfile.TemporaryDirectory() as folder:
        # In a separate folder, with a link to the example under the same name.
        (Path(folder) / "examples").symlink_to(ROOT / "examples")
        done = subprocess.run(
            [sys.executable, "-m", program, *arguments],
            cwd=folder,
            env={**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    if done.returncode not in {0, 3}:
        raise RuntimeError(f"{command}: exit {done.returncode}\n{done.stdout}")
    lines = [line.rstrip() for line in done.stdout.strip().splitlines()]
    return "\n".join(["```text", f"$ {command}", *lines, "```", ""])
