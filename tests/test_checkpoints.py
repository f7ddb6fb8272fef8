"""Damaged checkpoints are renamed with a warning; training resumes from the previous one, or starts again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aligned_songs
import pytest
import torch
from test_joint import QUICK as JOINT
from test_joint import QUICK_TRACKER
from test_two_processes import CLASSIFIER, SEPARATOR

from stemclean.errors import OutputError
from stemclean.running import Running
from stemclean.train_classifier import train_classifier
from stemclean.train_joint import train_joint
from stemclean.train_separator import train_separator
from stemclean.train_tracker import train_tracker
from stemclean.training import checkpoints

LENGTH = ["loop.examples=16", "loop.batch_size=4", "loop.validations=2", "validation_examples=4"]
"""Four steps, a checkpoint after each."""
OFF = 3
"""Checkpoints that a run which is broken off has written."""


def small_classifier(songs: Path, output: Path, *, seed: int = 0, cache: Path) -> None:
    settings = [*CLASSIFIER, *LENGTH, f"seed={seed}", "mixing.reuse=1", "calibration.excerpts=0"]
    train_classifier(songs, output, overrides=settings, running=Running(workers=0, quiet=True, cache=cache))


def small_separator(songs: Path, output: Path, *, seed: int = 0, cache: Path) -> None:
    settings = [*SEPARATOR, "options.layers=2", "options.dropout=0.1", *LENGTH, f"seed={seed}"]
    train_separator(songs, output, overrides=settings, running=Running(workers=0, quiet=True, cache=cache))


def small_tracker(songs: Path, output: Path, *, seed: int = 0, cache: Path) -> None:
    settings = [*QUICK_TRACKER, *LENGTH, f"seed={seed}"]
    train_tracker(songs, output, overrides=settings, running=Running(workers=0, quiet=True, cache=cache))


def small_cascade(songs: Path, output: Path, *, seed: int = 0, cache: Path) -> None:
    settings = [*JOINT, *LENGTH, "joint.weighting=dwhs", f"seed={seed}"]
    running = Running(workers=0, quiet=True, cache=cache)
    train_joint(songs, output, tracker="rmvpe-small", overrides=settings, running=running)


KINDS: dict[str, Callable[..., None]] = {
    "classifiers": small_classifier,
    "separators": small_separator,
    "pitch": small_tracker,
    "cascades": small_cascade,
}


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints") / "songs"
    return aligned_songs.write(folder, ("full",) * 8, {0: "validation", 1: "validation"})


@pytest.fixture
def broken_off(songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Train as far as some checkpoints; the last of them comes back."""

    def train(kind: str, *, seed: int = 0) -> Path:
        save, written = checkpoints.save, []

        def save_and_stop(path: Path, *arguments: Any) -> None:
            save(path, *arguments)
            written.append(path)
            if len(written) == OFF:
                raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(checkpoints, "save", save_and_stop)
            with pytest.raises(KeyboardInterrupt):
                KINDS[kind](songs, tmp_path / "w.safetensors", seed=seed, cache=tmp_path / "cache")
        return written[-1]

    return train


@pytest.fixture(scope="module")
def undisturbed(songs: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, bytes]]:
    """What a run writes that nothing happens to."""
    folder, results = tmp_path_factory.mktemp("undisturbed"), {}

    def written(kind: str) -> dict[str, bytes]:
        if kind not in results:
            KINDS[kind](songs, folder / kind / "w.safetensors", cache=folder / "cache")
            results[kind] = files(folder / kind)
        return results[kind]

    return written


def files(folder: Path) -> dict[str, bytes]:
    """All but what was set aside."""
    return {path.name: path.read_bytes() for path in folder.glob("w.*") if path.suffix != ".damaged"}


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 3)


def cut_by_a_byte(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def zeroed(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def garbled(path: Path) -> None:
    path.write_bytes(b"PK\x03\x04" + bytes(range(256)) * 40)


def one_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = {
    **dict.fromkeys((cut, cut_by_a_byte, emptied, zeroed, garbled, one_bit), "its checksum does not match"),
    a_folder: "it cannot be read: Is a directory",
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_the_previous_checkpoint_is_resumed(
    damage: Callable[[Path], None], songs: Path, tmp_path: Path, broken_off: Any, undisturbed: Any, capsys: Any
) -> None:
    last = broken_off("separators")
    damage(last)
    capsys.readouterr()
    small_separator(songs, tmp_path / "w.safetensors", cache=tmp_path / "cache")
    assert capsys.readouterr().err.splitlines() == [
        f"warning: {last}: renamed to {last.name}.damaged, because training cannot resume from it: {DAMAGES[damage]}",
        f"warning: training resumes from step {OFF - 1}",
    ]
    assert files(tmp_path) == undisturbed("separators")
    assert last.with_name(f"{last.name}.damaged").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_training_starts_again_if_both_checkpoints_are_damaged(
    kind: str, songs: Path, tmp_path: Path, broken_off: Any, undisturbed: Any, capsys: Any
) -> None:
    for path, damage in zip(checkpoints.newest_first(broken_off(kind)), (cut, emptied), strict=True):
        damage(path)
    capsys.readouterr()
    KINDS[kind](songs, tmp_path / "w.safetensors", cache=tmp_path / "cache")
    lines = capsys.readouterr().err.splitlines()
    assert [" renamed to " in line for line in lines] == [True, True, False]
    assert lines[-1] == "warning: training restarts from the beginning"
    assert files(tmp_path) == undisturbed(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_intact_checkpoints_resume_without_a_warning(
    kind: str, songs: Path, tmp_path: Path, broken_off: Any, undisturbed: Any, capsys: Any
) -> None:
    """The last one, or where it is gone, as between two renamings, the one before."""
    last = broken_off(kind)
    if kind == "separators":
        last.unlink()
    capsys.readouterr()
    KINDS[kind](songs, tmp_path / "w.safetensors", cache=tmp_path / "cache")
    assert not capsys.readouterr().err
    assert files(tmp_path) == undisturbed(kind)


def test_a_checkpoint_of_another_run_is_not_resumed(
    songs: Path, tmp_path: Path, broken_off: Any, undisturbed: Any, capsys: Any
) -> None:
    """Its shapes fit, and its checksum is right."""
    other, last = broken_off("separators", seed=1), broken_off("separators")
    assert other != last
    for path, new_path in zip(checkpoints.newest_first(last), checkpoints.newest_first(other), strict=True):
        shutil.move(new_path, path)
    capsys.readouterr()
    small_separator(songs, tmp_path / "w.safetensors", cache=tmp_path / "cache")
    lines = capsys.readouterr().err.splitlines()
    assert [line.endswith(": it belongs to another run") for line in lines] == [True, True, False]
    assert files(tmp_path) == undisturbed("separators")


def test_a_checkpoint_of_another_version_leaves_the_model_unchanged(
    songs: Path, tmp_path: Path, broken_off: Any, undisturbed: Any, capsys: Any
) -> None:
    """A state that is half loaded when it turns out not to fit."""
    last = broken_off("cascades")
    for path in checkpoints.newest_first(last):
        state = torch.load(path, weights_only=True)
        run, _ = state.pop("run"), state.pop("history")
        path.unlink()
        checkpoints.save(path, state, run)
    capsys.readouterr()
    small_cascade(songs, tmp_path / "w.safetensors", cache=tmp_path / "cache")
    lines = capsys.readouterr().err.splitlines()
    assert [line.endswith(": another version of stemclean wrote it") for line in lines] == [True, True, False]
    assert files(tmp_path) == undisturbed("cascades")


def test_a_checkpoint_that_cannot_be_renamed_is_reported(songs: Path, tmp_path: Path, broken_off: Any) -> None:
    last = broken_off("separators")
    emptied(last)
    (last.with_name(f"{last.name}.damaged") / "folder").mkdir(parents=True)
    with pytest.raises(OutputError, match=last.name):
        small_separator(songs, tmp_path / "w.safetensors", cache=tmp_path / "cache")


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_killed_while_finishing_is_completed(
    kind: str, songs: Path, tmp_path: Path, undisturbed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its weights are written, the card beside them is not, and its checkpoint lies there still."""
    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "remove", lambda *_, **__: None)
        KINDS[kind](songs, tmp_path / "w.safetensors", cache=tmp_path / "cache")
    (tmp_path / "w.json").unlink()
    assert len(files(tmp_path)) == 3
    KINDS[kind](songs, tmp_path / "w.safetensors", cache=tmp_path / "cache")
    assert files(tmp_path) == undisturbed(kind)
