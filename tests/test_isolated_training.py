"""Two real processes train on files that crash decoders: these are skipped, and no process is left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import aligned_songs
import pytest
from test_isolation import WICKED
from test_two_processes import CLASSIFIER, SEPARATOR

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

JOBS = {"train-classifier": CLASSIFIER, "train-separator": SEPARATOR}
SCRIPT = """
import os, sys
from pathlib import Path
from stemclean.audio import isolation
from stemclean.cli import main

isolation._START = Path(sys.argv[1]).read_text()
rank = os.environ["RANK"]
exit_folder = Path(sys.argv[2])
sys.argv = ["stemclean", *sys.argv[3:]]
try:
    main()
except SystemExit as ended:
    (exit_folder / f"exit{rank}").write_text(str(ended.code))
"""
KILLERS = {"song1/abort vocals.wav", "song2/later vocals.wav"}
"""At the first look, and in the midst of the sound."""


def training(verb: str, folder: Path, *more: str) -> subprocess.Popen[str]:
    """Two processes of torchrun; all that they start bears ``folder`` in its environment."""
    songs = folder / "songs"
    aligned_songs.write(songs, ("only_stems",) * 8)
    (songs / "songs.json").unlink()
    for path in KILLERS:
        shutil.copy(songs / "song0" / "vocals.wav", songs / path)
    (folder / "train.py").write_text(SCRIPT)
    (folder / "wicked.py").write_text(WICKED)
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    words = [verb, songs, "-o", folder / "w.safetensors", "--json", "--workers=1", *more]
    words += [word for setting in JOBS[verb] for word in ("--set", setting)]
    return subprocess.Popen(
        [*start, *map(str, [folder / "train.py", folder / "wicked.py", folder, *words])],
        env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
    )


def alive(folder: Path) -> list[str]:
    """Command lines of all processes that were started for a folder."""
    pids = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and f"XDG_CACHE_HOME={folder}/".encode() in (entry / "environ").read_bytes():
                pids.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return pids


def soon_alive(folder: Path) -> list[str]:
    """What is left after a moment."""
    until = time.monotonic() + 20
    while (left := alive(folder)) and time.monotonic() < until:
        time.sleep(0.1)
    return left


@pytest.fixture
def nobody_left(tmp_path: Path) -> Iterator[None]:
    yield
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and f"XDG_CACHE_HOME={tmp_path}/".encode() in (entry / "environ").read_bytes():
                os.kill(int(entry.name), signal.SIGKILL)


@pytest.mark.usefixtures("nobody_left")
@pytest.mark.parametrize("verb", JOBS)
def test_both_processes_survive_crashing_files(tmp_path: Path, verb: str) -> None:
    process = training(verb, tmp_path)
    out, err = process.communicate(timeout=300)
    assert [(tmp_path / f"exit{rank}").read_text() for rank in range(2)] == ["3", "3"], err
    report = json.loads(out)
    assert {skip["path"]: skip["reason"] for skip in report["failures"]} == dict.fromkeys(KILLERS, "decoder_crashed")
    assert (tmp_path / "w.safetensors").exists() and "Traceback" not in err
    assert soon_alive(tmp_path) == []


@pytest.mark.usefixtures("nobody_left")
def test_a_terminated_run_leaves_no_process(tmp_path: Path) -> None:
    process = training("train-classifier", tmp_path, "--examples", "1000000")
    until = time.monotonic() + 120
    while (decoding := sum("worker.serve" in line for line in alive(tmp_path))) < 2 and time.monotonic() < until:
        time.sleep(0.1)
    assert decoding >= 2
    time.sleep(3)  # some steps are done
    process.terminate()
    _, err = process.communicate(timeout=120)
    assert soon_alive(tmp_path) == []
    assert {path.suffix for path in tmp_path.glob("*w.*")} <= {".checkpoint"}, err
