"""How fast is ``refine``, how much memory does it take, and does its shortcut change decisions?

    python -m benchmarks.speed HELDOUT OUT.json [--weights URI] [--repetitions 5] [--only refine,stages,…]

``HELDOUT`` is a dataset (:mod:`benchmarks.heldout`); its real songs are used if it has any, or all with ``--songs
all``. Times are wall-clock times. What is compared runs side by side: both ways on one stem, then on the next, in
reverse order at every stem and every repetition, so that other load on the machine affects both. Sections, each written
to OUT.json as soon as it is done:

- ``refine``: the command on a folder, from the scan to the manifest, on all cores;
- ``stages``: one thread; decode, measure, spectrogram, network; the trunk run once and plain windows;
- ``agreement``: scores of both ways for every stem, and how many decisions differ before and after borderline stems are
  judged again;
- ``memory``: peak resident memory of ``stemclean refine`` on one stem of ``--hours``, made by repeating a stem, in a
  process of its own;
- ``start``: ``stemclean --help`` and the import of the verb, in pairs with ``python -c pass``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from benchmarks import resumable
from benchmarks.detection import CLASSIFIER_ONLY, RULES, Record, describe_weights, rounded
from stemclean import __version__, layouts, verdicts
from stemclean.audio import files
from stemclean.errors import StemcleanError
from stemclean.manifest import Stem
from stemclean.models import weights
from stemclean.models.calibration import Calibration
from stemclean.models.contract import Classifier
from stemclean.models.judge import Judge
from stemclean.refine import RefineConfig, refine
from stemclean.running import Running

LAUNCHER = """
import json, os, subprocess, sys, time
began = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(json.dumps({"status": status, "seconds": time.perf_counter() - began, "maxrss": usage.ru_maxrss}))
"""
"""Program that runs a command and prints its peak memory. It is a separate process, because the peak of a child starts
at the size of its parent."""

START_RUNS = 10


@dataclass(frozen=True)
class Bench:
    """Values shared by the sections.

    Args:
        folder: the dataset.
        stems: those that are timed.
        every: all stems of the dataset.
        uri: the classifier, as given.
        work: an empty folder on the disk that the dataset lies on.
    """

    folder: Path
    stems: Sequence[Stem]
    every: Sequence[Stem]
    uri: str
    loaded: weights.Weights
    repetitions: int
    hours: float
    work: Path

    @property
    def audio_seconds(self) -> float:
        """Length of what is timed."""
        return sum(stem.duration for stem in self.stems)


def refine_section(bench: Bench) -> Record:
    """Time ``refine`` as a user runs it, without the start of Python."""
    data = bench.work / "refine"
    for stem in bench.stems:
        (data / stem.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(bench.folder / stem.path, data / stem.path)
    seconds, scans = [], []
    for _ in tqdm(range(bench.repetitions), "refine", unit="run", disable=None):
        seconds.append(
            _seconds(
                lambda: refine(
                    data,
                    bench.work / "refined.json",
                    CLASSIFIER_ONLY,
                    weights_uri=bench.uri,
                    running=Running(resume=False, quiet=True),
                )
            )
        )
        scans.append(_seconds(lambda: layouts.load(data, quiet=True)))
    shutil.rmtree(data)
    return {
        "audio_minutes": round(bench.audio_seconds / 60, 1),
        "stems": len(bench.stems),
        "workers": os.cpu_count(),
        "seconds": spread(seconds),
        "times_real_time": spread([bench.audio_seconds / value for value in seconds]),
        "scan_seconds": spread(scans),
    }


def stages_section(bench: Bench) -> Record:
    """Time each stage on one thread, and the network both ways."""
    runs: list[dict[str, dict[str, float]]] = []
    for repetition in tqdm(range(bench.repetitions), "stages", unit="run", disable=None):
        judges = {"trunk": Judge(bench.loaded.model, "cpu"), "plain": Judge(bench.loaded.model, "cpu")}
        spectrogram = dict.fromkeys(judges, 0.0)
        for number, stem in enumerate(bench.stems):
            for way in list(judges)[:: -1 if (number + repetition) % 2 else 1]:
                judge = judges[way]
                with _features_timed(bench.loaded.model) as spent:
                    judge(judge.recording(bench.folder / stem.path, stem.duration, stem.stream), plain=way == "plain")
                spectrogram[way] += sum(spent)
        runs.append({way: _stages(judge.seconds, spectrogram[way]) for way, judge in judges.items()})
    audio = bench.audio_seconds
    ways, stages = list(runs[0]), list(runs[0]["trunk"])
    whole = {way: [sum(run[way].values()) for run in runs] for way in ways}
    network = {way: [run[way]["spectrogram"] + run[way]["network"] for run in runs] for way in ways}
    return {
        "audio_minutes": round(audio / 60, 1),
        "stems": len(bench.stems),
        "threads": 1,
        "stages": stages,
        "seconds_per_hour": {
            way: {stage: spread([run[way][stage] / audio * 3600 for run in runs]) for stage in stages} for way in ways
        },
        "times_real_time": {way: spread([audio / seconds for seconds in whole[way]]) for way in ways},
        "network_speed_up": spread([a / b for a, b in zip(network["plain"], network["trunk"], strict=True)]),
        "whole_speed_up": spread([a / b for a, b in zip(whole["plain"], whole["trunk"], strict=True)]),
    }


def _stages(seconds: Mapping[str, float], spectrogram: float) -> dict[str, float]:
    """Return a judge's stages, with the spectrogram apart from the network."""
    stages = {name: seconds.get(name, 0.0) for name in ("decode", "measure")}
    return {**stages, "spectrogram": spectrogram, "network": seconds["network"] - spectrogram}


@contextmanager
def _features_timed(model: Classifier) -> Iterator[list[float]]:
    """Record the seconds of each call of a model's ``features``."""
    spent: list[float] = []
    features = model.features

    def timed(waveform: torch.Tensor) -> torch.Tensor:
        began = time.perf_counter()
        result = features(waveform)
        spent.append(time.perf_counter() - began)
        return result

    model.features = timed  # type: ignore[method-assign]
    try:
        yield spent
    finally:
        del model.features  # the method of the class is back


def agreement_section(bench: Bench) -> Record:
    """Both ways on every stem; refine's way takes the plain scores where a score is near a threshold."""
    config = RefineConfig()
    judge, calibration = Judge(bench.loaded.model, "cpu"), Calibration.of_card(bench.loaded.card)
    labels = judge.model.spec.labels
    trunk, plain, kept = [], [], []
    for stem in tqdm(bench.every, "agreement", unit="stem", disable=None):
        recording = judge.recording(bench.folder / stem.path, stem.duration, stem.stream)
        judgement = judge(recording)
        if judgement.weights.any():
            trunk.append(calibration(judgement.pooled()))
            plain.append(calibration(judge(recording, plain=True).pooled()))
            kept.append(stem)
    ours, paper = np.stack(trunk), np.stack(plain)  # (stem, label)
    near = {
        rule: np.array(
            [
                verdicts.borderline(row, verdicts.limits(labels, stem.claimed, *thresholds), config.margin)
                for row, stem in zip(ours, kept, strict=True)
            ]
        )
        for rule, thresholds in RULES.items()
    }
    differences = np.abs(ours - paper)

    def decisions(scores: np.ndarray, rule: str) -> np.ndarray:
        decisions_ = [
            verdicts.found_labels(dict(zip(labels, row, strict=True)), stem.claimed, *RULES[rule])
            for row, stem in zip(scores, kept, strict=True)
        ]
        return np.array([[label in names for label in labels] for names in decisions_])

    return {
        "stems": len(kept),
        "decisions": int(differences.size),
        "max_difference": rounded(differences.max()),
        "mean_difference": rounded(differences.mean()),
        "margin": config.margin,
        "judged_again": int(near["default"].sum()),
        "flips": {
            rule: {
                "trunk": int((decisions(ours, rule) != decisions(paper, rule)).sum()),
                "refine": int(
                    (decisions(np.where(near[rule][:, None], paper, ours), rule) != decisions(paper, rule)).sum()
                ),
            }
            for rule in RULES
        },
    }


def memory_section(bench: Bench) -> Record:
    """Peak memory of the command on a short stem and on the same one repeated for hours."""
    stem = max(bench.stems, key=lambda stem: stem.duration)
    data = bench.work / "memory"
    report: Record = {"stem_sample_rate": stem.sample_rate, "stem_channels": stem.channels, "format": "flac"}
    for name, seconds in (("short", stem.duration), ("long", bench.hours * 3600)):
        path = data / name / "song" / f"{stem.claimed[0]}.flac"
        _repeat(bench.folder / stem.path, path, seconds)
        command = [sys.executable, "-m", "stemclean", "refine", str(data / name), "-o", str(data / f"{name}.json")]
        report[name] = {"minutes": round(seconds / 60, 1), **_measured([*command, "--weights", bench.uri, "--quiet"])}
        report[name]["times_real_time"] = rounded(seconds / report[name]["seconds"])
        shutil.rmtree(data / name)
    return report


def start_section(_: Bench) -> Record:
    """Start of the command and of the library, each beside an empty Python."""
    script = Path(sys.executable).with_name("stemclean")
    program = [str(script)] if script.exists() else [sys.executable, "-m", "stemclean"]
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "stemclean --help": [*program, "--help"],
        'python -c "import stemclean.refine"': [sys.executable, "-c", "import stemclean.refine"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for run in range(-1, START_RUNS):  # the first one warms byte code and disk cache
        for name in list(commands)[:: -1 if run % 2 else 1]:
            began = time.perf_counter()
            subprocess.run(commands[name], stdout=subprocess.DEVNULL, check=True)
            if run >= 0:
                times[name].append(time.perf_counter() - began)
    empty = times["python -c pass"]
    return {
        "runs": START_RUNS,
        "seconds": {name: spread(values) for name, values in times.items()},
        "times_empty_python": {
            name: spread([a / b for a, b in zip(values, empty, strict=True)]) for name, values in times.items()
        },
    }


SECTIONS: dict[str, Callable[[Bench], Record]] = {
    "refine": refine_section,
    "stages": stages_section,
    "agreement": agreement_section,
    "memory": memory_section,
    "start": start_section,
}


def spread(values: Sequence[float]) -> Record:
    """Median, least and greatest of some repetitions.

    >>> spread([1.0, 3.0, 2.0])
    {'median': 2.0, 'min': 1.0, 'max': 3.0, 'num': 3}
    """
    return {
        "median": float(f"{np.median(values):.4g}"),
        "min": float(f"{min(values):.4g}"),
        "max": float(f"{max(values):.4g}"),
        "num": len(values),
    }


def describe_machine() -> Record:
    """Describe the machine and its load before the run, without names."""
    return {
        "cores": os.cpu_count(),
        "load_before": [round(value, 1) for value in os.getloadavg()],
        "architecture": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "stemclean": __version__,
    }


def _repeat(source: Path, path: Path, seconds: float) -> None:
    """Write a file that repeats another one."""
    sound = files.read(source)
    info = files.probe(source)
    left = round(seconds * info.sample_rate)
    with files.create(path, info.sample_rate, info.channels, subtype="PCM_16") as file:
        while left > 0:
            file.write(sound[:, :left])
            left -= sound.shape[1]


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
    return {"seconds": round(result["seconds"], 1), "peak_mb": round(result["maxrss"] * unit / 1e6)}


def _seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("heldout", type=Path, metavar="HELDOUT")
    parser.add_argument("output", type=Path, metavar="OUT.json")
    parser.add_argument("--weights", default=weights.DEFAULT_CLASSIFIER, metavar="URI")
    parser.add_argument("--repetitions", type=int, default=5, metavar="N")
    parser.add_argument("--songs", choices=("real", "all"), default="real")
    parser.add_argument("--hours", type=float, default=3.0)
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, with commas between; all")
    parser.add_argument("--work", type=Path, metavar="DIR", help="for files of hours; the folder of HELDOUT")
    arguments = parser.parse_args()
    chosen = resumable.chosen(parser, arguments.only, SECTIONS)
    torch.set_num_threads(1)
    try:
        data, folder = layouts.load(arguments.heldout, quiet=True)
        loaded = weights.load(arguments.weights)
    except StemcleanError as error:
        parser.error(str(error))
    real = [stem for stem in data.stems if stem.track.startswith("real__")]
    stems = real if real and arguments.songs == "real" else data.stems
    with tempfile.TemporaryDirectory(dir=arguments.work or arguments.heldout.absolute().parent) as work:
        bench = Bench(
            folder, stems, data.stems, arguments.weights, loaded, arguments.repetitions, arguments.hours, Path(work)
        )
        about = {"weights": describe_weights(loaded)}
        resumable.sections(
            arguments.output, chosen, lambda name: {"machine": describe_machine()} | SECTIONS[name](bench) | about
        )


if __name__ == "__main__":
    main()
