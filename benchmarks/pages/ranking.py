"""Which score finds faults first? Label quality against other rankings."""

from __future__ import annotations

from benchmarks.pages.tables import Read, Record, deviation, name_of, percent, table, unmeasured

PATH = "docs/benchmarks/ranking.md"
QUESTION = "Which score finds faults first?"
RANKERS = {
    "label_quality": "**label quality**: probability that the stem holds exactly what it claims",
    "minimum": "worst class (self-confidence, minimum)",
    "cleanlab_self_confidence": "cleanlab, self-confidence",
    "cleanlab_normalized_margin": "cleanlab, normalized margin",
    "cleanlab_weighted_entropy": "cleanlab, confidence-weighted entropy",
    "cleanlab_softmin": "cleanlab, self-confidence, softmin",
    "claimed_score": "score of the claimed class",
    "acmid_0.995": "ACMID: score of the claimed class above 0.995",
    "sum_of_both": "score of the claimed class minus the highest other",
    "separator_energy": "share of a separator's energy",
}
GROUPS = ("swapped", "bleed", "both")


def parts(read: Read) -> list[str]:
    """Return the page."""
    ranked, before = read("ranking"), read("ranking_validation")
    return [f"# {QUESTION}", *(ranking_parts(ranked, before) if ranked else [unmeasured("ranking")])]


def ranking_parts(result: Record, validation: Record) -> list[str]:
    """Show the average precision of every score."""
    config, ranked = result["config"], result["ranked"]
    order = sorted(ranked, key=lambda name: -float(ranked[name]["both"]["mean"]))
    return [
        f"Weights: {name_of(result['weights'])}.",
        f"""
Reviewing starts with the stems that are most likely wrong. In each of {config["seeds"]} draws,
{percent(config["mislabel"])} of the held-out stems get another label, and {percent(config["bleed"])} get bleed at
{config["bleed_db"][0]:g} to {config["bleed_db"][1]:g} dB. All rankings use the same probabilities. The table shows the
average precision of finding stems with swapped labels among correct ones, stems with bleed among correct ones, and
both: mean ± standard deviation over the draws.""",
        table(["ranked by", *GROUPS], [[RANKERS[name], *_precisions(ranked[name])] for name in order]),
        *([_chosen(validation)] if validation else []),
        """
The filter of the SDX'23 winners ranks by a separator's energy. It needs a separator, and `--energies` takes its
output.""",
    ]


def _chosen(validation: Record) -> str:
    ranked = validation["ranked"]
    ours, before = ranked["label_quality"], ranked["minimum"]
    gains = ", ".join(f"{group} {before[group]['mean']:.2f} to {ours[group]['mean']:.2f}" for group in GROUPS)
    return (
        "Label quality was chosen on validation stems, where it raises the average precision over the worst class: "
        f"{gains}."
    )


def _precisions(groups: Record) -> list[str]:
    return [deviation(value["mean"], value["sd"], 3) if (value := groups.get(group)) else "–" for group in GROUPS]
