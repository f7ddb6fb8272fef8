"""How close does ``refine`` come to the true rates of wrong claims and of bleed?

    python -m benchmarks.noise_estimate HELDOUT OUT.json [--weights URI] [--seeds 5] [--bleed-seeds 3]
    python -m benchmarks.noise_estimate SET OUT.json --validation --weights file:PATH

``HELDOUT`` is a clean dataset (:mod:`benchmarks.heldout`). Claims are swapped as ``corrupt`` would, without judging the
stems again, as scores do not depend on claims; bleed is planted by ``corrupt`` itself, and its files are judged and
deleted. The ground truth is compared with what ``refine`` writes (:func:`stemclean.refining.noise.noise`), with the
same for weights without a reference in their card, and with other estimators: the mean of one minus the score of the
claimed class, which is right if scores are calibrated for the dataset; the EM algorithm of Saerens et al. 2002 for each
class by itself; and confident learning (Northcutt et al. 2021, arXiv 1911.00068) as in cleanlab.

``--validation`` does the same on the validation stems of the training set, on which methods and constants are chosen.
As the reference is made of these stems, half of the tracks of each draw are the dataset and the other half are the
reference.

Intermediate results are kept in ``HELDOUT.work`` (or ``--work``). Nothing is judged twice unless the weights or the
code that judges change.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit, logit

from benchmarks import noise_reference
from benchmarks.detection import Scores, describe, describe_weights
from benchmarks.noise_reference import Known
from benchmarks.resumable import write_json
from stemclean import layouts, manifest
from stemclean.corrupt import TRUTH, CorruptConfig, corrupt
from stemclean.data.corrupt import FRAME, Level
from stemclean.data.faults import plan
from stemclean.errors import StemcleanError
from stemclean.manifest import Manifest, Stem
from stemclean.models import weights
from stemclean.models.calibration import chance_of_card
from stemclean.models.noise_reference import reference_to_card
from stemclean.refining.noise import noise

RATES = (0.0, 0.1, 0.2, 0.4, 0.6)
AIM = 0.05
"""Goal: largest distance of the estimate from the rate."""
REFINE = "refine"

Record = dict[str, Any]
Rates = dict[str, Any]
"""``wrong`` and ``bleed``: a rate, or (rate, low, high); ``classes``: class -> the same two."""


@dataclass(frozen=True)
class Draw:
    """A dataset with a known truth.

    Args:
        stems: judged, with the claims as planted.
        truth: what each holds.
        card: of the weights, with the reference that may be used.
    """

    stems: list[Stem]
    truth: list[list[str]]
    card: Mapping[str, Any]

    def rates(self) -> Rates:
        """Return the true rates, over all claims and by class; silent stems are not counted."""
        pairs = [(stem, set(held)) for stem, held in zip(self.stems, self.truth, strict=True) if stem.scores]
        lost: dict[str, list[bool]] = defaultdict(list)
        more: dict[str, list[bool]] = defaultdict(list)
        for stem, held in pairs:
            for label in stem.claimed:
                lost[label].append(label not in held)
                more[label].append(label in held and bool(held - set(stem.claimed)))
        return {
            "wrong": float(np.mean([value for values in lost.values() for value in values])),
            "bleed": float(np.mean([value for values in more.values() for value in values])),
            "classes": {
                label: {"wrong": float(np.mean(values)), "bleed": float(np.mean(more[label]))}
                for label, values in lost.items()
            },
        }

    def arrays(self) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Scores and claims ``(stem, label)`` of the stems that sound, and the labels."""
        labels = self.card["spec"]["labels"]
        sounding = [stem for stem in self.stems if stem.scores]
        scores = np.array([[stem.scores[label] for label in labels] for stem in sounding])
        return scores, np.array([[label in stem.claimed for label in labels] for stem in sounding]), labels


def by_refine(draw: Draw) -> Rates:
    """Return the estimate that ``refine`` writes."""
    estimate = noise(draw.stems, draw.card["spec"]["labels"], [draw.card])
    assert estimate is not None
    return {key: estimate[key] for key in ("wrong", "bleed", "classes")}


def without_reference(draw: Draw) -> Rates:
    """Return the estimate that ``refine`` writes for weights without a reference."""
    return by_refine(Draw(draw.stems, draw.truth, {k: v for k, v in draw.card.items() if k != "reference"}))


def by_mean(draw: Draw) -> Rates:
    """Return the mean of one minus the claimed score; for bleed, the probability of both classes."""
    scores, claimed, labels = draw.arrays()
    others = 1 - np.where(claimed, 1.0, 1 - scores).prod(1)
    return _averaged(labels, claimed, 1 - scores, scores * others[:, None])


def by_em(draw: Draw) -> Rates:
    """Return for each class the rate under which the scores of its claims are most likely."""
    scores, claimed, labels = draw.arrays()
    odds = logit(np.clip(scores, 1e-3, 1 - 1e-3)) - logit(chance_of_card(draw.card))
    lost, more = np.zeros(scores.shape), np.zeros(scores.shape)
    for label in np.flatnonzero(claimed.any(0)):
        rows = claimed[:, label]
        share = np.full(len(labels), 0.5)
        for _ in range(200):
            share = np.clip(expit(odds[rows] + logit(share)).mean(0), 1e-6, 1 - 1e-6)
        lost[rows, label] = 1 - share[label]
        present = 1 - np.prod(np.delete(1 - share, label))  # of any unclaimed class, as if they were independent
        more[rows, label] = max(0.0, present - (1 - share[label]))
    return _averaged(labels, claimed, lost, more)


def by_confident_learning(draw: Draw) -> Rates:
    """cleanlab's calibrated confident joint of each class against the rest; it knows no bleed of a claim."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what cleanlab imports
        from cleanlab.count import compute_confident_joint
    scores, claimed, labels = draw.arrays()
    claims = [np.flatnonzero(row).tolist() for row in claimed]
    joints = compute_confident_joint(claims, scores, multi_label=True)  # (label, claimed or not, present or not)
    lost = np.array([joint[1, 0] / max(joint[1].sum(), 1e-12) for joint in joints])
    return _averaged(labels, claimed, np.broadcast_to(lost, scores.shape), np.full(scores.shape, np.nan))


ESTIMATORS: dict[str, Callable[[Draw], Rates]] = {
    REFINE: by_refine,
    "without_reference": without_reference,
    "mean_score": by_mean,
    "em_by_class": by_em,
    "confident_learning": by_confident_learning,
}


def _averaged(labels: Sequence[str], claimed: np.ndarray, lost: np.ndarray, more: np.ndarray) -> Rates:
    """Rates from chances of every claim, ``(stem, label)``."""
    return {
        "wrong": float(lost[claimed].mean()),
        "bleed": float(more[claimed].mean()),
        "classes": {
            label: {"wrong": float(lost[rows, column].mean()), "bleed": float(more[rows, column].mean())}
            for column, label in enumerate(labels)
            if (rows := claimed[:, column]).any()
        },
    }


def swapped(data: Manifest, scores: Scores, rate: float, seed: int) -> tuple[list[Stem], list[list[str]]]:
    """Stems with their scores and with claims exchanged as ``corrupt`` would do it; and what they hold."""
    stems = [stem.model_copy(update={"scores": scores.known[str(stem.sha256)]}) for stem in data.stems]
    levels = {stem.id: _level(stem) for stem in stems}
    nums = {"mislabel": round(rate * len(stems)), "bleed": 0, "silence": 0, "foreign": 0}
    faults = plan(stems, levels, data.labels, nums, (0.0, 0.0), False, np.random.default_rng(seed))
    claims = [stem.model_copy(update={"claimed": [faults[stem.id].claimed]}) for stem in stems]
    return claims, [stem.labels for stem in stems]


def _level(stem: Stem) -> Level:
    """Return full level throughout; a plan of swaps only needs to know whether a stem is active."""
    sounds = bool(stem.scores)
    frames = np.full(max(1, round(stem.duration / FRAME)), sounds)
    return Level(float(sounds), stem.duration * sounds, float(sounds), frames)


def bleeding(
    data: Manifest, folder: Path, scores: Scores, rate: float, seed: int
) -> tuple[list[Stem], list[list[str]]]:
    """Return scored stems with bleed planted by ``corrupt`` in a share of them, and the classes that they hold."""
    config = CorruptConfig(mislabel=0.0, bleed=rate, seed=seed)
    content = [[[stem.id, stem.sha256] for stem in data.stems], config.to_dict()]
    planted = scores.work / f"bleed-{hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]}"
    kept = planted.with_suffix(".json")
    source = scores.work / "clean.json"
    if kept.exists():
        truth = manifest.read(kept)
    else:
        manifest.write(data.with_stems(data.stems, root=manifest.relative_root(folder, source)), source)
        truth = corrupt(source, planted, config, quiet=True)
    if any(stem.sha256 not in scores.known for stem in truth.stems):
        if not (planted / TRUTH).exists():
            corrupt(source, planted, config, quiet=True)
        scores.judge(truth, planted, planted.name)
    manifest.write(truth, kept)
    shutil.rmtree(planted, ignore_errors=True)  # our own folder: the truth and the scores are kept elsewhere
    stems = [stem.model_copy(update={"scores": scores.known[str(stem.sha256)]}) for stem in truth.stems]
    return stems, [stem.labels for stem in stems]


def halves(
    stems: Sequence[Stem], truth: Sequence[list[str]], known: Known, card: Mapping[str, Any], seed: int
) -> Iterator[Draw]:
    """Return two datasets of half of the tracks each, with a reference that shares no track with them."""
    tracks = sorted({stem.track for stem in stems})
    order = np.random.default_rng(1000 + seed).permutation(len(tracks))
    for part in np.array_split(order, 2):
        own = {tracks[index] for index in part}
        pairs = [(stem, held) for stem, held in zip(stems, truth, strict=True) if stem.track in own]
        reference = reference_to_card(known.without(own), card["spec"]["labels"])
        yield Draw([stem for stem, _ in pairs], [held for _, held in pairs], {**card, "reference": reference})


def measure(
    clean: Path,
    scores: Scores,
    *,
    seeds: int,
    bleed_seeds: int,
    check_on_validation: bool,
    estimators: Mapping[str, Callable[[Draw], Rates]] = ESTIMATORS,
) -> Record:
    """Return errors and coverage by kind of fault, rate and estimator, and the noise summary of one dataset."""
    card = scores.weights.card
    if check_on_validation:
        data, folder = noise_reference.validation(clean), clean
        known = noise_reference.judged(data, folder, scores)
    else:
        data, folder = layouts.load(clean)
        known = None
        scores.judge(data, folder, "clean")
    cases: Record = defaultdict(dict)
    example = None
    for kind, rate, seed in _draws(seeds, bleed_seeds):
        stems, truth = (
            swapped(data, scores, rate, seed) if kind == "swapped" else bleeding(data, folder, scores, rate, seed)
        )
        draws = [Draw(stems, truth, card)] if known is None else halves(stems, truth, known, card, seed)
        for draw in draws:
            true = draw.rates()
            estimates = {name: estimator(draw) for name, estimator in estimators.items()}
            for name, rates in estimates.items():
                cases[f"{kind}/{rate:g}"].setdefault(name, []).append(compared(rates, true))
            if (kind, rate, seed) == ("swapped", 0.2, 0) and example is None:
                example = {"true": true, "told": noise(draw.stems, card["spec"]["labels"], [draw.card])}
    return {
        "data": describe(data, folder) if known is None else {"stems": len(data.stems), "validation": True},
        "reference": bool(card.get("reference")) or known is not None,
        "cases": {
            case: {name: pooled(values) for name, values in estimates.items()} for case, estimates in cases.items()
        },
        "example": example,
    }


def _draws(seeds: int, bleed_seeds: int) -> Iterator[tuple[str, float, int]]:
    for kind, count in (("swapped", seeds), ("bleed", bleed_seeds)):
        for rate in RATES:
            if rate == 0.0:
                if kind == "swapped":  # nothing planted is the same for both, and for all seeds
                    yield kind, rate, 0
                continue
            yield from ((kind, rate, seed) for seed in range(count))


def compared(estimate: Rates, true: Rates) -> Record:
    """Return the errors of one estimate, overall and per class, and whether its intervals hold the truth."""
    result: Record = {}
    for fault in ("wrong", "bleed"):
        cells = [(estimate[fault], true[fault])]
        cells += [(estimate["classes"][label][fault], rates[fault]) for label, rates in true["classes"].items()]
        errors = [(cell["rate"] if isinstance(cell, dict) else cell) - value for cell, value in cells]
        result[fault] = {"true": true[fault], "error": errors[0], "class_errors": errors[1:]}
        if isinstance(estimate[fault], dict):
            inside = [cell["low"] - 5e-4 <= value <= cell["high"] + 5e-4 for cell, value in cells]  # as rounded
            widths = [cell["high"] - cell["low"] for cell, _ in cells]
            result[fault] |= {
                "inside": inside[0],
                "class_inside": inside[1:],
                "width": widths[0],
                "class_widths": widths[1:],
            }
    return result


def pooled(values: Sequence[Record]) -> Record:
    """Several estimates of one case: all numbers are shares, means over the draws."""
    report: Record = {"draws": len(values)}
    for fault in ("wrong", "bleed"):
        parts = [value[fault] for value in values]
        errors = np.array([part["error"] for part in parts])
        if np.isnan(errors).any():
            continue
        by_class = np.array([error for part in parts for error in part["class_errors"]])
        report[fault] = {
            "true": _mean([part["true"] for part in parts]),
            "mean_error": _mean(errors),
            "sd": round(float(errors.std(ddof=1)), 4) if len(errors) > 1 else None,
            "absolute_error": _mean(np.abs(errors)),
            "class_absolute_error": _mean(np.abs(by_class)),
            "within_aim": _mean(np.abs(errors) <= AIM + 1e-9),
        }
        if "inside" in parts[0]:
            report[fault] |= {
                "coverage": _mean([part["inside"] for part in parts]),
                "class_coverage": _mean([inside for part in parts for inside in part["class_inside"]]),
                "width": _mean([part["width"] for part in parts]),
                "class_width": _mean([width for part in parts for width in part["class_widths"]]),
            }
    return report


def _mean(values: Sequence[Any] | np.ndarray) -> float:
    return round(float(np.mean(values)), 4)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clean", type=Path, metavar="HELDOUT")
    parser.add_argument("output", type=Path, metavar="OUT.json")
    parser.add_argument("--weights", default=weights.DEFAULT_CLASSIFIER, metavar="URI")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="draws of swaps at each rate")
    parser.add_argument("--bleed-seeds", type=int, default=3, metavar="N", help="draws of bleed, which must be judged")
    parser.add_argument("--validation", action="store_true", help="on the validation stems of a training set")
    parser.add_argument("--work", type=Path, metavar="DIR")
    arguments = parser.parse_args()
    work = arguments.work or arguments.clean.with_name(arguments.clean.name + ".work")
    work.mkdir(parents=True, exist_ok=True)
    try:
        scores = Scores(arguments.weights, work)
        counts = {"seeds": arguments.seeds, "bleed_seeds": arguments.bleed_seeds}
        report = measure(arguments.clean, scores, **counts, check_on_validation=arguments.validation)
    except StemcleanError as error:
        parser.error(str(error))
    report["weights"] = describe_weights(scores.weights)
    report["config"] = {**counts, "rates": list(RATES), "aim": AIM}
    write_json(arguments.output, report)
    for case, estimates in report["cases"].items():
        errors = {
            name: [rates.get(fault, {}).get("mean_error") for fault in ("wrong", "bleed")]
            for name, rates in estimates.items()
        }
        print(case, errors)
    print(f"wrote {arguments.output}")


if __name__ == "__main__":
    main()
