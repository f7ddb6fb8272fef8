"""How noisy is a dataset? The estimated shares of wrong claims and bleed, against planted ones."""

from __future__ import annotations

from benchmarks.pages.tables import (
    Read,
    Record,
    deviation,
    name_of,
    number,
    percent,
    table,
    unmeasured,
    verdict,
)

PATH = "docs/benchmarks/noise.md"
QUESTION = "How noisy is a dataset?"
OTHER = "noise_estimate_v4"
"""The result of other weights."""
REFINE = "refine"
NAMES = {
    REFINE: "`refine`",
    "without_reference": "`refine`, weights without a reference",
    "mean_score": "mean of one minus the score",
    "em_by_class": "EM, each class by itself",
    "confident_learning": "confident learning (cleanlab)",
}
KINDS = {"swapped": "wrong", "bleed": "bleed"}
"""Planted fault -> the rate in which it should show."""
CASE_HEAD = [
    "planted", "estimated", "error", "error of a class", "within goal", "inside", "width", "class: inside", "width",
]  # fmt: skip

INTRO = """
Faults are planted at known rates in the held-out songs. `refine` then estimates, for the stems that claim a class, how
many are *wrong* (the class is absent) and how many have *bleed* (the class is present, and so is another one). Bleed is
estimated from scores here (`--no-crosstalk`); another page has the estimate
[with measured bleed](crosstalk.md#how-much-of-the-dataset-has-bleed).
"""
COLUMNS = """
Errors are estimate minus truth in percentage points: mean ± standard deviation over the draws, and the mean absolute
error of single classes, each of which has about a quarter of the stems. *Inside* is how often the 95 % interval
contained the truth, over all claims and for single classes, and *width* is the width of the interval. The intervals are
for the source that a dataset was sampled from, so they should nearly always contain the rate among these very stems.
"""


def answer(read: Read) -> list[str]:
    """Errors of the planted rates."""
    result = read("noise_estimate")
    if not result:
        return [unmeasured("noise_estimate")]
    goal = result["config"]["aim"]
    worst = {kind: _worst(result, kind) for kind in KINDS}
    heads, errors = [], []
    for case, rates in result["cases"].items():
        if not case.endswith("/0"):
            heads.append(_planted(case))
            errors.append(_points(_main(case, rates[REFINE])["mean_error"]))
    return [
        table(["planted", *heads], [["error of the estimate, points", *errors]]),
        f"""
Goal: an error of at most {100 * goal:g} points: {verdict(worst["swapped"] <= goal)} for wrong claims (at most
{_points(worst["swapped"], sign=False)}), {verdict(worst["bleed"] <= goal)} for bleed (at most
{_points(worst["bleed"], sign=False)}). Errors are positive where the estimate is too high. Here the classifier's scores
are all there is; if the other stems of the songs are in the dataset,
[measured bleed](benchmarks/crosstalk.md#how-much-of-the-dataset-has-bleed) is counted instead.""",
    ]


def parts(read: Read) -> list[str]:
    """Return the page."""
    estimate, chosen, other = read("noise_estimate"), read("noise_estimate_validation"), read(OTHER)
    return [
        f"# {QUESTION}",
        INTRO,
        *(estimate_parts(estimate) if estimate else [unmeasured("noise_estimate")]),
        *(other_parts(other) if other else []),
        *(chosen_parts(chosen) if chosen else []),
    ]


def other_parts(result: Record) -> list[str]:
    """Show the same datasets with other weights."""
    rows = [
        [_planted(case), _points(_main(case, rates[REFINE])["mean_error"])] for case, rates in result["cases"].items()
    ]
    return [f"The same by {name_of(result['weights'])}:", table(["planted", "error"], rows)]


def estimate_parts(result: Record) -> list[str]:
    """Errors and coverage of what refine writes, and errors of the others."""
    goal = result["config"]["aim"]
    rows = [_case_row(case, rates[REFINE]) for case, rates in result["cases"].items()]
    worst, swapped = max(_worst(result, kind) for kind in KINDS), _worst(result, "swapped")
    missing = "" if result["reference"] else " Their card has no reference, so that bleed is not estimated."
    return [
        f"Weights: {name_of(result['weights'])}.{missing}",
        COLUMNS,
        table(CASE_HEAD, rows),
        f"""
Goal: {100 * goal:g} points at every rate: {verdict(swapped <= goal)} for wrong claims (at most
{_points(swapped, sign=False)}), {verdict(worst <= goal)} with bleed (at most {_points(worst, sign=False)}). The other
fault, which was not planted, is estimated as well:""",
        table(
            ["planted", "wrong, error", "bleed, error"],
            [
                [_planted(case), *(_points(rates[REFINE][rate]["mean_error"]) for rate in ("wrong", "bleed"))]
                for case, rates in result["cases"].items()
            ],
        ),
        "Mean errors of other estimators for the planted rate:",
        _others(result),
    ]


def chosen_parts(result: Record) -> list[str]:
    """Errors on the stems on which the method was chosen."""
    return [
        """
The method was chosen on the validation stems of the training set. In each draw, half of the tracks were the dataset and
the other half were the reference, so that both are small. Mean errors there:""",
        _others(result),
    ]


def _main(case: str, rates: Record) -> Record:
    estimate: Record = rates[KINDS[case.partition("/")[0]]]
    return estimate


def _worst(result: Record, kind: str) -> float:
    """Largest mean error of the cases of a fault."""
    return max(
        (
            abs(_main(case, rates[REFINE])["mean_error"])
            for case, rates in result["cases"].items()
            if case.startswith(kind)
        ),
        default=0.0,
    )


def _case_row(case: str, rates: Record) -> list[str]:
    main = _main(case, rates)
    deviating = deviation(100 * main["mean_error"], None if main["sd"] is None else 100 * main["sd"], 1, sign=True)
    return [
        _planted(case),
        percent(main["true"] + main["mean_error"], 1),
        deviating,
        _points(main["class_absolute_error"], sign=False),
        percent(main["within_aim"]),
        percent(main["coverage"]),
        _points(main["width"], sign=False),
        percent(main["class_coverage"]),
        _points(main["class_width"], sign=False),
    ]


def _others(result: Record) -> str:
    names = [name for name in NAMES if name in next(iter(result["cases"].values()))]
    rows = []
    for case, rates in result["cases"].items():
        rate = KINDS[case.partition("/")[0]]
        rows.append([_planted(case), *(_points(rates[name].get(rate, {}).get("mean_error")) for name in names)])
    return table(["planted", *(NAMES[name] for name in names)], rows)


def _planted(case: str) -> str:
    kind, rate = case.split("/")
    return "nothing" if float(rate) == 0 else f"{float(rate) * 100:g} % {kind}"


def _points(value: float | None, *, sign: bool = True) -> str:
    return number(None if value is None else 100 * value, sign=sign)
