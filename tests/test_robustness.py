"""Damaged documents and sounds: small seeded parts of ``benchmarks.robustness``, and its detection of failures."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.pages import robustness as page
from benchmarks.robustness import audio_faults, documents, judging, kills, results, sounds, watching
from benchmarks.robustness.text_faults import json_text, json_with_faults


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documents") / "base"
    documents.prepare(folder, journals=False)
    return folder


def test_the_number_determines_the_case(base: Path) -> None:
    cases = [number for number in range(30) if documents.kind_of(0, number) != "journal"]
    drawn = [documents.case(0, number, base) for number in cases]
    assert drawn == [documents.case(0, number, base) for number in cases]
    assert drawn != [documents.case(1, number, base) for number in cases if documents.kind_of(1, number) != "journal"]


def test_faults_do_not_change_their_original(base: Path) -> None:
    document = {"stems": [{"id": "a", "claimed": ["drums"]}], "labels": ["drums"]}
    text = json_text(document)
    changed = {json_text(json_with_faults(random.Random(seed), document)) for seed in range(50)}
    assert json_text(document) == text and len(changed - {text}) > 40


def test_a_changed_ogg_page_has_a_valid_checksum(tmp_path: Path) -> None:
    """Else every decoder would pass over it, and nothing behind the checksum were tried."""
    sounds.write_all(sounds.BAND, tmp_path, ["ogg vorbis"])
    data = next((tmp_path / "ogg vorbis").glob("vocals 2*")).read_bytes()
    pages = [at for at in range(len(data)) if data.startswith(b"OggS", at)]
    for at, end in zip(pages, [*pages[1:], len(data)], strict=True):
        assert audio_faults.with_checksum(data[at:end]) == data[at:end]


@pytest.mark.parametrize(
    ("code", "stdout", "stderr", "failures"),
    [
        (0, "{}", "", []),
        (2, "", "error: m.json: line 3: not JSON", []),
        (2, "", "error: cannot be read", ["unnamed"]),
        (3, "[mp3 @ 0x55d] Header missing\n{}", "", ["not_json", "native_noise"]),
        (70, "", "error: KeyError: 'labels'", ["foreign_exception"]),
        (-11, "", "", ["crash"]),
        (1, "", "error: m.json: wrong", ["exit_code"]),
        (2, "", "error: m.json: \x1b[2J", ["control_characters"]),
        (3, "{}", "skipped\nerror: a forged line", ["forged"]),
    ],
)
def test_forbidden_outcomes_are_detected(code: int, stdout: str, stderr: str, failures: list[str]) -> None:
    assert judging.of_command(code, stdout, stderr, "m.json")["failures"] == failures


def test_a_result_resumes_only_with_the_same_settings(tmp_path: Path) -> None:
    result = results.Result(tmp_path / "r.json", "documents", {"seed": 0})
    result.add(0, [{"kind": "list", "way": "trim", "exit_code": 2, "failures": ["unnamed"], "cpu_seconds": 0.5}])
    again = results.Result(tmp_path / "r.json", "documents", {"seed": 0})
    assert (
        again.batches == [0] and again.record["failed"]["unnamed"] == 1 and again.record["cpu_seconds"] == {"trim": 0.5}
    )
    assert results.Result(tmp_path / "r.json", "documents", {"seed": 1}).batches == []
    assert results.Result(tmp_path / "r.json", "audio", {"seed": 0}).batches == []


def test_commands_leave_no_process(tmp_path: Path) -> None:
    result = watching.run(["--version"], tmp_path, {}, 60.0)
    assert (result.exit_code, result.orphans, result.hung) == (0, 0, False) and result.stdout.startswith("stemclean ")


def test_pieces_of_a_part_are_independent(tmp_path: Path) -> None:
    """A verb a time, or two at once, with other parts in the same file."""
    settings = {"seed": 0, "cases": 2, "songs": False}
    other = results.Result(tmp_path / "r.json", "documents", settings)
    pieces = [results.Result(tmp_path / "r.json", "kills", settings, verb) for verb in ("trim", "export")]
    for number, piece in enumerate(pieces):
        killed = {"kind": piece.piece, "way": "SIGKILL", "outcome": f"killed/{piece.piece}", "failures": [],
                  "share": 0.5, "there": ["a journal"]}  # fmt: skip
        end = {"kind": piece.piece, "way": "end", "outcome": f"end/{piece.piece}", "failures": ["other_bytes"] * number}
        kills._count(piece.record, [killed, killed])
        piece.record["seconds"] = 2.0
        piece.add(0, [killed, killed, end])
    other.add(0, [{"kind": "list", "way": "trim", "exit_code": 2, "failures": [], "cpu_seconds": 0.5}])
    whole = json.loads((tmp_path / "r.json").read_text())
    assert {verb: piece["counts"]["SIGKILL"] for verb, piece in whole["kills"].items()} == {"trim": 2, "export": 2}
    assert results.Result(tmp_path / "r.json", "kills", settings, "trim").batches == [0]
    assert results.Result(tmp_path / "r.json", "kills", {**settings, "seed": 1}, "trim").batches == []
    assert results.Result(tmp_path / "r.json", "kills", settings, "refine").batches == []
    text = "\n".join(page.parts(lambda name: whole if name == "robustness" else {}))
    assert "| runs that were killed and resumed | 4 |" in text and text.count("| 0 0 2 0 0 |") == 2
    assert (
        "| `other_bytes` |" in text
        and "Damaged audio files, each read by `trim` and by `refine`. Not measured yet" in text
    )


def test_kills_are_spread_evenly() -> None:
    """Of 3000 uniform shares, a fifth has 600 with a deviation of 22."""
    every = [kill for number in range(600) for kill in kills.plan(0, number, "trim")]
    fifths = Counter(int(share * kills.FIFTHS) for _, share, _ in every)
    assert all(abs(fifths[fifth] - 600) < 4 * 22 for fifth in range(kills.FIFTHS))
    ways = Counter(signal_ for signal_, _, _ in every)
    assert ways.keys() == {signal.SIGKILL, *kills.SIGNALS} and ways[signal.SIGKILL] > 2000
    for number in range(5):
        chain = kills.plan(0, number, "trim")
        assert sum(more for _, _, more in chain) == pytest.approx(chain[-1][1]) and all(
            more >= 0 for _, _, more in chain
        )
    assert kills.plan(0, 3, "trim") == kills.plan(0, 3, "trim") != kills.plan(1, 3, "trim")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_documents_are_read_by_a_worker_process(tmp_path: Path) -> None:
    work = tmp_path / "work"
    documents.prepare(work / "base", journals=False)
    first = next(n for n in range(100) if "journal" not in {documents.kind_of(0, n), documents.kind_of(0, n + 1)})
    outcomes = list(watching.worker_cases(0, first, first + 2, work))
    assert [outcome["case"] for outcome in outcomes] == [first, first + 1]
    assert all(outcome["kind"] and outcome["failures"] == [] for outcome in outcomes)


def test_workers_may_end_with_a_delay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that outlives its parent is left over only if it does not end by itself; its time is the session's."""
    program = (
        "import os, time\n"
        "if os.fork(): os.abort()\n"
        "end = time.process_time() + 0.5\n"
        "while time.process_time() < end: pass"
    )
    for words, left, waits in ((program, 0, 30.0), (program + "\ntime.sleep(1000)", 1, 1.0)):
        monkeypatch.setattr(watching, "NOTICES_SECONDS", waits)
        process = subprocess.Popen([sys.executable, "-c", words], start_new_session=True)
        started = watching.Started(process, *[(tmp_path / name).open("w+b") for name in ("out", "err")], 0.0)
        seconds = 0.0
        if left:
            while seconds < 0.3:  # the clock of processes has steps
                seconds = watching.cpu_seconds(process.pid)
        assert watching.ended(started, 1e9).orphans == left
    assert watching.alive(process.pid) == []


@pytest.mark.parametrize(
    ("sent_signal", "code", "stderr", "failures"),
    [
        (signal.SIGKILL, -9, "", []),
        (signal.SIGKILL, 2, "error: no such file", ["exit_code"]),
        (signal.SIGTERM, 143, f"error: terminated\n  {kills.HINT}\n", []),
        (signal.SIGTERM, 143, "error: terminated\n", ["unsaid"]),
        (signal.SIGINT, -2, "", ["exit_code", "unsaid"]),
        (signal.SIGHUP, 70, "", ["foreign_exception", "unsaid"]),
    ],
)
def test_endings_of_killed_runs_are_classified(
    sent_signal: signal.Signals, code: int, stderr: str, failures: list[str]
) -> None:
    process = watching.Ended(code, "", stderr, 1.0, 1.0, 100, hung=False, orphans=0)
    assert kills.judged(sent_signal, process, works=True) == failures
