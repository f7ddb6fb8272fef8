"""Dataset checks: each file is one check, and its findings are shown."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

import stemclean.checks as package
from stemclean import checks, layouts, manifest
from stemclean.audio.signal_meter import Signal
from stemclean.audio.stereo import ChannelFaults
from stemclean.audio.stream import AudioInfo
from stemclean.checks.base import Code, DatasetCheck, HeaderCheck, PhaseCheck, SignalCheck, SongCheck, SoundCheck
from stemclean.cli import app
from stemclean.errors import SkipReason
from stemclean.manifest import Issue, Stem

RATE = 44100
FILES = sorted(
    path.stem for path in Path(package.__file__).parent.glob("*.py") if path.stem not in {"__init__", "base"}
)


def stem(identity: str, *issues: Issue, **changes: object) -> Stem:
    return Stem(
        id=identity, track="song", path=f"{identity}.wav", sample_rate=RATE, channels=2, num_samples=RATE,
        claimed=["drums"], labels=["drums"], issues=list(issues), **changes,
    )  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_each_file_defines_one_check(name: str) -> None:
    check = checks.base.checks()[name]
    assert isinstance(check, HeaderCheck | SoundCheck | SignalCheck | SongCheck | PhaseCheck | DatasetCheck)
    assert check.codes and all(isinstance(code, Code) for code in check.codes)
    signal = Signal(RATE, 2, RATE, peak=0.5, true_peak=0.5, rms=0.1)
    info = AudioInfo(RATE, 2, RATE, "WAV", "PCM_16", 1, 0)
    for issue in (
        *(check.of_header(info) if isinstance(check, HeaderCheck) else ()),
        *(check.of_sound(checks.Sound()) if isinstance(check, SoundCheck) else ()),
        *(check.of_signal(signal) if isinstance(check, SignalCheck) else ()),
        *(check.of_song(checks.Song([stem("a")], {"a": (0.0, 0.0)})) if isinstance(check, SongCheck) else ()),
        *(check.of_dataset([stem("a"), stem("b")]) if isinstance(check, DatasetCheck) else ()),
    ):
        pytest.fail(f"{issue} is found where nothing is wrong")


def test_check_codes_are_unique() -> None:
    names = [code.name for check in checks.base.checks().values() for code in check.codes]
    names += [code.name for code in checks.REMARKS]
    assert len(names) == len(set(names))
    assert {code.severity for code in checks.codes().values()} == {"note", "warning", "error"}
    assert all(code.meaning and code.meaning[-1] != "." for code in checks.codes().values())


def test_channel_faults_score_by_their_duration() -> None:
    sound = np.random.default_rng(0).normal(0, 0.1, (1, 10 * RATE)).astype(np.float32)
    both = np.repeat(sound, 2, axis=0)
    both[1, : 4 * RATE] = 0
    from stemclean.audio.stereo import ChannelMeter

    meter = ChannelMeter(RATE)
    meter.add(both)
    faults: ChannelFaults = meter.faults()
    [issue] = checks.of_sound(checks.Sound(faults))
    assert (issue.code, issue.severity, issue.score) == ("one_sided", "warning", pytest.approx(0.4, abs=0.06))
    before = [checks.REMARKS[0].issue("softer"), issue]
    assert (
        checks.after_sound(before, checks.Sound()) == before[:1]
    )  # issues that no longer apply are removed, all others stay


def test_issues_are_counted_severest_first() -> None:
    codes = checks.codes()
    copy, side = codes["duplicate_across_splits"], codes["one_sided"]
    stems = [stem("a", side.issue("left", 0.2)), stem("b", side.issue("right"), copy.issue("as a"))]
    rows = checks.table([*stems, stem("c", Issue(code="f0_unreadable", detail="f0.csv: text"))])
    assert [(row["code"], row["severity"], row["stems"]) for row in rows] == [
        ("duplicate_across_splits", "error", 1),
        ("one_sided", "warning", 2),
        ("f0_unreadable", "note", 1),
    ]
    assert [example["id"] for example in rows[1]["examples"]] == ["b", "a"]
    assert rows[1]["meaning"] == side.meaning and rows[2]["meaning"] == SkipReason.F0_UNREADABLE.meaning


def test_refine_shows_issues(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for song, name in (("one", "drums"), ("one", "bass"), ("two", "drums")):
        path = tmp_path / "data" / song / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        sound = rng.normal(0, 0.1, 6 * RATE)
        soundfile.write(path, np.stack([sound, 0 * sound if name == "bass" else rng.normal(0, 0.1, 6 * RATE)], 1), RATE)
    (tmp_path / "data" / "two" / "bass.wav").write_bytes((tmp_path / "data" / "one" / "bass.wav").read_bytes())
    words = ["refine", str(tmp_path / "data"), "-o", str(tmp_path / "refined.json"), "--quiet"]
    shown = CliRunner().invoke(app, words)
    assert shown.exit_code == 0, shown.output
    rows = [line.split() for line in shown.stdout[shown.stdout.index("Issues") :].splitlines()]
    assert ["one", "sided", "warning", "2", "one/bass:"] in [row[:5] for row in rows]
    assert ["duplicate", "across", "songs", "warning", "2", "one/bass:"] in [row[:6] for row in rows]
    report = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert {row["code"]: row["stems"] for row in report["issues"]} == {"duplicate_across_songs": 2, "one_sided": 2}
    read = {stem_.id: stem_ for stem_ in manifest.read(tmp_path / "refined.json").stems}
    assert {issue.severity for issue in read["two/bass"].issues} == {"warning"}
    again, _ = layouts.load(tmp_path / "refined.json", quiet=True)
    assert [stem_.issues for stem_ in again.stems] == [stem_.issues for stem_ in read.values()]
