"""A file that is written appears whole or not at all, and an error names the file that was meant."""

from __future__ import annotations

import threading

import pytest

from stemclean.disk import replacing


def test_it_appears_when_the_block_ends_and_not_before(tmp_path):
    path = tmp_path / "new" / "folder" / "a.json"
    with replacing(path) as temporary:
        temporary.write_text("half")
        assert not path.exists() and temporary.parent == path.parent and temporary.name.startswith(".")
        temporary.write_text("whole")
    assert path.read_text() == "whole" and list(path.parent.iterdir()) == [path]


def test_a_failed_block_leaves_what_was_there(tmp_path):
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
    done = threading.Event()

    def write():
        for digit in "123456789" * 5:
            with replacing(path) as temporary, temporary.open("w") as file:
                for _ in range(50):
                    file.write(digit * 1000)
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    while not done.is_set():
        text = path.read_text()
        assert len(text) == 50_000 and set(text) == {text[0]}
    thread.join()


def test_an_error_names_the_file_that_was_meant(tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(FileNotFoundError) as caught, replacing(path):
        pass  # nothing was written
    assert caught.value.filename == str(path)
    with pytest.raises(FileNotFoundError) as caught, replacing(path) as temporary:
        temporary.read_text()
    assert caught.value.filename == str(path)
    with pytest.raises(FileNotFoundError) as caught, replacing(path):
        (tmp_path / "other").stat()
    assert caught.value.filename == str(tmp_path / "other")  # another file's errors stay as they are
