"""Real multitracks, and bands with a separate lead guitar."""

import csv
from pathlib import Path

import numpy as np

from .track import PEAK_LIMIT, Job, Stem, load_stereo

TEST_SONGS = {
    "trackswitch__default",
    "mdn__multi_track",
    "lmms_demos__Skiessi-C64",
    "lmms_demos__Surrender-Main",
    "everythingisfree__Sodium",
    "everythingisfree__Rubidium",
}
VALIDATION_SONGS = {"everythingisfree__Lithium", "lmms_demos__CapDan-ReggaetonTry"}
BASS_IN_OTHER = {
    "everythingisfree__Caesium",
    "everythingisfree__Francium",
    "everythingisfree__Hydrogen",
    "everythingisfree__Potassium",
}


def jobs(material: Path) -> list[Job]:
    """Return one job a song folder, and one a guitar-and-band folder."""
    songs = [
        Job("songs", f"song_{folder.name}", _split(folder.name), {"folder": f"songs/{folder.name}"})
        for folder in sorted((material / "songs").iterdir())
    ]
    bands = [
        Job("songs", f"band_{folder.name}", _split(folder.name), {"folder": f"guitar_and_band/{folder.name}"})
        for folder in sorted((material / "guitar_and_band").iterdir())
    ]
    return songs + bands


def render(job: Job, material: Path, _rng: np.random.Generator) -> list[Stem]:
    """Return the stems of one song, all scaled by the same factor so that they still sum to the mix."""
    folder = material / job.params["folder"]
    origins = _origins(material)
    audio = {path: load_stereo(path) for path in sorted(folder.glob("*.ogg"))}
    gain = min(1.0, PEAK_LIMIT / max(np.max(np.abs(stem)) for stem in audio.values()))
    stems = []
    for path, stem in audio.items():
        source, licence = origins[str(path.relative_to(material))]
        label, kind = _label(folder.name, path.stem)
        performer = folder.name.split("__")[0]
        stems.append(Stem(label, stem * gain, source, licence, performer, kind))
    return stems


def _split(name: str) -> str:
    if name in TEST_SONGS or name.startswith("fof_sectoid__"):
        return "test"
    return "validation" if name in VALIDATION_SONGS else "train"


def _label(song: str, stem: str) -> tuple[str, str]:
    if stem == "guitar":
        return "other", "band"
    if stem == "song":
        return "bass+drums+other", "band"
    if stem == "other" and song in BASS_IN_OTHER:
        return "bass+other", "songs"
    return stem, "songs"


def _origins(material: Path) -> dict[str, tuple[str, str]]:
    with (material / "SOURCES.csv").open(newline="") as file:
        return {row["path"]: (row["source"], row["licence"]) for row in csv.DictReader(file)}
