"""Which technical faults does ``stemclean check`` find, and how often does it report clean stems?

    python -m benchmarks.check_faults SONGS OUT.json [--seconds 30] [--seed 0] [--only PART]

The loudest ``--seconds`` of every stem are taken as clean. Each kind of fault is planted in all of them at several
strengths, and the share of the stems with the code of that fault is counted. Mixtures are the sums of the stems of a
song, in which one stem is left out, inverted, late or softer.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from benchmarks.arguments import parser_of
from benchmarks.resumable import write_json
from stemclean import __version__, checks
from stemclean.audio import files, mixture_fit
from stemclean.audio.signal_meter import measure_signal
from stemclean.audio.stereo import ChannelMeter
from stemclean.audio.waveform import Waveform
from stemclean.checks.base import Song, Sound
from stemclean.manifest import Stem

Record = dict[str, Any]
Fault = Callable[[Waveform, int, float, np.random.Generator], Waveform]

PAUSES = 0.3
"""Share of an excerpt that is silenced before noise or hum is added, so that it can be heard."""


def clip(sound: Waveform, _: int, overdrive_db: float, __: np.random.Generator) -> Waveform:
    """Drive the sound over full scale by some dB, and clip it."""
    return np.clip(sound / np.abs(sound).max() * np.float32(10 ** (overdrive_db / 20)), -1, 1)


def clip_softer(sound: Waveform, rate: int, overdrive_db: float, generator: np.random.Generator) -> Waveform:
    """Clip, then turn down by 6 dB."""
    return clip(sound, rate, overdrive_db, generator) * np.float32(0.5)


def offset(sound: Waveform, _: int, level_dbfs: float, __: np.random.Generator) -> Waveform:
    """Add a constant."""
    return sound + np.float32(10 ** (level_dbfs / 20))


def drop(sound: Waveform, rate: int, milliseconds: float, generator: np.random.Generator) -> Waveform:
    """Silence one stretch within the louder half of the sound."""
    length = round(milliseconds * rate / 1000)
    frames = np.square(sound[:, : sound.shape[1] // 2048 * 2048]).sum(axis=0).reshape(-1, 2048).sum(axis=1)
    loud = np.flatnonzero(frames >= np.median(frames))
    start = int(generator.choice(loud)) * 2048
    dropped = sound.copy()
    dropped[:, start : start + length] = 0
    return dropped


def low_pass(sound: Waveform, rate: int, hz: float, _: np.random.Generator) -> Waveform:
    """Resample to twice the frequency and back."""
    low = soxr.resample(sound.T, rate, 2 * hz)
    return np.ascontiguousarray(soxr.resample(low, 2 * hz, rate).T, np.float32)


def as_mp3(sound: Waveform, rate: int, kbps: float, _: np.random.Generator) -> Waveform:
    """Encode as MP3 with a constant bit rate, and decode."""
    buffer = io.BytesIO()
    level = float(np.clip((320 - kbps) / (320 - 32), 0, 1))
    with soundfile.SoundFile(
        buffer, "w", rate, sound.shape[0], format="MP3", compression_level=level, bitrate_mode="CONSTANT"
    ) as file:
        file.write(np.clip(sound.T, -1, 1))
    buffer.seek(0)
    decoded, _rate = soundfile.read(buffer, dtype="float32", always_2d=True)
    return np.ascontiguousarray(decoded.T)


def with_pauses(sound: Waveform, rate: int) -> Waveform:
    """Fade out the first part of the sound."""
    length = round(PAUSES * sound.shape[1])
    faded = sound.copy()
    faded[:, :length] = 0
    ramp = np.linspace(0, 1, rate // 10, dtype=np.float32)
    faded[:, length : length + len(ramp)] *= ramp
    return faded


def noise(sound: Waveform, rate: int, relative_db: float, generator: np.random.Generator) -> Waveform:
    """Add pink noise below the level of the sound, after making pauses."""
    shape = generator.standard_normal(sound.shape).astype(np.float32)
    spectrum = np.fft.rfft(shape, axis=1)
    spectrum /= np.sqrt(np.maximum(1, np.arange(spectrum.shape[1])))
    pink = np.fft.irfft(spectrum, sound.shape[1], axis=1)
    scale = np.sqrt(np.square(sound).mean()) / np.sqrt(np.square(pink).mean()) * 10 ** (relative_db / 20)
    return with_pauses(sound, rate) + (pink * scale).astype(np.float32)


def hum(sound: Waveform, rate: int, relative_db: float, generator: np.random.Generator) -> Waveform:
    """Add mains hum of 50 or 60 Hz with falling harmonics below the sound, and hiss."""
    mains = float(generator.choice([50.0, 60.0]))
    time = np.arange(sound.shape[1]) / rate
    tone = sum(np.sin(2 * np.pi * k * mains * time + generator.uniform(0, 6.28)) / k for k in range(1, 9))
    tone = np.asarray(tone) + 0.03 * generator.standard_normal(len(time))
    scale = np.sqrt(np.square(sound).mean()) / np.sqrt(np.square(tone).mean()) * 10 ** (relative_db / 20)
    return with_pauses(sound, rate) + (tone * scale).astype(np.float32)


def widen(sound: Waveform, rate: int, correlation: float, generator: np.random.Generator) -> Waveform:
    """Make two channels of the sound with a given correlation, from the sound and a delayed copy."""
    mono = sound.mean(axis=0)
    other = np.roll(mono, round(0.4 * rate + generator.integers(rate)))
    other *= np.sqrt(np.square(mono).mean() / max(1e-12, np.square(other).mean()))
    side = correlation * mono + np.sqrt(1 - correlation**2) * other
    return np.stack([mono, side]).astype(np.float32)


FAULTS: dict[str, tuple[Fault, str, tuple[float, ...], str]] = {
    "clipping at full scale": (clip, "clipped", (0.5, 1, 3, 6, 12), "dB over full scale"),
    "clipping, then 6 dB softer": (clip_softer, "clipped", (0.5, 1, 3, 6, 12), "dB over full scale"),
    "offset": (offset, "dc_offset", (-60, -50, -40, -30), "dBFS"),
    "one dropout": (drop, "dropouts", (0.5, 2, 10, 50, 300), "ms"),
    "low-pass by resampling": (low_pass, "band_limited", (4000, 8000, 11025, 16000), "Hz"),
    "MP3": (as_mp3, "band_limited", (64, 128, 192, 320), "kbit/s"),
    "pink noise, in pauses": (noise, "noisy", (-60, -45, -35, -28), "dB relative to the sound"),
    "mains hum, in pauses": (hum, "hum", (-60, -45, -35, -28), "dB relative to the sound"),
    "channels that cancel": (widen, "out_of_phase", (0, -0.2, -0.4, -0.6), "correlation"),
    "equal channels": (widen, "dual_mono", (0.5, 0.99, 1.0), "correlation"),
}


def excerpts(songs: Path, seconds: float) -> Iterator[tuple[str, str, Waveform, int]]:
    """Yield the song, name, loudest excerpt ``(channel, time)`` and sample rate of every stem with sound."""
    for path in sorted(songs.rglob("*.ogg")):
        sound, rate = files.read(path), files.probe(path).sample_rate
        length = min(sound.shape[1], round(seconds * rate))
        power = np.concatenate([[0.0], np.cumsum(np.square(sound).mean(axis=0, dtype=np.float64))])
        starts = np.arange(0, sound.shape[1] - length + 1, rate)
        start = int(starts[np.argmax(power[starts + length] - power[starts])])
        excerpt = np.ascontiguousarray(sound[:, start : start + length])
        if np.abs(excerpt).max() > 1e-3:
            yield path.parent.name, path.stem, excerpt, rate


def codes_in(sound: Waveform, rate: int) -> set[str]:
    """Return the codes of the issues of a sound."""
    channels = ChannelMeter(rate)
    channels.add(sound)
    found = [*checks.of_signal(measure_signal(sound, rate)), *checks.of_sound(Sound(channels.faults()))]
    return {issue.code for issue in found}


def of_mixtures(stems: dict[str, dict[str, NDArray[np.float32]]]) -> list[Record]:
    """Change one stem in the mixture of each song, and count the songs in which that stem, and only it, is reported."""
    rate = mixture_fit.SAMPLE_RATE
    changes: dict[str, tuple[str, Callable[[NDArray[np.float32], float], NDArray[np.float32]], tuple[float, ...], str]]
    changes = {
        "unchanged": ("", lambda stem, _: stem, (0,), ""),
        "left out": ("not_in_mixture", lambda stem, _: 0 * stem, (0,), ""),
        "inverted": ("inverted_in_mixture", lambda stem, _: -stem, (0,), ""),
        "delayed": ("out_of_time", lambda stem, ms: np.roll(stem, round(ms * rate / 1000)), (1, 5, 50, 300), "ms"),
        "softer": ("sum_differs", lambda stem, db: stem * np.float32(10 ** (db / 20)), (-1, -3, -6), "dB"),
        "another sound in it": ("sum_differs", lambda stem, _: stem, (-40, -30, -20, -10), "dB"),
    }
    rows = []
    for name, (code, change, strengths, unit) in changes.items():
        for strength in strengths:
            hits, others, count = 0, 0, 0
            for song, parts in stems.items():
                if len(parts) < 2:
                    continue
                length = min(map(len, parts.values()))
                whole = {stem: part[:length] for stem, part in parts.items()}
                chosen = max(whole, key=lambda stem: float(np.square(whole[stem]).sum()))
                mixed = sum(change(part, strength) if stem == chosen else part for stem, part in whole.items())
                mixture = np.asarray(mixed, np.float32)
                if name == "another sound in it":
                    foreign = next(p for s, ps in stems.items() if s != song for p in ps.values() if len(p) >= length)
                    scale = np.sqrt(np.square(mixture).sum() / np.square(foreign[:length]).sum())
                    mixture = mixture + foreign[:length] * np.float32(scale * 10 ** (strength / 20))
                fit = mixture_fit.fit_mixture(mixture, whole)
                empty = [
                    Stem(id=stem, track=song, path=f"{stem}.wav", sample_rate=rate, channels=1, num_samples=length,
                         claimed=[], labels=[]) for stem in whole
                ]  # fmt: skip
                issues = checks.of_song(Song(empty, {}, fit))
                of_stem = {stem: {issue.code for issue in found} for stem, found in issues.items()}
                count += 1
                hits += code in of_stem.get(chosen, set()) if code else not of_stem
                named = {"not_in_mixture", "inverted_in_mixture", "out_of_time"}
                others += any(found & named for stem, found in of_stem.items() if stem != chosen)
            rows.append(
                {"change": name, "code": code, "strength": strength, "unit": unit, "songs": count, "found": hits,
                 "another_stem_accused": others}
            )  # fmt: skip
            print(rows[-1], flush=True)
    return rows


def mono_songs(songs: Path) -> dict[str, dict[str, NDArray[np.float32]]]:
    """Return the stems of each song in mono, at the sample rate at which they are compared with a mixture."""
    mono: dict[str, dict[str, NDArray[np.float32]]] = {}
    for path in sorted(songs.rglob("*.ogg")):
        blocks = files.blocks(path, sample_rate=mixture_fit.SAMPLE_RATE, channels=1)
        mono.setdefault(path.parent.name, {})[path.stem] = np.concatenate([block[0] for block in blocks])
    return mono


def main() -> None:
    """Command line."""
    parser = parser_of("check_faults", __doc__, "SONGS", "folders of stems, as .ogg")
    parser.add_argument("--seconds", type=float, default=30.0, metavar="S", help="of each stem; default: 30")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parts = ["clean", *FAULTS, "mixtures"]
    parser.add_argument("--only", choices=parts, action="append", help="measure this part again; may be repeated")
    given = parser.parse_args()
    asked = given.only or parts
    earlier = json.loads(given.output.read_text()) if given.only else {}
    stems = list(excerpts(given.songs, given.seconds))
    clean = [codes_in(sound, rate) for _, _, sound, rate in stems]
    counts = {code: sum(code in found for found in clean) for code in sorted(set().union(*clean))}
    print("clean", len(stems), counts, flush=True)
    rows = []
    for name, (fault, code, strengths, unit) in FAULTS.items():
        if name not in asked:
            rows += [row for row in earlier["faults"] if row["fault"] == name]
            continue
        for strength in strengths:
            found = []
            for index, (_, _, sound, rate) in enumerate(stems):
                if name == "low-pass by resampling" and code in clean[index]:
                    continue
                generator = np.random.default_rng([given.seed, index])
                found.append(code in codes_in(fault(sound, rate, strength, generator), rate))
            rows.append(
                {
                    "fault": name,
                    "code": code,
                    "strength": strength,
                    "unit": unit,
                    "stems": len(found),
                    "found": sum(found),
                }
            )
            print(rows[-1], flush=True)
    mixtures = of_mixtures(mono_songs(given.songs)) if "mixtures" in asked else earlier["mixtures"]
    write_json(
        given.output,
        {
            "by": f"stemclean {__version__}",
            "seconds": given.seconds,
            "seed": given.seed,
            "clean": {"stems": len(stems), "found": counts},
            "faults": rows,
            "mixtures": mixtures,
        },
    )


if __name__ == "__main__":
    main()
