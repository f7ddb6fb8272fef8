"""Unexpected errors of one file are attributed to it; other errors are raised."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest

from stemclean import manifest
from stemclean.errors import AudioError, ConfigError, of_one_file
from stemclean.models.judge import Judge
from stemclean.refine import refine
from stemclean.running import Running

QUIET = Running(quiet=True)

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "noisy_band" / "lithium"


class OutOfMemoryError(RuntimeError):
    """As torch's."""


@pytest.mark.parametrize(
    ("raised", "reason", "detail"),
    [
        (ValueError("negative shift count"), "unexpected_error", "ValueError: negative shift count"),
        (RecursionError("too deep"), "unexpected_error", "RecursionError: too deep"),
        (MemoryError(), "unexpected_error", "MemoryError: "),
        (OSError(errno.EIO, "Input/output error"), "unreadable", "Input/output error"),
        (PermissionError(errno.EACCES, "Permission denied", "a.wav"), "no_permission", "Permission denied"),
        (
            FileNotFoundError(errno.ENOENT, "No such file or directory", "a.wav"),
            "not_found",
            "No such file or directory",
        ),
        (AudioError("a.wav", "truncated", "it ends"), "truncated", "it ends"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_of_the_file_are_caught(raised: Exception, reason: str, detail: str) -> None:
    with pytest.raises(AudioError) as caught, of_one_file(Path("a.wav")):
        raise raised
    assert (str(caught.value.path), caught.value.reason, caught.value.detail) == ("a.wav", reason, detail)


@pytest.mark.parametrize(
    "raised",
    [OutOfMemoryError(), OSError(errno.ENOSPC, "No space left on device"), ConfigError("a flag"), KeyboardInterrupt()],
    ids=lambda value: type(value).__name__,
)
def test_other_errors_are_raised(raised: BaseException) -> None:
    with pytest.raises(type(raised)) as caught, of_one_file(Path("a.wav")):
        raise raised
    assert caught.value is raised


def test_refine_continues_after_a_bad_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(EXAMPLE, tmp_path / "song")
    names = sorted(path.name for path in (tmp_path / "song").glob("*.*"))
    whole = Judge.__call__

    def judged(self, recording, **options):  # type: ignore[no-untyped-def]
        if recording.path.name == names[0]:
            raise IndexError("what nobody foresaw")
        return whole(self, recording, **options)

    monkeypatch.setattr(Judge, "__call__", judged)
    refine(tmp_path / "song", tmp_path / "refined.json", running=QUIET)
    refined = manifest.read(tmp_path / "refined.json")
    assert [(skip.path, skip.reason, skip.detail) for skip in refined.skipped if skip.path == names[0]] == [
        (names[0], "unexpected_error", "IndexError: what nobody foresaw")
    ]
    assert len(refined.stems) + len(refined.skipped) == len(names)
    assert refined.stems
