"""How much does it cost ``refine`` to run decoders in separate processes?

    python -m benchmarks.isolation SONGS OUT.json [--stems 24] [--seconds 10] [--pairs 10]

Real stems, cut (or repeated) to ``--seconds`` each and written as WAV, FLAC and MP3 in turn, are refined by the command
line with isolation and without, in pairs whose order alternates. The processor time of the whole run, workers included,
is compared within each pair, as it depends little on other load on the machine; wall-clock time is reported as well.
Both ways must write the same manifest. OUT.json has a row for each number and length of stems that was measured, and is
written after every pair.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from benchmarks.resumable import write_json
from stemclean import __version__

__all__ = ["paired"]

Record = dict[str, Any]
FORMATS = ("wav", "flac", "mp3")
WITHOUT = "from stemclean.audio import isolation; isolation.MAX_WORKERS = 0; "
RUN = "from stemclean.cli import main; main()"


def prepare(songs: Path, output: Path, number: int, seconds: float) -> int:
    """Write the first so many stems; how many there are."""
    stems = sorted(path for path in songs.rglob("*.ogg") if path.is_file())[:number]
    for index, path in enumerate(stems):
        sound, rate = soundfile.read(path, always_2d=True, dtype="float32")
        sound = np.resize(sound, (int(seconds * rate), sound.shape[1]))  # cut, or repeated
        ending = FORMATS[index % len(FORMATS)]
        target = output / path.parent.name / f"{path.stem}.{ending}"
        target.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(target, sound, rate, "MPEG_LAYER_III" if ending == "mp3" else "PCM_16")
    return len(stems)


def timed(stems: Path, output: Path, *, isolated: bool) -> tuple[float, float]:
    """Processor time and wall-clock time of one run, in seconds."""
    program = RUN if isolated else WITHOUT + RUN
    words = ["refine", stems, "-o", output, "--no-resume", "--quiet"]
    began = time.monotonic()
    process = subprocess.Popen([sys.executable, "-c", program, *map(str, words)], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in {0, 3}:
        sys.exit(f"stemclean {' '.join(map(str, words))} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime, time.monotonic() - began


def paired(isolated: Sequence[float], plain: Sequence[float]) -> Record:
    """Return the relative cost of isolation over pairs of runs: median and quartiles."""
    added = np.array(isolated) / np.array(plain) - 1
    low, median, high = np.quantile(added, [0.25, 0.5, 0.75])
    return {
        "isolated_s": round(float(np.median(isolated)), 2),
        "plain_s": round(float(np.median(plain)), 2),
        "added": round(float(median), 4),
        "quartiles": [round(float(low), 4), round(float(high), 4)],
        "each": [round(float(share), 4) for share in added],
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=str(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter, prog="isolation"
    )
    parser.add_argument("songs", type=Path, metavar="SONGS", help="folders of stems, as .ogg")
    parser.add_argument("output", type=Path, metavar="OUT.json")
    parser.add_argument("--pairs", type=int, default=10, metavar="N")
    parser.add_argument("--stems", type=int, default=24, metavar="N")
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="of each stem; default: 10")
    arguments = parser.parse_args()
    cpu: dict[bool, list[float]] = {True: [], False: []}
    wall: dict[bool, list[float]] = {True: [], False: []}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        stems = prepare(arguments.songs, work / "stems", arguments.stems, arguments.seconds)
        for pair in range(arguments.pairs + 1):  # the first one warms up
            for isolated in (True, False) if pair % 2 else (False, True):
                processor, clock = timed(work / "stems", work / f"{isolated}.json", isolated=isolated)
                if pair:
                    cpu[isolated].append(processor)
                    wall[isolated].append(clock)
            if (work / "True.json").read_bytes() != (work / "False.json").read_bytes():
                sys.exit("the two ways wrote different manifests")
            if pair:
                print(f"{pair}: {cpu[True][-1] / cpu[False][-1] - 1:+.2%} of processor time", file=sys.stderr)
                _add(arguments.output, _result(stems, arguments.seconds, cpu, wall))


def _add(output: Path, row: Record) -> None:
    """Put a row in the place of the one of as many stems of that length."""
    rows = json.loads(output.read_text(encoding="utf-8"))["rows"] if output.exists() else []
    alike = ("stems", "seconds_each")
    rows = [kept for kept in rows if any(kept[key] != row[key] for key in alike)] + [row]
    write_json(output, {"rows": sorted(rows, key=lambda kept: [kept[key] for key in reversed(alike)])})


def _result(stems: int, seconds: float, cpu: dict[bool, list[float]], wall: dict[bool, list[float]]) -> Record:
    return {
        "by": f"stemclean {__version__}",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "stems": stems,
        "seconds_each": seconds,
        "formats": list(FORMATS),
        "pairs": len(cpu[True]),
        "cpu": paired(cpu[True], cpu[False]),
        "wall": paired(wall[True], wall[False]),
    }


if __name__ == "__main__":
    main()
