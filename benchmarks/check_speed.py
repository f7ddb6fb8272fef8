"""How fast is ``stemclean check``?

    python -m benchmarks.check_speed DATA OUT.json [--workers 2]

``DATA`` is checked as it is and as 16-bit WAV. What counts is the processor time of the command and of the process
that decodes, which other jobs on the machine prolong less than the time on the clock. Sound per second of processor
time, times the number of processors, is the speed on a machine that does nothing else.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.arguments import parser_of
from benchmarks.resumable import write_json
from stemclean import __version__, layouts
from stemclean.audio import files

PROCESSORS = 2


def as_wav(data: Path, folder: Path) -> Path:
    """Write the stems of a dataset as WAV, and return their folder."""
    source, root = layouts.load(data, quiet=True)
    for stem in source.stems:
        path = (folder / stem.path).with_suffix(".wav")
        with files.create(path, stem.sample_rate, stem.channels, subtype="PCM_16") as file:
            for block in files.blocks(root / stem.path):
                file.write(block)
    return folder


def measured(data: Path, folder: Path, workers: int) -> dict[str, Any]:
    """Check a dataset and return the speed."""
    source, _ = layouts.load(data, quiet=True)
    command = [sys.executable, "-m", "stemclean", "check", str(data), "-o", str(folder / "checked.json")]
    started = time.perf_counter()
    process = subprocess.Popen([*command, "--quiet", "--workers", str(workers)])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - started
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: exit {process.returncode}")
    duration, used = sum(stem.duration for stem in source.stems), usage.ru_utime + usage.ru_stime
    row = {
        "hours": round(duration / 3600, 3),
        "processor_seconds_per_hour": round(3600 * used / duration, 1),
        "times_real_time": round(PROCESSORS * duration / used),
        "wall_seconds": round(wall, 1),
    }
    print(row, flush=True)
    return row


def main() -> None:
    """Command line."""
    parser = parser_of("check_speed", __doc__, "DATA", "folder of stems")
    parser.add_argument("--workers", type=int, default=PROCESSORS, metavar="N", help="of `check`; default: 2")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        own = sorted({Path(stem.path).suffix[1:] for stem in layouts.load(given.data, quiet=True)[0].stems})
        runs = {"/".join(own): measured(given.data, Path(name), given.workers)}
        wav = as_wav(given.data, Path(name) / "wav")
        runs["wav"] = measured(wav, Path(name), given.workers)
    record = {"by": f"stemclean {__version__}", "processors": PROCESSORS, "workers": given.workers}
    write_json(given.output, {**record, "runs": runs})


if __name__ == "__main__":
    main()
