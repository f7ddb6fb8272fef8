"""Resumed results of benchmarks: nothing is measured twice, and different settings are not mixed."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

import pytest

from benchmarks import resumable
from benchmarks.resumable import Runs

WANTED = [{"row": row, "seed": seed} for seed in (0, 1) for row in ("clean", "noisy")]


def test_a_stopped_benchmark_resumes_where_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    measured = []
    for _ in range(2):
        runs = Runs(tmp_path / "r.json", {"songs": 5}, command="python")
        for run in runs.missing(WANTED):
            measured.append((run["seed"], run["row"]))
            if len(measured) == 2:
                break  # killed before it was written
            runs.add(run | {"sdr": 1.0})
    assert measured == [(0, "clean"), (0, "noisy"), (0, "noisy"), (1, "clean"), (1, "noisy")]
    result = resumable.read(tmp_path / "r.json")
    assert result["runs"] == [run | {"sdr": 1.0} for run in WANTED] and result["command"] == "python"
    assert capsys.readouterr().err.splitlines().count('{"row": "noisy", "seed": 0}') == 2
    assert list(Runs(tmp_path / "r.json", {"songs": 5}).missing(WANTED)) == []


@pytest.mark.parametrize(
    ("settings", "differing"),
    [
        ({"songs": 6, "recipes": {}}, "songs"),
        ({"songs": 5, "noise": 0.3, "recipes": {}}, "noise"),
        ({"songs": 5, "recipes": {"xumx": {"loop": {"ema": 0.8}}}}, "recipe of xumx"),
        ({"songs": 5, "recipes": {"xumx": {"loop": {}}}}, "recipe of xumx"),
    ],
)
def test_runs_with_other_settings_are_not_mixed(tmp_path: Path, settings: dict, differing: str) -> None:
    Runs(tmp_path / "r.json", {"songs": 5, "recipes": {"xumx": {"loop": {"ema": 0.9}}}}).add({})
    with pytest.raises(SystemExit, match=rf"r\.json holds runs with other settings \({differing}\)"):
        Runs(tmp_path / "r.json", settings)


def test_recipes_and_their_settings_can_be_added_later(tmp_path: Path) -> None:
    Runs(tmp_path / "r.json", {"recipes": {"xumx": {"ema": 0.9}}}).add({})
    more = {"xumx": {"ema": 0.9, "betas": (0.9, 0.98)}, "hdemucs": {"ema": 0.5}}
    assert Runs(tmp_path / "r.json", {"recipes": more}).result["settings"]["recipes"] == {
        "xumx": {"ema": 0.9},
        "hdemucs": {"ema": 0.5},
    }


def test_sections_not_chosen_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    resumable.write_json(path, {"speed": {"seconds": 1.0}, "memory": {"mb": 5}})
    names = resumable.chosen(ArgumentParser(), "speed,start", ("speed", "memory", "start"))
    resumable.sections(path, names, lambda name: {"measured": name})
    assert resumable.read(path) == {
        "speed": {"measured": "speed"}, "memory": {"mb": 5}, "start": {"measured": "start"},
    }  # fmt: skip


def test_an_unknown_section_is_refused_before_anything_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        resumable.chosen(ArgumentParser(), "speed,sped", ("speed", "start"))
    assert "--only takes speed, start, with commas between" in capsys.readouterr().err
