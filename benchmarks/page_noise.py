"""Sections of ``docs/benchmarks.md`` on estimated noise and on ranking; see :mod:`benchmarks.page`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.page import dash, name_of, table, verdict

REFINE = "refine"
NAMES = {
    REFINE: "`refine`",
    "without_reference": "`refine`, weights without a reference",
    "mean_score": "mean of one minus the score",
    "em_by_class": "EM, each class by itself",
    "confident_learning": "confident learning (cleanlab)",
}
KINDS = {"swapped": "wrong", "bleed": "bleed"}
"""Planted fault -> the rate that it should show in."""
RANKERS = {
    "label_quality": "**label quality**: chance that the stem holds just what it claims",
    "minimum": "worst class (self-confidence, minimum)",
    "cleanlab_self_confidence": "cleanlab, self-confidence",
    "cleanlab_normalized_margin": "cleanlab, normalized margin",
    "cleanlab_weighted_entropy": "cleanlab, confidence-weighted entropy",
    "cleanlab_softmin": "cleanlab, self-confidence, softmin",
    "claimed_score": "score of the claimed class",
    "acmid_0.995": "ACMID: score of the claimed class above 0.995",
    "sum_of_both": "score of the claimed class less the highest other",
    "separator_energy": "share of a separator's energy",
}

Record = dict[str, Any]


def parts(read: Callable[[str], Record]) -> list[str]:
    """Both sections.

    Args:
        read: name of a result -> what it holds, empty where there is none.
    """
    estimate, chosen = read("noise_estimate"), read("noise_estimate_validation")
    ranked, before = read("ranking"), read("ranking_validation")
    other = read("noise_estimate_v4")
    return [
        "## How noisy is a dataset said to be?",
        *(estimate_parts(estimate) if estimate else ["Not measured yet: `python -m benchmarks.noise_estimate`."]),
        *(other_parts(other) if other else []),
        *(chosen_parts(chosen) if chosen else []),
        "## Which score finds faults first?",
        *(ranking_parts(ranked, before) if ranked else ["Not measured yet: `python -m benchmarks.ranking`."]),
    ]


def other_parts(result: Record) -> list[str]:
    """The same datasets by other weights, in a line."""
    told = []
    for case, rates in result["cases"].items():
        kind, share = case.split("/")
        told.append(f"{100 * float(share):g} % {kind} {100 * _main(case, rates[REFINE])['mean_error']:+.1f}")
    return [f"The same by {name_of(result['weights'])}; planted and error in points: {', '.join(told)}."]


def estimate_parts(result: Record) -> list[str]:
    """Errors and coverage of what refine writes, and errors of the others."""
    aim = result["config"]["aim"]
    rows = [row for case, told in result["cases"].items() if (row := _case_row(case, told[REFINE]))]
    worst = max(abs(_main(case, told[REFINE])["mean_error"]) for case, told in result["cases"].items())
    swaps = [
        abs(_main(case, told[REFINE])["mean_error"])
        for case, told in result["cases"].items()
        if case.startswith("swapped")
    ]
    reference = "" if result["reference"] else " The card of these weights has no reference, so that bleed is missed."
    return [
        f"Weights: {name_of(result['weights'])}.{reference}",
        """
Faults are planted at known rates in the held-out songs, and `refine` is asked how many there are: of the stems that
claim a class, how many are *wrong* (the class is absent), and how many hold *bleed* (it is there, and another one).
Errors are estimate less truth in points of a percent: the mean over the draws with their standard deviation, and the
mean absolute error of the single classes, of which each has about a quarter of the stems. *Inside* tells how often the
95 % interval held the truth, over all claims and class by class, and *width* how wide it was. The intervals are those
of the source that a dataset is a sample of, so that the share of faults in these very stems should nearly always lie
inside.""",
        table(CASE_HEAD, rows),
        f"""
The aim is {100 * aim:g} points at every rate: {verdict(max(swaps) <= aim)} for wrong claims (at most
{100 * max(swaps):.1f}), {verdict(worst <= aim)} with bleed (at most {100 * worst:.1f}). At every rate, the other
fault, which was not planted, is estimated too:""",
        table(["planted", "wrong, error", "bleed, error"], [_both_row(*item) for item in result["cases"].items()]),
        "Mean errors of other estimators, of the rate that was planted:",
        _others(result),
    ]


def chosen_parts(result: Record) -> list[str]:
    """What was known when the method was chosen."""
    return [
        """
The method was chosen on the validation stems of the training set: of each draw one half of the tracks was the dataset
and the other half the reference, so that both are small. Mean errors there:""",
        _others(result),
    ]


CASE_HEAD = [
    "planted", "estimated", "error", "error of a class", "within aim", "inside", "width", "class inside", "class width",
]  # fmt: skip


def _main(case: str, told: Record) -> Record:
    found: Record = told[KINDS[case.partition("/")[0]]]
    return found


def _case_row(case: str, told: Record) -> list[str]:
    main = _main(case, told)
    return [
        _planted(case),
        _points(main["true"] + main["mean_error"], sign=False) + " %",
        _points(main["mean_error"]) + ("" if main["sd"] is None else f" ± {100 * main['sd']:.1f}"),
        _points(main["class_absolute_error"], sign=False),
        _share(main["within_aim"]),
        _share(main["coverage"]),
        _points(main["width"], sign=False),
        _share(main["class_coverage"]),
        _points(main["class_width"], sign=False),
    ]


def _both_row(case: str, told: Record) -> list[str]:
    return [_planted(case), *(_points(told[REFINE][what]["mean_error"]) for what in ("wrong", "bleed"))]


def _others(result: Record) -> str:
    names = [name for name in NAMES if name in next(iter(result["cases"].values()))]
    rows = []
    for case, told in result["cases"].items():
        what = KINDS[case.partition("/")[0]]
        errors = [told[name].get(what, {}).get("mean_error") for name in names]
        rows.append([_planted(case), *(dash(None if error is None else _points(error)) for error in errors)])
    return table(["planted", *(NAMES[name] for name in names)], rows)


def ranking_parts(result: Record, validation: Record) -> list[str]:
    """Average precision of every score."""
    config, ranked = result["config"], result["ranked"]
    order = sorted(ranked, key=lambda name: -float(ranked[name]["both"]["mean"]))
    rows = [[RANKERS[name], *(_precision(ranked[name].get(group)) for group in GROUPS)] for name in order]
    return [
        f"Weights: {name_of(result['weights'])}.",
        f"""
Whoever mends a dataset listens to the worst stems first. In each of {config["seeds"]} draws
{_share(config["mislabel"])} of the held-out stems are swapped and {_share(config["bleed"])} hold bleed at
{config["bleed_db"][0]:g} to {config["bleed_db"][1]:g} dB. All scores rank by the same probabilities. Told is the
average precision of finding swapped stems among the right ones, those with bleed among the right ones, and both: mean
and standard deviation over the draws.""",
        table(["ranked by", "swapped", "bleed", "both"], rows),
        *([_chosen(validation)] if validation else []),
        """
A filter by a separator's energy, as the winners of SDX'23 had it, needs a separator; `--energies` takes what one
says.""",
    ]


GROUPS = ("swapped", "bleed", "both")


def _chosen(validation: Record) -> str:
    ranked = validation["ranked"]
    ours, before = ranked["label_quality"], ranked["minimum"]
    told = ", ".join(f"{group} {before[group]['mean']:.2f} to {ours[group]['mean']:.2f}" for group in GROUPS)
    return f"Label quality was chosen on validation stems, where it brings the average precision from that of the \
worst class to: {told}."


def _precision(value: Record | None) -> str:
    if not value:
        return "–"
    return f"{value['mean']:.3f}" + ("" if value["sd"] is None else f" ± {value['sd']:.3f}")


def _planted(case: str) -> str:
    kind, rate = case.split("/")
    return "nothing" if float(rate) == 0 else f"{float(rate) * 100:g} % {kind}"


def _points(value: float, *, sign: bool = True) -> str:
    return f"{100 * value:+.1f}" if sign else f"{100 * value:.1f}"


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"
