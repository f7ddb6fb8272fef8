"""Which score finds planted faults first?

    python -m benchmarks.ranking HELDOUT OUT.json [--weights URI] [--seeds 5] [--energies FILE.json]

Reviewing a dataset starts with the stems that are most likely wrong. ``HELDOUT`` is a clean dataset
(:mod:`benchmarks.heldout`). For each seed, claims are swapped and bleed is planted in it (``corrupt``, with the same
draws as :mod:`benchmarks.detection`), and the stems are ranked by several scores computed from the same probabilities.
The result is the average precision of finding swapped stems among correct ones, stems with bleed among correct ones,
and both.

The winners of the label noise track of SDX'23 (Fabbro et al. 2024, arXiv 2308.06979) filter stems by the share of their
energy that a separator assigns to the claimed class. ``--energies`` takes that share by the SHA-256 of a file, as
``{"…": 0.93}``. Without it, the row is missing.

``--validation`` takes the validation stems of the training set ``HELDOUT``, on which the score was chosen.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import noise_reference
from benchmarks.detection import Scores, _digest, describe_weights, rounded
from benchmarks.resumable import write_json
from stemclean import layouts, manifest, verdicts
from stemclean.corrupt import TRUTH, CorruptConfig, corrupt
from stemclean.errors import StemcleanError
from stemclean.manifest import Manifest, Stem
from stemclean.metrics import tagging
from stemclean.models import weights
from stemclean.models.calibration import chance_of_card

ACMID = 0.995
"""Score above which ACMID (2025) keeps a chunk of its class."""
OURS = "label_quality"

Record = dict[str, Any]
Ranker = Callable[[np.ndarray, np.ndarray, float], np.ndarray]
"""Scores and claims ``(stem, label)``, chance of a class -> how good each stem's claim is, high = good."""


def label_quality(scores: np.ndarray, claimed: np.ndarray, chance: float) -> np.ndarray:
    """Return the label quality of the verdict."""
    names = [str(number) for number in range(scores.shape[1])]
    return np.array(
        [
            verdicts.label_quality(dict(zip(names, row, strict=True)), [names[k] for k in np.flatnonzero(held)], chance)
            for row, held in zip(scores.tolist(), claimed, strict=True)
        ]
    )


def minimum(scores: np.ndarray, claimed: np.ndarray, _: float) -> np.ndarray:
    """Return the worst class: score of a claimed one, one minus the score of another (Thyagarajan et al. 2022, by
    minimum).
    """
    return np.where(claimed, scores, 1 - scores).min(1)


def cleanlab(score: str, **pooling: Any) -> Ranker:
    """cleanlab's label quality of multi-label data; its default pooling is an exponential moving average."""

    def ranker(scores: np.ndarray, claimed: np.ndarray, _: float) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what cleanlab imports
            from cleanlab.multilabel_classification import get_label_quality_scores
        claims = [np.flatnonzero(row).tolist() for row in claimed]
        more = {"aggregator_kwargs": pooling} if pooling else {}
        return np.asarray(get_label_quality_scores(claims, scores, method=score, **more))

    return ranker


def claimed_score(scores: np.ndarray, claimed: np.ndarray, _: float) -> np.ndarray:
    """Return the score of the claimed class: what any one threshold on it can do."""
    return np.where(claimed, scores, 1.0).min(1)


def acmid(scores: np.ndarray, claimed: np.ndarray, _: float) -> np.ndarray:
    """Return whether the stem is above ACMID's threshold; ties are not broken."""
    return (claimed_score(scores, claimed, 0.0) > ACMID).astype(float)


def sum_of_both(scores: np.ndarray, claimed: np.ndarray, _: float) -> np.ndarray:
    """Return the claimed class's score minus the highest of the others."""
    return claimed_score(scores, claimed, 0.0) - np.where(claimed, 0.0, scores).max(1)


RANKERS: dict[str, Ranker] = {
    OURS: label_quality,
    "minimum": minimum,
    "cleanlab_self_confidence": cleanlab("self_confidence"),
    "cleanlab_normalized_margin": cleanlab("normalized_margin"),
    "cleanlab_weighted_entropy": cleanlab("confidence_weighted_entropy"),
    "cleanlab_softmin": cleanlab("self_confidence", method="softmin"),
    "claimed_score": claimed_score,
    "acmid_0.995": acmid,
    "sum_of_both": sum_of_both,
}


def separator_energy(energies: Mapping[str, float]) -> Callable[[Sequence[Stem]], np.ndarray]:
    """Return the hook for the separator's filter: share of energy in the claimed classes, by SHA-256."""
    return lambda stems: np.array([energies[str(stem.sha256)] for stem in stems])


def compared(
    truth: Sequence[Stem],
    scores: np.ndarray,
    labels: Sequence[str],
    chance: float,
    energies: Mapping[str, float] | None = None,
) -> dict[str, Record]:
    """Return the average precision by ranker and kind of fault, None if there is no such fault.

    Args:
        truth: stems with claims and true labels.
        scores: ``(stem, label)``, in the order of the labels.
    """
    claimed = np.array([[label in stem.claimed for label in labels] for stem in truth])
    held = np.array([[label in stem.labels for label in labels] for stem in truth])
    wrong, right = (claimed != held).any(1), (claimed == held).all(1)
    swapped = wrong & ~(claimed & held).any(1)
    groups = {"swapped": swapped | right, "bleed": (wrong & ~swapped) | right, "both": wrong | right}
    qualities = {name: ranker(scores, claimed, chance) for name, ranker in RANKERS.items()}
    if energies is not None:
        qualities["separator_energy"] = separator_energy(energies)(truth)
    return {
        name: {group: tagging.average_precision(wrong[rows], -quality[rows]) for group, rows in groups.items()}
        for name, quality in qualities.items()
    }


def planted(data: Manifest, clean: Path, scores: Scores, config: CorruptConfig) -> list[Stem]:
    """Return the truth of one draw, scored; the folder is that of :mod:`benchmarks.detection`."""
    folder_ = scores.work / f"seed{config.seed}-{_digest(data, config)}"
    truth = manifest.read(folder_ / TRUTH) if (folder_ / TRUTH).exists() else corrupt(clean, folder_, config)
    scores.judge(truth, folder_, folder_.name)
    return [stem for stem in truth.stems if scores.known[str(stem.sha256)]]


def measure(
    clean: Path, scores: Scores, seeds: int, config: CorruptConfig, energies: Mapping[str, float] | None
) -> Record:
    """Return mean and standard deviation over the draws, and those of the difference to our score."""
    data, _ = layouts.load(clean)
    labels, chance = scores.weights.card["spec"]["labels"], chance_of_card(scores.weights.card)
    scores_by_case: dict[tuple[str, str], list[float | None]] = defaultdict(list)
    for seed in range(seeds):
        stems = planted(data, clean, scores, config.changed(seed=seed))
        values = np.array([[scores.known[str(stem.sha256)][label] for label in labels] for stem in stems])
        for name, groups in compared(stems, values, labels, chance, energies).items():
            for group, value in groups.items():
                scores_by_case[name, group].append(value)
    report: Record = defaultdict(dict)
    for (name, group), precisions in scores_by_case.items():
        both = zip(precisions, scores_by_case[OURS, group], strict=True)
        pairs = [(theirs, ours) for theirs, ours in both if theirs is not None and ours is not None]
        if pairs:
            report[name][group] = spread([theirs for theirs, _ in pairs]) | {
                f"less_ours_{key}": value for key, value in spread([theirs - ours for theirs, ours in pairs]).items()
            }
    return dict(report)


def spread(values: Sequence[float]) -> Record:
    """Return mean and standard deviation."""
    sd = rounded(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": rounded(np.mean(values)), "sd": sd}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clean", type=Path, metavar="HELDOUT")
    parser.add_argument("output", type=Path, metavar="OUT.json")
    parser.add_argument("--weights", default=weights.DEFAULT_CLASSIFIER, metavar="URI")
    parser.add_argument("--seeds", type=int, default=5, metavar="N")
    parser.add_argument("--mislabel", type=float, default=0.2)
    parser.add_argument("--bleed", type=float, default=0.2)
    parser.add_argument("--validation", action="store_true", help="on the validation stems of a training set")
    parser.add_argument("--energies", type=Path, metavar="FILE.json", help="share of a separator's energy by SHA-256")
    parser.add_argument("--work", type=Path, metavar="DIR")
    arguments = parser.parse_args()
    work = arguments.work or arguments.clean.with_name(arguments.clean.name + ".work")
    work.mkdir(parents=True, exist_ok=True)
    config = CorruptConfig(mislabel=arguments.mislabel, bleed=arguments.bleed)
    try:
        scores = Scores(arguments.weights, work)
        clean = arguments.clean
        if arguments.validation:
            data = noise_reference.validation(arguments.clean)
            clean = work / "validation.json"
            manifest.write(data.with_stems(data.stems, root=manifest.relative_root(arguments.clean, clean)), clean)
        energies = json.loads(arguments.energies.read_text()) if arguments.energies else None
        ranked = measure(clean, scores, arguments.seeds, config, energies)
    except StemcleanError as error:
        parser.error(str(error))
    settings = {
        "mislabel": arguments.mislabel,
        "bleed": arguments.bleed,
        "bleed_db": config.bleed_db,
        "seeds": arguments.seeds,
    }
    write_json(arguments.output, {"weights": describe_weights(scores.weights), "config": settings, "ranked": ranked})
    for name, groups in sorted(ranked.items(), key=lambda item: -item[1]["both"]["mean"]):
        print(f"{name:28}", {group: (figures["mean"], figures["sd"]) for group, figures in groups.items()})
    print(f"wrote {arguments.output}")


if __name__ == "__main__":
    main()
