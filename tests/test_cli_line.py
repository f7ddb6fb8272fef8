"""The whole workflow on the command line: real verbs and files, and a barely trained classifier."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import json_page
import numpy as np
import pytest
import soundfile
import torch
from accelerate.state import AcceleratorState
from typer.testing import CliRunner

from stemclean import manifest
from stemclean.cli import app

RATE = 44100


@pytest.fixture(scope="module", autouse=True)
def _as_a_process_of_its_own() -> Iterator[None]:
    """The recipe's precision differs from that of other tests, and Accelerate keeps the first one of a process."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    AcceleratorState._reset_state()
    yield
    AcceleratorState._reset_state()
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three songs of four stems, a silent stem and a text file that says it is a stem."""
    folder = tmp_path_factory.mktemp("line")
    random = np.random.default_rng(0)
    time = np.arange(4 * RATE) / RATE
    for song in range(3):
        tone = 110.0 * 2 ** (random.integers(12) / 12)
        sounds = {
            "bass": np.sin(np.pi * tone * time),
            "vocals": np.sin(8 * np.pi * tone * time + 2 * np.sin(10 * np.pi * time)),
            "drums": random.standard_normal(len(time)) * np.exp(-20 * ((time * 2) % 1)),
            "other": np.sign(np.sin(4 * np.pi * tone * time)),
        }
        (folder / "stems" / f"song {song}").mkdir(parents=True)
        for name, sound in sounds.items():
            path = folder / "stems" / f"song {song}" / f"{name}.wav"
            soundfile.write(path, 0.3 * np.stack([sound, sound], axis=1), RATE)
    (folder / "stems" / "song 0" / "bass DI.wav").write_text("no sound")
    soundfile.write(folder / "stems" / "song 1" / "perc.wav", np.zeros((RATE, 2)), RATE)
    return folder


def run(*words: str | Path, code: int = 0) -> Any:
    result = CliRunner().invoke(app, [*map(str, words), "--json", "--quiet"], prog_name="stemclean")
    assert result.exit_code == code, result.output
    report = json.loads(result.stdout)
    command = "eval labels" if words[0] == "eval" else str(words[0])
    assert json_page.disagreements(command, report) == []
    return report


def test_from_stems_to_a_training_set(line: Path) -> None:
    stems, planted, weights = line / "stems", line / "planted", line / "w.safetensors"
    before = {path: path.read_bytes() for path in stems.rglob("*") if path.is_file()}

    # code 3: the text file is reported, and the rest of the run is complete
    result = run("corrupt", stems, planted, "--mislabel", "0.25", "--bleed", "0.1", "--seed", "1", code=3)
    assert result["faults"] == {"bleed": 1, "none": 8, "silent_in_source": 1, "swapped": 3}
    assert [(failure["path"], failure["reason"]) for failure in result["failures"]] == [
        ("song 0/bass DI.wav", "not_audio")
    ]

    learnt = run(
        "train-classifier", stems, "-o", weights, "--examples", "16", "--set", "loop.batch_size=4",
        "--set", "loop.validations=1", "--workers", "0", code=3,
    )  # fmt: skip
    assert (set(learnt["labels"]), learnt["data"]["stems"]) == ({"vocals", "bass", "drums", "other"}, 12)

    judged = run("refine", planted, "-o", line / "refined.json", "--weights", f"file:{weights}")
    written = manifest.read(line / "refined.json")
    assert judged["stems"] == len(written.stems) == 13
    flagged = {stem.id for stem in written.stems if stem.verdict and stem.verdict.action != "keep"}
    assert {finding["id"] for finding in judged["findings"]} == flagged

    held = run("eval", "labels", line / "refined.json", "--truth", planted / "truth.json")
    assert (held["stems/matched"], held["stems/wrong"], held["fault/swapped/num"]) == (13, 5, 3)

    exported = run("export", stems, "--to", "zfturbo", line / "set", "--set", "chunk_size=44100", code=3)
    assert (exported["stems"], exported["unjudged"], len(exported["failures"])) == (13, 13, 1)
    assert {label: hours["kept"] for label, hours in exported["classes"].items()} == pytest.approx(
        dict.fromkeys(("vocals", "bass", "drums", "other"), 12 / 3600), abs=1e-6
    )

    trimmed = run("trim", stems, line / "trimmed", code=3)
    assert trimmed["classes"]["bass"] == {"stems": 3, "before": 12.0, "after": 12.0}
    assert (trimmed["silent"], len(trimmed["failures"])) == (["song 1/perc.wav"], 1)
    assert manifest.read(trimmed["output"]).created.command == "trim"

    # what failed before is no failure of the next run
    again = run("trim", line / "trimmed", line / "trimmed twice")
    assert (again["stems"], again["failures"], again["silent"], again["skipped_before"]) == (12, [], [], 2)

    after = {path: path.read_bytes() for path in stems.rglob("*") if path.is_file()}
    assert before == after  # nothing touches the source


def test_a_missing_dataset_is_refused(line: Path) -> None:
    result = CliRunner().invoke(app, ["trim", str(line / "nothing"), str(line / "t")])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: no such file or folder: {line / 'nothing'}\n  give a folder of stems")
