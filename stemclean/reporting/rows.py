"""What the page says about each stem, as compact JSON, and the order of the stems."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from stemclean.errors import visible
from stemclean.manifest import Stem

__all__ = ["DOUBTFUL", "LIMIT", "badness", "content_of", "flagged", "keys", "row", "url_of", "worst_first"]

LIMIT = 5000
"""Default number of stems that a page lists."""
DOUBTFUL = 0.5
"""Label quality below which a stem that is kept is listed among the flagged ones."""
PLAYABLE = frozenset(".wav .flac .ogg .oga .opus .mp3 .m4a .mp4 .aac .webm .weba".split())
"""Extensions of files that browsers play."""


def flagged(stem: Stem) -> bool:
    """Return whether a person should look at a stem: it is not simply kept, or there is a warning about it."""
    if stem.decision is not None or any(issue.severity != "note" for issue in stem.issues):
        return True
    if stem.verdict is None:
        return False
    quality = stem.verdict.label_quality
    differs = stem.found is not None and set(stem.found) != set(stem.claimed)
    return stem.verdict.action != "keep" or differs or (quality is not None and quality < DOUBTFUL)


def badness(stem: Stem) -> tuple[bool, bool, float, str]:
    """Return the key by which the page sorts: flagged stems first, by label quality, silent ones last of them."""
    quality = stem.verdict.label_quality if stem.verdict else None
    silent = stem.verdict is not None and stem.verdict.reason == "silent"
    return (not flagged(stem), silent, 1.0 if quality is None else quality, stem.id)


def worst_first(stems: Sequence[Stem]) -> list[Stem]:
    """Return the stems in the order of the page, see :func:`badness`."""
    return sorted(stems, key=badness)


def content_of(stem: Stem) -> str:
    """Return what tells the content of a stem's file: its checksum and stream; empty if there is no checksum."""
    return (stem.sha256 or "") + (f":{stem.stream}" if stem.stream and stem.sha256 else "")


def keys(stems: Iterable[Stem], repeated: Container[str] | None = None) -> dict[str, str]:
    """Return id -> key of the stem's content, by which a browser keeps its decision.

    The key is the checksum; the stream and, for copies, the id follow it where they are needed.

    Args:
        stems: the stems.
        repeated: contents that several stems of the dataset have; None: ``stems`` are the whole dataset.
    """
    stems = list(stems)
    if repeated is None:
        number = Counter(map(content_of, stems))
        repeated = {content for content, times in number.items() if times > 1}
    found = {}
    for stem in stems:
        content = content_of(stem)
        unknown = "?" + (f":{stem.stream}" if stem.stream else "")
        found[stem.id] = content if content and content not in repeated else f"{content or unknown}#{stem.id}"
    return found


def row(stem: Stem, key: str, labels: Sequence[str], url: str | None) -> dict[str, Any]:
    """Return what the page says about a stem. Names are made visible; the original ones are in ``raw`` if they differ.

    Args:
        stem: the stem.
        key: see :func:`keys`.
        labels: all classes; classes are written as their numbers.
        url: address of its file, relative to the page; None if a browser cannot play it from there.
    """
    number = {label: index for index, label in enumerate(labels)}

    def numbered(names: Sequence[str]) -> list[int]:
        return [number[name] for name in names if name in number]

    def levels(levels_db: dict[str, float]) -> dict[int, float]:
        return {number[name]: round(level, 1) for name, level in levels_db.items() if name in number}

    verdict = stem.verdict
    shown = {
        "key": key,
        "id": visible(stem.id),
        "raw": stem.id if visible(stem.id) != stem.id else None,
        "path": visible(stem.path),
        "track": visible(stem.track),
        "sha256": stem.sha256,
        "stream": stem.stream,
        "split": stem.split,
        "claimed": numbered(stem.claimed),
        "found": None if stem.found is None else numbered(stem.found),
        "labels": numbered(stem.labels),
        "scores": [round(stem.scores[label], 3) if label in stem.scores else None for label in labels],
        "levels": levels(stem.levels_db),
        "action": verdict.action if verdict else None,
        "reason": verdict.reason if verdict else None,
        "quality": verdict.label_quality if verdict else None,
        "flagged": flagged(stem),
        "seconds": round(stem.duration, 2),
        "rate": stem.sample_rate,
        "channels": stem.channels,
        "lufs": stem.loudness_lufs,
        "peak": stem.peak_dbfs,
        "issues": [[issue.code, issue.severity, visible(issue.detail)] for issue in stem.issues],
        "regions": [
            [round(region.start, 2), round(region.end, 2), numbered(region.labels), levels(region.levels_db)]
            for region in stem.regions
        ],
        "bleed": [
            {
                "from": visible(bleed.stem),
                "label": None if bleed.label is None else number.get(bleed.label),
                "db": round(bleed.level_db, 1),
                "spans": [[round(span.start, 1), round(span.end, 1), round(span.level_db, 1)] for span in bleed.spans],
            }
            for bleed in stem.crosstalk or []
        ],
        "decision": stem.decision.model_dump(include={"action", "labels", "note", "by"}) if stem.decision else None,
        "url": url,
    }
    return {name: value for name, value in shown.items() if value not in (None, [], {}, "")}


def url_of(stem: Stem, folder: Path, page: Path) -> str | None:
    """Return the address of a stem's file relative to the page; None if browsers cannot play it from there."""
    path = folder / stem.path
    if stem.stream or path.suffix.lower() not in PLAYABLE or not path.is_file():
        return None
    try:
        return quote(Path(os.path.relpath(path, page.parent)).as_posix())
    except ValueError:  # another drive
        return None
