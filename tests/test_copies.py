"""The same sound in another file is distinguished from other sounds, by waveform and through ``refine``."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import soxr
from typer.testing import CliRunner, Result

from stemclean import duplicates, layouts
from stemclean import manifest as manifests
from stemclean.audio import copies
from stemclean.cli import app
from stemclean.data.sources import trusted
from stemclean.export import export
from stemclean.manifest import Created, Manifest, Stem
from stemclean.training.split import leaked, split_tracks

RATE = 44100
SECONDS = 8.0


def coded(sound: np.ndarray, format_: str, subtype: str, rate: int = RATE) -> np.ndarray:
    """A sound ``(channel, time)`` written and read again."""
    file = io.BytesIO()
    soundfile.write(file, soxr.resample(sound.T, RATE, rate), rate, format=format_, subtype=subtype)
    file.seek(0)
    audio, _ = soundfile.read(file, dtype="float32", always_2d=True)
    return np.ascontiguousarray(soxr.resample(audio, rate, RATE).T)


def fingerprint(sound: np.ndarray, block: int = 30_000) -> str | None:
    taking = copies.Fingerprinter(RATE)
    for start in range(0, sound.shape[1], block):
        taking.add(sound[:, start : start + block].astype(np.float32))
    return taking.fingerprint()


def same(first: np.ndarray, second: np.ndarray) -> bool:
    """As refine asks: near by fingerprint, and equal by waveform."""
    near = copies.alike([fingerprint(first) or "", fingerprint(second) or ""])
    sounds = [soxr.resample(sound.T, RATE, copies.SAMPLE_RATE).T.astype(np.float32) for sound in (first, second)]
    return bool(near) and copies.same([sounds[0]], [sounds[1]])


@pytest.fixture(scope="module")
def takes(sounds: SimpleNamespace) -> dict[str, np.ndarray]:
    """Each class played twice."""
    makers = {"drums": sounds.drums, "bass": sounds.bass, "vocals": sounds.vocals, "other": sounds.other}
    return {
        f"{name} {take}": make(SECONDS, np.random.default_rng(take), RATE).astype(np.float32)
        for name, make in makers.items()
        for take in (1, 2)
    }


LATER = {"delay": 0.0261, "lead": 0.5}
CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "24 bits": lambda sound: coded(sound, "FLAC", "PCM_24"),
    "16 bits": lambda sound: coded(sound, "WAV", "PCM_16"),
    "mp3": lambda sound: coded(sound, "MP3", "MPEG_LAYER_III"),
    "vorbis": lambda sound: coded(sound, "OGG", "VORBIS"),
    "48 kHz": lambda sound: coded(sound, "WAV", "PCM_24", 48000),
    "16 kHz": lambda sound: coded(sound, "WAV", "PCM_24", 16000),
    "softer": lambda sound: sound * np.float32(0.1),
    "inverted": lambda sound: -sound,
    "an encoder's delay": lambda sound: np.pad(sound, ((0, 0), (round(LATER["delay"] * RATE), 0))),
    "silence around it": lambda sound: np.pad(sound, ((0, 0), (round(LATER["lead"] * RATE), RATE))),
    "mp3, softer and later": lambda sound: coded(np.pad(sound * 0.5, ((0, 0), (9000, 0))), "MP3", "MPEG_LAYER_III"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["drums 1", "vocals 1"])
def test_a_copy_is_the_same_sound(takes: dict[str, np.ndarray], name: str, change: str) -> None:
    assert same(takes[name], CHANGES[change](takes[name]))


def test_other_takes_and_classes_are_not_copies(takes: dict[str, np.ndarray]) -> None:
    sounds = {
        name: [soxr.resample(sound.T, RATE, copies.SAMPLE_RATE).T.astype(np.float32)] for name, sound in takes.items()
    }
    names = list(takes)
    pairs = [(first, second) for index, first in enumerate(names) for second in names[index + 1 :]]
    assert [pair for pair in pairs if copies.same(sounds[pair[0]], sounds[pair[1]])] == []


CUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "end": lambda sound: sound[:, : round(0.65 * sound.shape[1])],
    "beginning": lambda sound: sound[:, -round(0.65 * sound.shape[1]) :],
    "both, softer, later": lambda sound: np.pad(-0.3 * sound[:, RATE:-RATE], ((0, 0), (5000, 0))).astype(np.float32),
    "mp3 of the end": lambda sound: coded(sound[:, round(0.35 * sound.shape[1]) :], "MP3", "MPEG_LAYER_III"),
}


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("names", [("other 1",), ("vocals 1", "other 2", "drums 2")])
def test_a_part_is_the_same_sound(takes: dict[str, np.ndarray], names: tuple[str, ...], cut: str) -> None:
    """A sound, and a medley of three; the sung note alone agrees with itself everywhere."""
    whole = np.concatenate([takes[name] for name in names], axis=1)
    sounds = [whole, CUTS[cut](whole)]
    first, second = [soxr.resample(sound.T, RATE, copies.SAMPLE_RATE).T.astype(np.float32) for sound in sounds]
    assert copies.same([first], [second])
    assert copies.same([second], [first])


def test_sections_with_the_same_loop_are_not_copies(takes: dict[str, np.ndarray]) -> None:
    """A bar of two seconds, ten times: a section of six bars agrees with the whole at five places."""
    bar = soxr.resample(takes["vocals 1"].T, RATE, copies.SAMPLE_RATE).T.astype(np.float32)[:, : 2 * copies.SAMPLE_RATE]
    whole = np.tile(bar, 10)
    assert not copies.same([whole], [np.tile(bar, 6)])
    assert copies.same([whole], [0.5 * whole])


def test_a_part_in_other_company_is_not_a_copy(takes: dict[str, np.ndarray]) -> None:
    """Half of each sound is the same, and the other half is not."""
    sounds = [
        soxr.resample(np.concatenate(halves, axis=1).T, RATE, copies.SAMPLE_RATE).T.astype(np.float32)
        for halves in ((takes["vocals 1"], takes["other 1"]), (takes["vocals 1"], takes["other 2"]))
    ]
    assert not copies.same([sounds[0]], [sounds[1]])


def test_a_half_has_a_fingerprint_that_is_near_and_silence_has_none() -> None:
    noise = np.random.default_rng(0).standard_normal((2, 20 * RATE)).astype(np.float32)
    taken = [fingerprint(noise), fingerprint(noise[:, : 10 * RATE])]
    assert copies.distance_db(taken[0] or "", taken[1] or "") <= copies.TOLERANCE_DB
    assert fingerprint(0 * noise) is None


def test_a_mix_is_not_a_copy(takes: dict[str, np.ndarray]) -> None:
    assert not same(takes["vocals 1"], takes["vocals 1"] + 0.5 * takes["other 1"])


def test_a_repeated_note_is_not_a_copy() -> None:
    time = np.arange(3 * RATE) / RATE

    def note(seed: int) -> np.ndarray:
        """A string, plucked a little otherwise each time."""
        rng = np.random.default_rng(seed)
        partials = [
            (1 + 0.1 * rng.normal()) / k * np.sin(2 * np.pi * 110 * k * time + 0.3 * rng.normal()) * np.exp(-time * k)
            for k in range(1, 9)
        ]
        return np.tile(0.2 * np.sum(partials, axis=0), (2, 1)).astype(np.float32)

    assert not same(note(1), note(2))
    assert same(note(1), coded(note(1), "FLAC", "PCM_24"))


def test_fingerprints_ignore_gain_delay_and_block_size(takes: dict[str, np.ndarray]) -> None:
    sound = takes["drums 1"]
    own = fingerprint(sound)
    assert own is not None
    assert len(own) == 4 * copies.FINGERPRINT_SIZE
    assert fingerprint(sound, block=1234) == own
    later = np.pad(sound * np.float32(0.25), ((0, 0), (12_345, 0)))
    assert copies.distance_db(own, fingerprint(later) or "") < 0.15  # a tenth of what is near
    assert copies.distance_db(own, fingerprint(takes["drums 2"]) or "") > 0.15
    assert fingerprint(np.zeros((2, RATE))) is None


def test_only_near_fingerprints_are_paired() -> None:
    def number(value: float) -> str:
        return np.full(16, round(value / 0.02), ">i2").tobytes().hex()

    assert copies.alike([number(0), number(9), number(0.5), number(9.1), number(20)]) == [(1, 3), (0, 2)]
    assert copies.alike([number(0)]) == []
    crowd = copies.alike([number(0)] * 50)
    assert len(crowd) <= 50 * copies.MOST  # time grows with the stems, not with their square


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory, takes: dict[str, np.ndarray]) -> Path:
    """Drums twice in a song, a voice in train and test, a bass that another song calls other, all in other formats."""
    folder = tmp_path_factory.mktemp("songs")
    files = {
        "a/drums.wav": (takes["drums 1"], "PCM_24", "drums", "train"),
        "a/drums (1).mp3": (takes["drums 1"] * 0.7, "MPEG_LAYER_III", "drums", "train"),
        "a/vocals.flac": (takes["vocals 1"], "PCM_16", "vocals", "train"),
        "a/bass.wav": (takes["bass 1"], "PCM_16", "bass", "train"),
        "b/vocals take 7.wav": (takes["vocals 1"] * 0.3, "PCM_24", "vocals", "test"),
        "b/pad.ogg": (takes["bass 1"], "VORBIS", "other", "train"),
        "b/drums.wav": (takes["drums 2"], "PCM_16", "drums", "train"),
        "b/drums again.wav": (takes["drums 2"], "PCM_16", "drums", "train"),
    }
    rows = ["instrum,path,track,split"]
    for name, (sound, subtype, label, split) in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        soundfile.write(folder / name, sound.T, RATE, subtype=subtype)
        rows.append(f"{label},{name},{name[0]},{split}")
    (folder / "list.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def refine_result(songs: Path) -> Result:
    """What ``stemclean refine`` says of them."""
    return CliRunner().invoke(app, ["refine", str(songs / "list.csv"), "-o", str(songs / "refined.json"), "--json"])


@pytest.fixture(scope="module")
def refined(songs: Path, refine_result: Result) -> Manifest:
    assert refine_result.exit_code == 0
    return manifests.read(songs / "refined.json")


def codes(stem: Stem) -> set[str]:
    return {issue.code for issue in stem.issues if issue.code.startswith("duplicate_")}


def test_refine_reports_copies_in_other_formats(refined: Manifest) -> None:
    stems = {stem.id: stem for stem in refined.stems}
    assert {name: stem.same_sound for name, stem in stems.items()} == {
        "a/bass": "a/bass",
        "a/drums": "a/drums",
        "a/drums (1)": "a/drums",
        "a/vocals": "a/vocals",
        "b/drums": None,  # the same bytes need no more words
        "b/drums again": None,
        "b/pad": "a/bass",
        "b/vocals take 7": "a/vocals",
    }
    assert codes(stems["a/drums"]) == {"duplicate_in_song"}
    assert codes(stems["b/pad"]) == {"duplicate_across_songs"}
    assert codes(stems["a/vocals"]) == {"duplicate_across_songs", "duplicate_across_splits"}
    assert codes(stems["b/drums"]) == {"duplicate_in_song"}
    (detail,) = [issue.detail for issue in stems["b/pad"].issues if issue.code == "duplicate_across_songs"]
    assert detail == "the same sound, in a different file, as a/bass (bass, train)"


def test_copies_are_not_reported_as_bleed(refined: Manifest) -> None:
    bleeds = {(stem.id, bleed.stem) for stem in refined.stems for bleed in stem.crosstalk or []}
    assert not {pair for pair in bleeds if {name[2:7] for name in pair} == {"drums"}}


def test_copies_are_left_out_of_training_and_export(refined: Manifest, songs: Path, tmp_path: Path) -> None:
    believed = refined.with_stems(
        [
            stem.model_copy(update={"labels": stem.claimed, "found": stem.claimed, "verdict": None})
            for stem in refined.stems
        ]
    )
    assert duplicates.left_out(believed.stems) == {
        "a/drums (1)": "duplicate_in_song",
        "a/vocals": "duplicate_across_splits",
        "a/bass": "duplicate_of_another_class",
        "b/pad": "duplicate_of_another_class",
        "b/drums again": "duplicate_in_song",
    }
    assert len(trusted(believed).stems) == 2
    manifests.write(believed, songs / "believed.json")
    export(songs / "believed.json", "zfturbo", tmp_path / "out", quiet=True, allow_empty=True)
    rows = (tmp_path / "out" / "zfturbo.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert [row.partition(",")[0] for row in rows] == ["drums", "drums"]


def test_copies_round_trip_through_a_manifest(refined: Manifest, songs: Path) -> None:
    again = layouts.load(songs / "refined.json")[0]
    assert [(stem.id, stem.same_sound, codes(stem)) for stem in again.stems] == [
        (stem.id, stem.same_sound, codes(stem)) for stem in refined.stems
    ]


def test_the_command_reports_copies(refine_result: Result) -> None:
    assert json.loads(refine_result.stdout)["duplicates"] == {
        "sounds": 4, "stems": 8, "in_song": 4, "across_songs": 4, "across_splits": 2,
    }  # fmt: skip
    assert "4 sounds occur in 8 stems (4 in one song, 4 across songs, 2 across splits)" in refine_result.stderr


def stem(track: str, sound: str, split: str | None = None, **changes: object) -> Stem:
    fields = {"sha256": sound, "sample_rate": RATE, "channels": 2, "num_samples": RATE, "split": split} | changes
    return Stem.model_validate(
        {
            "id": f"{track}/x",
            "track": track,
            "path": f"{track}/x.wav",
            "claimed": ["drums"],
            "labels": ["drums"],
            **fields,
        }
    )


def test_validation_stems_have_no_copy_in_training() -> None:
    stems = [stem(f"song {number}", f"{number % 4}") for number in range(8)]
    training, validating = split_tracks(stems, share=0.25, seed=0)
    held = {item.sha256 for item in stems if item.track in validating}
    lost = leaked(stems, validating)
    assert lost
    assert not [item for item in stems if item.track in training and item.id not in lost and item.sha256 in held]
    assert leaked([stem("a", "1", "test"), stem("b", "1"), stem("c", "2")], set()) == {"b/x"}
    sounds = [stem("a", "1", same_sound="a/x"), stem("b", "2", same_sound="a/x"), stem("c", "2")]
    assert leaked(sounds, {"a"}) == {"b/x", "c/x"}  # by sound, and then by bytes


def test_silent_stems_are_not_copies_of_each_other() -> None:
    assert leaked([stem("a", "1", active=[]), stem("b", "1", active=[])], {"a"}) == set()


def test_a_manifest_without_copies_has_no_copies_key(tmp_path: Path) -> None:
    path = manifests.write(
        Manifest(created=Created(by="x", command="refine"), labels=["drums"], stems=[stem("a", "1")]),
        tmp_path / "m.json",
    )
    assert not {"same_sound", "fingerprint"} & json.loads(path.read_text(encoding="utf-8"))["stems"][0].keys()
