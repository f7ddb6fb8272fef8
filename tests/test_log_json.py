"""``--log-json`` writes progress, remarks, warnings and errors as JSON lines, and nothing else, to stderr."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def run(*words: str) -> tuple[subprocess.CompletedProcess[str], list[dict[str, Any]]]:
    """Run in a process of its own, where tqdm has not been imported before; returns the lines of stderr."""
    command = [sys.executable, "-m", "stemclean", *words, "--log-json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    return done, [json.loads(line) for line in done.stderr.splitlines()]


def test_a_run_writes_json_lines_alone(make_dataset: Callable[..., Path], tmp_path: Path) -> None:
    stems = make_dataset(tmp_path / "stems", tracks=1, seconds=0.5, labels=["bass", "drums"])
    (stems / "song 1" / "vocals.wav").write_bytes(b"no sound")
    done, lines = run("check", str(stems), "-o", str(tmp_path / "c.json"), "--fail-on", "note", "--json")
    assert json.loads(done.stdout)["stems"] == 2
    events = {line["event"] for line in lines}
    assert events >= {"progress", "remark", "warning"} and all(line["time"].endswith("Z") for line in lines)
    of_check = [line for line in lines if line.get("task") == "check"]
    assert of_check[0]["done"] == 0 and (of_check[-1]["done"], of_check[-1]["total"]) == (2, 2)
    assert of_check[-1]["unit"] == "stem" and of_check[-1]["per_second"] > 0 and of_check[-1]["seconds_left"] == 0
    [skipped] = [line["failures"] for line in lines if "failures" in line]
    assert [Path(failure["path"]).name for failure in skipped] == ["vocals.wav"]


def test_quiet_leaves_errors(tmp_path: Path) -> None:
    done, lines = run("stats", str(tmp_path / "none.json"), "--quiet")
    [error] = lines
    assert done.returncode == 2 and error["event"] == "error" and "No such file" in error["message"] and error["hint"]
