"""``stemclean check``: planted faults are found in files, clean stems are not reported, and nothing else changes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from test_signal_meter import RATE, music
from typer.testing import CliRunner

from stemclean import manifest
from stemclean.check import check
from stemclean.cli import app
from stemclean.running import Running

QUIET = Running(quiet=True)


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    """Two songs of three stems; in the second, one stem is clipped, one has a dropout, and the mixture lacks one."""
    for number, song in enumerate(("clean", "faulty")):
        parts = {name: music(6.0, 10 * number + seed) for seed, name in enumerate(("vocals", "bass", "drums"))}
        mixture = 0.5 * np.sum(list(parts.values()), axis=0)
        if song == "faulty":
            mixture -= 0.5 * parts["vocals"]
            parts["bass"] = np.clip(3 * parts["bass"], -1, 1)
            parts["drums"][:, 2 * RATE : 2 * RATE + 441] = 0
        folder = tmp_path / "songs" / song
        folder.mkdir(parents=True)
        for name, sound in {**parts, "mixture": mixture}.items():
            soundfile.write(folder / f"{name}.wav", sound.T, RATE, "PCM_24")
    return tmp_path / "songs"


def codes(checked: manifest.Manifest) -> dict[str, set[str]]:
    return {stem.id: {issue.code for issue in stem.issues} for stem in checked.stems}


def test_planted_faults_are_found_where_they_are(songs: Path, tmp_path: Path) -> None:
    found = codes(check(songs, tmp_path / "checked.json", running=QUIET))
    assert not any(found[f"clean/{name}"] for name in ("vocals", "bass", "drums"))
    assert "not_in_mixture" in found["faulty/vocals"]
    assert "clipped" in found["faulty/bass"] and "not_in_mixture" not in found["faulty/bass"]
    assert "dropouts" in found["faulty/drums"]
    assert all("sum_differs" in found[f"faulty/{name}"] for name in ("vocals", "bass", "drums"))


def test_labels_and_files_stay_as_they_are(songs: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in songs.rglob("*.wav")}
    checked = check(songs, tmp_path / "checked.json", running=QUIET)
    assert {path: path.read_bytes() for path in songs.rglob("*") if path.is_file()} == before
    assert all(stem.labels == stem.claimed and stem.verdict is None and not stem.extra for stem in checked.stems)
    assert all(stem.loudness_lufs is not None and stem.fingerprint for stem in checked.stems)
    again = check(tmp_path / "checked.json", tmp_path / "again.json", running=QUIET)
    assert again.stems == checked.stems


def test_a_second_run_gives_the_same_bytes(songs: Path, tmp_path: Path) -> None:
    check(songs, tmp_path / "a.json", running=QUIET)
    check(songs, tmp_path / "b.json", running=Running(workers=1, quiet=True))
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_a_broken_file_costs_only_itself(songs: Path, tmp_path: Path) -> None:
    (songs / "clean" / "bass.wav").write_bytes(b"RIFF")
    run = CliRunner().invoke(app, ["check", str(songs), "-o", str(tmp_path / "c.json"), "--json", "-q"])
    report = json.loads(run.stdout)
    assert (run.exit_code, report["stems"], [skip["path"] for skip in report["failures"]]) == (3, 5, ["clean/bass.wav"])


@pytest.mark.parametrize(
    ("wanted", "code"), [(["clipped"], 1), (["warning"], 1), (["error"], 0), (["hum"], 0), (["hum", "dropouts"], 1)]
)
def test_fail_on_takes_severities_and_codes(songs: Path, tmp_path: Path, wanted: list[str], code: int) -> None:
    options = [word for name in wanted for word in ("--fail-on", name)]
    run = CliRunner().invoke(app, ["check", str(songs), "-o", str(tmp_path / "c.json"), *options])
    assert run.exit_code == code, run.output
    assert ("failed: 1 stem by --fail-on\n  faulty/bass: clipped" in run.stderr) == (wanted == ["clipped"])


def test_an_unknown_issue_is_refused_before_the_work(songs: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke(app, ["check", str(songs), "-o", str(tmp_path / "c.json"), "--fail-on", "clipping"])
    assert (
        run.exit_code == 2 and "no verdict or issue 'clipping'" in run.stderr and "did you mean clipped?" in run.stderr
    )
    assert not (tmp_path / "c.json").exists()


def test_refine_keeps_the_issues(songs: Path, tmp_path: Path) -> None:
    check(songs, tmp_path / "checked.json", running=QUIET)
    run = CliRunner().invoke(app, ["refine", str(tmp_path / "checked.json"), "-o", str(tmp_path / "r.json"), "-q"])
    assert run.exit_code == 0, run.output
    refined = codes(manifest.read(tmp_path / "r.json"))
    assert "clipped" in refined["faulty/bass"] and "not_in_mixture" in refined["faulty/vocals"]
