"""Results of a killed run are found again, even in a damaged journal."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

from stemclean.data import journal as journals
from stemclean.data.journal import Journal
from stemclean.manifest import Skip, Stem


def stem(name: str) -> Stem:
    return Stem(
        id=name,
        track="song",
        path=f"{name}.wav",
        sample_rate=44100,
        channels=2,
        num_samples=44100,
        claimed=["drums"],
        labels=["drums"],
    )


def killed(output: Path, *results: Stem | Skip) -> Path:
    """A run that is killed after so many results; where its journal lies."""
    journal = Journal(output, 1)
    for result in results:
        journal.put(stem(Path(result.path).stem), result)
    journal.__exit__(KeyboardInterrupt, None, None)
    return journal.path


def test_a_truncated_line_does_not_affect_later_ones(tmp_path):
    output = tmp_path / "refined.json"
    with killed(output, stem("a")).open("a") as file:
        file.write('{"key": "00ff", "stem": {"id": ')  # the power went off here
    killed(output, stem("b"))  # goes on behind it
    with Journal(output, 1) as journal:
        assert journal.get(stem("a")) == stem("a") and journal.get(stem("b")) == stem("b")
        assert journal.get(stem("c")) is None
    assert not list(tmp_path.iterdir())


def test_results_of_other_settings_or_stems_are_not_reused(tmp_path):
    killed(tmp_path / "o.json", stem("a"))
    with Journal(tmp_path / "o.json", 2) as journal:
        assert journal.get(stem("a")) is None
    killed(tmp_path / "o.json", stem("a"))
    with Journal(tmp_path / "o.json", 1) as journal:
        assert journal.get(stem("a").model_copy(update={"sha256": "0" * 64})) is None
    killed(tmp_path / "o.json", stem("a"))
    with Journal(tmp_path / "o.json", 1, resume=False) as journal:
        assert journal.get(stem("a")) is None


def test_skipped_stems_are_tried_again(tmp_path):
    killed(tmp_path / "o.json", Skip(path="a.wav", reason="not_found"), stem("b"))
    with Journal(tmp_path / "o.json", 1) as journal:
        assert journal.get(stem("a")) is None and journal.get(stem("b")) == stem("b")


def test_damaged_lines_are_moved_to_a_file_and_the_others_count(tmp_path, capsys):
    output = tmp_path / "refined.json"
    path = killed(output, stem("a"), stem("b"), stem("c"))
    lines = path.read_bytes().splitlines(keepends=True)
    document = json.loads(lines[1])["content"]
    damaged = [
        b'{"key": "1", "stem": {"id": 3}}\n',
        b"\xff\xfe\n",
        b"[]\n",
        b"[" * 100_000 + b"\n",
        lines[1][:50] + b"\n",
        lines[1].replace(b'"drums"', b'"drumz"'),  # which can still be read
        lines[1].replace(b"44100", b"44101"),
        json.dumps(document).encode() + b"\n",
        journals.sealed({**document, "stem": {"id": "b"}}).encode(),
        journals.sealed([document]).encode(),
    ]
    path.write_bytes(b"".join([lines[0], *damaged, lines[2]]))
    with Journal(output, 1) as journal:
        assert journal.get(stem("a")) and journal.get(stem("c")) and journal.get(stem("b")) is None
    assert (tmp_path / "refined.json.partial.jsonl.damaged").read_bytes() == b"".join(damaged)
    assert "10 damaged line(s) moved to" in capsys.readouterr().err


def test_the_results_stay_on_disk(tmp_path):
    """In memory, a journal takes a fifth of its file at most (measured: a tenth); the bound leaves room for Python."""
    many = [stem(f"stem {number}").model_copy(update={"extra": {"note": "x" * 2000}}) for number in range(2000)]
    path = killed(tmp_path / "o.json", *many)
    size = path.stat().st_size
    tracemalloc.start()
    with Journal(tmp_path / "o.json", 1) as journal:
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert held < size / 5
        assert journal.get(stem("stem 7")) == many[7]


def test_a_result_is_the_last_one_that_was_put(tmp_path):
    journal = Journal(tmp_path / "o.json", 1)
    journal.put(stem("a"), stem("a").model_copy(update={"loudness_lufs": -20.0}))
    journal.put(stem("a"), stem("a").model_copy(update={"loudness_lufs": -30.0}))
    journal.__exit__(KeyboardInterrupt, None, None)
    found = journals.finished(tmp_path / "o.json", 1, [stem("a"), stem("b")])
    assert [result.loudness_lufs for result in found.values()] == [-30.0]
    with Journal(tmp_path / "o.json", 1) as journal:
        result = journal.get(stem("a"))
    assert result is not None and result.loudness_lufs == -30.0
