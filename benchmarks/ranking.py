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
    """What a verdict holds."""
    names = [str(number) for number in range(scores.shape[1])]
    return np.array(
        [
            verdicts.label_quality(dict(zip(names, row, strict=True)), [names[k] for k in np.flatnonzero(held)], chance)
            for row, held in zip(scores.tolist(), claimed, strict=True)
        ]
    )


def minimum(scores: np.ndarray, claimed: np.ndarray, _: float) -> np.ndarray:
    """The worst class: score of a claimed one, one minus the score of another (Thyagarajan et al. 2022, by minimum)."""
    return np.where(claimed, scores, 1 - scores).min(1)


def cleanlab(score: str, **pooling: Any) -> Ranker:
    """cleanlab's label quality of multi-label data; its default pooling is an exponential moving average."""

    def ranker(scores: np.ndarray, claimed: np.ndarray, _: float) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what cleanlab imports
            from cleanlab.multilabel_classification import get_label_quality_scores
        given = [np.flatnonzero(row).tolist() for row in claimed]
        more = {"aggregator_kwargs": pooling} if pooling else {}
        return np.asarray(get_label_quality_scores(given, scores, method=score, **more))

    return ranker


def claimed_score(scores: np.ndarray, claimed: np.ndarray, _: float) -> np.ndarray:
    """The score of the claimed class: what any one threshold on it can do."""
    return np.where(claimed, scores, 1.0).min(1)


def acmid(scores: np.ndarray, claimed: np.ndarray, _: float) -> np.ndarray:
    """Above ACMID's threshold or not; ties are broken by nothing."""
    return (claimed_score(scores, claimed, 0.0) > ACMID).astype(float)


def sum_of_both(scores: np.ndarray, claimed: np.ndarray, _: float) -> np.ndarray:
    """The claimed class's score less the highest of the others."""
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
    """The hook for the separator's filter: share of the energy that it gives to the claimed classes, by SHA-256."""
    return lambda stems: np.array([energies[str(stem.sha256)] for stem in stems])


def compared(
    truth: Sequence[Stem],
    scores: np.ndarray,
    labels: Sequence[str],
    chance: float,
    energies: Mapping[str, float] | None = None,
) -> dict[str, Record]:
    """Average precision by ranker and kind of fault, None where there is no such fault.

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
    """The truth of one draw, judged; the same folder as that of :mod:`benchmarks.detection`."""
    place = scores.work / f"seed{config.seed}-{_digest(data, config)}"
    truth = manifest.read(place / TRUTH) if (place / TRUTH).exists() else corrupt(clean, place, config)
    scores.judge(truth, place, place.name)
    return [stem for stem in truth.stems if scores.known[str(stem.sha256)]]


def measure(
    clean: Path, scores: Scores, seeds: int, config: CorruptConfig, energies: Mapping[str, float] | None
) -> Record:
    """Mean and standard deviation over the draws, and those of the difference to our score."""
    data, _ = layouts.load(clean)
    labels, chance = scores.weights.card["spec"]["labels"], chance_of_card(scores.weights.card)
    found: dict[tuple[str, str], list[float | None]] = defaultdict(list)
    for seed in range(seeds):
        stems = planted(data, clean, scores, config.changed(seed=seed))
        values = np.array([[scores.known[str(stem.sha256)][label] for label in labels] for stem in stems])
        for name, groups in compared(stems, values, labels, chance, energies).items():
            for group, value in groups.items():
                found[name, group].append(value)
    report: Record = defaultdict(dict)
    for (name, group), precisions in found.items():
        both = zip(precisions, found[OURS, group], strict=True)
        pairs = [(one, ours) for one, ours in both if one is not None and ours is not None]
        if pairs:
            report[name][group] = spread([one for one, _ in pairs]) | {
                f"less_ours_{key}": value for key, value in spread([one - ours for one, ours in pairs]).items()
            }
    return dict(report)


def spread(values: Sequence[float]) -> Record:
    """Mean and standard deviation."""
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
    given = parser.parse_args()
    work = given.work or given.clean.with_name(given.clean.name + ".work")
    work.mkdir(parents=True, exist_ok=True)
    config = CorruptConfig(mislabel=given.mislabel, bleed=given.bleed)
    try:
        scores = Scores(given.weights, work)
        clean = given.clean
        if given.validation:
            data = noise_reference.validation(given.clean)
            clean = work / "validation.json"
            manifest.write(data.with_stems(data.stems, root=manifest.relative_root(given.clean, clean)), clean)
        energies = json.loads(given.energies.read_text()) if given.energies else None
        ranked = measure(clean, scores, given.seeds, config, energies)
    except StemcleanError as error:
        parser.error(str(error))
    what = {"mislabel": given.mislabel, "bleed": given.bleed, "bleed_db": config.bleed_db, "seeds": given.seeds}
    write_json(given.output, {"weights": describe_weights(scores.weights), "config": what, "ranked": ranked})
    for name, groups in sorted(ranked.items(), key=lambda item: -item[1]["both"]["mean"]):
        print(f"{name:28}", {group: (told["mean"], told["sd"]) for group, told in groups.items()})
    print(f"wrote {given.output}")


if __name__ == "__main__":
    main()
