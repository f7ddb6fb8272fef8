"""The verb ``report``: short summaries of manifests.

All functions but one are pure: they take a manifest and return objects that can be written as JSON. The command line
prints them as tables or, with ``--json``, as JSON. Times are in seconds.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stemclean import checks, duplicates
from stemclean.data.issues import turned_down
from stemclean.errors import SkipReason
from stemclean.manifest import Manifest, Skip, Stem, read_header
from stemclean.manifest_chunks import Chunk, in_chunks
from stemclean.running import Running
from stemclean.verdicts import bleeding_classes, least_bleed_db

__all__ = [
    "NO_FAILURE",
    "describe_checked",
    "describe_completed",
    "describe_dataset",
    "describe_exported",
    "describe_manifest",
    "describe_planted",
    "describe_refined",
    "describe_training",
    "describe_trimmed",
    "skips",
]

NO_FAILURE = frozenset({SkipReason.MIXTURE, SkipReason.SILENT})
"""Skip reasons that are not failures: the file was read, but it is not a stem or contains no sound."""


def skips(skipped: Iterable[Skip]) -> dict[str, Any]:
    """Summarise the files that were skipped.

    Returns:
        - ``failures``: those that *this* run could not use, each with ``path``, ``reason``, ``detail``. Recognised
          mixtures and silent stems are not failures.
        - ``mixtures``: number of mixtures that this run skipped.
        - ``skipped_before``: number of files that earlier runs skipped, for any reason (they have a ``by``).
    """
    skipped = list(skipped)
    fresh = [skip for skip in skipped if skip.by is None]
    return {
        "failures": [
            {"path": skip.path, "reason": skip.reason, "detail": skip.detail}
            for skip in fresh
            if skip.reason not in NO_FAILURE
        ],
        "mixtures": sum(skip.reason == SkipReason.MIXTURE for skip in fresh),
        "skipped_before": len(skipped) - len(fresh),
    }


def describe_refined(manifest: Manifest) -> dict[str, Any]:
    """Summarise the result of :func:`stemclean.refine.refine`.

    Returns:
        - ``stems``: number of stems; ``verdicts``: action -> number of stems.
        - ``classes``: class -> seconds ``claimed`` and ``kept`` (in stems that hold only this class).
        - ``findings``: the stems that are not as claimed, by label quality, lowest first, then by id. Silent stems come
          last, since they do no harm. Each has ``id``, ``path``, ``claimed``, ``found``, ``scores``,
          ``measured_db``, ``label_quality``, ``action``, ``reason``.
        - ``held_out``: the same for declared test and validation stems, whose labels are not changed.
        - ``rounds``: with ``--self``, the changes in each round, see :func:`stemclean.refining.rounds.bookkeeping`.
        - ``thresholds``: with ``--threshold adaptive``, see :func:`stemclean.refining.adaptive.resolve`.
        - ``decisions``: with ``--decisions``, how many fit, and those that do not, see
          :func:`stemclean.decisions.applied`.
        - ``noise``: estimated noise of the claims, see :data:`stemclean.refining.noise.KEYS`; None if it is unknown.
        - ``duplicates``: number of sounds that occur in several stems, see :func:`stemclean.duplicates.counted`.
        - ``issues``: issues that the checks found, see :func:`stemclean.checks.table`.
        - ``root``: the folder of the stems, relative to that of the manifest.
        - ``failures``, ``mixtures``, ``skipped_before``: see :func:`skips`.
    """
    summary, config = manifest.summary, manifest.created.config
    held_out = [stem for stem in manifest.stems if stem.verdict and stem.verdict.reason == "held_out"]
    return {
        "stems": summary["stems"],
        "verdicts": summary["verdicts"],
        "classes": summary["seconds"],
        "findings": _worst_first(
            [_finding(stem, config) for stem in manifest.stems if stem.verdict and stem.verdict.action != "keep"]
        ),
        "held_out": _worst_first([_finding(stem, config) for stem in held_out if stem.found != stem.claimed]),
        **{name: summary[name] for name in ("rounds", "thresholds", "decisions") if name in summary},
        "noise": summary.get("noise"),
        "duplicates": duplicates.counted(manifest.stems),
        "issues": checks.table(manifest.stems),
        "root": manifest.root,
        **skips(manifest.skipped),
    }


def describe_checked(manifest: Manifest) -> dict[str, Any]:
    """A short summary of the result of :func:`stemclean.check.check`.

    Returns:
        - ``stems``: number of stems; ``seconds``: their total duration; ``with_issues``: number of stems with an issue.
        - ``issues``: issues that the checks found, see :func:`stemclean.checks.table`.
        - ``root``: the folder of the stems, relative to that of the manifest.
        - ``failures``, ``mixtures``, ``skipped_before``: see :func:`skips`.
    """
    return {
        "stems": len(manifest.stems),
        "seconds": round(sum(stem.duration for stem in manifest.stems), 3),
        "with_issues": sum(bool(stem.issues) for stem in manifest.stems),
        "issues": checks.table(manifest.stems),
        "root": manifest.root,
        **skips(manifest.skipped),
    }


def describe_completed(manifest: Manifest) -> dict[str, Any]:
    """Summarise the result of :func:`stemclean.pseudo_label.pseudo_label`.

    Returns:
        - ``stems``: number of stems; ``root``, ``weights`` (``uri``, ``sha256``).
        - ``annotated``, ``pseudo_f0``, ``pseudo_vocals``, ``unsung``, ``left``: as in the summary of the manifest.
        - ``kept_in_float``: files of estimated voices that exceed full scale and were therefore written in float.
        - ``pseudo``: all pseudo labels, lowest confidence first: ``id`` of the stem, ``kind`` (``f0`` or ``vocals``),
          ``path``, ``confidence``.
        - the keys of :func:`skips`.
    """
    pseudo = [
        {"id": stem.id, "kind": "f0", "path": stem.f0.path, "confidence": stem.f0.confidence}
        for stem in manifest.stems
        if stem.f0 and not stem.f0.annotated
    ]
    pseudo += [
        {"id": stem.id, "kind": "vocals", "path": stem.path, "confidence": stem.estimated.confidence}
        for stem in manifest.stems
        if stem.estimated
    ]
    return {
        "stems": len(manifest.stems),
        "root": manifest.root,
        "weights": manifest.created.model.model_dump() if manifest.created.model else {},
        **manifest.summary,
        "kept_in_float": [
            stem.path
            for stem in manifest.stems
            if stem.estimated and any(issue.code == "kept_in_float" for issue in stem.issues)
        ],
        "pseudo": sorted(pseudo, key=lambda label: (label["confidence"] or 0.0, label["id"])),
        **skips(manifest.skipped),
    }


def describe_trimmed(manifest: Manifest) -> dict[str, Any]:
    """Summarise a trimmed manifest.

    Returns:
        ``stems``; ``classes``: class -> number of ``stems``, seconds ``before`` and ``after``; ``silent``: paths of
        stems in which this run found no sound; ``turned_down``: song -> gain in dB with which its stems were written,
        below 0 if one of them exceeded full scale; ``failures``, ``mixtures``, ``skipped_before``: see :func:`skips`.
    """
    classes: dict[str, dict[str, float]] = {
        label: {"stems": 0, "before": 0.0, "after": 0.0} for label in manifest.labels
    }
    for stem in manifest.stems:
        before = stem.source.num_samples / stem.source.sample_rate if stem.source else stem.duration
        after = before if stem.active is None else sum(end - start for start, end in stem.active)
        for label in stem.claimed:
            classes[label]["stems"] += 1
            classes[label]["before"] += before
            classes[label]["after"] += after
    return {
        "stems": len(manifest.stems),
        "classes": {label: _rounded(numbers) for label, numbers in classes.items()},
        "silent": [skip.path for skip in manifest.skipped if skip.reason == SkipReason.SILENT and skip.by is None],
        "turned_down": turned_down(manifest.stems),
        **skips(manifest.skipped),
    }


def describe_dataset(manifest: Manifest) -> dict[str, Any]:
    """A short summary of any manifest.

    Returns:
        - ``stems``, ``tracks``: numbers; ``seconds``: total duration; ``by``: program and command that wrote it.
        - ``classes``: class -> seconds of stems that claim it (``claimed``), and of stems that are not dropped and
          believed to hold it alone (``alone``) or together with other classes (``with_others``).
        - ``verdicts``, ``reasons``, ``splits``, ``sample_rates``, ``channels``, ``skipped`` (by reason): value ->
          number, the most frequent first; stems without a verdict or split are ``none``.
        - ``issues``: see :func:`stemclean.checks.table`.
    """
    tally = _Tally()
    tally.add(manifest.stems)
    return tally.described(manifest)


def describe_manifest(path: str | Path, *, running: Running = Running()) -> dict[str, Any]:
    """A short summary of any manifest, as :func:`describe_dataset` returns it.

    A ``.jsonl`` is read line by line, a large one by several processes.

    Args:
        path: the manifest.
        running: workers and progress.

    Raises:
        ManifestError: the manifest cannot be read.
    """
    path, whole = Path(path), _Tally()
    for part in in_chunks(path, _tally_of, processes=running.workers, title="stats", quiet=running.quiet):
        whole.join(part)
    return whole.described(read_header(path))


class _Tally:
    """Counts of stems, which can be taken in parts."""

    COUNTED = ("verdicts", "reasons", "splits", "sample_rates", "channels")

    def __init__(self) -> None:
        self.stems = 0
        self.seconds: defaultdict[tuple[str, str], float] = defaultdict(float)  # (kind, class) -> seconds
        self.tracks: set[str] = set()
        self.counts: dict[str, Counter[str]] = {name: Counter() for name in self.COUNTED}
        self.issues = checks.Tally()

    def add(self, stems: Sequence[Stem]) -> None:
        """Count some stems."""
        self.stems += len(stems)
        for stem in stems:
            self.issues.add(stem)
            self.tracks.add(stem.track or stem.id)
            self.seconds["all", ""] += stem.duration
            for label in stem.claimed:
                self.seconds["claimed", label] += stem.duration
            for label in stem.labels if stem.usable else ():
                self.seconds["alone" if stem.single else "with_others", label] += stem.duration
            verdict = stem.verdict
            values = (
                verdict.action if verdict else "none",
                verdict.reason if verdict else "none",
                stem.split or "none",
                stem.sample_rate,
                stem.channels,
            )
            for name, value in zip(self.COUNTED, values, strict=True):
                self.counts[name][str(value)] += 1

    def join(self, other: _Tally) -> None:
        """Add the counts of other stems."""
        self.stems += other.stems
        for key, seconds in other.seconds.items():
            self.seconds[key] += seconds
        self.tracks |= other.tracks
        for name, counts in other.counts.items():
            self.counts[name].update(counts)
        self.issues.join(other.issues)

    def described(self, header: Manifest) -> dict[str, Any]:
        """Return the summary; ``header`` may lack the stems."""

        def seconds(kind: str, label: str) -> float:
            return round(self.seconds[kind, label], 3) + 0.0

        skipped = Counter(str(skip.reason) for skip in header.skipped)
        return {
            "stems": self.stems,
            "tracks": len(self.tracks),
            "seconds": seconds("all", ""),
            "by": f"{header.created.by}, {header.created.command}",
            "classes": {
                label: {kind: seconds(kind, label) for kind in ("claimed", "alone", "with_others")}
                for label in header.labels
            },
            **{name: dict(counts.most_common()) for name, counts in self.counts.items()},
            "skipped": dict(skipped.most_common()),
            "issues": self.issues.table(),
        }


def _tally_of(chunk: Chunk) -> _Tally:
    tally = _Tally()
    tally.add([stem for _, _, stem in chunk.stems()])
    return tally


def describe_exported(exported: Mapping[str, Any]) -> dict[str, Any]:
    """Summarise an export.

    Args:
        exported: :meth:`stemclean.export.ExportReport.to_dict`.

    Returns:
        The same, with ``failures``, ``mixtures``, ``skipped_before`` (see :func:`skips`) instead of ``skipped``.
    """
    report = {key: value for key, value in exported.items() if key != "skipped"}
    return {**report, **skips(map(Skip.model_validate, exported["skipped"]))}


def describe_planted(truth: Manifest) -> dict[str, Any]:
    """Summarise the ground truth of a corrupted dataset.

    Returns:
        ``stems``; ``faults``: kind of fault -> number of stems (``none``: unchanged); ``turned_down``: as in
        :func:`describe_trimmed`; ``failures``, ``mixtures``, ``skipped_before``: see :func:`skips`.
    """
    return {
        "stems": len(truth.stems),
        "faults": truth.summary.get("faults", {}),
        "turned_down": turned_down(truth.stems),
        **skips(truth.skipped),
    }


def describe_training(card: Mapping[str, Any]) -> dict[str, Any]:
    """Summarise the result of :func:`stemclean.train_classifier.train_classifier`, without history and recipe.

    Returns:
        ``output``, ``labels``, ``parameters``, validation ``metrics``, ``data``, ``seconds``, ``wait_share``;
        ``published``: the URI on
        the hub, or None; ``failures``, ``mixtures``, ``skipped_before``: see :func:`skips`.
    """
    return {
        "output": card["output"],
        "published": card.get("published"),
        "labels": list(card["spec"]["labels"]),
        "parameters": card["parameters"],
        "metrics": dict(card["metrics"]["validation"]),
        "data": card["data"],
        "seconds": round(card["seconds"], 1),
        "wait_share": None if card["wait_share"] is None else round(card["wait_share"], 4),
        **skips(map(Skip.model_validate, card["skipped"])),
    }


def _finding(stem: Stem, config: Mapping[str, Any]) -> dict[str, Any]:
    assert stem.verdict is not None
    measured = bleeding_classes(stem, least_bleed_db(config.get("max_bleed_db")))
    return {
        "id": stem.id,
        "path": stem.path,
        "claimed": stem.claimed,
        "found": stem.found or [],
        "scores": stem.scores,
        "measured_db": {label: round(level, 1) + 0.0 for label, level in measured.items()},
        "label_quality": stem.verdict.label_quality,
        "action": stem.verdict.action,
        "reason": stem.verdict.reason,
    }


def _worst_first(findings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    def badness(finding: dict[str, Any]) -> tuple[bool, float, str]:
        quality = finding["label_quality"]
        return (finding["reason"] == "silent", 1.0 if quality is None else quality, finding["id"])

    return sorted(findings, key=badness)


def _rounded(numbers: dict[str, float]) -> dict[str, float]:
    return {key: round(number, 2) for key, number in numbers.items()}
