"""The other singers and the speakers, unchanged and with other vocal tracts."""

import csv
from pathlib import Path

import numpy as np

from .track import SAMPLE_RATE, Job, Stem, load_mono, share, with_peak
from .voice import analyse, in_stereo, vibrato, with_air

LEFT_OUT = {
    "alys",  # GPL-3
    "solfege-samples",  # GPL-3
    "multivox",  # test tones of 440 Hz in place of the recordings
}
TEST_SINGERS = {"vocadito-1", "vignesh", "female-singer", "soprano", "producer-space-shv"}
VALIDATION_SINGERS = {"martin"}


def jobs(material: Path) -> list[Job]:
    """Return one job a file of `voices/`, less the left-out sources and what is no voice."""
    return [
        Job("voices", f"voice_{row['path'].replace('/', '_')[:-4]}", split_of(row), row) for row in catalogue(material)
    ]


def catalogue(material: Path) -> list[dict[str, str]]:
    """Return the usable rows of `voices/SOURCES.csv`: path, kind, speaker, licence, sample_rate."""
    with (material / "voices" / "SOURCES.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [row for row in rows if _collection(row) not in LEFT_OUT and row["kind"] != "other"]


def split_of(row: dict[str, str]) -> str:
    """Return train, validation or test: by singer, and by speaker for one in ten of LibriSpeech."""
    if row["speaker"] in TEST_SINGERS:
        return "test"
    if row["speaker"] in VALIDATION_SINGERS or _collection(row) == "dagstuhl-choirset":
        return "validation"
    held_out = _collection(row) == "librispeech" and share(row["speaker"]) < 0.1
    return "validation" if held_out else "train"


def render(job: Job, material: Path, rng: np.random.Generator) -> list[Stem]:
    """Return the recording, and for singers in train two copies with other f0 and formants."""
    row = job.params
    audio = load_mono(material / "voices" / row["path"])
    cutoff = 0.5 * float(row["sample_rate"])
    stems = [_stem(row, in_stereo([with_peak(audio, 0.9)], rng, room=0.2), row["speaker"])]
    alone = row["kind"] != "singing" or job.split != "train" or len(audio) < SAMPLE_RATE
    if alone or row.get("as_recorded"):
        return stems
    voice = analyse(audio, SAMPLE_RATE)
    higher = rng.uniform(2, 6), rng.uniform(1.05, 1.2)
    deeper = rng.uniform(-7, -3), rng.uniform(0.82, 0.94)
    for semitones, ratio in (higher, deeper):
        moved = voice.transposed(semitones + vibrato(len(voice.f0), rng, 0.2)).with_throat(ratio).audio()
        if cutoff < 12000:
            moved = with_air(moved, cutoff, rng)
        stems.append(_stem(row, in_stereo([moved], rng), f"{row['speaker']}{semitones:+.0f}"))
    return stems


def _collection(row: dict[str, str]) -> str:
    return row["path"].split("/")[0]


def _stem(row: dict[str, str], audio: np.ndarray, performer: str) -> Stem:
    return Stem("vocals", audio, row["source repo"], row["licence"], performer, row["kind"])
