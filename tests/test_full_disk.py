"""Full disks: the error names the file and the next step, and with space the same command succeeds."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.robustness import disks, kills

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="disks are mounted as on Linux")


@pytest.fixture(scope="module")
def mounting() -> None:
    if not disks.can_mount():
        pytest.skip("disks can be mounted by root alone")


@pytest.fixture
def disk(tmp_path: Path, mounting: None) -> Iterator[Path]:
    """A folder on a disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def remounted(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)


def stemclean(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stemclean", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.97])
def test_trim_resumes_when_there_is_room(
    tmp_path: Path, disk: Path, make_dataset: Callable[..., Path], share: float
) -> None:
    stems = make_dataset(tmp_path / "stems", tracks=1, seconds=3.0)
    assert stemclean("trim", stems, disk / "out", "-q").returncode == 0
    whole = kills.tree(disk / "out")
    size = sum(-(-path.stat().st_size // 4096) * 4096 for path in (disk / "out").rglob("*") if path.is_file())
    shutil.rmtree(disk / "out")
    remounted(disk, f"size={max(4096, int(share * size) // 4096 * 4096)}")
    failed = stemclean("trim", stems, disk / "out", "-q")
    error, step = failed.stderr.splitlines()
    assert failed.returncode == 2
    assert error.startswith(f"error: {disk / 'out'}") and error.endswith(": the disk is full")
    assert step == "  make room or write to another folder, then run the same command again to continue"
    left = kills.tree(disk / "out")
    assert all(whole[name] == left[name] for name in whole.keys() & left.keys())
    assert not list((disk / "out").rglob(".*"))
    remounted(disk, "size=64m")
    assert stemclean("trim", stems, disk / "out", "-q").returncode == 0
    assert kills.tree(disk / "out") == whole


@pytest.mark.parametrize("verb", ["trim", "corrupt"])
def test_a_read_only_disk_is_named(tmp_path: Path, disk: Path, make_dataset: Callable[..., Path], verb: str) -> None:
    stems = make_dataset(tmp_path / "stems", tracks=1, seconds=1.0)
    remounted(disk, "ro")
    failed = stemclean(verb, stems, disk / "out", "-q")
    assert failed.returncode == 2
    assert failed.stderr == f"error: {disk / 'out'}: the disk is read-only\n  write to another folder\n"
