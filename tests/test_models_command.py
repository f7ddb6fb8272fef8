"""``stemclean models`` and ``stemclean stats``."""

from __future__ import annotations

import json
from pathlib import Path

import json_page
import pytest
from test_diff import AFTER
from typer.testing import CliRunner

from stemclean import manifest, manifest_chunks
from stemclean.cli import app
from stemclean.manifest import Issue
from stemclean.models import addresses, weights
from stemclean.report import describe_dataset, describe_manifest
from stemclean.running import Running


def output_of(*words: str | Path) -> tuple[int, str, str]:
    run = CliRunner().invoke(app, [*map(str, words)])
    return run.exit_code, run.stdout, run.stderr


def test_all_bundled_weights_are_listed_with_one_default() -> None:
    code, text, _ = output_of("models", "list", "--json")
    rows = json.loads(text)["weights"]
    assert code == 0 and [row["uri"] for row in rows] == [f"bundled:{name}" for name in addresses.bundled()]
    assert [row["uri"] for row in rows if row["default"]] == [addresses.DEFAULT_CLASSIFIER]
    assert all(row["bytes"] > 1e6 and row["parameters"] > 1e6 for row in rows)


def test_a_card_is_shown_whole_in_json_and_readable_in_a_table() -> None:
    code, text, _ = output_of("models", "show", addresses.DEFAULT_CLASSIFIER, "--json")
    report = json.loads(text)
    assert code == 0 and report["card"] == json.loads(json.dumps(weights.read_card(report["path"])))
    code, text, _ = output_of("models", "show", addresses.DEFAULT_CLASSIFIER)
    assert code == 0 and all(words in text for words in ("vocals, bass, drums, other", "44100 Hz", "licence", "MIT"))


@pytest.mark.parametrize("command", ["list", "show", "download"])
def test_every_key_is_documented(command: str) -> None:
    uri = [] if command == "list" else [addresses.DEFAULT_CLASSIFIER]
    _, text, _ = output_of("models", command, *uri, "--json")
    assert json_page.disagreements(f"models {command}", json.loads(text)) == []


def test_weights_that_do_not_exist_are_refused_with_the_next_step(tmp_path: Path) -> None:
    code, _, error = output_of("models", "show", "bundled:nothing")
    assert code == 2 and "known: bundled:" in error
    code, _, error = output_of("models", "download", f"file:{tmp_path / 'none.safetensors'}")
    assert code == 2 and "no such weights file" in error


def test_local_weights_are_their_own_download() -> None:
    code, text, error = output_of("models", "download", addresses.DEFAULT_CLASSIFIER)
    assert code == 0 and Path(text.strip()).is_file() and "stemclean refine DATA --weights" in error


def test_stats_of_chunks_are_those_of_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stems = [
        stem.model_copy(
            update={
                "id": f"{stem.id}{n}",
                "track": f"song {n % 3}",
                "issues": [Issue(code="clipped", score=n / 10), Issue(code="noisy", score=0.5)][: n % 3],
            }
        )
        for n in range(7)
        for stem in AFTER.stems
    ]
    whole = AFTER.with_stems(stems)
    path = manifest.write(whole, tmp_path / "m.jsonl")
    monkeypatch.setattr(manifest_chunks, "SIZE", 4)
    expected = describe_dataset(whole)
    assert (expected["stems"], expected["tracks"], expected["issues"][0]["stems"]) == (21, 3, 12)
    assert describe_manifest(path, running=Running(quiet=True)) == expected
    monkeypatch.setattr(manifest_chunks, "LARGE", 0)
    assert describe_manifest(path, running=Running(workers=2, quiet=True)) == expected


@pytest.mark.parametrize("ending", ["json", "jsonl.gz"])
def test_stats_count_stems_and_seconds(tmp_path: Path, ending: str) -> None:
    path = manifest.write(AFTER, tmp_path / f"m.{ending}")
    code, text, _ = output_of("stats", path, "--json")
    report = json.loads(text)
    assert (code, report["stems"], report["tracks"], report["seconds"]) == (0, 3, 3, 30.0)
    assert report["classes"] == {
        "bass": {"claimed": 20.0, "alone": 10.0, "with_others": 0.0},
        "drums": {"claimed": 10.0, "alone": 20.0, "with_others": 0.0},
    }
    assert report["verdicts"] == {"keep": 2, "relabel": 1} and report["splits"] == {"none": 3}
    assert [row["code"] for row in report["issues"]] == ["clipped"]
    assert "3 stems of 3 tracks" in output_of("stats", path)[1]
