"""How well do the weights predict the level of bleed, in songs that they were not trained on?

    python -m benchmarks.levels HELDOUT OUT.json [--weights URI] [--seeds 5]

``HELDOUT`` is a clean dataset (:mod:`benchmarks.heldout`). For each seed, bleed of a known level is planted in it
(``corrupt``), and the result is refined. The level of bleed is its power in dB relative to the class that it bleeds
into, over the whole stem: the difference of two ``levels_db``. The true levels are those of the signals that were
mixed. Two predictions are compared with them: what ``refine`` writes for bleed whose class it found, and what the level
head says of all bleed, found or not. The baseline always answers with the mean level of the bleed that is compared.

Intermediate results are kept in ``HELDOUT.work`` (or ``--work``), so that a stopped run can resume. Nothing is judged
twice unless the weights or the code that judges change.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import stemclean
from benchmarks import resumable
from benchmarks.detection import (
    CLASSIFIER_ONLY,
    KINDS,
    describe,
    describe_weights,
    flagged,
    judging_code,
    levels,
    rounded,
)
from benchmarks.resumable import write_json
from stemclean import layouts, manifest
from stemclean.corrupt import CorruptConfig, corrupt
from stemclean.errors import ConfigError, StemcleanError
from stemclean.evaluate import bleed_level
from stemclean.manifest import Manifest, Stem
from stemclean.models import weights
from stemclean.models.judge import Judge
from stemclean.models.levels import LevelCalibration
from stemclean.refine import refine

RANGE_DB = (-25.0, 0.0)
"""Levels over which the overall error is reported. Planted bleed can lie outside, because a level here is that of the
whole stem, including pauses."""
BAND_DB = 5
"""Width of the level bands."""
LIMITS_DB = (-20.0, -15.0, -10.0)
"""Values of ``--max-bleed-db`` that are tried."""

Record = dict[str, Any]


@dataclass(frozen=True)
class Bleed:
    """A planted bleed and its predicted levels.

    Args:
        track: the song.
        label, into: the class that bleeds, and the one that it bleeds into.
        true_db: its level relative to the class that it bleeds into.
        told_db: level written by refine; None if one of the two classes was not found.
        head_db: level predicted by the level head, whether or not the classes were found.
        flagged: the verdict is other than ``keep``.
    """

    track: str
    label: str
    into: str
    true_db: float
    told_db: float | None
    head_db: float
    flagged: bool


class Draws:
    """Copies of a clean dataset with planted faults, refined; everything is kept in a folder.

    Args:
        clean: the dataset.
        weights_uri: the classifier.
        work: the folder.
        name: of the kind of draw.
    """

    def __init__(self, clean: Path, weights_uri: str, work: Path, name: str) -> None:
        self.clean, self.uri, self.work, self.name = clean, weights_uri, work, name
        self.weights = weights.load(weights_uri)
        code = judging_code() + (Path(stemclean.__file__).parent / "regions.py").read_text()
        self.judged_by = f"{self.weights.sha256[:12]}-{hashlib.sha256(code.encode()).hexdigest()[:8]}"
        data, _ = layouts.load(clean, quiet=True)
        self._stems = [[stem.id, stem.sha256] for stem in data.stems]

    def draw(self, config: CorruptConfig) -> tuple[Manifest, Manifest, Path]:
        """One draw: refined, truth, and where the stems lie."""
        digest = hashlib.sha256(json.dumps([self._stems, config.to_dict()]).encode()).hexdigest()[:8]
        planted = self.work / f"{self.name}{config.seed}-{digest}"
        truth_path = planted / "truth.json"
        truth = manifest.read(truth_path) if truth_path.exists() else corrupt(self.clean, planted, config)
        output = self.work / f"{planted.name}-{self.judged_by}.refined.json"
        refined = manifest.read(output) if output.exists() else self._refine(truth, planted, output)
        if refined.skipped:
            raise RuntimeError(f"{refined.skipped[0].path} could not be judged: {refined.skipped[0].detail}")
        return refined, truth, planted

    def _refine(self, truth: Manifest, planted: Path, output: Path) -> Manifest:
        """Refine the stems as they claim to be: nothing that the truth says is shown."""
        part = output.with_suffix(".part.json")
        blank: Record = {"extra": {}, "regions": [], "levels_db": {}}
        stems = [stem.model_copy(update={"labels": stem.claimed, **blank}) for stem in truth.stems]
        manifest.write(
            truth.with_stems(stems, root=manifest.relative_root(planted, part), skipped=[], summary={}), part
        )
        return refine(part, output, CLASSIFIER_ONLY, weights_uri=self.uri)


def measure(draws: Draws, configs: Sequence[CorruptConfig]) -> Record:
    """Return every error, by level, by class and by kind of song."""
    head = Head(draws)
    by_seed = [bleeds(head, *draws.draw(config)) for config in configs]
    every = [bleed for draw_bleeds in by_seed for bleed in draw_bleeds]
    inside = [[bleed for bleed in draw_bleeds if in_range(bleed)] for draw_bleeds in by_seed]
    pooled = [bleed for draw_bleeds in inside for bleed in draw_bleeds]
    seeds = [errors(draw_bleeds) for draw_bleeds in inside]
    report: Record = {
        "all": errors(pooled),
        "sd_over_seeds": {name: spread(seeds, name) for name in ("error_db", "head_error_db")},
        "bands": by(every, lambda bleed: band(bleed.true_db)),
        "label": by(pooled, lambda bleed: bleed.label),
        "into": by(pooled, lambda bleed: bleed.into),
        "limits": {f"{limit:g}": limited(every, limit) for limit in LIMITS_DB},
    }
    for kind, prefix in KINDS.items():
        if prefix and any(bleed.track.startswith(prefix) for bleed in pooled):
            report[kind] = errors([bleed for bleed in pooled if bleed.track.startswith(prefix)])
    report["bleeds"] = [{key: rounded(value) for key, value in asdict(bleed).items()} for bleed in every]
    return report


class Head:
    """Levels that the level head predicts for a stem, whatever is found in it; kept by the file's SHA-256."""

    def __init__(self, draws: Draws) -> None:
        loaded = draws.weights
        self.labels: list[str] = loaded.card["spec"]["labels"]
        self.path = draws.work / f"levels-{draws.judged_by}.json"
        self.known: dict[str, dict[str, float]] = resumable.read(self.path)
        self._judge = Judge(loaded.model, level_calibration=LevelCalibration.of_card(loaded.card))

    def learn(self, stems: Sequence[Stem], folder: Path) -> None:
        """Judge the stems whose bytes are new.

        Raises:
            ConfigError: the weights have no level head.
        """
        new = [stem for stem in stems if stem.sha256 not in self.known]
        for stem in tqdm(new, "levels", unit="stem", disable=None):
            recording = self._judge.recording(folder / stem.path, stem.duration, stem.stream, mono=stem.channels == 1)
            levels_db = self._judge(recording).stem_levels()
            if np.isnan(levels_db).any():
                raise ConfigError("the weights tell no levels", "give weights that were trained with a level head")
            self.known[str(stem.sha256)] = {
                label: round(float(level), 3) for label, level in zip(self.labels, levels_db, strict=True)
            }
        if new:
            write_json(self.path, self.known)


def bleeds(head: Head, refined: Manifest, truth: Manifest, folder: Path) -> list[Bleed]:
    """Return the bleeds of a draw whose level is known."""
    by_id = {stem.id: stem for stem in refined.stems}
    planted = [stem for stem in truth.stems if bleed_level(stem, stem) is not None]
    head.learn(planted, folder)
    measured = []
    for stem in planted:
        label = stem.extra["bleed"]["label"]
        into = next(other for other in stem.labels if other != label)
        true_db, told_db = bleed_level(stem, stem), bleed_level(by_id[stem.id], stem)
        assert true_db is not None
        head_db = head.known[str(stem.sha256)]
        is_flagged = flagged(by_id[stem.id])
        measured.append(Bleed(stem.track, label, into, true_db, told_db, head_db[label] - head_db[into], is_flagged))
    return measured


def errors(bleeds: Sequence[Bleed]) -> Record:
    """Errors in dB over some bleeds.

    Returns:
        ``bleeds``, ``found``; ``error_db``, ``bias_db`` and ``mean_error_db`` over those found; ``head_error_db``,
        ``head_bias_db`` and ``head_mean_error_db`` over all.
    """
    found = [bleed for bleed in bleeds if bleed.told_db is not None]
    report: Record = {"bleeds": len(bleeds), "found": len(found)}
    for prefix, group, values in (
        ("", found, [bleed.told_db for bleed in found]),
        ("head_", list(bleeds), [bleed.head_db for bleed in bleeds]),
    ):
        true = np.array([bleed.true_db for bleed in group])
        off = np.array(values, np.float64) - true
        report |= {
            f"{prefix}error_db": mean(np.abs(off)),
            f"{prefix}bias_db": mean(off),
            f"{prefix}mean_error_db": mean(np.abs(true - true.mean())) if len(true) else None,
        }
    return report


def by(bleeds: Sequence[Bleed], group: Callable[[Bleed], str]) -> dict[str, Record]:
    """Errors by group."""
    groups: dict[str, list[Bleed]] = defaultdict(list)
    for bleed in bleeds:
        groups[group(bleed)].append(bleed)
    return {name: errors(members) for name, members in groups.items()}


def limited(bleeds: Sequence[Bleed], limit_db: float) -> Record:
    """Return the effect of ``--max-bleed-db`` on bleeds softer and louder than the limit.

    A stem is kept if it is not flagged, or if both classes were found and the predicted bleed is softer than the limit.
    """
    kept = [not b.flagged or (b.told_db is not None and b.told_db < limit_db) for b in bleeds]
    softer = [b.true_db < limit_db for b in bleeds]
    pairs = list(zip(softer, kept, strict=True))
    return {
        "softer": sum(softer),
        "softer_kept": sum(soft and keep for soft, keep in pairs),
        "louder": len(pairs) - sum(softer),
        "louder_flagged": sum(not soft and not keep for soft, keep in pairs),
    }


def in_range(bleed: Bleed) -> bool:
    """Return whether the level is within :data:`RANGE_DB`."""
    return RANGE_DB[0] <= bleed.true_db <= RANGE_DB[1]


def band(level_db: float) -> str:
    """``-10..-5``; what lies outside the range, in a band of its own; the upper end belongs to a band.

    >>> band(-7.0), band(0.0), band(-26.0), band(0.3)
    ('-10..-5', '-5..0', 'softer', 'louder')
    """
    if level_db < RANGE_DB[0]:
        return "softer"
    if level_db > RANGE_DB[1]:
        return "louder"
    high = max(int(np.ceil(level_db / BAND_DB)), int(RANGE_DB[0]) // BAND_DB + 1) * BAND_DB
    return f"{high - BAND_DB}..{high}"


def mean(values: np.ndarray) -> float | None:
    """Return the rounded mean; None for no values."""
    return round(float(values.mean()), 3) if len(values) else None


def spread(reports: Sequence[Record], name: str) -> float | None:
    """Standard deviation over the seeds."""
    values = [report[name] for report in reports if report[name] is not None]
    return round(float(np.std(values, ddof=1)), 3) if len(values) > 1 else None


def parser(text: str) -> argparse.ArgumentParser:
    """Return the command-line parser of a script that plants bleed."""
    options = argparse.ArgumentParser(description=text.splitlines()[0])
    options.add_argument("heldout", type=Path, metavar="HELDOUT")
    options.add_argument("output", type=Path, metavar="OUT.json")
    options.add_argument("--weights", default=weights.DEFAULT_CLASSIFIER, metavar="URI")
    options.add_argument("--seeds", type=int, default=5, metavar="N")
    options.add_argument("--bleed", type=float, default=0.6, metavar="SHARE", help="of the stems")
    options.add_argument("--bleed-db", type=levels, default=RANGE_DB, metavar="LOW:HIGH")
    options.add_argument("--work", type=Path, metavar="DIR")
    return options


def run(arguments: argparse.Namespace, name: str, measure: Callable[..., Record], **changes: Any) -> Record:
    """Draw, measure, and write the report.

    Args:
        name: of the draws.
        measure: draws and their configurations -> report.
        changes: to the configuration.
    """
    work = arguments.work or arguments.heldout.with_name(arguments.heldout.name + ".work")
    work.mkdir(parents=True, exist_ok=True)
    configs = [
        CorruptConfig(mislabel=0.0, bleed=arguments.bleed, bleed_db=arguments.bleed_db, seed=seed, **changes)
        for seed in range(arguments.seeds)
    ]
    draws = Draws(arguments.heldout, arguments.weights, work, name)
    report = measure(draws, configs)
    data, _ = layouts.load(arguments.heldout, quiet=True)
    report["data"] = describe(data, arguments.heldout)
    report["weights"] = describe_weights(draws.weights)
    report["config"] = {key: value for key, value in configs[0].to_dict().items() if key != "seed"} | {
        "seeds": arguments.seeds
    }
    write_json(arguments.output, report)
    return report


def main() -> None:
    """Command line."""
    options = parser(__doc__)
    arguments = options.parse_args()
    try:
        report = run(arguments, "levels", measure)
    except StemcleanError as error:
        options.error(str(error))
    print({name: report["all"][name] for name in ("bleeds", "found", "error_db", "mean_error_db", "head_error_db")})
    print(f"wrote {arguments.output}")


if __name__ == "__main__":
    main()
