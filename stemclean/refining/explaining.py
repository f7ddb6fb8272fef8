"""Explain the verdict on a stem: the windows, scores, levels and measured bleed that it rests on. Ours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from stemclean.errors import ConfigError
from stemclean.manifest import Crosstalk, Stem, Verdict
from stemclean.models.calibration import Calibration
from stemclean.models.judge import Judgement
from stemclean.verdicts import VerdictReason, least_bleed_db

__all__ = ["NUM_WINDOWS", "Curves", "Explanation", "Window", "curves", "explain", "stem_named"]

NUM_WINDOWS = 3
"""Number of windows that an explanation shows."""


@dataclass(frozen=True)
class Window:
    """A window of a stem that is evidence for its verdict.

    Args:
        start, end: in seconds.
        label: the class that was found in it.
        score: its score there, in [0, 1].
        level_db: its level relative to the sound there; None if the weights estimate no levels.
        measured: the class is there by measured bleed alone, and so is its level.
    """

    start: float
    end: float
    label: str
    score: float
    level_db: float | None
    measured: bool = False


@dataclass(frozen=True)
class Curves:
    """Scores and levels of a stem over time, for a plot.

    Args:
        labels: the classes.
        hop: seconds between two values.
        scores: NaN in silence. Shape: (step, label)
        levels_db: relative to the sound there; NaN in silence or if unknown. Shape: (step, label)
    """

    labels: tuple[str, ...]
    hop: float
    scores: np.ndarray
    levels_db: np.ndarray


@dataclass(frozen=True)
class Explanation:
    """Why a stem has its verdict.

    Args:
        stem: its id.
        path: its file, relative to the root of the dataset.
        claimed, found: classes.
        verdict: what to do with it.
        rule: the rule that decided, in one sentence.
        reasons: what each class was found by, or why it was not found; one sentence each.
        scores: class -> score of the stem.
        limits: class -> score above which the class is present.
        windows: the strongest evidence first.
        bleed: measured bleed from other stems of the song, the loudest first.
        source_paths: id of a source of bleed -> its file.
    """

    stem: str
    path: str
    claimed: list[str]
    found: list[str]
    verdict: Verdict
    rule: str
    reasons: list[str]
    scores: dict[str, float]
    limits: dict[str, float]
    windows: list[Window]
    bleed: list[Crosstalk]
    source_paths: dict[str, str]

    def to_dict(self) -> dict[str, object]:
        """Return it as objects that can be written as JSON."""
        return {
            **{name: value for name, value in asdict(self).items() if name not in ("verdict", "bleed")},
            "verdict": self.verdict.model_dump(),
            "bleed": [bleed.model_dump() for bleed in self.bleed],
        }


def stem_named(stems: Sequence[Stem], name: str) -> Stem:
    """Return the stem with an id or a path.

    Raises:
        ConfigError: there is none, or several stems of that path, which are streams of one file.
    """
    named = [stem for stem in stems if stem.id == name] or [stem for stem in stems if stem.path == name]
    if len(named) == 1:
        return named[0]
    if named:
        raise ConfigError(f"{name} holds several stems", "name one: " + ", ".join(stem.id for stem in named))
    close = [stem.id for stem in stems if name.lower() in stem.id.lower()] or [stem.id for stem in stems]
    more = f" and {len(close) - 5} more" if len(close) > 5 else ""
    raise ConfigError(f"the dataset has no stem {name}", f"its stems: {', '.join(close[:5])}{more}")


def curves(judgement: Judgement, calibration: Calibration, labels: Sequence[str]) -> Curves:
    """Return the scores and levels of a judgement over time."""
    return Curves(
        tuple(labels),
        judgement.hop / judgement.sample_rate,
        calibration.of_windows(judgement.over_time()),
        judgement.levels_over_time(),
    )


def explain(
    stem: Stem,
    song: Sequence[Stem],
    judgement: Judgement,
    calibration: Calibration,
    limits: Mapping[str, float],
    max_bleed_db: float | None = None,
) -> Explanation:
    """Explain the verdict on a judged stem.

    Args:
        stem: the stem.
        song: the stems of its song.
        judgement: its scores over time.
        calibration: of these scores.
        limits: class -> score above which it is present in this stem.
        max_bleed_db: level below which bleed is tolerated.
    """
    assert stem.verdict is not None
    found = stem.found or []
    bleed = sorted(stem.crosstalk or [], key=lambda bleed: -bleed.level_db)
    paths = {other.id: other.path for other in song}
    return Explanation(
        stem.id,
        stem.path,
        stem.claimed,
        found,
        stem.verdict,
        _rule(stem, max_bleed_db),
        _reasons(stem, found, limits, least_bleed_db(max_bleed_db)),
        stem.scores,
        {label: round(limit, 4) for label, limit in limits.items()} if stem.scores else {},
        _windows(stem, found, limits, judgement, calibration) if stem.scores else [],
        bleed,
        {source.stem: paths[source.stem] for source in bleed if source.stem in paths},
    )


def _rule(stem: Stem, max_bleed_db: float | None) -> str:
    assert stem.verdict is not None
    reason = next(reason for reason in VerdictReason if reason.value == stem.verdict.reason)
    tolerated = (
        f" ({max_bleed_db:g} dB)" if reason is VerdictReason.BLEED_TOLERATED and max_bleed_db is not None else ""
    )
    return f"{stem.verdict.action}, since {reason.meaning}{tolerated}"


def _reasons(stem: Stem, found: Sequence[str], limits: Mapping[str, float], least_db: float) -> list[str]:
    """Return a sentence for each class that was found or claimed."""
    lines = []
    for label, score in stem.scores.items():
        sources = [bleed for bleed in stem.crosstalk or [] if bleed.label == label]
        claim = "claimed" if label in stem.claimed else "not claimed"
        above = score > limits[label]
        sentence = f"{label} ({claim}): score {score:.3f}, {'above' if above else 'not above'} {limits[label]:g}"
        if sources:
            measured = "; ".join(f"{bleed.level_db:g} dB from {bleed.stem}" for bleed in sources)
            sentence += f"; bleed measured at {measured}"
            if not above:
                sentence += ", which counts" if label in found else f", which counts from {least_db:g} dB on"
        if above or sources or label in stem.claimed:
            lines.append(sentence)
    return lines


def _windows(
    stem: Stem, found: Sequence[str], limits: Mapping[str, float], judgement: Judgement, calibration: Calibration
) -> list[Window]:
    """Return the strongest windows of the classes that decide; those of one class do not overlap.

    The deciding classes are the unclaimed ones that were found, or else the claimed ones. Windows of classes that the
    classifier found come first, by score; then those of classes that were only measured, by level.
    """
    labels, rate = list(stem.scores), judgement.sample_rate
    unclaimed = [label for label in found if label not in stem.claimed]
    deciding = unclaimed or [label for label in stem.claimed if label in labels]
    scores = calibration.of_windows(judgement.windows)
    levels_db = judgement.level_calibration(judgement.levels)
    candidates: list[tuple[bool, float, Window]] = []
    for label in deciding:
        column, only_measured = labels.index(label), label in unclaimed and stem.scores[label] <= limits[label]
        for index in np.flatnonzero(judgement.weights > 0).tolist():
            start = index * judgement.hop / rate
            end = min(index * judgement.hop + judgement.segment, judgement.num_samples) / rate
            score, level_db = float(scores[index, column]), float(levels_db[index, column])
            if only_measured:
                level_db = _measured_db(stem, label, (start + end) / 2)
            rank = level_db if only_measured else score
            if not np.isnan(rank):
                level = None if np.isnan(level_db) else round(level_db, 1) + 0.0
                window = Window(round(start, 3), round(end, 3), label, round(score, 4), level, measured=only_measured)
                candidates.append((not only_measured, rank, window))
    chosen: list[Window] = []
    for _, _, window in sorted(candidates, key=lambda candidate: candidate[:2], reverse=True):
        if all(window.label != other.label or max(window.start, other.start) >= min(window.end, other.end)
               for other in chosen):  # fmt: skip
            chosen.append(window)
    return chosen[:NUM_WINDOWS]


def _measured_db(stem: Stem, label: str, time: float) -> float:
    """Return the level of the measured bleed of a class at a time in seconds; NaN if there is none."""
    levels = [
        span.level_db
        for bleed in stem.crosstalk or []
        if bleed.label == label
        for span in bleed.spans
        if span.start <= time < span.end
    ]
    return max(levels, default=math.nan)
