"""``stemclean validate`` finds missing, changed and foreign files, and broken manifests."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from stemclean import layouts, manifest
from stemclean.cli import app
from stemclean.manifest import Created, Crosstalk, Issue, Manifest, Stem, Verdict
from stemclean.running import Running
from stemclean.validate import validate

QUIET = Running(quiet=True)


@pytest.fixture
def written(tmp_path: Path, make_dataset: Callable[..., Path]) -> Path:
    stems = make_dataset(tmp_path / "stems", tracks=2, seconds=0.5, labels=["bass", "drums"])
    scanned, folder = layouts.load(stems, quiet=True)
    path = tmp_path / "m.json"
    manifest.write(scanned.with_stems(scanned.stems, root=manifest.relative_root(folder, path)), path)
    return path


def files_of(path: Path) -> list[Path]:
    read = manifest.read(path)
    return [read.folder(path) / stem.path for stem in read.stems]


def reasons(path: Path, **options: bool) -> list[str]:
    return [failure["reason"] for failure in validate(path, running=QUIET, **options)["failures"]]


def test_a_manifest_of_its_files_is_valid(written: Path) -> None:
    assert reasons(written) == reasons(written, checksums=True) == []
    run = CliRunner().invoke(app, ["validate", str(written), "--checksums", "--json"])
    report = json.loads(run.stdout)
    assert (run.exit_code, report["stems"], report["checked"]) == (0, 4, "checksums")


def test_a_missing_and_a_broken_file_are_named(written: Path) -> None:
    first, second, *_ = files_of(written)
    first.unlink()
    second.write_bytes(b"no sound")
    run = CliRunner().invoke(app, ["validate", str(written), "--json", "-q"])
    failures = json.loads(run.stdout)["failures"]
    assert run.exit_code == 3 and [failure["reason"] for failure in failures] == ["not_found", "not_audio"]
    assert reasons(written, audio=False) == []


def test_another_length_shows_in_the_header_and_another_sound_in_the_checksum(written: Path) -> None:
    first, second, *_ = files_of(written)
    sound, rate = soundfile.read(first, always_2d=True)
    soundfile.write(first, np.concatenate([sound, sound]), rate, "PCM_16")
    sound, rate = soundfile.read(second, always_2d=True)
    soundfile.write(second, -sound, rate, soundfile.info(second).subtype)
    assert reasons(written) == ["changed_since_scan"]
    assert reasons(written, checksums=True) == ["changed_since_scan", "changed_since_scan"]


def test_a_reference_to_no_stem_is_found(written: Path) -> None:
    read = manifest.read(written)
    bleed = Crosstalk(stem="nobody", label="bass", level_db=-20.0, delay=0.0)
    stems = [read.stems[0].model_copy(update={"crosstalk": [bleed]}), *read.stems[1:]]
    manifest.write(read.with_stems(stems), written)
    [failure] = validate(written, running=QUIET)["failures"]
    assert failure["reason"] == "unknown_stem" and '"nobody"' in failure["detail"]


def test_a_manifest_that_breaks_its_schema_has_an_address(written: Path) -> None:
    document = json.loads(written.read_text())
    document["stems"][1]["sample_rate"] = -1
    written.write_text(json.dumps(document))
    run = CliRunner().invoke(app, ["validate", str(written)])
    assert run.exit_code == 2 and "stems[1].sample_rate" in run.stderr


def test_a_moved_dataset_is_not_found(written: Path, tmp_path: Path) -> None:
    shutil.move(tmp_path / "stems", tmp_path / "elsewhere")
    assert set(reasons(written)) == {"not_found"}


@pytest.mark.parametrize(
    ("conditions", "failed"),
    [
        ([], {}),
        (["wrong"], {"a": ["wrong"]}),
        (["mixed", "any"], {"a": ["any"], "b": ["mixed", "any"]}),
        (["warning"], {"b": ["clipped"]}),
        (["note", "drop"], {"b": ["clipped"], "c": ["dual_mono"]}),
        (["dual_mono"], {"c": ["dual_mono"]}),
    ],
)
def test_fail_on_names_the_stems(tmp_path: Path, conditions: list[str], failed: dict[str, list[str]]) -> None:
    def stem(name: str, action: str, found: list[str], **changes: object) -> Stem:
        verdict = Verdict.model_validate({"action": action, "reason": "test"})
        return Stem(
            id=name, track=name, path=f"{name}.wav", sample_rate=100, channels=1, num_samples=9, claimed=["bass"],
            labels=["bass"], found=found, verdict=verdict, **changes,
        )  # fmt: skip

    stems = [
        stem("a", "relabel", ["drums"]),
        stem("b", "mixed", ["bass", "drums"], issues=[Issue(code="clipped", severity="warning")]),
        stem("c", "keep", ["bass"], issues=[Issue(code="dual_mono")]),
    ]
    made = Manifest(created=Created(by="test", command="refine"), labels=["bass", "drums"], stems=stems)
    path = manifest.write(made, tmp_path / "m.jsonl")
    options = [word for name in conditions for word in ("--fail-on", name)]
    run = CliRunner().invoke(app, ["validate", str(path), "--no-audio", "--json", *options])
    assert {stem["id"]: stem["reasons"] for stem in json.loads(run.stdout)["failed_on"]} == failed
    assert run.exit_code == bool(failed) and all(f"  {name}: " in run.stderr for name in failed)
