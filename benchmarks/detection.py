"""How many planted faults are found in songs that the weights were not trained on?

    python -m benchmarks.detection HELDOUT OUT.json [--weights URI] [--seeds 5] [--singers MATERIAL]

``HELDOUT`` is a clean dataset (:mod:`benchmarks.heldout`). For each seed it is corrupted, refined, and compared with
the ground truth (``corrupt``, ``refine`` and ``eval labels``). The report has mean and standard deviation over the
seeds and figures pooled over all draws, for real and for sung songs; the same by the rule of the paper; false alarms
without planted faults; and with ``--singers`` the scores of MIR-1K's voices and of their accompaniments.

Intermediate results are kept in ``HELDOUT.work`` (or ``--work``), so that a stopped run can resume. Scores are kept by
weights, by the code that judges, and by the bytes of a file: a stem without a planted fault is not judged again, as a
verdict depends on nothing but the scores and the claim. For every file that it judges, the benchmark checks that
``refine`` decides the same.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import stemclean
from benchmarks import heldout, resumable
from benchmarks.resumable import write_json
from stemclean import layouts, manifest
from stemclean.audio import files
from stemclean.corrupt import CorruptConfig, corrupt
from stemclean.errors import StemcleanError
from stemclean.evaluate import evaluate_labels
from stemclean.manifest import Manifest, Stem
from stemclean.models import weights
from stemclean.models.calibration import chance_of_card
from stemclean.refine import RefineConfig, refine
from stemclean.verdicts import Evidence, Policy, decide

CLASSIFIER_ONLY = RefineConfig(crosstalk=False)
"""The classifier alone; measured crosstalk has its own benchmark, :mod:`benchmarks.crosstalk`."""
RULES = {
    "default": (RefineConfig().threshold, RefineConfig().claimed_threshold),
    "paper": (0.9, 0.9),  # Koo et al. 2023, section 4.2: one threshold, and a claim counts for nothing
}
"""Rule -> threshold, threshold of the claimed class."""
KINDS = {"all": "", "real": "real__", "sung": "sung__"}
"""Kind of song -> prefix of the names of its tracks."""
BAND_DB = 5
"""Width of the level bands of bleeds."""
PRECISION = 0.9
"""Precision at which the ranking is evaluated."""
SINGER_CLIPS = 10
"""Clips of each MIR-1K singer that are joined to one recording."""

Record = dict[str, Any]


class Scores:
    """Scores of files by SHA-256: class -> score, empty for silence.

    Args:
        weights_uri: the classifier.
        work: folder of the scores.
    """

    def __init__(self, weights_uri: str, work: Path) -> None:
        self.uri = weights_uri
        self.work = work
        self.weights = weights.load(weights_uri)
        self.judged_by = f"{self.weights.sha256[:12]}-{judging_code()[:8]}"
        self.path = work / f"scores-{self.judged_by}.json"
        self.known: dict[str, dict[str, float]] = resumable.read(self.path)

    def judge(self, data: Manifest, folder: Path, name: str) -> None:
        """Refine those stems of a dataset whose bytes are new.

        Raises:
            RuntimeError: a stem cannot be judged, or refine's verdict is not that of its own scores.
        """
        new = {stem.sha256: stem for stem in data.stems if stem.sha256 not in self.known}
        if not new:
            return
        part = self.work / f"{name}-{self.judged_by}.json"
        stems = [stem.model_copy(update={"labels": stem.claimed, "extra": {}}) for stem in new.values()]
        manifest.write(data.with_stems(stems, root=manifest.relative_root(folder, part), skipped=[]), part)
        refined = refine(part, part.with_suffix(".refined.json"), CLASSIFIER_ONLY, weights_uri=self.uri)
        if refined.skipped:
            raise RuntimeError(f"{refined.skipped[0].path} could not be judged: {refined.skipped[0].detail}")
        self.known |= {str(stem.sha256): stem.scores for stem in refined.stems}
        for theirs, ours in zip(refined.stems, self.decide(refined, *RULES["default"]).stems, strict=True):
            if (theirs.labels, theirs.verdict) != (ours.labels, ours.verdict):
                raise RuntimeError(f"{theirs.id}: refine says {theirs.verdict}, its scores say {ours.verdict}")
        write_json(self.path, self.known)

    def decide(self, data: Manifest, threshold: float, claimed_threshold: float) -> Manifest:
        """Labels and verdicts of a dataset whose stems were judged, by any rule."""
        return data.with_stems([self._decided(stem, threshold, claimed_threshold) for stem in data.stems])

    def _decided(self, stem: Stem, threshold: float, claimed_threshold: float) -> Stem:
        scores = self.known[str(stem.sha256)]
        policy = Policy(threshold, claimed_threshold, chance=chance_of_card(self.weights.card))
        decision = decide(Evidence(stem.claimed, stem.labels, stem.held_out, scores), policy)
        return decision.applied(stem, scores=scores)


def measure(clean: Path, seeds: int, config: CorruptConfig, scores: Scores) -> Record:
    """Return all results for a clean dataset, with and without planted faults."""
    data, folder = layouts.load(clean)
    scores.judge(data, folder, "clean")
    truths = []
    for seed in range(seeds):
        seeded = config.changed(seed=seed)
        planted = scores.work / f"seed{seed}-{_digest(data, seeded)}"
        truth = (
            manifest.read(planted / "truth.json")
            if (planted / "truth.json").exists()
            else corrupt(clean, planted, seeded)
        )
        scores.judge(truth, planted, planted.name)
        truths.append(truth)
    rule = RULES["default"]
    pairs = [pair for truth in truths for pair in zip(scores.decide(truth, *rule).stems, truth.stems, strict=True)]
    untouched = zip(scores.decide(data, *rule).stems, data.stems, strict=True)
    swaps = [pair for pair in pairs if "swapped" in str(pair[1].extra["fault"])]
    return {
        "data": describe(data, clean),
        "planted": by_kind_and_rule(truths, scores, planted_report),
        "clean": by_kind_and_rule([data], scores, clean_report),
        "missed_swaps": cases(pair for pair in swaps if not flagged(pair[0])),
        "false_alarms": cases(pair for pair in untouched if flagged(pair[0])),
    }


def by_kind_and_rule(
    truths: Sequence[Manifest], scores: Scores, report: Callable[[Sequence[Manifest], Sequence[Manifest]], Record]
) -> Record:
    """Return a report for every kind of song and every rule: ``kind -> rule -> report``."""
    result: Record = defaultdict(dict)
    for kind, prefix in KINDS.items():
        chosen = [t.with_stems([stem for stem in t.stems if stem.track.startswith(prefix)]) for t in truths]
        if not any(truth.stems for truth in chosen):
            continue
        for rule, thresholds in RULES.items():
            result[kind][rule] = report([scores.decide(truth, *thresholds) for truth in chosen], chosen)
    return dict(result)


def planted_report(refined: Sequence[Manifest], truths: Sequence[Manifest]) -> Record:
    """Faults found: ``mean`` and ``sd`` over the draws, ``pooled``, the ranking, and bleeds in detail."""
    reports = [evaluate_labels(r, t) for r, t in zip(refined, truths, strict=True)]
    every, truth = _pooled(refined), _pooled(truths)
    pooled = {key: rounded(value) for key, value in evaluate_labels(every, truth).items() if key in shown(reports)}
    values = {key: [report[key] for report in reports if report.get(key) is not None] for key in pooled}
    pairs = list(zip(every.stems, truth.stems, strict=True))
    return {
        "mean": {key: rounded(np.mean(known)) if known else None for key, known in values.items()},
        "sd": {key: rounded(np.std(known, ddof=1)) if len(known) > 1 else None for key, known in values.items()},
        "pooled": pooled,
        "ranking": ranking(pairs),
        "bleeds": bleeds(pairs),
    }


def shown(reports: Sequence[Record]) -> set[str]:
    """Return the names of the reported figures; for claims, the averages only."""
    names = {name for report in reports for name, value in report.items() if not isinstance(value, list)}
    return {name for name in names if not name.startswith("claims/") or name.endswith(("/average", "exact_match"))}


def ranking(pairs: Sequence[tuple[Stem, Stem]]) -> Record:
    """Return what a person finds who checks the stems in order of label quality."""
    quality = np.array([refined.verdict.label_quality or 0.0 for refined, _ in pairs if refined.verdict])
    wrong = np.array([truth.labels != truth.claimed for _, truth in pairs])
    swapped = np.array(["swapped" in str(truth.extra.get("fault")) for _, truth in pairs])
    limits = [limit for limit in np.unique(quality) if wrong[quality <= limit].mean() >= PRECISION]
    above = quality <= max(limits, default=-1.0)
    return {
        "precision_wanted": PRECISION,
        "label_quality": rounded(max(limits)) if limits else None,
        "recall": rounded(above[wrong].mean()) if wrong.any() else None,
        "swapped_recall": rounded(above[swapped].mean()) if swapped.any() else None,
    }


def clean_report(refined: Sequence[Manifest], truths: Sequence[Manifest]) -> Record:
    """False alarms where nothing was planted: how many of the stems of each class."""
    pairs = [pair for r, t in zip(refined, truths, strict=True) for pair in zip(r.stems, t.stems, strict=True)]
    alarms = [pair for pair in pairs if flagged(pair[0])]
    stems, false = (Counter(t.claimed[0] for _, t in group) for group in (pairs, alarms))
    return {
        "stems": len(pairs),
        "false_alarms": len(alarms),
        "by_class": {label: {"stems": stems[label], "false_alarms": false[label]} for label in truths[0].labels},
    }


def bleeds(pairs: Sequence[tuple[Stem, Stem]]) -> Record:
    """Bleeds by level, by what bleeds and by where it bleeds into: how many, flagged, labels exactly right."""
    result: dict[str, dict[str, Counter[str]]] = {name: defaultdict(Counter) for name in ("level_db", "from", "into")}
    for refined, truth in pairs:
        bleed = truth.extra.get("bleed")
        if not bleed:
            continue
        low = int(np.floor(bleed["level_db"] / BAND_DB)) * BAND_DB
        into = [label for label in truth.labels if label != bleed["label"]]
        groups = {"level_db": f"{low}..{low + BAND_DB}", "from": bleed["label"], "into": "+".join(into)}
        for name, group in groups.items():
            result[name][group].update(
                num=1, flagged=int(flagged(refined)), labels_right=int(set(refined.labels) == set(truth.labels))
            )
    return {name: {group: dict(counts) for group, counts in groups.items()} for name, groups in result.items()}


def unseen_singers(material: Path, scores: Scores) -> Record:
    """Score each MIR-1K singer's voice, the accompaniment, and both together."""
    folders = {kind: scores.work / "singers" / kind for kind in ("voice", "accompaniment", "both")}
    for name, clips in heldout.mir1k(material).items():
        paths = {kind: folder / name / "vocals.flac" for kind, folder in folders.items()}
        if not all(path.exists() for path in paths.values()):
            _write_singer(clips[:SINGER_CLIPS], paths)
    said: dict[str, dict[str, float]] = defaultdict(dict)
    for kind, folder in folders.items():
        data, _ = layouts.load(folder)
        scores.judge(data, folder, f"singers-{kind}")
        for stem in data.stems:
            said[stem.track][kind] = round(scores.known[str(stem.sha256)].get("vocals", 0.0), 4)
    threshold, claimed_threshold = RULES["default"]
    above = {
        kind: {
            "threshold": sum(scores[kind] > threshold for scores in said.values()),
            "claimed_threshold": sum(scores[kind] > claimed_threshold for scores in said.values()),
        }
        for kind in folders
    }
    return {"clips": SINGER_CLIPS, "singers": len(said), "vocals_found": above, "scores": dict(sorted(said.items()))}


def describe(data: Manifest, folder: Path) -> Record:
    """Describe the dataset, and say which performers the training set has."""
    origins: dict[str, heldout.Origin] = {}
    if (folder / "sources.csv").exists():
        origins = {origin.path: origin for origin in heldout.origins(folder / "sources.csv")}
    report: Record = {}
    for kind, prefix in KINDS.items():
        stems = [stem for stem in data.stems if stem.track.startswith(prefix)]
        if stems:
            known = [origins[stem.path].performer_in_training == "yes" for stem in stems if stem.path in origins]
            report[kind] = {
                "songs": len({stem.track for stem in stems}),
                "stems": len(stems),
                "minutes": round(sum(stem.duration for stem in stems) / 60, 1),
                "by_class": {label: sum(stem.claimed == [label] for stem in stems) for label in data.labels},
                "performers_in_training": sum(known) if known else None,
            }
    return report


def describe_weights(loaded: weights.Weights) -> Record:
    """Describe the weights from their card."""
    recipe = loaded.card.get("recipe") or {}
    return {
        "uri": loaded.uri,
        "sha256": loaded.sha256,
        "architecture": loaded.card["architecture"],
        "options": loaded.card["options"],
        "parameters": loaded.card.get("parameters"),
        "recipe": recipe.get("name"),
        "loss": recipe.get("loss"),
        "examples": (recipe.get("loop") or {}).get("examples"),
        "seed": recipe.get("seed"),
        "calibrated": bool(loaded.card.get("calibration")),
    }


def judging_code() -> str:
    """Return a SHA-256 of all code that scores depend on."""
    package = Path(stemclean.__file__).parent
    paths = [
        *sorted((package / "audio").rglob("*.py")),
        *sorted((package / "models").rglob("*.py")),
        *sorted((package / "refining").rglob("*.py")),
        package / "verdicts.py",
    ]
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


def flagged(stem: Stem) -> bool:
    """Return whether the verdict is other than ``keep``."""
    return stem.verdict is not None and stem.verdict.action != "keep"


def _write_singer(clips: Sequence[Path], paths: Mapping[str, Path]) -> None:
    """Write a singer's clips, joined: voice, accompaniment and both, at their own rate."""
    rate = files.probe(clips[0] / "vocals.ogg").sample_rate
    parts: dict[str, list[Any]] = defaultdict(list)
    for clip in clips:
        voice, accompaniment = (
            files.read(clip / f"{name}.ogg", sample_rate=rate) for name in ("vocals", "accompaniment")
        )
        num_samples = min(voice.shape[1], accompaniment.shape[1])
        parts["voice"].append(voice[:, :num_samples])
        parts["accompaniment"].append(accompaniment[:, :num_samples])
        parts["both"].append(voice[:, :num_samples] + accompaniment[:, :num_samples])
    for kind, path in paths.items():
        heldout.write(heldout.joined(parts[kind], rate), path, rate)


def _pooled(manifests: Sequence[Manifest]) -> Manifest:
    """Several draws as one dataset."""
    return manifests[0].with_stems(
        [stem.model_copy(update={"id": f"{n}/{stem.id}"}) for n, data in enumerate(manifests) for stem in data.stems]
    )


def cases(pairs: Iterable[tuple[Stem, Stem]]) -> list[Record]:
    """Wrong verdicts by the stem of the clean dataset, the most frequent first."""
    cases: dict[tuple[Any, ...], Record] = {}
    for refined, truth in pairs:
        case = {
            "stem": truth.extra.get("from", truth.id),
            "claimed": truth.claimed,
            "truth": truth.labels,
            "found": refined.labels,
            "scores": {label: round(score, 3) for label, score in refined.scores.items()},
        }
        known = cases.setdefault((case["stem"], *truth.claimed, *truth.labels), {**case, "times": 0})
        known["times"] += 1
    return sorted(cases.values(), key=lambda case: (-case["times"], case["stem"]))


def rounded(value: Any) -> Any:
    """Four decimals; counts stay counts."""
    return round(float(value), 4) if isinstance(value, (float, np.floating)) else value


def _digest(data: Manifest, config: CorruptConfig) -> str:
    content = [[[stem.id, stem.sha256] for stem in data.stems], config.to_dict()]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:8]


def levels(text: str) -> tuple[float, float]:
    """``-20:0`` as two numbers."""
    low, high = text.split(":")
    return float(low), float(high)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("heldout", type=Path, metavar="HELDOUT")
    parser.add_argument("output", type=Path, metavar="OUT.json")
    parser.add_argument("--weights", default=weights.DEFAULT_CLASSIFIER, metavar="URI")
    parser.add_argument("--seeds", type=int, default=5, metavar="N")
    parser.add_argument("--mislabel", type=float, default=0.2)
    parser.add_argument("--bleed", type=float, default=0.2)
    parser.add_argument("--bleed-db", type=levels, default=(-20.0, 0.0), metavar="LOW:HIGH")
    parser.add_argument("--singers", type=Path, metavar="MATERIAL", help="the folder that holds mir1k/")
    parser.add_argument("--work", type=Path, metavar="DIR")
    arguments = parser.parse_args()
    work = arguments.work or arguments.heldout.with_name(arguments.heldout.name + ".work")
    work.mkdir(parents=True, exist_ok=True)
    config = CorruptConfig(mislabel=arguments.mislabel, bleed=arguments.bleed, bleed_db=arguments.bleed_db)
    try:
        scores = Scores(arguments.weights, work)
        report = measure(arguments.heldout, arguments.seeds, config, scores)
        report["singers"] = unseen_singers(arguments.singers, scores) if arguments.singers else None
    except StemcleanError as error:
        parser.error(str(error))
    report["weights"] = describe_weights(scores.weights)
    report["config"] = {key: value for key, value in config.to_dict().items() if key != "seed"} | {
        "seeds": arguments.seeds
    }
    report["labels"] = scores.weights.card["spec"]["labels"]
    report["rules"] = {name: {"threshold": a, "claimed_threshold": b} for name, (a, b) in RULES.items()}
    write_json(arguments.output, report)
    for kind, rules in report["planted"].items():
        pooled = rules["default"]["pooled"]
        print(kind, {key: pooled[f"detection/{key}"] for key in ("precision", "recall", "average_precision")})
    print(f"wrote {arguments.output}")


if __name__ == "__main__":
    main()
