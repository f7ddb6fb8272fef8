"""Does ``eval separation`` agree with museval, how much faster is it, and in how much memory?

    python -m benchmarks.eval_speed HELDOUT OUT.json [--seconds 30,150] [--repetitions 5] [--only agreement,speed,…]

``HELDOUT`` is a dataset (:mod:`benchmarks.heldout`), of which the real songs with at least three classes are used. Two
separators are made here: ``mask`` multiplies the spectrogram of the mixture by the share of each true stem (an ideal
ratio mask, the usual oracle); ``leaky`` filters the true stem and lets the others leak in, and its output is clipped
and rounded to 16 bits. The programs compared take turns in one process, in reverse order at every repetition, and every
ratio is of two consecutive runs. Sections, each written to OUT.json as soon as it is done:

- ``agreement``: every frame of excerpts of every song, stereo and mono, compared with museval;
- ``speed``: arrays in memory, all four metrics and the SDR alone, wall-clock and processor time;
- ``command``: from files to numbers, ``stemclean eval separation`` and museval's own program ``bsseval``, with
  start-up, and the peak resident memory of each;
- ``memory``: peak resident memory of the command on a song of ``--minutes``, made by repeating one.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from scipy import signal
from tqdm import tqdm

from benchmarks import resumable
from benchmarks.detection import Record
from benchmarks.speed import LAUNCHER, describe_machine, spread
from stemclean import layouts
from stemclean.audio import files
from stemclean.errors import StemcleanError
from stemclean.manifest import Stem
from stemclean.metrics import separation

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what its own imports warn of
    import museval

METRICS = ("sdr", "isr", "sir", "sar")
EXCERPT = 20.0
"""Seconds of each song whose frames are compared."""
START_STEP = 10.0
"""Seconds between the starts that are tried until every stem of an excerpt is active; museval refuses others."""
NUM_BINS = 2048


@dataclass(frozen=True)
class Bench:
    """Values shared by the sections.

    Args:
        folder: the dataset.
        songs: name -> its stems, of different classes.
        seconds: lengths that are timed.
        minutes: of the song whose memory is measured.
        work: an empty folder.
    """

    folder: Path
    songs: dict[str, list[Stem]]
    seconds: Sequence[float]
    repetitions: int
    minutes: float
    work: Path

    @property
    def longest(self) -> list[Stem]:
        """The song with the most stems, then the most sound."""
        return max(self.songs.values(), key=lambda stems: (len(stems), min(stem.duration for stem in stems)))

    def read(self, stems: Sequence[Stem], seconds: float, *, from_start: bool = False) -> np.ndarray:
        """Return an excerpt in which every stem is active. Shape: (source, channel, time)."""
        shortest = min(stem.duration for stem in stems)
        rate = stems[0].sample_rate
        start = 0.0
        while True:
            excerpt = [
                files.read(self.folder / stem.path, sample_rate=rate, channels=2, start=start, duration=seconds)
                for stem in stems
            ]
            length = min(sound.shape[1] for sound in excerpt)
            reference = np.stack([sound[:, :length] for sound in excerpt]).astype(np.float64)
            if reference.any(axis=(1, 2)).all():
                return reference
            start += START_STEP
            if from_start or start + seconds > shortest:
                raise ValueError(f"{stems[0].track}: a stem is silent in every excerpt")


def mask(reference: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the estimates of an ideal ratio mask. Shape: (source, channel, time), in and out."""
    del rng
    _, _, spectra = signal.stft(reference, nperseg=NUM_BINS, noverlap=NUM_BINS * 3 // 4)
    shares = np.abs(spectra) / np.maximum(np.abs(spectra).sum(axis=0), 1e-12)
    _, estimate = signal.istft(shares * spectra.sum(axis=0), nperseg=NUM_BINS, noverlap=NUM_BINS * 3 // 4)
    return separation.fit(estimate, reference.shape[2])


def leaky(reference: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Filtered, with leaks, clipped, and rounded. Shape: (source, channel, time), in and out."""
    estimate = np.empty_like(reference)
    mixture = reference.sum(axis=0)
    for source, true in enumerate(reference):
        own = signal.lfilter([0.9, *(0.05 * rng.standard_normal(8))], [1.0], true)
        leak = 0.15 * rng.standard_normal(40) * np.exp(-np.arange(40) / 10)
        estimate[source] = own + signal.lfilter(leak, [1.0], mixture - true) + 0.03 * np.tanh(3 * mixture)
    return np.round(estimate.clip(-1, 1) * 32767) / 32768


SEPARATORS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {"mask": mask, "leaky": leaky}


def by_museval(reference: np.ndarray, estimate: np.ndarray, rate: int) -> tuple[np.ndarray, ...]:
    """museval wants (source, time, channel)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result: tuple[np.ndarray, ...] = museval.evaluate(
            reference.transpose(0, 2, 1), estimate.transpose(0, 2, 1), win=rate, hop=rate
        )
    return result


def agreement_section(bench: Bench) -> Record:
    """Compare every song with both separators, in stereo and mono, with a second of silence in every other song."""
    cases: list[Record] = []
    for number, (track, stems) in enumerate(tqdm(bench.songs.items(), "agreement", unit="song", disable=None)):
        rate = stems[0].sample_rate
        stereo = bench.read(stems, EXCERPT)
        if number % 2:
            stereo[0, :, 3 * rate : 4 * rate] = 0.0
        for name, separate in SEPARATORS.items():
            for channels in (2, 1):
                reference = stereo if channels == 2 else stereo.mean(axis=1, keepdims=True)
                estimate = separate(reference, np.random.default_rng(number))
                ours = separation.bss_eval(reference, estimate, rate)
                cases.append(
                    {
                        "track": track,
                        "separator": name,
                        "channels": channels,
                        "sources": len(reference),
                        **_difference(ours, by_museval(reference, estimate, rate)),
                    }
                )
    return {"excerpt_seconds": EXCERPT, "cases": cases}


def _difference(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> Record:
    """Return the largest difference of a frame, and of a median of frames, by metric; in dB."""
    record: Record = {"frames": int(ours[0].size), "undefined": int(np.isnan(ours[0]).sum())}
    record["same_frames_undefined"] = all(
        np.array_equal(np.isnan(a), np.isnan(b)) for a, b in zip(ours, theirs, strict=True)
    )
    for name, a, b in zip(METRICS, ours, theirs, strict=True):
        both = np.isfinite(a) & np.isfinite(b)
        medians = separation.over_frames(a) - separation.over_frames(b)
        record[name] = {
            "max_frame_db": float(f"{np.abs(a - b)[both].max():.2e}"),
            "max_median_db": float(f"{np.nanmax(np.abs(medians)):.2e}"),
            "lowest_db": round(float(a[both].min()), 1),
            "highest_db": round(float(a[both].max()), 1),
        }
    return record


def speed_section(bench: Bench) -> Record:
    """One song of several lengths, in memory."""
    lengths: list[Record] = []
    stems = bench.longest
    rate, cores = stems[0].sample_rate, os.cpu_count() or 1
    for seconds in bench.seconds:
        reference = bench.read(stems, seconds)
        estimate = leaky(reference, np.random.default_rng(0))
        ways: dict[str, Callable[[], Any]] = {
            "museval": lambda ref=reference, est=estimate: by_museval(ref, est, rate),
            "all four": lambda ref=reference, est=estimate: separation.bss_eval(ref, est, rate, cores),
            "SDR alone": lambda ref=reference, est=estimate: _sdr(ref, est, rate, cores),
        }
        _sdr(reference, estimate, rate, cores)  # what is imported at first use
        wall: dict[str, list[float]] = {way: [] for way in ways}
        used: dict[str, list[float]] = {way: [] for way in ways}
        for repetition in tqdm(range(bench.repetitions), f"speed {seconds:g} s", unit="run", disable=None):
            for way in list(ways)[:: -1 if repetition % 2 else 1]:
                began, began_cpu = time.perf_counter(), time.process_time()
                ways[way]()
                wall[way].append(time.perf_counter() - began)
                used[way].append(time.process_time() - began_cpu)
        lengths.append(
            {
                "audio_seconds": round(reference.shape[2] / rate, 1),
                "sources": len(reference),
                "seconds": {way: spread(values) for way, values in wall.items()},
                "cpu_seconds": {way: spread(values) for way, values in used.items()},
                "times_faster": {way: spread(_ratios(wall["museval"], wall[way])) for way in list(ways)[1:]},
                "times_less_cpu": {way: spread(_ratios(used["museval"], used[way])) for way in list(ways)[1:]},
            }
        )
    return {"track": stems[0].track, "channels": 2, "sample_rate": rate, "threads": cores, "lengths": lengths}


def _sdr(reference: np.ndarray, estimate: np.ndarray, rate: int, threads: int) -> np.ndarray:
    """Compute only the SDR, from arrays."""
    return separation.measure(lambda: [(reference, estimate)], rate, ["sdr"], threads).frames["sdr"]


def _ratios(a: Sequence[float], b: Sequence[float]) -> list[float]:
    return [x / y for x, y in zip(a, b, strict=True)]


def command_section(bench: Bench) -> Record:
    """Files in, numbers out; each in a process of its own."""
    stems = bench.longest
    seconds = min(bench.seconds)
    references, estimates = _write(bench, stems, seconds, bench.work / "command")
    output = bench.work / "command" / "out"
    ours = [sys.executable, "-m", "stemclean", "eval", "separation", str(references), str(estimates), "-o", str(output)]
    ways = {
        "bsseval": [*_program("bsseval"), str(references / "song"), str(estimates / "song"), "-o", str(output)],
        "all": [*ours, "--quiet"],
        "SDR alone": [*ours, "--quiet", "--metrics", "sdr"],
    }
    runs: dict[str, list[Record]] = {way: [] for way in ways}
    for repetition in tqdm(range(bench.repetitions), "command", unit="run", disable=None):
        for way in list(ways)[:: -1 if repetition % 2 else 1]:
            runs[way].append(_measured(ways[way]))
    wall = {way: [run["seconds"] for run in same] for way, same in runs.items()}
    return {
        "audio_seconds": seconds,
        "sources": len(stems),
        "seconds": {way: spread(values) for way, values in wall.items()},
        "peak_mb": {way: max(run["peak_mb"] for run in same) for way, same in runs.items()},
        "times_faster": {way: spread(_ratios(wall["bsseval"], wall[way])) for way in list(ways)[1:]},
    }


def memory_section(bench: Bench) -> Record:
    """One song, short and long, of four stereo stems."""
    record: Record = {"sources": len(bench.longest), "channels": 2, "workers": os.cpu_count(), "songs": []}
    for minutes in (min(bench.seconds) / 60, bench.minutes):
        with _emptied(bench.work / "memory") as folder:
            references, estimates = _write(bench, bench.longest, minutes * 60, folder)
            command = [sys.executable, "-m", "stemclean", "eval", "separation", str(references), str(estimates)]
            done = _measured([*command, "-o", str(folder / "out"), "--quiet"])
        record["songs"].append({"minutes": round(minutes, 1), **done})
    return record


def _write(bench: Bench, stems: Sequence[Stem], seconds: float, folder: Path) -> tuple[Path, Path]:
    """References and estimates as WAV files of 16 bits, repeated to the length; the folders of the songs."""
    piece = bench.read(stems, min(seconds, *(stem.duration for stem in stems)))
    rate = stems[0].sample_rate
    sides = {"reference": piece, "estimate": leaky(piece, np.random.default_rng(0))}
    for side, sounds in sides.items():
        for stem, sound in zip(stems, sounds, strict=True):
            path = folder / side / "song" / f"{stem.labels[0]}.wav"
            left = round(seconds * rate)
            with files.create(path, rate, 2, subtype="PCM_16") as file:
                while left > 0:
                    file.write(sound[:, :left].astype(np.float32))
                    left -= sound.shape[1]
    return folder / "reference", folder / "estimate"


@contextmanager
def _emptied(folder: Path) -> Any:
    folder.mkdir(parents=True)
    yield folder
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()


def _program(name: str) -> list[str]:
    """Return the command of an installed program, or of the module's function."""
    script = Path(sys.executable).with_name(name)
    return [str(script)] if script.exists() else [sys.executable, "-c", f"from museval.cli import {name}; {name}()"]


def _measured(command: list[str]) -> Record:
    """Run a command; its seconds and its peak resident memory in MB (10^6 bytes).

    Raises:
        RuntimeError: it fails.
    """
    completed = subprocess.run([sys.executable, "-c", LAUNCHER, *command], stdout=subprocess.PIPE, check=True)
    result = json.loads(completed.stdout)
    if result["status"]:
        raise RuntimeError(f"{' '.join(command)}: status {result['status']}")
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes elsewhere
    return {"seconds": round(result["seconds"], 2), "peak_mb": round(result["maxrss"] * unit / 1e6)}


SECTIONS: dict[str, Callable[[Bench], Record]] = {
    "agreement": agreement_section,
    "speed": speed_section,
    "command": command_section,
    "memory": memory_section,
}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("heldout", type=Path, metavar="HELDOUT")
    parser.add_argument("output", type=Path, metavar="OUT.json")
    parser.add_argument("--seconds", default="30,150", help="lengths that are timed, with commas between")
    parser.add_argument("--repetitions", type=int, default=5, metavar="N")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, with commas between; all")
    parser.add_argument("--work", type=Path, metavar="DIR", help="for files of minutes; the system's own")
    arguments = parser.parse_args()
    chosen = resumable.chosen(parser, arguments.only, SECTIONS)
    try:
        data, folder = layouts.load(arguments.heldout, quiet=True)
    except StemcleanError as error:
        parser.error(str(error))
    songs: dict[str, list[Stem]] = {}
    for stem in data.stems:
        known = songs.setdefault(stem.track, [])
        if stem.track.startswith("real__") and stem.labels not in [other.labels for other in known]:
            known.append(stem)
    songs = {track: stems for track, stems in songs.items() if len(stems) >= 3}
    if not songs:
        parser.error("no real song has three classes")
    with tempfile.TemporaryDirectory(dir=arguments.work) as work:
        lengths = [float(text) for text in arguments.seconds.split(",")]
        bench = Bench(folder, songs, lengths, arguments.repetitions, arguments.minutes, Path(work))
        resumable.sections(
            arguments.output,
            chosen,
            lambda name: {"machine": {**describe_machine(), "museval": version("museval")}} | SECTIONS[name](bench),
        )


if __name__ == "__main__":
    main()
