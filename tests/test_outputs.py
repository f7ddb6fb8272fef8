"""One run per output: a second run is refused at once, and a killed one does not block it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from stemclean import manifest
from stemclean.errors import ConfigError
from stemclean.evaluating import results
from stemclean.models import addresses, weights
from stemclean.outputs import only_writer, only_writer_of

HOLDING = (
    "import os, sys, time; from stemclean.outputs import only_writer\n"
    "with only_writer(sys.argv[1], folder=sys.argv[2] == 'folder'):\n"
    "    if len(sys.argv) > 3 and not os.fork(): time.sleep(10); os._exit(0)\n"
    "    print('held', flush=True); time.sleep(60)"
)


def holding(output: Path, kind: str = "file", *more: str) -> subprocess.Popen[str]:
    """A process that writes an output until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(output), kind, *more], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_second_run_is_refused_while_the_first_runs(tmp_path: Path, kind: str) -> None:
    output = tmp_path / "new" / "out"
    first = holding(output, kind)
    refused = pytest.raises(ConfigError, match=rf"another run is writing it \(process {first.pid} on ")
    with refused, only_writer(output, folder=kind == "folder"):
        pytest.fail("both ran")
    first.kill()
    first.communicate()
    with only_writer(output, folder=kind == "folder"):
        pass
    assert not list((tmp_path / "new").rglob("*.lock"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork here")
def test_workers_of_a_killed_run_keep_no_lock(tmp_path: Path) -> None:
    first = holding(tmp_path / "out", "file", "with a worker")
    first.kill()
    first.wait()
    assert first.stdout is not None
    first.stdout.close()  # which the worker has, too
    with only_writer(tmp_path / "out"):
        assert [path.name for path in tmp_path.iterdir()] == [".out.stemclean.lock"]


def test_a_second_run_in_the_same_process_is_refused(tmp_path: Path) -> None:
    with only_writer(tmp_path / "a"):
        with only_writer(tmp_path / "b"):
            pass
        with pytest.raises(ConfigError, match="another run"), only_writer(tmp_path / "sub" / ".." / "a"):
            pytest.fail("both ran")
    with only_writer(tmp_path / "a"):
        pass


def test_one_name_for_two_outputs_is_refused(tmp_path: Path) -> None:
    refused = pytest.raises(ConfigError, match="is given for two outputs")
    with refused, only_writer_of(tmp_path / "a", None, tmp_path / "b" / ".." / "a"):
        pytest.fail("both were written")


def test_unused_folders_are_removed(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), only_writer(tmp_path / "new" / "folder", folder=True):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())
    (tmp_path / "mine").mkdir()
    with only_writer(tmp_path / "mine", folder=True):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_the_first_process_of_a_run_takes_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = holding(tmp_path / "out")
    monkeypatch.setenv("RANK", "1")
    with only_writer(tmp_path / "out"):
        pass
    first.kill()
    first.communicate()


class TestForeignFiles:
    """What was not ours is never written over."""

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("notes.json", b'{"shopping": ["strings"]}'),
            ("other.jsonl", b"1\n2\n"),
            ("other.jsonl.gz", b"no gzip"),
            ("card.json", b'{"schema": "someone.else/1"}'),
        ],
    )
    def test_refine_does_not_overwrite_foreign_files(self, tmp_path: Path, name: str, content: bytes) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ConfigError, match="already exists and contains no stemclean manifest"):
            manifest.check_output(tmp_path / name)
        assert (tmp_path / name).read_bytes() == content

    def test_our_manifests_and_empty_files_may_be_overwritten(self, tmp_path: Path) -> None:
        empty = manifest.Manifest(created=manifest.Created(by="a", command="scan"), labels=["bass"])
        for name in ("a.json", "a.jsonl", "a.jsonl.gz"):
            assert manifest.check_output(manifest.write(empty, tmp_path / name)) == tmp_path / name
        (tmp_path / "touched.json").touch()
        assert manifest.check_output(tmp_path / "touched.json").exists()

    def test_only_our_weights_and_cards_may_be_overwritten(self, tmp_path: Path) -> None:
        save_file({"a": torch.zeros(1)}, tmp_path / "theirs.safetensors")
        with pytest.raises(ConfigError, match="no weights of stemclean"):
            addresses.check_output(tmp_path / "theirs.safetensors")
        (tmp_path / "notes.json").write_text("{}")
        with pytest.raises(ConfigError, match=r"notes\.json already exists and contains no card"):
            addresses.check_output(tmp_path / "notes.safetensors")
        card = {"kind": "classifiers", "architecture": "a", "spec": {}, "options": {}}
        weights.save(tmp_path / "ours.safetensors", torch.nn.Linear(1, 1), card)
        addresses.check_output(tmp_path / "ours.safetensors")

    def test_only_our_results_may_be_overwritten(self, tmp_path: Path) -> None:
        (tmp_path / "songs.csv").write_text("song,year\n")
        with pytest.raises(ConfigError, match="no table of results"):
            results.check_outputs(csv=tmp_path / "songs.csv")
        results.write_csv([{"track": "a", "class": "bass"}], ["track", "class"], tmp_path / "ours.csv")
        results.check_outputs(csv=tmp_path / "ours.csv")
        (tmp_path / "summary.json").write_text("{}")
        with pytest.raises(ConfigError, match="no result of stemclean"):
            results.check_outputs([tmp_path / "summary.json"])


def test_an_output_below_a_file_is_refused_by_the_name_of_that_file(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("a note")
    with (
        pytest.raises(ConfigError, match=r"note\.txt is a file, not a folder"),
        only_writer(tmp_path / "note.txt" / "refined.json"),
    ):
        pytest.fail("the output was locked")
