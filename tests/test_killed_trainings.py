"""Trainings killed by SIGKILL at random moments and resumed end with the same result."""

from __future__ import annotations

import random
import shutil
import sys
from pathlib import Path

import aligned_songs
import cli_process
import pytest
from test_two_processes import CLASSIFIER, SEPARATOR

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

SHORT = ["loop.examples=16", "loop.batch_size=4", "loop.validations=2", "validation_examples=4"]
"""Four steps, a checkpoint after each."""
SMALL = [*CLASSIFIER, "options.level_head=false", "mixing.reuse=1", "calibration.excerpts=8", *SHORT]
JOBS = {
    "train-classifier": ["train-classifier", "songs", "-o", "out/w.safetensors", "--workers=1", *SMALL],
    "train-separator": ["train-separator", "songs", "-o", "out/w.safetensors", "--workers=2", *SEPARATOR,
                        "options.layers=2", "options.dropout=0.1", *SHORT],
    "refine --self": ["refine", "songs", "--self", "-o", "out/refined.json", *SMALL],
}  # fmt: skip
KILLS = 2


def words_of(job: list[str]) -> list[str]:
    """With ``--set`` before settings."""
    return [part for word in job for part in (["--set", word] if "=" in word and word[0] != "-" else [word])]


def tree(folder: Path) -> dict[str, bytes | None]:
    """All that a run leaves; of the cache, whose entries say when they were used, the names."""
    return {
        path.relative_to(folder).as_posix(): None if part == "cache" else path.read_bytes()
        for part in ("out", "cache", "tmp")
        for path in sorted((folder / part).rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("verb", JOBS)
def test_killed_and_uninterrupted_runs_are_identical(verb: str, tmp_path: Path) -> None:
    songs = tmp_path / "undisturbed" / "songs"
    aligned_songs.write(songs, ("only_stems",) * 6, {0: "validation", 1: "validation"})
    shutil.copytree(songs, tmp_path / "killed" / "songs")  # such files say when they were written
    whole = cli_process.run(words_of(JOBS[verb]), tmp_path / "undisturbed")
    assert whole.ended() == 0, whole.stderr
    rng = random.Random(f"killed {verb}")
    runs, folder, moments = [whole], tmp_path / "killed", whole.moments
    for _ in range(KILLS):
        moment = rng.randrange(moments * 2 // 3)
        runs.append(cli_process.run(words_of(JOBS[verb]), folder, kill_at=moment))
        assert runs[-1].ended() == -9, (moment, runs[-1].stderr)
        moments -= moment  # it has that many at least
    runs.append(cli_process.run(words_of(JOBS[verb]), folder))
    assert runs[-1].ended() == 0, runs[-1].stderr
    assert "warning" not in runs[-1].stderr
    assert tree(folder) == tree(whole.place)
    assert cli_process.left_of(runs) == []
