"""Damaged documents and sounds: small seeded parts of ``benchmarks.robustness``, and that it sees what goes wrong."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from benchmarks.robustness import audio_faults, documents, judging, results, sounds, watching
from benchmarks.robustness.text_faults import json_text, json_with_faults


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documents") / "base"
    documents.prepare(folder, journals=False)
    return folder


def test_a_case_is_drawn_by_its_number_alone(base: Path) -> None:
    cases = [number for number in range(30) if documents.kind_of(0, number) != "journal"]
    drawn = [documents.case(0, number, base) for number in cases]
    assert drawn == [documents.case(0, number, base) for number in cases]
    assert drawn != [documents.case(1, number, base) for number in cases if documents.kind_of(1, number) != "journal"]


def test_faults_leave_what_they_were_made_from(base: Path) -> None:
    document = {"stems": [{"id": "a", "claimed": ["drums"]}], "labels": ["drums"]}
    text = json_text(document)
    changed = {json_text(json_with_faults(random.Random(seed), document)) for seed in range(50)}
    assert json_text(document) == text and len(changed - {text}) > 40


def test_an_ogg_page_that_is_another_has_its_right_checksum(tmp_path: Path) -> None:
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
        (2, "", "error: m.json: line 3: no JSON", []),
        (2, "", "error: cannot be read", ["unnamed"]),
        (3, "[mp3 @ 0x55d] Header missing\n{}", "", ["not_json", "native_noise"]),
        (70, "", "error: KeyError: 'labels'", ["foreign_exception"]),
        (-11, "", "", ["crash"]),
        (1, "", "error: m.json: wrong", ["exit_code"]),
        (2, "", "error: m.json: \x1b[2J", ["control_characters"]),
        (3, "{}", "skipped\nerror: a forged line", ["forged"]),
    ],
)
def test_what_must_not_happen_is_seen(code: int, stdout: str, stderr: str, failures: list[str]) -> None:
    assert judging.of_command(code, stdout, stderr, "m.json")["failures"] == failures


def test_a_result_goes_on_where_it_was_and_not_with_other_settings(tmp_path: Path) -> None:
    result = results.Result(tmp_path / "r.json", "documents", {"seed": 0})
    result.add(0, [{"kind": "list", "way": "trim", "exit_code": 2, "failures": ["unnamed"], "cpu_seconds": 0.5}])
    again = results.Result(tmp_path / "r.json", "documents", {"seed": 0})
    assert again.done == [0] and again.record["failed"]["unnamed"] == 1 and again.record["cpu_seconds"] == {"trim": 0.5}
    assert results.Result(tmp_path / "r.json", "documents", {"seed": 1}).done == []
    assert results.Result(tmp_path / "r.json", "audio", {"seed": 0}).done == []


def test_no_process_of_a_command_is_left(tmp_path: Path) -> None:
    done = watching.run(["--version"], tmp_path, {}, 60.0)
    assert (done.exit_code, done.orphans, done.hung) == (0, 0, False) and done.stdout.startswith("stemclean ")
