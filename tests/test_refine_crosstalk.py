"""How refine uses measured bleed between the stems of a song."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from stemclean import layouts, manifest
from stemclean.audio.unchanged import Unchanged
from stemclean.cli import app
from stemclean.data.journal import Journal
from stemclean.manifest import Crosstalk, Region, Source, Span, Stem, Verdict
from stemclean.refine import RefineConfig, refine
from stemclean.refining import crosstalk
from stemclean.refining.config import SelfConfig
from stemclean.refining.crosstalk import measured, with_crosstalk
from stemclean.refining.noise import noise
from stemclean.refining.rounds import Rounds
from stemclean.running import Running
from stemclean.training.recipe import read
from stemclean.trim import trim
from stemclean.verdicts import MISTAKEN, Policy, bleeding_classes, label_quality

QUIET = Running(quiet=True)

LABELS = ("vocals", "bass", "drums", "other")
RATE = 22050
SILENT = {"vocals": 0.02, "bass": 0.02, "drums": 0.02, "other": 0.02}


def judged(name: str, claimed: str, *found: str, reason: str = "as_claimed", **changes: Any) -> Stem:
    labels = list(found or [claimed])
    action = {"as_claimed": "keep", "held_out": "keep", "other_class_found": "relabel", "no_class": "drop"}[reason]
    scores = {label: 0.97 if label in labels else 0.02 for label in LABELS}
    fields: dict[str, Any] = {"levels_db": dict.fromkeys(labels, -0.2), "scores": scores, "found": labels} | changes
    return Stem(
        id=f"song/{name}", track="song", path=f"song/{name}.wav", sample_rate=RATE, channels=2, num_samples=10 * RATE,
        claimed=[claimed], labels=labels, verdict=Verdict(action=action, reason=reason, label_quality=0.9), **fields,
    )  # fmt: skip


def bled(label: str | None, level_db: float, source: str = "song/x") -> Crosstalk:
    return Crosstalk(stem=source, label=label, level_db=level_db, delay=0.0)


def test_measured_bleed_adds_a_class_to_the_stem():
    stem = judged("drums", "drums", crosstalk=[bled("vocals", -20.0)])
    refined = with_crosstalk(stem, Policy())
    assert refined.labels == ["vocals", "drums"]
    assert refined.levels_db == {"vocals": -20.0, "drums": 0.0}
    assert (refined.verdict.action, refined.verdict.reason) == ("mixed", "unclaimed_class_present")
    assert refined.verdict.label_quality == pytest.approx(MISTAKEN * label_quality(stem.scores, ["drums"]))
    assert refined.scores == stem.scores


def test_measured_levels_replace_estimated_ones():
    stem = judged("drums", "drums", "vocals", "drums", "other", crosstalk=[bled("vocals", -10.0)])
    stem = stem.model_copy(update={"levels_db": {"vocals": -2.0, "drums": -5.0, "other": -15.0}})
    refined = with_crosstalk(stem, Policy())
    assert refined.levels_db["vocals"] == -10.0
    assert refined.levels_db["drums"] - refined.levels_db["other"] == pytest.approx(10.0, abs=0.11)
    assert sum(10 ** (level / 10) for level in refined.levels_db.values()) == pytest.approx(1.0, abs=0.02)


def test_regions_say_where_a_bleed_was_measured():
    bleed = bled("vocals", -20.0).model_copy(update={"spans": [Span(start=2.0, end=4.0, level_db=-10.0)]})
    regions = [Region(start=0.0, end=3.0, labels=["drums"]), Region(start=5.0, end=9.0, labels=["drums"])]
    refined = with_crosstalk(judged("drums", "drums", crosstalk=[bleed], regions=regions), Policy())
    assert [(region.start, region.end, region.labels) for region in refined.regions] == [
        (0.0, 2.0, ["drums"]), (2.0, 3.0, ["vocals", "drums"]), (5.0, 9.0, ["drums"]),
    ]  # fmt: skip
    assert refined.regions[1].levels_db == {"vocals": -10.0, "drums": -0.5}


def test_rounded_span_ends_make_no_region_of_their_own():
    spans = [Span(start=0.0, end=2.9999999, level_db=-10.0), Span(start=2.9999999, end=6.0, level_db=-12.0)]
    bleed = bled("vocals", -11.0).model_copy(update={"spans": spans})
    regions = [Region(start=0.0, end=3.000004, labels=["drums"]), Region(start=3.000004, end=6.0, labels=["drums"])]
    refined = with_crosstalk(judged("drums", "drums", crosstalk=[bleed], regions=regions), Policy())
    assert [(region.start, region.end, region.labels) for region in refined.regions] == [
        (0.0, 3.000004, ["vocals", "drums"]), (3.000004, 6.0, ["vocals", "drums"]),
    ]  # fmt: skip


def test_two_sources_of_a_class_are_summed():
    stem = judged("drums", "drums", crosstalk=[bled("other", -20.0), bled("other", -20.0, "song/y")])
    assert with_crosstalk(stem, Policy()).levels_db["other"] == -17.0


@pytest.mark.parametrize(
    "crosstalk_", [[], [bled("drums", -8.0)], [bled(None, -8.0)], [bled("vocals", -33.0)]],
    ids=["none", "its own class", "no clear class", "too soft"],
)  # fmt: skip
def test_measurements_that_change_no_label(crosstalk_):
    stem = judged("drums", "drums", crosstalk=crosstalk_)
    assert with_crosstalk(stem, Policy()) == stem


def test_a_limit_tolerates_soft_bleed():
    stem = judged("drums", "drums", crosstalk=[bled("vocals", -33.0)])
    assert with_crosstalk(stem, Policy(max_bleed_db=-35.0)).verdict.action == "mixed"
    louder = judged("drums", "drums", crosstalk=[bled("vocals", -28.0)])
    tolerated = with_crosstalk(louder, Policy(max_bleed_db=-25.0))
    assert (tolerated.verdict.action, tolerated.verdict.reason) == ("keep", "bleed_tolerated")
    assert tolerated.labels == ["drums"] and tolerated.levels_db["vocals"] == -28.0


def test_held_out_stems_keep_their_labels():
    stem = judged("drums", "drums", reason="held_out", split="test", crosstalk=[bled("vocals", -8.0)])
    refined = with_crosstalk(stem, Policy())
    assert (refined.labels, refined.verdict.action, refined.verdict.reason) == (["drums"], "keep", "held_out")
    assert refined.verdict.label_quality < 0.02


def test_weights_without_a_level_head_get_measured_levels():
    stem = judged("drums", "drums", crosstalk=[bled("vocals", -8.0)], levels_db={})
    assert with_crosstalk(stem, Policy()).levels_db == {"vocals": -8.0, "drums": -0.7}


@pytest.mark.parametrize(
    ("stem", "label"),
    [
        (judged("a", "drums"), "drums"),
        (judged("a", "drums", "drums", "bass", reason="as_claimed"), "drums"),
        (judged("a", "drums", "bass", reason="other_class_found"), "bass"),
        (judged("a", "drums", "bass", "other", reason="other_class_found"), None),
        (
            judged("a", "drums", reason="no_class", levels_db={}, scores=SILENT).model_copy(update={"labels": []}),
            "drums",
        ),
    ],
    ids=["claim", "claim and more", "another", "several others", "nothing"],
)
def test_the_class_of_a_source_is_used(stem, label):
    assert crosstalk._class_of(stem) == label


def song(folder: Path, sounds: Any, level_db: float = -15.0, seconds: float = 14.0) -> Path:
    """A song of drums, bass and vocals into which the drums bleed."""
    rng = np.random.default_rng(5)
    stems = {name: getattr(sounds, name)(seconds, rng, RATE) for name in ("drums", "bass", "vocals")}
    drums, vocals = stems["drums"], stems["vocals"]
    vocals += drums * np.float32(10 ** (level_db / 20) * np.linalg.norm(vocals) / np.linalg.norm(drums))
    (folder / "song").mkdir(parents=True)
    for name, sound in stems.items():
        soundfile.write(folder / "song" / f"{name}.wav", 0.5 * sound.T, RATE)
    return folder


def compared(data: Path, output: Path, *, kill: bool = False) -> dict[str, Stem]:
    source, folder = layouts.load(data, quiet=True)
    stems = [
        stem.model_copy(update={"scores": {label: 0.97 if label in stem.claimed else 0.02 for label in LABELS}})
        for stem in source.stems
    ]
    with ThreadPoolExecutor(1) as threads:
        journal = Journal(output, 1)
        results, _lost = measured(stems, folder, journal, threads, Unchanged(), quiet=True)
        journal.__exit__(KeyboardInterrupt if kill else None, None, None)
    return {stem.id: stem for stem in results}


def test_measurements_survive_a_kill(tmp_path, sounds, monkeypatch):
    data, output = song(tmp_path / "data", sounds), tmp_path / "refined.json"
    first = compared(data, output, kill=True)
    [bleed] = first["song/vocals"].crosstalk
    assert (bleed.stem, bleed.label) == ("song/drums", "drums")
    assert bleed.level_db == pytest.approx(-15.1, abs=1.5)
    assert first["song/drums"].crosstalk == [] and first["song/bass"].crosstalk == []
    monkeypatch.setattr(crosstalk.crosstalk, "measure", None)  # not called any more
    assert compared(data, output) == first
    assert not output.with_name("refined.json.partial.jsonl").exists()


def test_a_copy_is_not_bleed_of_its_original(tmp_path, sounds):
    data = song(tmp_path / "data", sounds)
    shutil.copy(data / "song" / "vocals.wav", data / "song" / "vocals 2.wav")
    shutil.copy(data / "song" / "drums.wav", data / "song" / "drums 2.wav")
    stems = compared(data, tmp_path / "refined.json")
    for name in ("vocals", "vocals 2"):
        assert [bleed.label for bleed in stems[f"song/{name}"].crosstalk] == ["drums"]  # once, as it was measured
    assert stems["song/drums"].crosstalk == stems["song/drums 2"].crosstalk == []


def test_trimmed_stems_are_aligned_again(tmp_path, sounds):
    data = song(tmp_path / "data", sounds)
    quiet = tmp_path / "data" / "song" / "bass.wav"
    sound, rate = soundfile.read(quiet, dtype="float32")
    sound[: 5 * rate] = 0.0  # so that trimming moves it
    soundfile.write(quiet, sound, rate)
    vocals = tmp_path / "data" / "song" / "vocals.wav"
    held, _ = soundfile.read(vocals, dtype="float32")
    soundfile.write(vocals, held + 0.5 * sound, rate)
    trimmed = trim(data, tmp_path / "trimmed", quiet=True)
    assert any(stem.num_samples < stem.source.num_samples for stem in trimmed.stems if stem.source)
    stems = compared(tmp_path / "trimmed" / "manifest.json", tmp_path / "refined.json")
    [bass] = [bleed for bleed in stems["song/vocals"].crosstalk if bleed.stem == "song/bass"]
    assert bass.spans[0].start == pytest.approx(5.0, abs=crosstalk.crosstalk.BLOCK)


def test_spans_are_mapped_to_times_of_a_trimmed_file():
    """It holds 10 to 14 s and 20 to 26 s of what it was cut from, one after the other."""
    source = Source(path="long.wav", sample_rate=RATE, num_samples=30 * RATE)
    stem = judged("drums", "drums", source=source, active=[(10.0, 14.0), (20.0, 26.0)])
    placed = crosstalk._within([(8.0, 12.0, -10.0), (14.0, 20.0, -11.0), (22.0, 30.0, -12.0)], stem)
    assert [(span.start, span.end, span.level_db) for span in placed] == [(0.0, 2.0, -10.0), (6.0, 10.0, -12.0)]


def test_single_and_unreadable_stems_are_skipped(tmp_path, sounds):
    data = song(tmp_path / "data", sounds)
    (data / "alone").mkdir()
    (data / "song" / "drums.wav").rename(data / "alone" / "drums.wav")
    by_id = compared(data, tmp_path / "refined.json")
    assert by_id["alone/drums"].crosstalk is None and by_id["song/bass"].crosstalk == []
    source, folder = layouts.load(data, quiet=True)
    stems = [stem.model_copy(update={"scores": SILENT}) for stem in source.stems if stem.track == "song"]
    (data / "song" / "bass.wav").unlink()
    with ThreadPoolExecutor(1) as threads, Journal(tmp_path / "again.json", 1) as journal:
        kept, lost = measured(stems, folder, journal, threads, Unchanged(), quiet=True)
    assert [stem.id for stem in kept] == ["song/vocals"] and kept[0].crosstalk is None  # nothing to compare with
    assert [(Path(skip.path).name, skip.reason) for skip in lost] == [("bass.wav", "not_found")]


def test_refine_measures_bleed_by_default(tmp_path, sounds):
    data = song(tmp_path / "data", sounds)
    output = tmp_path / "refined.json"
    result = CliRunner().invoke(app, ["refine", str(data), "-o", str(output), "--json", "--quiet"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    vocals = next(finding for finding in report["findings"] if finding["id"] == "song/vocals")
    assert vocals["measured_db"].keys() == {"drums"} and "drums" in vocals["found"]
    assert report["noise"]["measured"]["stems"] == 3
    read = {stem.id: stem for stem in manifest.read(output).stems}
    assert read["song/vocals"].crosstalk and read["song/bass"].crosstalk == []
    refined = refine(data, tmp_path / "plain.json", RefineConfig(crosstalk=False), running=QUIET)
    assert all(stem.crosstalk is None for stem in refined.stems) and refined.summary["noise"]["measured"] is None
    assert "crosstalk" not in json.loads((tmp_path / "plain.json").read_text())["stems"][0]


def test_the_certain_share_is_reported_with_its_interval():
    stems = [judged(str(n), "drums", crosstalk=[bled("vocals", -10.0)] if n < 2 else []) for n in range(8)]
    stems = [stem.model_copy(update={"track": stem.id}) for stem in stems]
    alone = judged("alone", "drums")
    estimate = noise([*stems, alone], LABELS, [{}])["measured"]
    assert (estimate["stems"], estimate["tracks"], estimate["bleed"]["rate"]) == (8, 8, 0.25)
    assert 0 < estimate["bleed"]["low"] < 0.2 and 0.35 < estimate["bleed"]["high"] < 0.8
    assert bleeding_classes(stems[0]) == {"vocals": -10.0}


def test_a_round_reuses_the_measurements_of_the_previous_one(tmp_path, sounds):
    source, folder = layouts.load(song(tmp_path / "data", sounds), quiet=True)
    running, work = Running(workers=1, quiet=True), tmp_path / "work"
    work.mkdir()

    def rounds(config: RefineConfig) -> Rounds:
        return Rounds(source, folder, folder, work, read("small"), config, SelfConfig(), running)

    judged_once = [stem.model_copy(update={"crosstalk": [bled("drums", -9.0)]}) for stem in source.stems[1:]]
    manifest.write(source.with_stems(judged_once), rounds(RefineConfig()).manifest_path(1))
    measured_before = [stem.crosstalk for stem in rounds(RefineConfig())._with_crosstalk(2).stems]
    assert measured_before == [None, *(stem.crosstalk for stem in judged_once)]
    assert (
        rounds(RefineConfig())._with_crosstalk(1) == rounds(RefineConfig(crosstalk=False))._with_crosstalk(2) == source
    )


def test_silent_stems_that_were_judged_are_not_compared(tmp_path, sounds):
    data = song(tmp_path / "data", sounds)
    source, folder = layouts.load(data, quiet=True)
    silent = Verdict(action="drop", reason="silent", label_quality=0.0)
    judged_stems = [stem.model_copy(update={"scores": dict.fromkeys(LABELS, 0.5)}) for stem in source.stems[1:]]
    stems = [source.stems[0].model_copy(update={"verdict": silent}), *judged_stems]
    with ThreadPoolExecutor(1) as threads, Journal(tmp_path / "o.json", 1) as journal:
        results, _lost = measured(stems, folder, journal, threads, Unchanged(), quiet=True)
    assert results[0].crosstalk is None and all(stem.crosstalk is not None for stem in results[1:])
