"""Compare two manifests of a dataset, stem by stem and class by class: the ``diff`` verb."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stemclean import manifest
from stemclean.errors import ManifestError
from stemclean.manifest import Manifest, Stem
from stemclean.manifest_chunks import Chunk, in_chunks
from stemclean.running import Running

__all__ = ["COMPARED", "diff"]

COMPARED = ("claimed", "labels", "found", "split", "verdict", "reason", "issues")
"""Properties of stems that are compared; ``issues`` are their codes."""
LABELS = COMPARED.index("labels")

_Properties = tuple[Any, ...]
"""The properties of a stem, in the order of :data:`COMPARED`; lists are tuples."""


def diff(
    before: str | Path | Manifest, after: str | Path | Manifest, *, running: Running = Running(quiet=True)
) -> dict[str, Any]:
    """Compare two manifests.

    Stems correspond by their ids. Scores and qualities are not compared, because they differ in the last digit from
    machine to machine. A ``.jsonl`` is read line by line, a large one by several processes; only the compared
    properties are kept in memory.

    Args:
        before: a manifest.
        after: another one of the same dataset.
        running: workers and progress.

    Returns:
        - ``equal``: number of stems that are the same; ``removed``, ``added``: ids of stems that only one has.
        - ``changed``: the other stems, by id: ``id``, and for each property of :data:`COMPARED` that differs, the old
          and the new value.
        - ``classes``: class -> ``seconds_before``, ``seconds_after`` (stems with exactly this class that are not
          dropped), and the number of stems that ``gained`` and ``lost`` it.

    Raises:
        ManifestError: a manifest cannot be read, or contains an id twice.
    """
    labels = list(dict.fromkeys([*_labels(before), *_labels(after)]))
    seconds: tuple[dict[str, float], dict[str, float]] = (dict.fromkeys(labels, 0.0), dict.fromkeys(labels, 0.0))
    old: dict[str, _Properties] = {}
    shared: dict[_Properties, _Properties] = {}  # most stems have the same few properties
    for part in _parts(before, running):
        _add(seconds[0], part.seconds)
        for identity, properties in part.stems:
            if identity in old:
                raise _twice(before, identity)
            old[identity] = shared.setdefault(properties, properties)
    seen, added, changed = set[str](), list[str](), list[dict[str, Any]]()
    gained, lost = Counter[str](), Counter[str]()
    for part in _parts(after, running):
        _add(seconds[1], part.seconds)
        for identity, now in part.stems:
            if identity in seen:
                raise _twice(after, identity)
            seen.add(identity)
            then = old.get(identity)
            if then is None:
                added.append(identity)
            elif then != now:
                values = zip(COMPARED, then, now, strict=True)
                changed.append({"id": identity, **{key: [_value(a), _value(b)] for key, a, b in values if a != b}})
                gained.update(set(now[LABELS]) - set(then[LABELS]))
                lost.update(set(then[LABELS]) - set(now[LABELS]))
    return {
        "equal": len(seen) - len(added) - len(changed),
        "removed": sorted(old.keys() - seen),
        "added": sorted(added),
        "changed": sorted(changed, key=lambda stem: stem["id"]),
        "classes": {
            label: {
                "seconds_before": round(seconds[0][label], 3) + 0.0,
                "seconds_after": round(seconds[1][label], 3) + 0.0,
                "gained": gained[label],
                "lost": lost[label],
            }
            for label in labels
        },
    }


@dataclass
class _Part:
    """What is compared of some stems: id and properties of each, and the usable seconds of each class."""

    stems: list[tuple[str, _Properties]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


def _add(total: dict[str, float], part: dict[str, float]) -> None:
    for label, seconds in part.items():
        total[label] = total.get(label, 0.0) + seconds


def _parts(source: str | Path | Manifest, running: Running) -> Iterator[_Part]:
    if isinstance(source, Manifest):
        yield _part(source.stems)
        return
    path = Path(source)
    yield from in_chunks(path, _of_chunk, processes=running.workers, title=path.name, quiet=running.quiet)


def _labels(source: str | Path | Manifest) -> list[str]:
    return (source if isinstance(source, Manifest) else manifest.read_header(source)).labels


def _of_chunk(chunk: Chunk) -> _Part:
    return _part(stem for _, _, stem in chunk.stems())


def _part(stems: Iterable[Stem]) -> _Part:
    part = _Part()
    for stem in stems:
        part.stems.append((stem.id, _properties(stem)))
        if stem.usable and stem.single:
            for label in stem.labels:
                part.seconds[label] = part.seconds.get(label, 0.0) + stem.duration
    return part


def _properties(stem: Stem) -> _Properties:
    return (
        tuple(stem.claimed),
        tuple(stem.labels),
        None if stem.found is None else tuple(stem.found),
        stem.split,
        stem.verdict.action if stem.verdict else None,
        stem.verdict.reason if stem.verdict else None,
        tuple(sorted({issue.code for issue in stem.issues})),
    )


def _value(value: Any) -> Any:
    """Return the value of a property as it is reported."""
    return list(value) if isinstance(value, tuple) else value


def _twice(source: str | Path | Manifest, identity: str) -> ManifestError:
    name = "the manifest" if isinstance(source, Manifest) else source
    return ManifestError(f'{name}: two stems have the id "{identity}"', "remove or rename one of them")
