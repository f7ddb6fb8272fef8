"""Are clean stems kept if they are on one channel only, or have one channel inverted?

    python -m benchmarks.one_sided SONGS benchmarks/results/one_sided.json [--seconds 8]

SONGS has folders of clean songs, ``SONG/{vocals,bass,drums,other}.ogg``. The middle of each stem is mixed down to mono
and written as one channel (``mono``), as one channel of two (``left``, ``right``), and with one channel inverted
(``inverted``). Each shape is refined without comparing stems with each other. The result has the number of stems that
are not kept, and of those whose verdict differs from that of the mono file.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile

from benchmarks.resumable import write_json
from benchmarks.speed import describe_machine
from stemclean.audio import files
from stemclean.refine import RefineConfig, refine
from stemclean.running import Running

SHAPES = {"mono": [1.0], "left": [1.0, 0.0], "right": [0.0, 1.0], "inverted": [1.0, -1.0]}
CODES = {"mono": None, "left": "one_sided", "right": "one_sided", "inverted": "polarity_inverted"}
RATE = 44100


def write_shapes(songs: Path, folder: Path, seconds: float) -> None:
    """``FOLDER/SHAPE/SONG/CLASS.wav`` of every stem."""
    for path in sorted(songs.glob("*/*.ogg")):
        middle = max(0.0, (files.probe(path).duration - seconds) / 2)
        sound = files.read(path, start=middle, duration=seconds, sample_rate=RATE, channels=1)[0]
        for shape, gains in SHAPES.items():
            target = folder / shape / path.parent.name / f"{path.stem}.wav"
            target.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(target, np.outer(sound, gains), RATE, subtype="PCM_24")


def measure(songs: Path, seconds: float) -> dict[str, dict[str, int]]:
    """Shape -> how many stems were judged, are not kept, were noticed, and have another verdict than their mono."""
    counts: dict[str, dict[str, int]] = {}
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_shapes(songs, folder, seconds)
        mono: dict[str, str] = {}
        for shape, code in CODES.items():
            refined = refine(
                folder / shape, folder / f"{shape}.json", RefineConfig(crosstalk=False), running=Running(quiet=True)
            )
            verdicts = {stem.id: stem.verdict.reason for stem in refined.stems if stem.verdict}
            mono = mono or verdicts
            counts[shape] = {
                "stems": sum(reason != "silent" for reason in verdicts.values()),
                "not_kept": sum(
                    stem.verdict is not None and stem.verdict.action != "keep" and stem.verdict.reason != "silent"
                    for stem in refined.stems
                ),
                "noticed": sum(code in {issue.code for issue in stem.issues} for stem in refined.stems),
                "unlike_mono": sum(verdicts[stem] != mono[stem] for stem in verdicts),
            }
    return counts


def main() -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("songs", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seconds", type=float, default=8.0, help="length of an excerpt (default: 8)")
    args = parser.parse_args()
    counts = measure(args.songs, args.seconds)
    command = f"python -m benchmarks.one_sided SONGS {args.output} --seconds {args.seconds:g}"
    write_json(args.output, {"command": command, "machine": describe_machine(), "shapes": counts})
    for shape, count in counts.items():
        print(shape, count)


if __name__ == "__main__":
    main()
