"""Does a separator of another codebase profit from a refined export?"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.pages.tables import Read, Record, number, table, unmeasured

PATH = "docs/benchmarks/other-codebases.md"
QUESTION = "Does a separator of another codebase profit from a refined export?"
RESULT = "other_codebase"
LABELS = {"claims": "as claimed", "refined": "refined", "clean": "before the faults"}

ABOUT = """
A small Open-Unmix (128 units, one layer) with its own dataset class was trained for {steps} steps of eight 3-second
excerpts to separate the drums, on `export --to openunmix --set dataset=sourcefolder`. Of the six real songs that the
bundled classifier was not trained on, two are tested in each seed, and faults were planted in the other four: 30 % of
their stems have the label of another one, and another stem bleeds into 30 % of them at -12 to 0 dB. SDR over the middle
30 seconds of each song. So few songs and steps make no good separator; the rows differ only in the labels.
"""


def parts(read: Read) -> list[str]:
    """Return the page."""
    title, result = f"# {QUESTION}", read(RESULT)
    if not result:
        return [title, unmeasured(RESULT)]
    rows = [_row(seed, song, result["runs"]) for seed, song in _songs(result["runs"])]
    return [
        title,
        *summary(read),
        ABOUT.format(steps=result["steps"]),
        table(["seed", "song", "mixture, dB", *(f"{name}, dB" for name in LABELS.values())], rows),
        "`python -m benchmarks.other_codebase SONGS benchmarks/results/other_codebase.json --python PYTHON`",
    ]


def summary(read: Read) -> list[str]:
    """Return the result in one paragraph."""
    result = read(RESULT)
    if not result:
        return [unmeasured(RESULT)]
    songs = _songs(result["runs"])
    means = {labels: float(np.mean([_sdr(*song, labels, result["runs"]) for song in songs])) for labels in LABELS}
    gains = [_sdr(*song, "refined", result["runs"]) - _sdr(*song, "claims", result["runs"]) for song in songs]
    text = (
        f"SDR of the drums by a small Open-Unmix, mean of {len(songs)} songs: {number(means['claims'])} dB trained on "
        f"the claims, {number(means['refined'])} dB on the refined export, {number(means['clean'])} dB on the dataset "
        f"before the faults. The refined export is better in {sum(gain > 0 for gain in gains)} of {len(songs)} songs, "
        f"by {number(min(gains), sign=True)} to {number(max(gains), sign=True)} dB."
    )
    return [text]


def _songs(runs: list[Record]) -> list[tuple[int, str]]:
    """Return the seeds that have all rows, and their songs."""
    done = {(run["seed"], run["labels"]) for run in runs}
    whole = sorted({run["seed"] for run in runs if all((run["seed"], labels) in done for labels in LABELS)})
    return [(seed, song) for seed in whole for song in sorted(_run(seed, "claims", runs)["sdr_db"])]


def _run(seed: int, labels: str, runs: list[Record]) -> Record:
    return next(run for run in runs if (run["seed"], run["labels"]) == (seed, labels))


def _sdr(seed: int, song: str, labels: str, runs: list[Record]) -> float:
    return float(_run(seed, labels, runs)["sdr_db"][song]["estimate"])


def _row(seed: int, song: str, runs: list[Record]) -> list[Any]:
    mixture = _run(seed, "claims", runs)["sdr_db"][song]["mixture"]
    return [seed, song.replace("__", " "), number(mixture), *(number(_sdr(seed, song, key, runs)) for key in LABELS)]
