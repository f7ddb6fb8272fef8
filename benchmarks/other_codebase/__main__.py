"""Does a separator of another codebase profit from a refined export?

    python -m benchmarks.other_codebase SONGS OUT.json --python PYTHON [--seeds 3] [--steps 300]

Of the real songs that the bundled weights were not trained on, two are set aside for each seed, and faults are planted
in the others. A small Open-Unmix, in the environment of PYTHON (``openunmix==1.3.0``, ``torchaudio<2.9``), is trained
to separate one class: on the dataset as it claims to be, as ``refine`` and ``export`` leave it, and as it was before
the faults. A stopped benchmark resumes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from benchmarks.resumable import read, write_json
from stemclean import __version__
from stemclean.audio import files
from stemclean.models import addresses, weights

Record = dict[str, Any]
CLASSES = ("bass", "drums", "other")
TARGETS = ("drums",)
FAULTS = ("--mislabel", "0.3", "--bleed", "0.3", "--bleed-db", "-12:0")
RATE = 44_100
SCRIPT = Path(__file__).with_name("train_openunmix.py")


def stemclean(*words: str | Path) -> None:
    """Run a command; some inputs may fail."""
    command = [sys.executable, "-m", "stemclean", *map(str, words), "--quiet"]
    done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
    if done.returncode not in {0, 3}:
        sys.exit(f"stemclean {' '.join(map(str, words))} ended with {done.returncode}")


def held_out(songs: Path) -> list[Path]:
    """Return the songs that the bundled weights were not trained on."""
    path, _ = addresses.resolve(addresses.DEFAULT_CLASSIFIER)
    names = weights.read_card(path)["training_material"]["held_out_songs"]
    return [songs / name.removeprefix("song_") for name in names]


def prepare(songs: list[Path], seed: int, work: Path) -> dict[str, Path]:
    """Write the three datasets and the test songs of a seed; return them by name."""
    order = np.random.default_rng(0).permutation(len(songs))
    tested = {songs[index].name for index in order[2 * seed : 2 * seed + 2]}
    for song in songs:
        folder = work / ("test" if song.name in tested else "clean") / song.name
        folder.mkdir(parents=True)
        for name in CLASSES:
            sound = files.read(song / f"{name}.ogg", sample_rate=RATE, channels=2)
            soundfile.write(folder / f"{name}.wav", sound.T, RATE, "PCM_24")
    stemclean("corrupt", work / "clean", work / "planted", *FAULTS, "--seed", str(seed))
    stemclean("refine", work / "planted", "-o", work / "refined.json")
    sources = {"clean": work / "clean", "claims": work / "planted", "refined": work / "refined.json"}
    sets = {name: work / "sets" / name for name in sources}
    for name, source in sources.items():
        options = ("--set", "dataset=sourcefolder", "--classes", ",".join(CLASSES), "--format", "wav")
        stemclean("export", source, sets[name], "--to", "openunmix", *options)
    return {**sets, "test": work / "test"}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=str(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter, prog="other_codebase"
    )
    parser.add_argument("songs", type=Path, metavar="SONGS")
    parser.add_argument("output", type=Path, metavar="OUT.json")
    parser.add_argument("--python", required=True, metavar="PYTHON", help="interpreter that has Open-Unmix")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="at most 3")
    parser.add_argument("--steps", type=int, default=300, metavar="N")
    given = parser.parse_args()
    result: Record = {"by": f"stemclean {__version__}", "steps": given.steps, "runs": [], **read(given.output)}
    done = {(run["seed"], run["labels"], run["target"]) for run in result["runs"]}
    songs = held_out(given.songs)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    for seed in range(given.seeds):
        with tempfile.TemporaryDirectory() as folder:
            sets = prepare(songs, seed, Path(folder))
            for labels in ("claims", "refined", "clean"):
                for target in TARGETS:
                    if (seed, labels, target) in done:
                        continue
                    out = Path(folder) / "run.json"
                    others = [name for name in CLASSES if name != target]
                    interferers = [name for name in others if any((sets[labels] / "train").glob(f"{name}/*"))]
                    words = [given.python, SCRIPT, sets[labels], sets["test"], out, "--target", target]
                    words += ["--interferers", *interferers, "--steps", given.steps, "--seed", seed]
                    subprocess.run([*map(str, words)], check=True, env=environment, stdout=subprocess.DEVNULL)
                    run = json.loads(out.read_text(encoding="utf-8"))
                    result["runs"].append({"seed": seed, "labels": labels, "target": target, **run})
                    write_json(given.output, result)
                    print(seed, labels, target, run["sdr_db"], run["files"], run["seconds"], flush=True)


if __name__ == "__main__":
    main()
