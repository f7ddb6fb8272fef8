"""Bleed between stems of a song: its level, delay and direction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import permutations

import numpy as np
import pytest
from scipy.signal import oaconvolve

from stemclean.audio.crosstalk import BLOCK, Crosstalk, measure

RATE = 22050
SECONDS = 24.0


def blocks(sound: np.ndarray, block: float = BLOCK) -> Callable[[], Iterator[np.ndarray]]:
    step = round(block * RATE)
    return lambda: iter([sound[:, start : start + step] for start in range(0, sound.shape[1], step)])


def measured_bleeds(*sounds: np.ndarray) -> list[Crosstalk]:
    return measure([blocks(sound) for sound in sounds], RATE).bleeds


def pairs(bleeds: list[Crosstalk]) -> list[tuple[int, int]]:
    return [(bleed.source, bleed.into) for bleed in bleeds]


def relative_db(part: np.ndarray, whole: np.ndarray) -> float:
    return 10 * np.log10(np.square(part).sum() / np.square(whole).sum())


@pytest.fixture
def band(sounds) -> dict[str, np.ndarray]:
    """Drums, bass and a voice that play apart and together, (2, time)."""
    rng = np.random.default_rng(3)
    made = {"drums": sounds.drums, "bass": sounds.bass, "voice": sounds.vocals}
    return {name: make(SECONDS, rng, RATE) for name, make in made.items()}


def at_level(source: np.ndarray, host: np.ndarray, level_db: float) -> np.ndarray:
    return source * np.float32(10 ** (level_db / 20) * np.sqrt(np.square(host).sum() / np.square(source).sum()))


def test_unrelated_stems_have_no_bleed(band):
    assert measured_bleeds(*band.values()) == []


@pytest.mark.parametrize(("level_db", "within_db"), [(-12.0, 1.5), (-3.0, 1.0)])
@pytest.mark.parametrize(("source", "host"), list(permutations(("drums", "bass", "voice"), 2)))
def test_bleed_is_found_with_its_level_and_direction(band, source, host, level_db, within_db):
    bleed = at_level(band[source], band[host], level_db)
    stem = band[host] + bleed
    [measured] = measured_bleeds(stem, band[source])
    assert (measured.source, measured.into) == (1, 0)
    assert measured.delay == pytest.approx(0.0, abs=2 / RATE)
    assert measured.level_db == pytest.approx(relative_db(bleed, stem), abs=within_db)


def test_soft_bleed_is_found(band):
    bleed = at_level(band["drums"], band["voice"], -33.0)
    [measured] = measured_bleeds(band["voice"] + bleed, band["drums"])
    assert (measured.source, measured.into) == (1, 0)
    assert measured.level_db == pytest.approx(relative_db(bleed, band["voice"] + bleed), abs=2.5)


def test_delayed_filtered_and_inverted_bleed_is_found(band):
    late = round(0.012 * RATE)
    dull = np.apply_along_axis(np.convolve, 1, band["drums"], [0.5, 0.5], "same")
    bleed = -at_level(np.roll(dull, late, axis=1).astype(np.float32), band["voice"], -18.0)
    stem = band["voice"] + bleed
    [measured] = measured_bleeds(band["drums"], stem)
    assert (measured.source, measured.into) == (0, 1)
    assert measured.delay == pytest.approx(late / RATE, abs=3 / RATE)
    assert measured.level_db == pytest.approx(relative_db(bleed, stem), abs=2.0)


def test_intermittent_bleed_has_the_level_of_its_spans(band):
    bleed = at_level(band["drums"], band["voice"], -12.0)
    bleed[:, : round(11.0 * RATE)] = 0.0
    stem = band["voice"] + bleed
    [measured] = measured_bleeds(stem, band["drums"])
    assert (measured.source, measured.into) == (1, 0)
    assert measured.level_db == pytest.approx(relative_db(bleed, stem), abs=1.5)
    [(start, end, level_db)] = measured.spans
    assert (start, end) == (pytest.approx(11.0, abs=BLOCK), SECONDS)
    second = round(12.0 * RATE)
    assert level_db == pytest.approx(relative_db(bleed[:, second:], stem[:, second:]), abs=1.5)


def test_mutual_bleed_is_found_in_both_stems(band):
    drums, voice = band["drums"], band["voice"]
    into_voice, into_drums = at_level(drums, voice, -14.0), at_level(voice, drums, -18.0)
    levels_db = {
        (bleed.source, bleed.into): bleed.level_db for bleed in measured_bleeds(voice + into_voice, drums + into_drums)
    }
    assert levels_db == {
        (1, 0): pytest.approx(relative_db(into_voice, voice + into_voice), abs=3.0),
        (0, 1): pytest.approx(relative_db(into_drums, drums + into_drums), abs=3.0),
    }


def test_indirect_bleed_is_not_attributed(band):
    """The voice holds clean drums, and the drums hold the bass: there is no bass in the voice."""
    drums = band["drums"] + at_level(band["bass"], band["drums"], -6.0)
    voice = band["voice"] + at_level(band["drums"], band["voice"], -6.0)
    assert pairs(measured_bleeds(voice, drums, band["bass"])) == [(1, 0), (2, 1)]


def test_a_duplicate_recording_is_not_bleed(band):
    assert measured_bleeds(band["drums"], 0.5 * band["drums"]) == []


def test_a_duplicate_recording_does_not_hide_bleed(band):
    bleed = at_level(band["drums"], band["voice"], -12.0)
    stem = band["voice"] + bleed
    for twin in (band["drums"], 0.5 * band["drums"]):
        [measured] = measured_bleeds(stem, band["drums"], twin)
        assert (measured.source, measured.into) == (1, 0)
        assert measured.level_db == pytest.approx(relative_db(bleed, stem), abs=1.5)


def notes(seed: int, *keys: int) -> np.ndarray:
    """A tune of half a second a note; another player is as much out of tune. (2, time)."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(0.5 * RATE)) / RATE
    tune = []
    for key in np.resize(keys, round(SECONDS / 0.5)):
        hz = 440 * 2 ** ((key - 69 + rng.uniform(-0.08, 0.08)) / 12)
        tones = [np.sin(2 * np.pi * k * hz * time + rng.uniform(0, 6.28)) / k for k in range(1, 10)]
        tune.append(np.sum(tones, 0) * np.exp(-3 * time))
    sound = np.concatenate(tune) + 0.005 * rng.standard_normal(round(SECONDS * RATE))
    return np.stack([sound, 0.8 * sound]).astype(np.float32)


@pytest.mark.parametrize(
    "keys", [(60, 62, 64, 65), (48, 50, 52, 53), (64, 60, 67, 62)], ids=["unison", "octave", "scale"]
)
def test_parts_in_unison_are_not_bleed(keys):
    assert measured_bleeds(notes(1, 60, 62, 64, 65), notes(2, *keys)) == []


def test_a_dc_offset_is_not_bleed(band):
    assert measured_bleeds(*(sound + np.float32(0.03) for sound in band.values())) == []


def test_other_stems_do_not_change_the_level(band):
    """A bleed is as loud whether the bass beside it is loud or soft."""
    stem = 0.01 * (band["voice"] + at_level(band["drums"], band["voice"], -18.0))
    alone = measured_bleeds(stem, 0.01 * band["drums"])[0].level_db
    measured = [item for item in measured_bleeds(stem, 0.01 * band["drums"], band["bass"]) if item.into == 0]
    assert [item.source for item in measured] == [1]
    assert measured[0].level_db == pytest.approx(alone, abs=0.3)


def test_short_and_silent_stems_are_handled(band):
    short = band["drums"][:, : round(15.3 * RATE)]
    bleed = at_level(band["drums"], band["voice"], -10.0)
    bleed[:, short.shape[1] :] = 0.0
    measured = measured_bleeds(band["voice"] + bleed, short, np.zeros_like(short))
    assert pairs(measured) == [(1, 0)]
    assert measured_bleeds(np.zeros((2, 100), np.float32), np.zeros((2, 100), np.float32)) == []
    assert measured_bleeds() == []


def room(seed: int, direct: float = 0.5, rt60: float = 0.3) -> np.ndarray:
    """The response of a room: a direct sound 6 ms late, then noise that decays; (2, time)."""
    rng = np.random.default_rng(seed)
    late, length = round(0.006 * RATE), round(0.4 * RATE)
    response = rng.standard_normal((2, length)) * 10 ** (-3 * np.arange(length) / RATE / rt60)
    response[:, :late] = 0.0
    response /= np.sqrt(np.square(response).sum(1, keepdims=True))
    response[:, late] += direct
    return response


def in_room(sound: np.ndarray, response: np.ndarray) -> np.ndarray:
    return oaconvolve(sound, response, axes=1)[:, : sound.shape[1]].astype(np.float32)


@pytest.mark.parametrize(
    ("source", "host", "level_db"), [("drums", "voice", -3.0), ("drums", "voice", -12.0), ("voice", "bass", -3.0)]
)
def test_bleed_through_a_room_is_found_with_its_level(band, source, host, level_db):
    bleed = at_level(in_room(band[source], room(4)), band[host], level_db)
    stem = band[host] + bleed
    [measured] = measured_bleeds(stem, band[source])
    assert (measured.source, measured.into) == (1, 0)
    assert measured.level_db == pytest.approx(relative_db(bleed, stem), abs=3.0)
    assert 0.004 < measured.delay < 0.02


def test_bleed_earlier_than_its_source_is_no_room_the_other_way(band):
    """The track of the drums starts late: their bleed is 8 ms earlier than they are."""
    early = np.roll(band["drums"], -round(0.008 * RATE), axis=1)
    bleed = at_level(early, band["voice"], -10.0)
    [measured] = measured_bleeds(band["voice"] + bleed, band["drums"])
    assert (measured.source, measured.into) == (1, 0)
    assert measured.delay == pytest.approx(-0.008, abs=2 / RATE)
