"""Which copies of a stem are found, and which different stems are taken for copies?

    python -m benchmarks.planted_copies SONGS OUT.json [--seconds 20] [--seed 0] [--workers 2]

A copy of the loudest ``--seconds`` of every stem is changed in one way at several strengths. It is *found* if its
fingerprint is near that of the stem and the waveforms agree, as ``check`` and ``refine`` do it. *Near* counts the first
step alone. False alarms are counted among all pairs of different stems, of one song or of two, and among the halves of
each stem, which may repeat a loop: by both steps together, and by the second one alone, as if all fingerprints were
near.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import av
import numpy as np
import soundfile
import soxr

from benchmarks.arguments import parser_of
from benchmarks.check_faults import as_mp3, excerpts
from benchmarks.resumable import write_json
from stemclean import __version__
from stemclean.audio import copies
from stemclean.audio.waveform import Waveform

Change = Callable[[Waveform, int, float, Waveform], Waveform]
"""Changes a sound ``(channel, time)``, given its sample rate, a strength and another stem of another song."""

PIVOT_HZ = 1000.0
LOWEST_HZ, HIGHEST_HZ = 50.0, 15_000.0
"""A tilt of the spectrum has its full gain at these frequencies, of opposite signs, and none at the pivot."""


KINDS = ("one song", "two songs", "halves of one stem")


def louder(sound: Waveform, _: int, gain_db: float, __: Waveform) -> Waveform:
    """Change the gain."""
    return sound * np.float32(10 ** (gain_db / 20))


def later(sound: Waveform, rate: int, seconds: float, _: Waveform) -> Waveform:
    """Put silence before the sound."""
    return np.pad(sound, ((0, 0), (round(seconds * rate), 0)))


def shortened(sound: Waveform, _: int, share: float, __: Waveform) -> Waveform:
    """Keep a share of the length, from the start."""
    return sound[:, : round(share * sound.shape[1])]


def beheaded(sound: Waveform, _: int, share: float, __: Waveform) -> Waveform:
    """Keep a share of the length, up to the end."""
    return sound[:, -round(share * sound.shape[1]) :]


def as_aac(sound: Waveform, rate: int, kbps: float, _: Waveform) -> Waveform:
    """Encode as AAC with a bit rate, and decode, with the delay of the encoder."""
    file = io.BytesIO()
    layout = "mono" if sound.shape[0] == 1 else "stereo"
    with av.open(file, "w", format="adts") as container:
        stream = container.add_stream("aac", rate=rate, layout=layout)
        stream.bit_rate = round(1000 * kbps)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(np.clip(sound, -1, 1)), format="fltp", layout=layout)
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    file.seek(0)
    with av.open(file) as container:
        decoded = [frame.to_ndarray() for frame in container.decode(audio=0)]
    return np.ascontiguousarray(np.concatenate(decoded, axis=1), np.float32)


def as_vorbis(sound: Waveform, rate: int, kbps: float, _: Waveform) -> Waveform:
    """Encode as Ogg Vorbis with about a bit rate, and decode."""
    file = io.BytesIO()
    quality = np.interp(kbps, [64, 96, 128, 160, 192], [0.0, 0.2, 0.4, 0.5, 0.6])  # of stereo at 44.1 kHz, by libvorbis
    with soundfile.SoundFile(
        file, "w", rate, sound.shape[0], format="OGG", subtype="VORBIS", compression_level=float(1 - quality)
    ) as opened:
        for start in range(0, sound.shape[1], 1 << 16):  # libvorbis overflows its stack on long writes
            opened.write(np.clip(sound.T[start : start + (1 << 16)], -1, 1))
    file.seek(0)
    return np.ascontiguousarray(soundfile.read(file, dtype="float32", always_2d=True)[0].T)


def mp3(sound: Waveform, rate: int, kbps: float, _: Waveform) -> Waveform:
    """Encode as MP3, and decode."""
    return as_mp3(sound, rate, kbps, np.random.default_rng(0))


def resampled(sound: Waveform, rate: int, other: float, _: Waveform) -> Waveform:
    """Resample to another rate and back."""
    there = soxr.resample(sound.T, rate, other)
    return np.ascontiguousarray(soxr.resample(there, other, rate).T, np.float32)


def tilted(sound: Waveform, rate: int, gain_db: float, _: Waveform) -> Waveform:
    """Tilt the spectrum around 1 kHz: the highs get the gain, the lows its negative."""
    frequencies = np.maximum(np.fft.rfftfreq(sound.shape[1], 1 / rate), 1.0)
    octaves = np.log2([LOWEST_HZ, PIVOT_HZ, HIGHEST_HZ])
    gains_db = np.interp(np.log2(frequencies), octaves, [-gain_db, 0.0, gain_db])
    spectrum = np.fft.rfft(sound, axis=1) * 10 ** (gains_db / 20)
    return np.fft.irfft(spectrum, sound.shape[1], axis=1).astype(np.float32)


def faster(sound: Waveform, rate: int, percent: float, _: Waveform) -> Waveform:
    """Play the sound faster, and higher."""
    return np.ascontiguousarray(soxr.resample(sound.T, rate * (1 + percent / 100), rate).T, np.float32)


def mixed(sound: Waveform, _: int, relative_db: float, other: Waveform) -> Waveform:
    """Add another stem below the sound."""
    other = np.resize(other.mean(axis=0), sound.shape[1])
    scale = np.sqrt(np.square(sound).mean() / np.square(other).mean()) * 10 ** (relative_db / 20)
    return np.asarray(sound + np.float32(scale) * other, np.float32)


CHANGES: dict[str, tuple[Change, tuple[float, ...], str]] = {
    "gain": (louder, (-12, -6, 6), "dB"),
    "later": (later, (0.01, 0.1, 1, 10), "s"),
    "end cut off": (shortened, (0.9, 0.75, 0.5), "of the length kept"),
    "beginning cut off": (beheaded, (0.9, 0.75, 0.5), "of the length kept"),
    "MP3": (mp3, (64, 128, 192), "kbit/s"),
    "Ogg Vorbis": (as_vorbis, (64, 128, 192), "kbit/s"),
    "AAC": (as_aac, (64, 128, 192), "kbit/s"),
    "resampled and back": (resampled, (48_000, 22_050), "Hz"),
    "tilted spectrum": (tilted, (-6, -3, 3, 6), "dB"),
    "with another stem": (mixed, (-20, -10), "dB"),
    "faster": (faster, (-1, 1), "%"),
}


def fingerprint(sound: Waveform, rate: int) -> str | None:
    """Return the fingerprint of a sound."""
    taken = copies.Fingerprinter(rate)
    taken.add(sound)
    return taken.fingerprint()


def compared(sound: Waveform, rate: int) -> list[Waveform]:
    """Return a sound in the form in which copies are compared."""
    return [soxr.resample(sound.T, rate, copies.SAMPLE_RATE).T.astype(np.float32)]


@dataclass(frozen=True)
class Excerpt:
    """The loudest part of a stem.

    Args:
        song, name: of the stem.
        sound: its waveform ``(channel, time)`` at ``rate`` Hz.
        taken: its fingerprint.
        wave: the form in which it is compared.
    """

    song: str
    name: str
    sound: Waveform
    rate: int
    taken: str
    wave: list[Waveform]


STEMS: list[Excerpt] = []
OTHERS: list[Waveform] = []
"""For each stem, one of another song. Both are filled before the processes start, which inherit them."""


def of_change(name: str, strength: float) -> dict[str, Any]:
    """Count the copies that are found, for one change and strength."""
    change, _, unit = CHANGES[name]
    near = found = 0
    for stem, other in zip(STEMS, OTHERS, strict=True):
        changed = change(stem.sound, stem.rate, strength, other)
        close = is_near(stem.taken, fingerprint(changed, stem.rate))
        near += close
        found += close and copies.same(stem.wave, compared(changed, stem.rate))
    return {"change": name, "strength": strength, "unit": unit, "stems": len(STEMS), "near": near, "found": found}


def of_pairs(first: int) -> dict[str, Any]:
    """Count the pairs of a stem and a later one that are near, the same, and both, within its song and across songs."""
    counts = {kind: {"pairs": 0, "near": 0, "same": 0, "found": 0} for kind in KINDS}
    stem = STEMS[first]
    for other in STEMS[first + 1 :]:
        count = counts[KINDS[other.song != stem.song]]
        near = is_near(stem.taken, other.taken)
        same = copies.same(stem.wave, other.wave)
        for key, yes in (("pairs", True), ("near", near), ("same", same), ("found", near and same)):
            count[key] += yes
        if same:
            print(f"same: {stem.song}/{stem.name} and {other.song}/{other.name}", flush=True)
    halves = np.array_split(stem.sound, 2, axis=1)
    near = is_near(fingerprint(halves[0], stem.rate), fingerprint(halves[1], stem.rate))
    same = copies.same(compared(halves[0], stem.rate), compared(halves[1], stem.rate))
    for key, yes in (("pairs", True), ("near", near), ("same", same), ("found", near and same)):
        counts[KINDS[2]][key] += yes
    if same:
        print(f"same: both halves of {stem.song}/{stem.name}", flush=True)
    return counts


def is_near(first: str | None, second: str | None) -> bool:
    """Return whether two fingerprints are near; a silent sound has none."""
    return bool(first and second) and copies.distance_db(first or "", second or "") <= copies.TOLERANCE_DB


def measured(seed: int, workers: int) -> dict[str, Any]:
    """Return the rows of the changes and the sums of the pairs."""
    generator = np.random.default_rng(seed)
    for stem in STEMS:
        foreign = [other.sound for other in STEMS if other.song != stem.song]
        OTHERS.append(foreign[int(generator.integers(len(foreign)))])
    cases = [(name, strength) for name, (_, strengths, _) in CHANGES.items() for strength in strengths]
    with ProcessPoolExecutor(workers, get_context("fork")) as pool:
        counted = [pool.submit(of_pairs, first) for first in range(len(STEMS))]
        changed = [pool.submit(of_change, *case) for case in cases]
        rows = []
        for result in changed:
            rows.append(result.result())
            print(rows[-1], flush=True)
        pairs = {kind: dict.fromkeys(("pairs", "near", "same", "found"), 0) for kind in KINDS}
        for result in counted:
            for kind, counts in result.result().items():
                pairs[kind] = {key: pairs[kind][key] + count for key, count in counts.items()}
    print(pairs, flush=True)
    return {"changes": rows, "pairs": pairs}


def main() -> None:
    """Command line."""
    parser = parser_of("planted_copies", __doc__, "SONGS", "folders of stems")
    parser.add_argument("--seconds", type=float, default=20.0, metavar="S", help="of each stem; default: 20")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes; default: 2")
    given = parser.parse_args()
    for song, name, sound, rate in excerpts(given.songs, given.seconds):
        STEMS.append(Excerpt(song, name, sound, rate, fingerprint(sound, rate) or "", compared(sound, rate)))
    print(len(STEMS), "stems", flush=True)
    record = {"by": f"stemclean {__version__}", "seconds": given.seconds, "seed": given.seed}
    write_json(given.output, {**record, **measured(given.seed, given.workers)})


if __name__ == "__main__":
    main()
