"""The GitHub Action, the container file and completion: the steps run as scripts, and all agree with the package."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import yaml

from stemclean.audio import files

ROOT = Path(__file__).resolve().parents[1]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"]}
RATE = 16000


def run_step(folder: Path, **inputs: str) -> tuple[int, str, str]:
    """Run the step of the action; returns the exit code, the summary of the job and the outputs of the step."""
    (folder / "bin").mkdir()
    program = folder / "bin" / "stemclean"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m stemclean "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    (folder / "bin" / "python").symlink_to(sys.executable)
    known = {name: value.get("default", "") for name, value in ACTION["inputs"].items()} | inputs
    variables = {
        name: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda match: known[match[1]], text).replace(
            "${{ github.action_path }}", str(ROOT)
        )
        for name, text in STEPS["Run"]["env"].items()
    }
    assert not any("${{" in text for text in [*variables.values(), STEPS["Run"]["run"]])
    summary, outputs = folder / "summary.md", folder / "outputs"
    environment = os.environ | variables | {"GITHUB_STEP_SUMMARY": str(summary), "GITHUB_OUTPUT": str(outputs)}
    environment |= {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", STEPS["Run"]["run"]]  # as GitHub runs it
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, summary.read_text(), outputs.read_text() if outputs.exists() else ""


def clipped_song(folder: Path) -> Path:
    """Two stems, of which one is clipped, with a name that Markdown and HTML would read as more than text."""
    rng = np.random.default_rng(0)
    for name, gain in (("bass", 0.1), ("drums", 3.0)):
        sound = np.clip(gain * rng.standard_normal((2, 4 * RATE)), -1, 1).astype(np.float32)
        files.write(folder / "stems" / "a|b <i>" / f"{name}.flac", sound, RATE, subtype="PCM_16")
    return folder / "stems"


def test_the_step_fails_the_job_and_says_why(tmp_path: Path):
    clipped_song(tmp_path)
    code, summary, outputs = run_step(
        tmp_path, data="stems", command="check", **{"fail-on": "clipped\nerror", "output": "checked.json"}
    )
    assert code == 1
    assert (tmp_path / "checked.json").exists()
    assert "failed: stems meet" in summary
    assert "| a&#124;b &lt;i>/drums | clipped" in summary
    assert "bass |" not in summary.split("### Issues")[0]
    assert outputs == ""  # check writes no page


def test_the_step_passes_where_nothing_is_asked_for_and_takes_arguments(tmp_path: Path):
    clipped_song(tmp_path)
    code, summary, _ = run_step(
        tmp_path, data="stems", command="check", output="checked.json", arguments="--workers 1 --layout track_folders"
    )
    assert code == 0
    assert "2 stems, passed" in summary


def test_a_wrong_argument_ends_the_job_with_a_summary(tmp_path: Path):
    code, summary, _ = run_step(tmp_path, data="missing", command="check", output="checked.json")
    assert code == 2
    assert "no result, exit code 2" in summary


def test_every_input_is_used_and_described():
    text = (ROOT / "action.yml").read_text(encoding="utf-8")
    for name, value in ACTION["inputs"].items():
        assert f"inputs.{name} }}}}" in text, name
        assert value["description"].endswith("."), name


def summary_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("summary", ROOT / ".github" / "summary.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_long_tables_are_cut_and_say_so():
    finding = {"path": "x", "claimed": ["bass"], "found": [], "action": "drop"}
    text = "\n".join(summary_module().summary({"stems": 50, "findings": [finding] * 50}, 0))
    assert text.count("| x | bass | nothing | drop |") == 20
    assert "… and 30 more" in text


def test_the_container_installs_the_torch_that_the_package_asks_for():
    text = (ROOT / "Containerfile").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert next(needed for needed in project["dependencies"] if needed.startswith("torch>")) in text
    for sources in re.findall(r"^COPY (.*) \S+$", text, re.MULTILINE):
        assert all((ROOT / source).exists() for source in sources.split())
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE)[-1] not in {"root", "0"}


@pytest.mark.parametrize(("typed", "offered"), [("stemclean ref", "refine"), ("stemclean models sh", "show")])
def test_commands_are_completed_in_bash(typed: str, offered: str):
    variables = {
        "_STEMCLEAN_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split()) - 1),
    }
    code = "import sys; sys.argv = ['stemclean']; from stemclean.cli import app; app(prog_name='stemclean')"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | variables, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == [offered]
