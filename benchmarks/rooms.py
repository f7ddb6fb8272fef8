"""Is bleed found that went through a room, or through lossy codecs? On real songs, with bleed planted in them.

    python -m benchmarks.rooms SONGS OUT.json [--draws 3] [--seconds 40] [--only SONG,SONG] [--kinds KIND,KIND]

``SONGS`` has folders of stems (``SONG/CLASS.ogg``). For every song, draw and level, one stem of the song is mixed into
another, and :func:`stemclean.audio.crosstalk.measure` compares all stems of the song. No classifier is involved. Each
result is written to OUT.json at once, and a stopped run resumes; delete OUT.json after changing the code.

A room is a direct sound that is 2 to 15 ms late, and a noise that follows it, decays by 60 dB in .1 to .4 s, and has
between a fourth and sixteen times the energy of the direct sound; both channels have noise of their own, and all is
tilted by -3 to 3 dB per octave. Codecs run at 96 kbit/s; that of the source differs from that of the stem that it
bleeds into.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import oaconvolve
from tqdm import tqdm

from benchmarks import resumable
from benchmarks.crosstalk import QUIETEST, fitted, measured, rms
from stemclean.audio import files
from stemclean.audio.waveform import Waveform
from stemclean.refining.crosstalk import CHANNELS, SAMPLE_RATE
from stemclean.units import amplitude_to_db, db_to_amplitude

HELD_OUT = (
    "everythingisfree__Rubidium",
    "everythingisfree__Sodium",
    "lmms_demos__Skiessi-C64",
    "lmms_demos__Surrender-Main",
    "mdn__multi_track",
    "trackswitch__default",
)
"""Songs on which nothing was chosen; the page shows these."""
LEVELS_DB = (0.0, -10.0, -20.0, -30.0)
"""Power of the bleed relative to the stem without it."""
RT60 = (0.1, 0.4)
"""Seconds in which a reverberation decays by 60 dB."""
DELAY = (0.002, 0.015)
TILT_DB = 3.0
"""Largest tilt in dB per octave, in either direction; full scale at 1 kHz, and constant below 60 Hz."""
REVERBERATION_DB = (-6.0, 12.0)
"""Energy of the reverberation relative to the direct sound in dB."""
CODECS = {
    "mp3": ("mp3", "-c:a", "libmp3lame", "-b:a", "96k"),
    "aac": ("m4a", "-c:a", "aac", "-b:a", "96k"),
    "vorbis": ("ogg", "-c:a", "libvorbis", "-b:a", "96k"),
}
START = 15.0
"""Seconds of each song that are left out: introductions, in which few stems play."""
KINDS = ("copy", "lossy", "room", "room_lossy")

Record = dict[str, Any]


def response(rng: np.random.Generator) -> Waveform:
    """Draw the impulse response of a room, with the energy of the direct sound at 1 kHz: ``(channel, time)``."""
    length = round((DELAY[1] + RT60[1]) * SAMPLE_RATE)
    late = round(rng.uniform(*DELAY) * SAMPLE_RATE)
    seconds = np.arange(length - late) / SAMPLE_RATE
    tail = rng.standard_normal((CHANNELS, length - late)) * 10 ** (-3 * seconds / rng.uniform(*RT60))
    tail *= db_to_amplitude(rng.uniform(*REVERBERATION_DB)) / np.sqrt((tail**2).sum(1, keepdims=True))
    sound = np.zeros((CHANNELS, length))
    sound[:, late:] = tail
    sound[:, late] += 1.0
    hz = np.fft.rfftfreq(2 * length, 1 / SAMPLE_RATE)
    octaves = np.log2(np.clip(hz, 60, None) / 1000)
    tilted = np.fft.rfft(sound, 2 * length) * 10 ** (rng.uniform(-TILT_DB, TILT_DB) * octaves / 20)
    return np.fft.irfft(tilted)[:, :length].astype(np.float32)


def in_room(sound: Waveform, rng: np.random.Generator) -> Waveform:
    """Return a sound as a room returns it, with the same length."""
    return np.asarray(oaconvolve(sound, response(rng), axes=1)[:, : sound.shape[1]], np.float32)


def coded(sound: Waveform, codec: str) -> Waveform:
    """Return a sound that went through a lossy codec, with the same length."""
    ending, *options = CODECS[codec]
    raw = ["-f", "f32le", "-ar", str(SAMPLE_RATE), "-ac", str(CHANNELS)]
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/coded.{ending}"
        ffmpeg = ["ffmpeg", "-v", "error", "-y"]
        subprocess.run([*ffmpeg, *raw, "-i", "-", *options, path], input=sound.T.tobytes(), check=True)
        done = subprocess.run([*ffmpeg, "-i", path, *raw, "-"], capture_output=True, check=True)
    return fitted(np.frombuffer(done.stdout, np.float32).reshape(-1, CHANNELS).T, sound.shape[1])


def planted(
    stems: Sequence[Waveform], kind: str, level_db: float, rng: np.random.Generator
) -> tuple[list[Waveform], tuple[int, int], float]:
    """Mix one stem into another.

    Returns:
        (stems, (source, into), power of the bleed relative to the whole stem in dB)

    Raises:
        ValueError: fewer than two stems sound.
    """
    sounding = [index for index, stem in enumerate(stems) if rms(stem) >= QUIETEST]
    source, into = rng.choice(sounding, 2, replace=False).tolist()
    sound = in_room(stems[source], rng) if kind.startswith("room") else stems[source]
    bleed = (db_to_amplitude(level_db) * rms(stems[into]) / rms(sound) * sound).astype(np.float32)
    result = list(stems)
    result[into] = stems[into] + bleed
    true_db = amplitude_to_db(rms(bleed) / rms(result[into]))
    if kind.endswith("lossy"):
        one, other = rng.choice(list(CODECS), 2, replace=False).tolist()
        result = [coded(stem, one if index == into else other) for index, stem in enumerate(result)]
    return result, (source, into), true_db


def sounds_of(folder: Path, seconds: float) -> dict[str, Waveform]:
    """Read a stretch of the stems of a song: class -> ``(channel, time)``."""
    length = round(seconds * SAMPLE_RATE)
    first = round(START * SAMPLE_RATE)
    sounds = {}
    for path in sorted(folder.glob("*.ogg")):
        whole = files.read(path, sample_rate=SAMPLE_RATE, channels=CHANNELS)
        sounds[path.stem] = whole[:, first : first + length] if whole.shape[1] > first + length else whole[:, :length]
    longest = max(sound.shape[1] for sound in sounds.values())
    return {name: fitted(sound, longest) for name, sound in sounds.items()}


def run(folder: Path, kind: str, draw: int, seconds: float) -> Record:
    """Plant bleed at every level in one song, and measure it."""
    sounds = sounds_of(folder, seconds)
    labels, stems = list(sounds), list(sounds.values())
    results = []
    for number, level_db in enumerate(LEVELS_DB):
        rng = np.random.default_rng([zlib.crc32(folder.name.encode()), draw, number])
        mixed, pair, true_db = planted(stems, kind, level_db, rng)
        reported = {(bleed.source, bleed.into): round(bleed.level_db, 2) for bleed in measured(mixed)}
        results.append(
            {
                "from": labels[pair[0]],
                "into": labels[pair[1]],
                "planted_db": level_db,
                "true_db": round(true_db, 2),
                "level_db": reported.pop(pair, None),
                "more": [[labels[a], labels[b], level] for (a, b), level in reported.items()],
            }
        )
    return {"bleeds": results}


def clean(folder: Path, kind: str, draw: int, seconds: float) -> Record:
    """Measure a song without planted bleed, all stems coded if the kind is lossy: what is reported, and the stems."""
    sounds = sounds_of(folder, seconds)
    rng = np.random.default_rng([zlib.crc32(folder.name.encode()), draw])
    stems = list(sounds.values())
    if kind == "clean_lossy":
        stems = [coded(stem, str(rng.choice(list(CODECS)))) for stem in stems]
    labels = list(sounds)
    return {"stems": len(labels), "more": [[labels[b.source], labels[b.into], b.level_db] for b in measured(stems)]}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("songs", type=Path, metavar="SONGS")
    parser.add_argument("output", type=Path, metavar="OUT.json")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--only", default="", help="songs, separated by commas; default: the held-out ones")
    parser.add_argument("--kinds", default=",".join(("clean", "clean_lossy", *KINDS)))
    arguments = parser.parse_args()
    names = arguments.only.split(",") if arguments.only else HELD_OUT
    result = resumable.read(arguments.output) or {"config": {"seconds": arguments.seconds}, "runs": {}}
    runs = result["runs"]
    jobs: list[tuple[str, Callable[[], Record]]] = []
    for kind in arguments.kinds.split(","):
        for draw in range(1 if kind == "clean" else arguments.draws):
            for name in names:
                work = clean if kind.startswith("clean") else run
                jobs.append(
                    (f"{kind}/{name}/{draw}", partial(work, arguments.songs / name, kind, draw, arguments.seconds))
                )
    for key, job in tqdm(jobs, "rooms", disable=None):
        if key not in runs:
            runs[key] = job()
            resumable.write_json(arguments.output, result)
    for line in _lines(runs):
        print(line)


def _lines(runs: Record) -> Iterator[str]:
    """Yield a summary."""
    for kind in dict.fromkeys(key.split("/")[0] for key in runs):
        of_kind = [run_ for key, run_ in runs.items() if key.startswith(f"{kind}/")]
        if kind.startswith("clean"):
            marked = sum(len({into for _, into, level in r["more"] if level >= -30}) for r in of_kind)
            yield f"{kind}: {marked} of {sum(r['stems'] for r in of_kind)} stems flagged (>= -30 dB)"
            continue
        bleeds = [bleed for r in of_kind for bleed in r["bleeds"]]
        parts = []
        for level in LEVELS_DB:
            at = [b for b in bleeds if b["planted_db"] == level]
            found = [b for b in at if b["level_db"] is not None]
            off = np.mean([abs(b["level_db"] - b["true_db"]) for b in found]) if found else float("nan")
            parts.append(f"{level:g}: {len(found)}/{len(at)} ({off:.1f})")
        more = sum(len(b["more"]) for b in bleeds)
        yield f"{kind}: {'  '.join(parts)}  others {more}"


if __name__ == "__main__":
    main()
