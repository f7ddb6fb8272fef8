"""How long do manifests of a million stems take, and how much memory?

    python -m benchmarks.large_manifests OUT.json [--sizes 10000,100000,1000000] [--only validate,merge,…] [--work DIR]

Each stage is a command as a user runs it, in its own session. Its processes are watched: wall-clock time, processor
time, and the largest sum of their memory at any moment (proportional set size, which counts a page that they share
once). Every size is measured on a manifest of its own, so that the page shows whether the cost grows in proportion.

- ``validate``: ``validate --no-audio``; the schema, the ids and the references of all stems.
- ``headers``: ``validate``; also opens every file and compares its header.
- ``merge``: joins four parts of equal size.
- ``report``: writes the page of the 5000 worst stems, with pictures and clips.
- ``resume``: ``refine`` from its start until it judges the first stem that the interrupted run has not judged; the
  journal holds all stems but those of the last song. It is then ended by SIGTERM.
- ``export``: ``export --to zfturbo``, which decodes every stem before it lists it.

Stems are invented as ``refine`` writes them, four in a song, one in eight with a fault. Manifests that are only read
have a checksum for each stem. Where files are opened, the stems are hard links to a few WAV files of a quarter of a
second, without checksums, since equal ones would make them copies of each other. So these stages show what a file
costs besides its audio.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from benchmarks import resumable
from benchmarks.robustness import watching
from stemclean import manifest
from stemclean.data.journal import Journal
from stemclean.manifest import Created, Manifest

Record = dict[str, Any]
LABELS = ("vocals", "bass", "drums", "other")
FILES = 64
"""Number of audio files that the stems are linked to; a file system allows some ten thousand links to each."""
RATE, NUM_SAMPLES = 44_100, 11_025
PARTS = 4
SIZES = (10_000, 100_000, 1_000_000)
LIMIT_SECONDS = 7200.0
POLL_SECONDS = 0.1


def stems(number: int, *, checksums: bool, judged: bool) -> Iterator[Record]:
    """Yield invented stems as they are written.

    Args:
        number: how many.
        checksums: whether each has a checksum of its own.
        judged: whether ``refine`` has judged them.
    """
    rng = random.Random("large manifests")
    seconds = NUM_SAMPLES / RATE
    for index in range(number):
        song, label = f"songs/{index // 4000:03}/{index // 4:06}", LABELS[index % 4]
        content = f"{rng.getrandbits(256):064x}"
        stem: Record = {
            "channels": 2,
            "claimed": [label],
            "extra": {},
            "id": f"{song}/{label}",
            "issues": [],
            "labels": [label],
            "num_samples": NUM_SAMPLES,
            "path": f"{song}/{label}.wav",
            "sample_rate": RATE,
            "sha256": content if checksums else None,
            "split": None,
            "track": song,
        }
        fault, quality = rng.random() < 1 / 8, round(rng.random(), 4)
        if judged:
            found = [LABELS[(index + 1) % 4]] if fault else [label]
            bleed = {"delay": 0.0, "label": found[0], "level_db": -20.5, "stem": f"{song}/{found[0]}"}
            bleed["spans"] = [{"start": 0.0, "end": 0.2, "level_db": -20.5}]
            stem |= {
                "active": [[0.0, round(seconds, 6)]],
                "crosstalk": [bleed] if fault else [],
                "fingerprint": content,
                "found": found,
                "labels": found,
                "levels_db": {found[0]: -0.5},
                "loudness_lufs": -20.51,
                "peak_dbfs": -6.02,
                "regions": [
                    {"start": 0.0, "end": 0.1, "labels": found, "levels_db": {found[0]: -0.5}},
                    {"start": 0.1, "end": 0.25, "labels": [label], "levels_db": {label: -0.4}},
                ],
                "scores": {name: round(rng.random(), 4) for name in LABELS},
                "verdict": {
                    "action": "relabel" if fault else "keep",
                    "label_quality": round(quality / 4, 4) if fault else round(0.75 + quality / 4, 4),
                    "reason": "other_class_found" if fault else "as_claimed",
                },
            }
        yield stem


def write(path: Path, found: Iterator[Record], created: Created) -> Path:
    """Write a manifest of stems."""
    header = Manifest(created=created, labels=list(LABELS))
    lines = (json.dumps(stem, sort_keys=True).encode() + b"\n" for stem in found)
    return manifest.write_lines(header, lines, path)


class Material:
    """The manifests and files of one size, made when they are first asked for.

    Args:
        folder: where they are.
        number: number of stems.
    """

    def __init__(self, folder: Path, number: int) -> None:
        self.folder, self.number = folder, number
        folder.mkdir(parents=True, exist_ok=True)

    def refined(self) -> Path:
        """Return a refined manifest whose stems have checksums and no files."""
        path = self.folder / "refined.jsonl"
        created = Created(by="stemclean", command="refine")
        return path if path.exists() else write(path, stems(self.number, checksums=True, judged=True), created)

    def parts(self) -> list[Path]:
        """Return the refined manifest in parts."""
        paths = [self.folder / f"part_{number}.jsonl" for number in range(PARTS)]
        found = stems(self.number, checksums=True, judged=True)
        for path in paths:
            if not path.exists():
                write(path, islice(found, self.number // PARTS), Created(by="stemclean", command="refine"))
        return paths

    def with_files(self) -> Path:
        """Return a refined manifest whose stems have files."""
        path = self.folder / "with_files.jsonl"
        if not path.exists():
            self._link()
            write(path, stems(self.number, checksums=False, judged=True), Created(by="stemclean", command="refine"))
        return path

    def interrupted(self) -> tuple[Path, Path, str]:
        """Return a manifest without judgements, the output of its interrupted run, and the first stem not judged."""
        scanned, output, left = self.folder / "scanned.jsonl", self.folder / "resumed.jsonl", self.number - 4
        plain = [*islice(stems(self.number, checksums=False, judged=False), left, None)]
        partial = self.folder / f"{output.name}.partial.jsonl"
        if not scanned.exists():
            self.with_files()
            write(scanned, stems(self.number, checksums=False, judged=False), Created(by="stemclean", command="scan"))
            self._journal(scanned, output, left)
            shutil.copy(partial, self.folder / "journal")
        shutil.copy(self.folder / "journal", partial)
        return scanned, output, plain[0]["id"]

    def _journal(self, scanned: Path, output: Path, left: int) -> None:
        """Write the journal as ``refine`` would, with the settings that it has."""
        one = self.folder / "one song.jsonl"
        write(one, islice(stems(self.number, checksums=False, judged=False), 4), Created(by="x", command="scan"))
        watching.run(["refine", one.name, "-o", "one.jsonl", "--quiet"], self.folder, {}, LIMIT_SECONDS)
        created = manifest.read_header(self.folder / "one.jsonl").created
        assert created.model is not None
        pairs = zip(
            manifest.iter_stems(scanned), stems(self.number, checksums=False, judged=True), range(left), strict=False
        )
        journal = Journal(output, [created.by, created.config, [created.model.sha256]], resume=False)
        for stem, judged, _ in pairs:
            # crosstalk is measured after judging
            journal.put(stem, manifest.Stem.model_validate({**judged, "crosstalk": None}))

    def _link(self) -> None:
        rng = np.random.default_rng(0)
        for number in range(FILES):
            sound = rng.normal(0, 0.1, (NUM_SAMPLES, 2)).clip(-0.5, 0.5)
            soundfile.write(self.folder / f"{number}.wav", sound, RATE, subtype="PCM_16")
        for index, stem in enumerate(stems(self.number, checksums=False, judged=False)):
            path = self.folder / stem["path"]
            if index % 4 == 0:
                path.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):
                path.hardlink_to(self.folder / f"{index % FILES}.wav")


def memory_mb(session: int) -> float:
    """Return the memory of all processes of a session, in MB (10^6 bytes)."""
    total = 0
    for pid in watching.alive(session):
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total * 1024 / 1e6


def measured(words: Sequence[str], folder: Path, until: Callable[[], bool] | None = None) -> Record:
    """Run a command; return its seconds, seconds of processor time and peak memory.

    Args:
        words: the arguments of ``stemclean``.
        folder: where it runs.
        until: ends it as soon as this is true; None: it ends by itself.

    Raises:
        RuntimeError: it fails.
    """
    started, peak = watching.start(words, folder, {"OMP_NUM_THREADS": "1"}), 0.0
    pid, stopped, cpu = started.process.pid, 0.0, 0.0
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        peak = max(peak, memory_mb(pid))
        if until is not None and until() and not stopped:
            stopped, cpu = time.monotonic() - started.began, watching.cpu_seconds(pid)
            os.kill(pid, signal.SIGTERM)
        time.sleep(POLL_SECONDS)
    end = watching.ended(started, LIMIT_SECONDS)
    if end.exit_code != 0 and not stopped:
        raise RuntimeError(f"stemclean {' '.join(words)} ended with {end.exit_code}: {end.stderr[-2000:]}")
    if until is not None and not stopped:
        raise RuntimeError(f"stemclean {' '.join(words)} ended before it could be stopped")
    return {
        "seconds": round(stopped or end.seconds, 1),
        "cpu_seconds": round(cpu or end.cpu_seconds, 1),
        "peak_mb": round(peak),
        "load_before": [round(value, 1) for value in os.getloadavg()][:1],
    }


def validate(material: Material) -> Record:
    """Measure ``validate --no-audio``."""
    return measured(["validate", material.refined().name, "--no-audio", "--quiet"], material.folder)


def headers(material: Material) -> Record:
    """Measure ``validate``."""
    return measured(["validate", material.with_files().name, "--quiet"], material.folder)


def merge(material: Material) -> Record:
    """Measure ``merge``."""
    names = [path.name for path in material.parts()]
    result = measured(["merge", *names, "-o", "merged.jsonl", "--quiet"], material.folder)
    merged = hashlib.sha256((material.folder / "merged.jsonl").read_bytes()).hexdigest()
    (material.folder / "merged.jsonl").unlink()
    return result | {"sha256": merged}


def report(material: Material) -> Record:
    """Measure ``report``."""
    return measured(["report", material.with_files().name, "-o", "page.html", "--quiet"], material.folder)


def resume(material: Material) -> Record:
    """Measure ``refine`` until it judges a stem that is not in its journal."""
    scanned, output, first = material.interrupted()
    journal = output.with_name(output.name + ".partial.jsonl")

    def judges() -> bool:
        with suppress(OSError), journal.open("rb") as file:
            file.seek(max(0, journal.stat().st_size - 20_000))
            return f'"{first}"'.encode() in file.read()
        return False

    return measured(["refine", scanned.name, "-o", output.name, "--quiet"], material.folder, judges)


def export(material: Material) -> Record:
    """Measure ``export --to zfturbo``."""
    destination = material.folder.with_name(f"{material.number} exported")
    shutil.rmtree(destination, ignore_errors=True)
    words = ["export", material.with_files().name, str(destination), "--to", "zfturbo", "--quiet"]
    return measured(words, material.folder)


STAGES = {
    "validate": validate,
    "headers": headers,
    "merge": merge,
    "report": report,
    "resume": resume,
    "export": export,
}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("output", type=Path, metavar="OUT.json")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="numbers of stems, with commas between")
    parser.add_argument("--only", default=",".join(STAGES), help="stages, with commas between; all")
    parser.add_argument("--work", type=Path, metavar="DIR", help="keep manifests and files here, and use those there")
    arguments = parser.parse_args()
    chosen = resumable.chosen(parser, arguments.only, STAGES)
    with tempfile.TemporaryDirectory() as temporary:
        for size in map(int, arguments.sizes.split(",")):
            material = Material((arguments.work or Path(temporary)).absolute() / str(size), size)
            for name in chosen:
                found = STAGES[name](material)
                result = resumable.read(arguments.output)
                result.setdefault("stages", {}).setdefault(name, {})[str(size)] = found
                result |= {"cores": os.cpu_count()}
                resumable.write_json(arguments.output, result)
                print(f"{name}, {size} stems: {found}", file=sys.stderr)


if __name__ == "__main__":
    main()
