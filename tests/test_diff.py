"""``stemclean diff`` tells what changed between two manifests, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stemclean import manifest, manifest_chunks
from stemclean.cli import app
from stemclean.diff import diff
from stemclean.errors import ManifestError
from stemclean.manifest import Created, Issue, Manifest, Stem, Verdict
from stemclean.running import Running


def stem(identity: str, claimed: str, labels: list[str], action: str = "keep", **changes: object) -> Stem:
    verdict = Verdict(action=action, reason="as_claimed" if action == "keep" else "other_class_found")  # type: ignore[arg-type]
    return Stem(
        id=identity, track=identity, path=f"{identity}.wav", sample_rate=100, channels=1, num_samples=1000,
        claimed=[claimed], labels=labels, verdict=verdict, **changes,
    )  # fmt: skip


def dataset(*stems: Stem) -> Manifest:
    return Manifest(created=Created(by="test", command="refine"), labels=["bass", "drums"], stems=list(stems))


BEFORE = dataset(stem("a", "bass", ["bass"]), stem("b", "bass", ["bass"]), stem("c", "drums", ["drums"]))
AFTER = dataset(
    stem("a", "bass", ["bass"], scores={"bass": 0.5}),
    stem("b", "bass", ["drums"], "relabel", issues=[Issue(code="clipped")]),
    stem("d", "drums", ["drums"]),
)


def test_changed_added_and_removed_stems_are_listed() -> None:
    report = diff(BEFORE, AFTER)
    assert (report["equal"], report["removed"], report["added"]) == (1, ["c"], ["d"])
    assert report["changed"] == [
        {
            "id": "b",
            "labels": [["bass"], ["drums"]],
            "verdict": ["keep", "relabel"],
            "reason": ["as_claimed", "other_class_found"],
            "issues": [[], ["clipped"]],
        }
    ]
    assert report["classes"] == {
        "bass": {"seconds_before": 20.0, "seconds_after": 10.0, "gained": 0, "lost": 1},
        "drums": {"seconds_before": 10.0, "seconds_after": 20.0, "gained": 1, "lost": 0},
    }


@pytest.mark.parametrize("ending", ["json", "jsonl", "jsonl.gz"])
def test_manifests_are_read_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    """Three stems in chunks of two, the second one in other processes, give the same as two whole manifests."""
    monkeypatch.setattr(manifest_chunks, "SIZE", 2)
    paths = [manifest.write(value, tmp_path / f"{n}.{ending}") for n, value in enumerate((BEFORE, AFTER))]
    assert diff(*paths) == diff(BEFORE, AFTER)
    if ending == "jsonl":
        monkeypatch.setattr(manifest_chunks, "LARGE", paths[0].stat().st_size)
        assert diff(*paths, running=Running(workers=2, quiet=True)) == diff(BEFORE, AFTER)


def test_a_stem_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    path = manifest.write(BEFORE, tmp_path / "a.jsonl")
    with path.open("a") as file:
        file.write(path.read_text().splitlines()[1] + "\n")
    for pair in ((path, BEFORE), (BEFORE, path)):
        with pytest.raises(ManifestError, match='two stems have the id "a"'):
            diff(*pair)


@pytest.mark.parametrize(
    ("other", "options", "code"), [(BEFORE, ["--exit-code"], 0), (AFTER, ["--exit-code"], 1), (AFTER, [], 0)]
)
def test_the_exit_code_is_asked_for(tmp_path: Path, other: Manifest, options: list[str], code: int) -> None:
    for name, value in (("a", BEFORE), ("b", other)):
        manifest.write(value, tmp_path / f"{name}.json")
    words = ["diff", str(tmp_path / "a.json"), str(tmp_path / "b.json"), *options]
    assert CliRunner().invoke(app, words).exit_code == code
    assert json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout) == diff(BEFORE, other)


def test_the_tables_show_every_kind_of_change(tmp_path: Path) -> None:
    for name, value in (("a", BEFORE), ("b", AFTER)):
        manifest.write(value, tmp_path / f"{name}.jsonl")
    shown = CliRunner().invoke(app, ["diff", str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")]).stdout
    for words in ("other class found", "clipped", "1 changed, 1 equal, 1 added (d), 1 removed (c)"):
        assert words in shown
