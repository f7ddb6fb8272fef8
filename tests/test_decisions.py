"""People's decisions: the file, how it finds its stems again, and that refine and export honour it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from export_dataset import Dataset, run
from typer.testing import CliRunner

from stemclean import decisions, manifest
from stemclean.cli import app
from stemclean.decisions import Decisions, StemDecision
from stemclean.errors import ManifestError
from stemclean.manifest import Created, HumanDecision, Manifest, Source, Stem
from stemclean.refine import refine
from stemclean.running import Running
from stemclean.verdicts import Evidence, Policy, decide

LABELS = ["vocals", "bass", "drums", "other"]
A, B, C = ("abc"[i] * 64 for i in range(3))


def stem(identity: str, sha256: str | None = A, claimed: str = "bass", **fields: Any) -> Stem:
    return Stem(
        id=identity, track=identity, path=f"{identity}.wav", sha256=sha256, sample_rate=100, channels=1,
        num_samples=1000, claimed=[claimed], labels=[claimed], **fields,
    )  # fmt: skip


def dataset(*stems: Stem) -> Manifest:
    return Manifest(created=Created(by="test", command="refine"), labels=LABELS, stems=list(stems))


def decision(identity: str, labels: list[str], sha256: str | None = A, action: str = "relabel") -> StemDecision:
    return StemDecision(action=action if labels else "drop", labels=labels, sha256=sha256, id=identity, by="Ana")  # type: ignore[arg-type]


def of(*items: StemDecision) -> Decisions:
    return Decisions(decisions=list(items))


@pytest.mark.parametrize(
    ("labels", "action", "reason", "quality"),
    [
        (["bass"], "keep", "accepted_by_listener", 1.0),
        (["drums"], "relabel", "relabelled_by_listener", 0.0),
        (["drums", "bass"], "mixed", "mixed_by_listener", 0.0),
        ([], "drop", "dropped_by_listener", 0.0),
    ],
)
def test_a_decision_overrules_the_measurements_but_not_what_was_found(
    labels: list[str], action: str, reason: str, quality: float
) -> None:
    human = HumanDecision(action="relabel" if labels else "drop", labels=labels)
    scores = dict.fromkeys(LABELS, 0.01) | {"vocals": 0.99}
    decided = decide(Evidence(["bass"], scores=scores, decision=human), Policy())
    assert (decided.verdict.action, decided.verdict.reason, decided.labels) == (action, reason, labels)
    assert decided.verdict.label_quality == quality and decided.found == ["vocals"]
    kept, report = decisions.applied(dataset(stem("a")), of(decision("a", labels)))
    assert kept.stems[0].verdict == decided.verdict and report == {"fit": 1, "unfit": []}


def test_a_held_out_stem_is_never_relabelled() -> None:
    human = HumanDecision(action="drop", labels=[])
    assert decide(Evidence(["bass"], ["bass"], held_out=True, decision=human), Policy()).labels == ["bass"]
    same, report = decisions.applied(dataset(stem("a", split="test")), of(decision("a", [])))
    assert same.stems[0].verdict is None
    assert [item["reason"] for item in report["unfit"]] == ["held_out"]


@pytest.mark.parametrize(
    ("stems", "items", "labels", "reasons"),
    [
        ([stem("moved")], [decision("a", ["drums"])], [["drums"]], []),  # another name, same content
        ([stem("a", B)], [decision("a", ["drums"])], [["bass"]], ["content_changed"]),
        ([stem("b", B)], [decision("a", ["drums"])], [["bass"]], ["stem_gone"]),
        ([stem("a")], [decision("a", ["flute"])], [["bass"]], ["class_unknown"]),
        ([stem("a"), stem("b")], [decision("b", [])], [["bass"], []], []),  # copies are told apart by id
        ([stem("a"), stem("b")], [decision("c", ["drums"])], [["drums"], ["drums"]], []),
        ([stem("a")], [decision("b", ["drums"]), decision("c", [])], [["drums"]], ["ambiguous"]),
        ([stem("a")], [decision("b", ["drums"]), decision("a", ["other"])], [["other"]], ["ambiguous"]),
        ([stem("a", None)], [decision("a", ["drums"], None)], [["drums"]], []),
        ([stem("a", None)], [decision("b", ["drums"], None)], [["bass"]], ["stem_gone"]),
        ([stem("a", stream=1)], [decision("a", ["drums"])], [["bass"]], ["content_changed"]),
        (
            [stem("a", B, source=Source(path="long.wav", sha256=A, sample_rate=100, num_samples=2000))],
            [decision("a", ["drums"])],
            [["drums"]],
            [],
        ),
    ],
)
def test_decisions_find_their_content_and_say_when_they_no_longer_fit(
    stems: list[Stem], items: list[StemDecision], labels: list[list[str]], reasons: list[str]
) -> None:
    decided, report = decisions.applied(dataset(*stems), of(*items))
    assert [stem.labels for stem in decided.stems] == labels
    assert [item["reason"] for item in report["unfit"]] == reasons
    assert set(reasons) <= set(decisions.MISFITS)
    assert report["fit"] == sum(stem.decision is not None for stem in decided.stems)


def test_a_file_of_decisions_survives_a_round_trip(tmp_path: Path) -> None:
    path = decisions.write(of(decision("a", ["drums"]), decision("b", [], B)), tmp_path / "decisions.json")
    again = decisions.write(decisions.read(path), tmp_path / "again.json")
    assert again.read_bytes() == path.read_bytes()
    assert json.loads(path.read_text())["schema"] == "stemclean.decisions/1"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "line 1"),
        ("[]", '"schema" is not stemclean.decisions/1'),
        ({"schema": "stemclean.manifest/1"}, '"schema" is not'),
        ({"decisions": [{"action": "burn", "labels": [], "sha256": A, "id": "a"}]}, "decisions[0].action: must be"),
        ({"decisions": [{"action": "accept", "labels": [], "sha256": A, "id": "a"}]}, "[0].labels: must name a class"),
        ({"decisions": [{"action": "drop", "labels": ["bass"], "sha256": A, "id": "a"}]}, "[0].labels: must be empty"),
        ({"decisions": [{"action": "drop", "labels": [], "sha256": "0", "id": "a"}]}, "decisions[0].sha256"),
        (
            {
                "decisions": [
                    {"action": "drop", "labels": [], "sha256": A, "id": "a"},
                    {"action": "accept", "labels": ["bass"], "sha256": A, "id": "a"},
                ]
            },
            "decisions[1]: differs from decisions[0]",
        ),
    ],
)
def test_a_broken_file_is_refused_with_the_place(document: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "decisions.json"
    text = document if isinstance(document, str) else json.dumps({"schema": decisions.SCHEMA, **document})
    path.write_text(text)
    with pytest.raises(ManifestError) as error:
        decisions.read(path)
    assert message in str(error.value) and str(path) in str(error.value)


def test_export_takes_what_people_decided(tmp_path: Path) -> None:
    data = Dataset(tmp_path / "stems")
    for name in ("vocals", "bass", "drums", "other"):
        data.add(f"song/{name}.wav", [name])
    data.add("song/bass_2.wav", ["bass", "drums"], verdict=("mixed", "unclaimed_class_present"))
    source = data.write()
    rows = {stem.id: stem for stem in data.stems}
    chosen = [("song/bass_2", ["bass"]), ("song/drums", []), ("song/vocals", ["drums"]), ("gone", [])]
    items = [
        StemDecision(
            action="relabel" if labels else "drop", labels=labels, id=name,
            sha256=rows[name].sha256 if name in rows else C,
        )
        for name, labels in chosen
    ]  # fmt: skip
    path = decisions.write(of(*items), tmp_path / "decisions.json")
    report = run(source, "csv", tmp_path / "out", decisions=path, min_quality=0.4)
    assert report.decisions is not None and report.decisions["fit"] == 3
    assert report.decisions["unfit"] == [{"id": "gone", "sha256": C, "action": "drop", "reason": "stem_gone"}]
    assert report.classes["drums"].won == {"vocals": report.classes["drums"].kept}
    assert report.classes["drums"].why == {"dropped_by_listener": pytest.approx(2 / 3600, abs=1e-6)}
    assert report.classes["bass"].kept == pytest.approx(4 / 3600, abs=1e-6)
    shown = CliRunner().invoke(
        app, ["export", str(source), str(tmp_path / "again"), "--to", "csv", "--decisions", str(path)]
    )
    assert shown.exit_code == 0, shown.output
    assert "3 stems as decided by listeners" in shown.output
    assert "1 decision no longer fits:\n  gone: no stem has this content or this id any more" in shown.output


def test_refine_honours_decisions_for_good(tmp_path: Path, make_dataset: Any) -> None:
    folder = make_dataset(tmp_path / "songs", tracks=1)
    first = refine(folder, tmp_path / "first.json", running=Running(quiet=True))
    chosen = first.stems[0]
    item = StemDecision(action="relabel", labels=["other", "bass"], sha256=chosen.sha256, id="elsewhere", note="hm")
    path = decisions.write(of(item, decision("gone", [], C)), tmp_path / "decisions.json")
    second = refine(folder, tmp_path / "second.json", decisions=path, running=Running(quiet=True))
    again = refine(tmp_path / "second.json", tmp_path / "third.json", running=Running(quiet=True))
    for refined in (second, again):
        decided = next(stem for stem in refined.stems if stem.id == chosen.id)
        assert decided.labels == ["other", "bass"] and decided.scores == chosen.scores
        assert decided.verdict is not None and decided.verdict.reason == "mixed_by_listener"
        assert decided.decision is not None and decided.decision.note == "hm"
    assert second.summary["decisions"]["fit"] == 1
    assert [item["reason"] for item in second.summary["decisions"]["unfit"]] == ["stem_gone"]
    assert manifest.read(tmp_path / "third.json").stems[0].sha256 == first.stems[0].sha256
