"""How well does ``refine`` find when a class sounds? With bleed that comes and goes, in held-out songs.

    python -m benchmarks.regions HELDOUT OUT.json [--weights URI] [--seeds 5] [--bleed-share 0.1:0.6]

``HELDOUT`` is a clean dataset (:mod:`benchmarks.heldout`). For each seed, bleed is planted that sounds for only a part
of the stem, in passages of a few seconds to half a minute. The result is refined, and its regions are compared with the
true ones in segments of one second (``eval labels``). The report also has the scores for every class found counted as
present wherever the stem sounds, which is all that a verdict says; the errors at the borders of the passages; and how
much of the time a class is found in stems that do not hold it.

:mod:`benchmarks.levels` describes which intermediate results are kept. The weights need no level head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.detection import levels, rounded
from benchmarks.levels import Draws, parser, run
from stemclean.corrupt import CorruptConfig
from stemclean.errors import StemcleanError
from stemclean.evaluate import evaluate_labels, spans_by_label
from stemclean.manifest import Manifest, Region, Stem
from stemclean.metrics import segments

GAP = 3.0
"""Seconds; shorter pauses in a bleed, within one window of the classifier, do not count as borders."""
BANDS_DB = {"-10..0": (-10.0, 0.0), "-20..-10": (-20.0, -10.0), "-25..-20": (-25.0, -20.0)}
"""Levels of the bleed within its spans."""
LENGTHS = {"under 5": (0.0, 5.0), "5 to 10": (5.0, 10.0), "10 to 20": (10.0, 20.0), "over 20": (20.0, 1e9)}
"""Lengths of the spans in seconds."""

Record = dict[str, Any]
Pair = tuple[Stem, Stem]


def measure(draws: Draws, configs: Sequence[CorruptConfig]) -> Record:
    """Return all results about regions."""
    drawn = [draws.draw(config)[:2] for config in configs]
    reports = [scores(refined, truth) for refined, truth in drawn]
    throughout = [scores(everywhere(refined), truth) for refined, truth in drawn]
    pairs = [pair for refined, truth in drawn for pair in matched(refined, truth)]
    bleeds = [pair for pair in pairs if pair[1].extra.get("bleed")]
    named = [pair for pair in bleeds if pair[1].extra["bleed"]["label"] in pair[0].labels]
    return {
        "mean": mean(reports),
        "sd": spread(reports),
        "throughout": mean(throughout),
        "bleeds": {
            "all": {"bleeds": len(bleeds), "named": len(named), **stretches(bleeds)},
            "named": stretches(named),
            "bands": {
                name: stretches([p for p in bleeds if low <= p[1].extra["bleed"]["level_db"] < high])
                for name, (low, high) in BANDS_DB.items()
            },
            "lengths": {name: stretches(bleeds, between) for name, between in LENGTHS.items()},
        },
        "absent": absent([pair for pair in pairs if not pair[1].extra.get("bleed")]),
    }


def scores(refined: Manifest, truth: Manifest) -> Record:
    """Segment-based metrics of one draw."""
    report = evaluate_labels(refined, truth)
    return {name.removeprefix("regions/"): value for name, value in report.items() if name.startswith("regions/")}


def matched(refined: Manifest, truth: Manifest) -> list[Pair]:
    """Refined and true stems."""
    by_id = {stem.id: stem for stem in refined.stems}
    return [(by_id[stem.id], stem) for stem in truth.stems]


def everywhere(refined: Manifest) -> Manifest:
    """Return regions with every found class wherever the stem is active."""
    stems = [
        stem.model_copy(update={"regions": [Region(start=a, end=b, labels=stem.labels) for a, b in stem.active or []]})
        for stem in refined.stems
    ]
    return refined.with_stems(stems)


def stretches(pairs: Sequence[Pair], between: tuple[float, float] = (0.0, 1e9)) -> Record:
    """Return how many spans of bleed were found, and the errors of their borders.

    Args:
        between: lengths of the stretches that count, in seconds.

    Returns:
        ``stretches``, ``found``; ``start`` and ``end``: median error in seconds, positive = too late; ``border``:
        median absolute error of both; ``within_1`` and ``within_2``: share of the borders so many seconds off at most.
    """
    errors: list[tuple[float, float] | None] = []
    for refined, truth in pairs:
        label = truth.extra["bleed"]["label"]
        true, refined_spans = (segments.bridged(spans_by_label(stem)[label], GAP) for stem in (truth, refined))
        kept = [span for span in true if between[0] <= span[1] - span[0] < between[1]]
        errors += segments.border_errors(kept, refined_spans)
    known = np.array([error for error in errors if error is not None]).reshape(-1, 2)
    off = np.abs(known)
    return {
        "stretches": len(errors),
        "found": len(known),
        "start": rounded(np.median(known[:, 0])) if len(known) else None,
        "end": rounded(np.median(known[:, 1])) if len(known) else None,
        "border": rounded(np.median(off)) if len(known) else None,
        "within_1": rounded((off <= 1.0).mean()) if len(known) else None,
        "within_2": rounded((off <= 2.0).mean()) if len(known) else None,
    }


def absent(pairs: Sequence[Pair]) -> Record:
    """Classes that are placed in stems which hold them nowhere.

    Returns:
        ``stems``; ``stems_with``: those in which such a class is placed; ``share``: of all seconds and such classes,
        those in which one is placed.
    """
    placed, possible, stems_with = 0.0, 0.0, 0
    for refined, truth in pairs:
        held = set(truth.labels)
        seconds = sum(b - a for label, spans in spans_by_label(refined).items() if label not in held for a, b in spans)
        placed += seconds
        possible += truth.duration * sum(label not in held for label in refined.scores)
        stems_with += seconds > 0
    return {"stems": len(pairs), "stems_with": stems_with, "share": rounded(placed / possible) if possible else None}


def mean(reports: Sequence[Record]) -> Record:
    """Over the draws."""
    values = {name: [r[name] for r in reports if r.get(name) is not None] for name in reports[0]}
    return {name: rounded(np.mean(known)) if known else None for name, known in values.items()}


def spread(reports: Sequence[Record]) -> Record:
    """Standard deviation over the draws."""
    values = {name: [r[name] for r in reports if r.get(name) is not None] for name in reports[0]}
    return {name: rounded(np.std(known, ddof=1)) if len(known) > 1 else None for name, known in values.items()}


def main() -> None:
    """Command line."""
    options = parser(__doc__)
    options.add_argument("--bleed-share", type=levels, default=(0.1, 0.6), metavar="LOW:HIGH", help="of the time")
    arguments = options.parse_args()
    try:
        report = run(arguments, "regions", measure, bleed_share=arguments.bleed_share)
    except StemcleanError as error:
        options.error(str(error))
    print({name: report["mean"][name] for name in ("f1/average", "f1/unclaimed")}, report["bleeds"]["all"])
    print(f"wrote {arguments.output}")


if __name__ == "__main__":
    main()
