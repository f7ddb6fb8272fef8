"""The layout of a dataset is detected and named, or given by --layout."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.main import get_command
from typer.testing import CliRunner

from stemclean import layouts, manifest
from stemclean.audio import files
from stemclean.cli import _log, _names, app
from stemclean.corrupt import CorruptConfig, corrupt
from stemclean.errors import ConfigError
from stemclean.export import RECORD, export
from stemclean.layouts import base
from stemclean.trim import trim

RATE = 8000
COMMANDS = [
    "check DATA", "refine DATA", "refine DATA --self", "refine DATA --explain drums/one",
    "corrupt DATA out", "trim DATA out", "export DATA out --to csv",
    "pseudo-label DATA --weights file:w.safetensors", "train-classifier DATA -o w.safetensors",
    "train-separator DATA -o w.safetensors", "train-tracker DATA -o w.safetensors", "train-joint DATA -o w.safetensors",
    "eval separation DATA DATA",
]  # fmt: skip


@pytest.fixture
def stems(tmp_path: Path) -> Path:
    """Two songs in folders of classes."""
    noise = np.random.default_rng(0)
    for folder in ("drums", "bass"):
        for song in ("one", "two"):
            sound = noise.uniform(-0.1, 0.1, (2, RATE)).astype(np.float32)
            files.write(tmp_path / "stems" / folder / f"{song}.wav", sound, RATE, subtype="PCM_16")
    return tmp_path / "stems"


def songs(data: manifest.Manifest) -> set[str]:
    return {stem.track for stem in data.stems}


def test_the_detected_layout_is_logged_and_in_the_manifest(stems: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "stemclean"):
        found, _ = layouts.load(stems, quiet=True)
    assert caplog.messages == [f"reading {stems} as class_folders"]
    assert found.layout == found.created.config["layout"] == "class_folders"
    assert songs(found) == {"one", "two"}


def test_a_named_layout_decides(stems: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "stemclean"):
        found, _ = layouts.load(stems, layout="track_folders", quiet=True)
    assert caplog.messages == [f"reading {stems} as track_folders"]
    assert found.layout == "track_folders"
    assert songs(found) == {"stems"}  # one song, with two files of each class


def test_a_manifest_in_a_folder_is_read_unless_a_layout_is_named(
    stems: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trim(stems, tmp_path / "out", quiet=True)
    caplog.clear()
    with caplog.at_level(logging.INFO, "stemclean"):
        read, _ = layouts.load(tmp_path / "out", quiet=True)
        scanned, _ = layouts.load(tmp_path / "out", layout="track_folders", quiet=True)
    assert caplog.messages == [
        f"reading {tmp_path / 'out' / 'manifest.json'}",
        f"reading {tmp_path / 'out'} as track_folders",
    ]
    assert read.layout is None and read.created.command == "trim"
    assert scanned.layout == "track_folders" and not scanned.stems[0].source


def test_manifests_name_the_layout_of_their_input(stems: Path, tmp_path: Path) -> None:
    refined = layouts.load(stems, quiet=True)[0]
    path = manifest.write(refined.with_stems(refined.stems), tmp_path / "scanned.json")
    assert manifest.input_of(path, tmp_path / "out.json").layout is None
    trimmed = trim(stems, tmp_path / "trimmed", layout="track_folders", quiet=True)
    assert [item.layout for item in trimmed.created.inputs] == ["track_folders"]
    assert trim(stems, tmp_path / "trimmed", layout="track_folders", quiet=True) == trimmed
    planted = corrupt(stems, tmp_path / "planted", CorruptConfig(seed=1), layout="track_folders", quiet=True)
    assert [item.layout for item in planted.created.inputs] == ["track_folders"]
    export(stems, "csv", tmp_path / "csv", layout="class_folders", quiet=True)
    assert '"layout": "class_folders"' in (tmp_path / "csv" / RECORD).read_text()


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_that_reads_data_refuses_a_layout_that_does_not_fit(words: str, stems: Path) -> None:
    arguments = words.replace("DATA", str(stems)).split()
    for name, problem in (
        ("musdb", 'no layout named "musdb" can be read\n  known: class_folders, csv_list, '),
        ("slakh", f"{stems} cannot be read as slakh\n  leave it out"),
    ):
        run = CliRunner().invoke(app, [*arguments, "--layout", name, "-q"])
        assert run.exit_code == 2 and f"error: --layout: {problem}" in run.stderr


def commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """All commands with their names."""
    if not hasattr(command, "commands"):
        yield " ".join(words), command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*words, name))


def test_every_command_that_reads_a_dataset_has_the_option() -> None:
    reading = {
        name
        for name, command in commands(get_command(app))
        for argument in command.params
        if argument.param_type_name == "argument" and re.search("folder (of (stems|songs))?.*manifest", argument.help)
    }
    having = {
        name for name, command in commands(get_command(app)) if any("--layout" in it.opts for it in command.params)
    }
    tested = {words.partition(" DATA")[0] for words in COMMANDS}
    assert reading - having == {"eval pitch"}  # its folders are of f0 files
    assert having == tested


@pytest.mark.parametrize("words", ["report", "review", "stats", "validate"])
def test_commands_for_manifests_say_how_a_folder_becomes_one(words: str, stems: Path) -> None:
    run = CliRunner().invoke(app, [words, str(stems)])
    assert run.exit_code == 2 and "is a folder, not a manifest\n  stemclean refine " in run.stderr


def test_a_manifest_has_no_layout(stems: Path, tmp_path: Path) -> None:
    path = manifest.write(layouts.scan(stems, quiet=True), tmp_path / "scanned.json")
    for read in (layouts.load, layouts.check, layouts.scan):
        with pytest.raises(ConfigError, match=r"scanned\.json is a manifest, which has no layout"):
            read(path, layout="track_folders")


def test_a_command_says_what_it_reads_but_not_if_it_is_quiet(
    stems: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = logging.getLogger("stemclean")
    for name in ("handlers", "propagate", "level"):
        monkeypatch.setattr(logger, name, getattr(logger, name))  # restored afterwards
    for quiet in (False, True):
        _log.to_stderr(quiet=quiet)
        options = ["--layout", "track_folders", *["-q"] * quiet]
        run = CliRunner().invoke(app, ["check", str(stems), "-o", str(tmp_path / "out.json"), *options])
        assert run.exit_code == 0
        assert (f"reading {stems} as track_folders\n" in run.stderr) == (not quiet)
        assert [item.layout for item in manifest.read(tmp_path / "out.json").created.inputs] == ["track_folders"]


def test_the_help_names_every_reader() -> None:
    readers = [name for name, layout in base.layouts().items() if isinstance(layout, base.Reader)]
    assert _names.layouts() == readers
