"""Files are written atomically, and an error names the target file."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from stemclean.audio import files
from stemclean.disk import replacing, sweep
from stemclean.errors import OutputError


def test_the_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "new" / "folder" / "a.json"
    with replacing(path) as temporary:
        temporary.write_text("half")
        assert not path.exists() and temporary.parent == path.parent and temporary.name.startswith(".")
        temporary.write_text("whole")
    assert path.read_text() == "whole" and list(path.parent.iterdir()) == [path]


def test_a_failed_block_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")

    def write():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_reader_never_meets_half_a_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("0" * 50_000)
    finished = threading.Event()

    def write():
        for digit in "123456789" * 5:
            with replacing(path) as temporary, temporary.open("w") as file:
                for _ in range(50):
                    file.write(digit * 1000)
        finished.set()

    thread = threading.Thread(target=write)
    thread.start()
    while not finished.is_set():
        text = path.read_text()
        assert len(text) == 50_000 and set(text) == {text[0]}
    thread.join()


def test_an_error_names_the_target_file(tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(OutputError, match=re.escape(f"{path}: ")), replacing(path) as temporary:
        temporary.unlink()  # it was taken away before it could be renamed
    with pytest.raises(FileNotFoundError) as caught, replacing(path):
        (tmp_path / "other").stat()
    assert caught.value.filename == str(tmp_path / "other")  # another file's errors stay as they are
    assert not list(tmp_path.iterdir())


def test_a_file_in_place_of_a_folder_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"a\.json: cannot be written: "), replacing(tmp_path / "file" / "a.json"):
        pytest.fail("the block ran")


def test_a_long_name_has_a_valid_temporary_name(tmp_path):
    path = tmp_path / ("\N{CJK UNIFIED IDEOGRAPH-6B4C}" * 85)  # 255 bytes
    with replacing(path) as temporary:
        temporary.write_text("whole")
    assert path.read_text() == "whole"


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="files have no limit here")
@pytest.mark.parametrize(
    "write",
    [
        "half.write_bytes(b'0' * 3_000_000)",
        "torch.save(torch.zeros(1_000_000), half)",
        "safetensors.torch.save_file({'a': torch.zeros(1_000_000)}, half)",
        "soundfile.write(half, numpy.zeros(2_000_000), 44100, format='WAV')",
        "soundfile.write(half, numpy.random.rand(2_000_000), 44100, format='FLAC')",
    ],
)
def test_a_full_disk_is_reported_by_every_library(tmp_path, write):
    program = (
        "import resource, sys, numpy, safetensors.torch, soundfile, torch\n"
        "from stemclean.disk import replacing; from stemclean.errors import OutputError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
        "try:\n    with replacing(sys.argv[1]) as half:\n        " + write + "\n"
        "except OutputError as error: print(error.message)"
    )
    path = tmp_path / "a.json"
    result = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert result.stdout.startswith(f"{path}: the file would exceed the maximum file size")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="files have no limit here")
@pytest.mark.parametrize(
    ("name", "subtype"), [("a.wav", None), ("a.flac", "PCM_16"), ("a.flac", None), ("a.ogg", None)]
)
def test_an_incomplete_last_block_of_sound_is_reported(tmp_path, name, subtype):
    """libsndfile is silent about the last frames of compressed sound, which it writes as it closes the file."""
    program = (
        "import resource, sys, numpy\nfrom stemclean.audio import files; from stemclean.errors import OutputError\n"
        "path, subtype, lengths = sys.argv[1], sys.argv[2] or None, [int(word) for word in sys.argv[3:]]\n"
        "sound = 0.3 * numpy.random.default_rng(0).standard_normal((2, 20_000)).clip(-3, 3)\n"
        "for length in lengths:\n    resource.setrlimit(resource.RLIMIT_FSIZE, (length, resource.RLIM_INFINITY))\n"
        "    try:\n        files.write(path, sound, 44100, subtype=subtype)\n        print('written')\n"
        "    except OutputError as error: print(error.message)"
    )
    sound = 0.3 * np.random.default_rng(0).standard_normal((2, 20_000)).clip(-3, 3)
    path = files.write(tmp_path / name, sound, 44100, subtype=subtype)
    whole = path.read_bytes()
    path.unlink()
    lengths = [0, 100, len(whole) // 2, *(len(whole) - less for less in (5000, 1000, 100, 10, 1)), len(whole)]
    command = [sys.executable, "-c", program, str(path), subtype or "", *map(str, lengths)]
    *cut, last = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(cut) == len(lengths) - 1
    assert all(line.startswith(f"{path}: the file would exceed the maximum file size") for line in cut)
    assert last == "written" and list(tmp_path.iterdir()) == [path]
    assert path.stat().st_size == len(whole)  # Ogg numbers its streams anew


class TestLeftBehind:
    KILLED = (
        "import os, sys; from stemclean.disk import replacing\n"
        "with replacing(sys.argv[1]) as half: half.write_bytes(b'half'); os.kill(os.getpid(), 9)"
    )

    def test_only_leftovers_of_a_killed_run_are_removed(self, tmp_path):
        for name in ("a.json", "deep/b.flac"):
            subprocess.run([sys.executable, "-c", self.KILLED, str(tmp_path / name)], check=False)
        (tmp_path / ".c.json.tmp").write_text("somebody else's")
        with replacing(tmp_path / "d.json") as written_now:
            assert sweep(tmp_path) == 1  # a.json's
            assert sweep(tmp_path, deep=True) == 1  # b.flac's
            assert written_now.exists()
        assert {path.name for path in tmp_path.rglob("*")} == {".c.json.tmp", "d.json", "deep"}
