"""How to repeat the benchmarks, and what each claim rests on."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.pages.tables import Read, table

PATH = "docs/benchmarks/repeat.md"

TEXT = """
`MATERIAL` is the folder of public recordings that `benchmarks/training_set/README.md` describes; `MIR1K` holds the
clips of MIR-1K. Seeds are fixed, and scores can differ in the last digits between machines. `benchmarks/README.md`
lists all commands and how long they take; each has a `--help`.
"""

COMMANDS = """
```bash
python -m benchmarks.training_set MATERIAL SET
python -m benchmarks.heldout SET MATERIAL HELDOUT
python -m benchmarks.detection HELDOUT benchmarks/results/detection.json --seeds 5 --singers MATERIAL
python -m benchmarks.noise_estimate HELDOUT benchmarks/results/noise_estimate.json
python -m benchmarks.ranking HELDOUT benchmarks/results/ranking.json
python -m benchmarks.crosstalk HELDOUT benchmarks/results/crosstalk.json
python -m benchmarks.speed HELDOUT benchmarks/results/speed.json
python -m benchmarks.eval_speed HELDOUT benchmarks/results/eval_speed.json
python -m benchmarks.majl MIR1K benchmarks/results/majl.json --seeds 3
python -m benchmarks.page
```
"""

AFTER = """
Scripts that judge stems take `--weights URI`, and use the bundled weights without it. A result called
`detection_NAME.json` becomes a row in the comparison of weights. `python -m benchmarks.page` writes these pages, and
`--check` fails if they are stale.

Some results name `bundled:atto.v2` by the checksum `d13164838415…`, which the file had before the notes in its card
were corrected. Its tensors, calibration and reference are the same.
"""

CLAIMS: list[Sequence[str | None]] = [
    ["wrong stems are found, false alarms", "`benchmarks.detection`", "held-out songs; spread over draws of faults"],
    ["ranking (average precision, ROC AUC)", "the same, by `1 - label_quality`", "the same"],
    ["bleed between stems is measured", "`benchmarks.crosstalk`", "held-out songs, planted: the best case"],
    ["separators gain from refined labels", "`benchmarks.separation`", "held-out songs; spread over trainings"],
    ["unseen voices are recognised", "`benchmarks.detection --singers`", "MIR-1K, which is in no training set"],
    ["faster than real time", "`benchmarks.speed`, `refine`", "real held-out songs, from scan to manifest"],
    ["time by stage, gain of the shortcut", "`stages`: one thread, interleaved runs", "the same"],
    ["the shortcut does not change decisions", "`agreement`", "all held-out stems"],
    ["memory on long files", "`memory`: peak resident memory of a process of its own", "one long FLAC file"],
    ["the command starts at once", "`start`: interleaved with an empty Python", None],
]

LIMITS = """
These numbers say little about genres, languages and recording styles that are not among the few test songs. To find
out, [plant faults in your own dataset](../index.md#does-it-work-on-my-music).
"""


def parts(_read: Read) -> list[str]:
    """Return the page."""
    claims = table(["claim", "measured by", "on"], CLAIMS)
    return ["# How to repeat the benchmarks", TEXT, COMMANDS, AFTER, "## Which claim rests on what?", claims, LIMITS]
