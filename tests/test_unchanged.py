"""Files that are changed, replaced or removed during a run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemclean import layouts
from stemclean.audio import files
from stemclean.audio.unchanged import Unchanged, steady
from stemclean.corrupt import CorruptConfig, corrupt
from stemclean.data.planting import Planter
from stemclean.disk import file_sha256
from stemclean.errors import AudioError
from stemclean.export import export
from stemclean.models.judge import Judge
from stemclean.refine import refine
from stemclean.refining import crosstalk
from stemclean.running import Running
from stemclean.trim import trim

QUIET = Running(quiet=True)

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "noisy_band"


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def rewrite(path: Path) -> None:
    """Other bytes, as many as before."""
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    os.utime(path, ns=(1, 1))  # as on a disk whose clock is coarse, the time alone would not tell


def replace(path: Path) -> None:
    other = path.with_name("other")
    shutil.copyfile(path, other)
    os.utime(other, ns=(path.stat().st_mtime_ns,) * 2)
    other.rename(path)


CHANGES = {"append": (append, "bytes"), "rewrite": (rewrite, "written to"), "replace": (replace, "another file"),
           "remove": (Path.unlink, "removed")}  # fmt: skip


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    path = tmp_path / "bass.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(44100), 44100)
    return path


@pytest.mark.parametrize(("change", "detail"), CHANGES.values(), ids=CHANGES)
def test_a_change_during_reading_is_noticed(sound: Path, change: Callable[[Path], None], detail: str) -> None:
    with pytest.raises(AudioError, match=detail) as caught, steady(sound):
        change(sound)
    assert (caught.value.path, caught.value.reason) == (sound, "changed_while_reading")


@pytest.mark.parametrize(("change", "detail"), CHANGES.values(), ids=CHANGES)
def test_errors_caused_by_a_change_name_the_change(sound: Path, change: Callable[[Path], None], detail: str) -> None:
    def read() -> None:
        with steady(sound):
            change(sound)
            raise AudioError(sound, "truncated", "it ends early")

    with pytest.raises(AudioError, match=detail) as caught:
        read()
    assert caught.value.reason == "changed_while_reading"


def test_other_errors_are_unchanged(sound: Path) -> None:
    with pytest.raises(AudioError, match="it ends early") as caught, steady(sound):
        raise AudioError(sound, "truncated", "it ends early")
    assert caught.value.reason == "truncated"


def test_a_file_that_grows_during_reading_is_noticed(sound: Path) -> None:
    blocks = files.blocks(sound, sample_rate=44100, channels=1, block_duration=0.25)
    next(blocks)
    append(sound)
    with pytest.raises(AudioError) as caught:
        list(blocks)
    assert caught.value.reason == "changed_while_reading"


def test_a_file_is_compared_with_its_first_state(sound: Path) -> None:
    unchanged = Unchanged()
    with unchanged.reading(sound):
        pass
    rewrite(sound)
    with pytest.raises(AudioError) as caught, unchanged.reading(sound):
        pass
    assert caught.value.reason == "changed_while_reading"


def test_a_recorded_checksum_must_match(sound: Path) -> None:
    recorded = file_sha256(sound)
    with Unchanged().reading(sound, recorded):
        pass
    os.utime(sound)  # touched, and the same
    unchanged = Unchanged()
    with unchanged.reading(sound, recorded):
        pass
    os.utime(sound, ns=(5, 5))
    with unchanged.reading(sound, recorded):
        pass
    rewrite(sound)
    with pytest.raises(AudioError, match="scan it anew") as caught, Unchanged().reading(sound, recorded):
        pass
    assert caught.value.reason == "changed_since_scan"


def reasons(skipped: list) -> dict[str, str]:
    return {Path(skip.path).name: skip.reason for skip in skipped}


@pytest.fixture
def song(tmp_path: Path) -> Path:
    folder = tmp_path / "song"
    shutil.copytree(EXAMPLE / "potassium", folder / "potassium")
    return folder


def stem_of(folder: Path, name: str) -> Path:
    (path,) = folder.rglob(f"{name}.*")
    return path


def test_refine_skips_a_stem_rewritten_during_scoring(
    tmp_path: Path, song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge, bass = Judge.__call__, stem_of(song, "bass")

    def judged(self, recording, **options):
        judgement = judge(self, recording, **options)
        if Path(recording.path) == bass:
            append(bass)
        return judgement

    monkeypatch.setattr(Judge, "__call__", judged)
    refined = refine(song, tmp_path / "refined.json", running=QUIET)
    assert reasons(refined.skipped)[bass.name] == "changed_while_reading"
    assert refined.stems and bass.name not in {Path(stem.path).name for stem in refined.stems}


def test_refine_skips_a_stem_rewritten_before_bleed_is_measured(
    tmp_path: Path, song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured_song, bass = crosstalk._measured_song, stem_of(song, "bass")

    def measured(stems, **options):
        rewrite(bass)
        return measured_song(stems, **options)

    monkeypatch.setattr(crosstalk, "_measured_song", measured)
    refined = refine(song, tmp_path / "refined.json", running=QUIET)
    assert reasons(refined.skipped)[bass.name] == "changed_while_reading"
    left = {Path(stem.path).name: stem for stem in refined.stems}
    assert bass.name not in left and len(left) >= 2
    assert all(stem.crosstalk is not None for stem in left.values() if stem.scores)  # the others are compared


def test_refine_does_not_score_unscanned_files(tmp_path: Path, song: Path) -> None:
    trimmed = tmp_path / "trimmed"
    trim(song, trimmed, quiet=True)
    bass = stem_of(trimmed, "bass")
    sound, rate = soundfile.read(bass)
    soundfile.write(bass, 0.5 * sound, rate)
    refined = refine(trimmed / "manifest.json", tmp_path / "refined.json", running=QUIET)
    assert reasons(refined.skipped)[bass.name] == "changed_since_scan"


def test_export_refuses_changed_files(tmp_path: Path, song: Path) -> None:
    refined = tmp_path / "refined.json"
    kept = [
        stem for stem in refine(song, refined, running=QUIET).stems if stem.verdict and stem.verdict.action == "keep"
    ]
    changed = song / kept[0].path
    sound, rate = soundfile.read(changed)
    soundfile.write(changed, 0.5 * sound, rate)
    report = export(refined, "zfturbo", tmp_path / "set", allow_empty=True, quiet=True)
    skipped = {skip.path: skip.reason for skip in report.skipped}
    assert skipped[kept[0].path] == "changed_since_scan"


def test_corrupt_skips_changed_files(tmp_path: Path, song: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, bass = Planter.write, stem_of(song, "bass")

    def written(self, stems):
        rewrite(bass)
        return write(self, stems)

    monkeypatch.setattr(Planter, "write", written)
    source, _ = layouts.load(song, quiet=True)
    truth = corrupt(song, tmp_path / "planted", CorruptConfig(mislabel=0.0, bleed=0.0), quiet=True)
    assert reasons(truth.skipped)[bass.name] == "changed_while_reading"
    assert len(truth.stems) == len(source.stems) - 1
