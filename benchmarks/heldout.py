"""Make a clean dataset of songs that the bundled weights were not trained on, to plant faults in.

    python -m benchmarks.heldout SET MATERIAL DST [--seconds 60]

``SET`` is the training set (:mod:`benchmarks.training_set`), of which the test split is used. ``MATERIAL`` has the
recordings that it was made from, among them the singers of MIR-1K, who are in no set. The output is
``DST/<kind>__<song>/<class>.flac`` (44.1 kHz, stereo, 16 bit) and ``DST/sources.csv``, which has the source of each
stem, and whether other songs of its performer are in the training or validation split. There are two kinds of songs:

- ``real``: the real test songs as published, up to 150 s;
- ``sung``: test MIDI songs rendered to stems, up to 60 s (one rendering of each, as written, or recast if that failed),
  each with a singer who is in no training set, phrase by phrase. The melody is not that of the song. Singers are those
  of the test split and then MIR-1K's amateurs, whose recordings end at 8 kHz; none is used twice before all were used,
  and then with other phrases.

Stems that sound for less than five seconds are left out, and so are songs with fewer than two remaining stems.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from stemclean.audio import files
from stemclean.audio.waveform import Waveform
from stemclean.data.corrupt import level
from stemclean.errors import ConfigError, StemcleanError

SAMPLE_RATE = 44100
REAL_DURATION = 150.0
SUNG_DURATION = 60.0
BREATH = 0.5
"""Seconds between two phrases of a singer."""
MIN_ACTIVE = 5.0
"""Active seconds that a stem must have to be used."""
MIN_SINGER = 10.0
"""Seconds of recordings that a singer must have to be used."""
PEAK = 0.98
RENDERINGS = ("written", "recast")
"""Versions of a MIDI song in the training set, best first; its solos are not songs."""

Row = dict[str, str]


@dataclass(frozen=True)
class Origin:
    """A line of ``sources.csv``."""

    path: str
    source: str
    licence: str
    performer: str
    performer_in_training: str
    """``yes``: with other songs; of a rendered stem the sound font is meant."""


@dataclass
class Singer:
    """A singer who is in no training set.

    Args:
        phrases: recordings, in order.
        songs: how often the singer is needed.
    """

    name: str
    source: str
    licence: str
    phrases: list[Path]
    songs: int = 0


def build(
    training_set: Path, material: Path, destination: Path, *, seconds: float = REAL_DURATION, quiet: bool = False
) -> int:
    """Write the songs.

    Returns:
        How many there are.

    Raises:
        ConfigError: the destination is not empty, or no song was held out.
    """
    if destination.exists() and any(destination.iterdir()):
        raise ConfigError(f"{destination} is not empty", "give a new folder, or remove this one first")
    with open(training_set / "stems.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if (training_set / row["path"]).exists()]
    test = [row for row in rows if row["split"] == "test"]
    trained = {row["performer"] for row in rows if row["split"] != "test"}
    songs = {**_real(test), **_rendered(test)}
    if not songs:
        raise ConfigError(f"{training_set}: no song is held out", "build it with: python -m benchmarks.training_set")
    parts = _parts(singers(test, training_set, material), [name for name in songs if name.startswith("sung__")])
    origins: list[Origin] = []
    for name, stems in tqdm(sorted(songs.items()), "held-out songs", unit="song", disable=True if quiet else None):
        origins += _write(name, stems, training_set, parts.get(name), trained, destination, seconds)
    with open(destination / "sources.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(asdict(origins[0])))
        writer.writeheader()
        writer.writerows(asdict(origin) for origin in origins)
    return len({origin.path.split("/")[0] for origin in origins})


def singers(test: Sequence[Row], training_set: Path, material: Path) -> list[Singer]:
    """Singers in no training set, the best recorded first; of MIR-1K there are all."""
    singer_of: dict[str, Singer] = {}
    for row in test:
        if row["kind"] == "singing":
            singer = Singer(row["performer"], row["source"], row["licence"], [])
            singer_of.setdefault(row["performer"], singer).phrases.append(training_set / row["path"])
    for name, clips in mir1k(material).items():
        phrases = [clip / "vocals.ogg" for clip in clips]
        singer_of[f"mir1k {name}"] = Singer(f"mir1k {name}", "MIR-1K", "research use", phrases)
    return [singer for singer in singer_of.values() if sum(map(_duration, singer.phrases)) >= MIN_SINGER]


def mir1k(material: Path) -> dict[str, list[Path]]:
    """Singer -> folders of ``vocals.ogg`` and ``accompaniment.ogg``, by name: ``<singer>_<song>_<clip>``."""
    clips: dict[str, list[Path]] = defaultdict(list)
    for clip in sorted((material / "mir1k").iterdir()):
        if (clip / "vocals.ogg").exists():
            clips[clip.name.split("_")[0]].append(clip)
    return dict(sorted(clips.items()))


def origins(path: Path) -> list[Origin]:
    """Return the lines of ``sources.csv``."""
    with open(path, newline="", encoding="utf-8") as file:
        return [Origin(**row) for row in csv.DictReader(file)]


def joined(waveforms: Sequence[Waveform], sample_rate: int) -> Waveform:
    """Phrases one after the other with a breath between. Shape: (channel, time) each."""
    breath = np.zeros((waveforms[0].shape[0], round(BREATH * sample_rate)), np.float32)
    return np.concatenate([part for waveform in waveforms for part in (waveform, breath)], axis=1)


def write(waveform: Waveform, path: Path, sample_rate: int) -> None:
    """Write 16 bits, turned down where the peak asks for it."""
    peak = float(np.abs(waveform).max(initial=0.0))
    files.write(path, waveform * np.float32(min(1.0, PEAK / max(peak, 1e-9))), sample_rate, subtype="PCM_16")


def _real(test: Sequence[Row]) -> dict[str, list[Row]]:
    songs: dict[str, list[Row]] = defaultdict(list)
    for row in test:
        if row["kind"] == "songs" and "+" not in row["label"]:
            songs[f"real__{row['track'].removeprefix('song_')}"].append(row)
    return songs


def _rendered(test: Sequence[Row]) -> dict[str, list[Row]]:
    """One rendering of every MIDI song."""
    renderings: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in test:
        song, _, version = row["track"].rpartition("_")
        if row["kind"] == "midi" and version in RENDERINGS and "+" not in row["label"]:
            renderings[f"sung__{song.removeprefix('midi_')}"][version].append(row)
    return {name: next(found[v] for v in RENDERINGS if v in found) for name, found in renderings.items()}


def _parts(singers: Sequence[Singer], songs: Sequence[str]) -> dict[str, tuple[Singer, list[Path]]]:
    """Song -> singer and phrases: every singer once before one comes twice, and then with other phrases."""
    parts: dict[str, tuple[Singer, int]] = {}
    for number, song in enumerate(sorted(songs)):
        singer = singers[number % len(singers)]
        parts[song] = (singer, singer.songs)
        singer.songs += 1
    return {song: (singer, singer.phrases[turn :: singer.songs]) for song, (singer, turn) in parts.items()}


def _write(
    name: str,
    stems: Sequence[Row],
    training_set: Path,
    part: tuple[Singer, list[Path]] | None,
    trained: set[str],
    destination: Path,
    seconds: float,
) -> list[Origin]:
    """Write a song, if two of its stems sound."""
    longest = min(seconds, SUNG_DURATION if part else REAL_DURATION)
    sounds: dict[str, tuple[Waveform, Row]] = {}
    for row in stems:
        sound = files.read(training_set / row["path"], sample_rate=SAMPLE_RATE, channels=2, duration=longest)
        if level(sound, SAMPLE_RATE).active >= MIN_ACTIVE:
            sounds[row["label"]] = (sound, row)
    if part and sounds:
        singer, phrases = part
        length = max(sound.shape[1] for sound, _ in sounds.values())
        row = {"source": singer.source, "licence": singer.licence, "performer": singer.name}
        sounds["vocals"] = (_sung(phrases, length), row)
    if len(sounds) < 2:
        return []
    for label, (sound, _) in sounds.items():
        write(sound, destination / name / f"{label}.flac", SAMPLE_RATE)
    return [
        Origin(
            f"{name}/{label}.flac",
            row["source"],
            row["licence"],
            row["performer"],
            "yes" if row["performer"] in trained else "no",
        )
        for label, (_, row) in sorted(sounds.items())
    ]


def _sung(phrases: Sequence[Path], length: int) -> Waveform:
    """Return a singer's phrases, repeated where they end too early, cut to ``length`` samples."""
    once = joined([files.read(path, sample_rate=SAMPLE_RATE, channels=2) for path in phrases], SAMPLE_RATE)
    return np.tile(once, (1, -(-length // once.shape[1])))[:, :length]


def _duration(path: Path) -> float:
    info = files.probe(path)
    return info.num_samples / info.sample_rate


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("training_set", type=Path, metavar="SET")
    parser.add_argument("material", type=Path, metavar="MATERIAL")
    parser.add_argument("destination", type=Path, metavar="DST")
    parser.add_argument("--seconds", type=float, default=REAL_DURATION, help="cut longer songs; default: %(default)g")
    arguments = parser.parse_args()
    try:
        num_songs = build(arguments.training_set, arguments.material, arguments.destination, seconds=arguments.seconds)
        print(f"{num_songs} songs in {arguments.destination}")
    except StemcleanError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
