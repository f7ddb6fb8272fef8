"""Join manifests, shards of one dataset or several datasets, into one: the ``merge`` verb."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any

from stemclean import __version__, manifest
from stemclean.disk import writing
from stemclean.errors import ConfigError
from stemclean.manifest import Created, Manifest, Model, Skip, Stem
from stemclean.manifest_chunks import LARGE, Chunk, in_chunks
from stemclean.models import addresses
from stemclean.outputs import check_writable, only_writer
from stemclean.plans import Plan, Product, Speed, free_bytes
from stemclean.refining.noise import noise
from stemclean.refining.summary import Counter
from stemclean.running import Running

__all__ = ["merge", "plan_merge"]

ZIPPED = 5
"""Approximate factor by which gzip shrinks a manifest."""

_Json = dict[str, Any]
_dumps = partial(json.dumps, sort_keys=True, allow_nan=False, ensure_ascii=False)


def merge(
    paths: Sequence[str | Path],
    output: str | Path,
    *,
    rename: bool = False,
    allow_differences: bool = False,
    running: Running = Running(),
) -> dict[str, Any]:
    """Join manifests into one, whose stems are sorted by id; the order of the manifests does not matter.

    Paths become relative to the deepest folder that contains the stems of all manifests. A stem that several manifests
    contain in exactly the same way is written once. The summary of ``refine`` is computed again from the stems; its
    estimate of label noise only for manifests below :data:`~stemclean.manifest_chunks.LARGE` bytes in all, judged by
    one set of bundled weights. Manifests in JSON lines are read line by line, large ones by several processes.

    Args:
        paths: the manifests.
        output: the manifest to write (``.json``, ``.jsonl``, ``.jsonl.gz``).
        rename: put the name of the folder of its stems before ids and songs, so that datasets with equal names can be
            joined.
        allow_differences: join manifests of different classes, weights or settings, too. The classes are those of all;
            settings and weights are recorded only where all agree.
        running: workers and progress.

    Returns:
        ``output``; ``manifests``: number of them; ``stems``; ``seconds``: total duration; ``repeated``: number of
        stems that were in several manifests; ``labels``; ``root``; ``skipped``: number of files that earlier commands
        skipped; ``noise_estimated``: whether the summary has an estimate of label noise.

    Raises:
        ConfigError: no manifest, or the manifests contradict each other.
        ManifestError: a manifest cannot be read.
    """
    output = manifest.check_output(output)
    inputs = _inputs(paths, output)
    if not allow_differences:
        _refuse_differences(inputs)
    with only_writer(output), writing(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output.parent) as spool:
            root = _common_root([source.folder for source in inputs])
            labels = list(dict.fromkeys(label for source in inputs for label in source.header.labels))
            refined = all(source.header.created.command == "refine" for source in inputs)
            small = sum(source.path.stat().st_size for source in inputs) < LARGE
            card = _card_of(inputs) if refined and small else None
            gathered, judged = _Gathered(spool, labels), dict[str, Stem]()
            for source in inputs:
                place = source.folder.relative_to(root).as_posix()
                work = partial(_of_chunk, place=place, rename=rename, labels=labels, estimate=card is not None)
                parts = in_chunks(
                    source.path, work, processes=running.workers, title=source.path.name, quiet=running.quiet
                )
                for part in parts:
                    gathered.add(part, source)
                    judged.update((stem.id, stem) for stem in part.stems)
            skipped, summary = _skipped(inputs, root), dict[str, Any]()
            if refined:
                stems = [judged[identity] for identity in sorted(judged)]
                estimate = noise(stems, labels, [card]) if card else None
                summary = {**gathered.counter.summary(len(skipped)), "noise": estimate}
            header = Manifest(
                created=_created(inputs, output),
                labels=labels,
                root=manifest.relative_root(root, output),
                skipped=skipped,
                summary=summary,
            )
            _write(header, gathered.sorted_lines(), output)
    return {
        "output": str(output),
        "manifests": len(inputs),
        "stems": len(gathered.places),
        "seconds": round(gathered.seconds, 3),
        "repeated": gathered.repeated,
        "labels": labels,
        "root": header.root,
        "skipped": len(skipped),
        "noise_estimated": bool(summary.get("noise")),
    }


def plan_merge(
    paths: Sequence[str | Path],
    output: str | Path,
    *,
    rename: bool = False,
    allow_differences: bool = False,
    running: Running = Running(),
) -> Plan:
    """Return what :func:`merge` would do with the same arguments, after the same checks; nothing is written.

    All stems are read, because only that shows whether manifests contradict each other.
    """
    output = manifest.check_output(output)
    inputs = _inputs(paths, output)
    if not allow_differences:
        _refuse_differences(inputs)
    check_writable(output)
    root = _common_root([source.folder for source in inputs])
    labels = list(dict.fromkeys(label for source in inputs for label in source.header.labels))
    gathered = _Gathered(None, labels)
    started = time.monotonic()
    for source in inputs:
        place = source.folder.relative_to(root).as_posix()
        work = partial(_of_chunk, place=place, rename=rename, labels=labels, estimate=False)
        for part in in_chunks(
            source.path, work, processes=running.workers, title=source.path.name, quiet=running.quiet
        ):
            gathered.add(part, source)
    elapsed = max(time.monotonic() - started, 1e-3)
    size = gathered.num_bytes // (ZIPPED if output.suffix == ".gz" else 1)
    return Plan(
        command="merge",
        source=root,
        num_stems=len(gathered.places),
        num_tracks=len(gathered.sources),
        seconds=gathered.seconds,
        products=[Product(output, 1, size)],
        free_bytes=free_bytes(output),
        run_seconds=elapsed,
        speed=Speed(max(gathered.seconds, 1e-3) / elapsed, len(inputs)),
        figures={"manifests": len(inputs), "repeated": gathered.repeated},
    )


@dataclass(frozen=True)
class _Source:
    """A manifest to be joined: its path, header, and the folder of its stems, as an absolute path."""

    path: Path
    header: Manifest
    folder: Path

    @property
    def models(self) -> list[Model]:
        created = self.header.created
        return created.models or ([created.model] if created.model else [])


def _inputs(paths: Sequence[str | Path], output: Path) -> list[_Source]:
    """Return the manifests in an order that does not depend on that of the paths."""
    if not paths:
        raise ConfigError("no manifest to merge", "name the manifests to join")
    found: dict[Path, _Source] = {}
    for path in map(Path, paths):
        header = manifest.read_header(path)
        if path.resolve() in found:
            raise ConfigError(f"{path} is given twice", "name every manifest once")
        if path.resolve() == output.resolve():
            raise ConfigError(f"{path} is both input and output", "choose another output with -o")
        found[path.resolve()] = _Source(path, header, header.folder(path).resolve())
    return [found[path] for path in sorted(found)]


def _refuse_differences(inputs: Sequence[_Source]) -> None:
    first, *others = inputs
    for other in others:
        mine, theirs = first.header, other.header
        for name, here, there, differ in (
            ("classes", ", ".join(mine.labels), ", ".join(theirs.labels), mine.labels != theirs.labels),
            ("commands", mine.created.command, theirs.created.command, mine.created.command != theirs.created.command),
            ("weights", _weights(first), _weights(other), first.models != other.models),
            (
                "settings",
                _differing(mine.created.config, theirs.created.config),
                _differing(theirs.created.config, mine.created.config),
                mine.created.config != theirs.created.config,
            ),
        ):
            if differ:
                raise ConfigError(
                    f"{first.path} and {other.path} have different {name}: {here or 'none'}; {there or 'none'}",
                    "run the same command with the same options on both, or join them as they are: --allow-differences",
                )


def _weights(source: _Source) -> str:
    return ", ".join(model.uri + (f" ({model.sha256[:12]})" if model.sha256 else "") for model in source.models)


def _differing(config: _Json, other: _Json) -> str:
    """Return the settings of a run that differ from those of another."""
    return ", ".join(f"{key}={value}" for key, value in sorted(config.items()) if other.get(key, ...) != value)


def _common_root(folders: Sequence[Path]) -> Path:
    try:
        return Path(os.path.commonpath(folders))
    except ValueError:  # on several drives of Windows
        raise ConfigError("the stems are on different drives", "move them to one drive") from None


@dataclass
class _Part:
    """What a chunk adds: id, song and line of each stem, counts, total duration, and stems for the noise estimate."""

    counter: Counter
    seconds: float = 0.0
    lines: list[tuple[str, str, bytes]] = field(default_factory=list)
    stems: list[Stem] = field(default_factory=list)


def _of_chunk(chunk: Chunk, place: str, rename: bool, labels: Sequence[str], estimate: bool) -> _Part:
    part = _Part(Counter(labels))
    for _, document, stem in chunk.stems():
        moved = _moved(document, place, rename)
        part.counter.add(stem)
        part.seconds += stem.duration
        part.lines.append((moved["id"], moved["track"], _dumps(moved).encode() + b"\n"))
        if estimate:
            crosstalk = [
                bleed.model_copy(update={"stem": _renamed(bleed.stem, place, rename)}) for bleed in stem.crosstalk or ()
            ]
            changes = {"id": moved["id"], "track": moved["track"], "regions": [], "active": None, "issues": []}
            if stem.crosstalk is not None:
                changes["crosstalk"] = crosstalk
            part.stems.append(stem.model_copy(update=changes))
    return part


def _moved(document: _Json, place: str, rename: bool) -> _Json:
    """Return a stem as it is written, with paths relative to the common folder and, with ``rename``, other names."""
    if place == ".":
        return document
    document = {**document, "path": _below(place, document["path"])}
    for key in ("f0", "source"):
        if document.get(key):
            document[key] = {**document[key], "path": _below(place, document[key]["path"])}
    if rename:
        for key in ("id", "track", "same_sound"):
            if document.get(key):
                document[key] = _renamed(document[key], place, rename)
        if document.get("crosstalk"):
            document["crosstalk"] = [
                {**bleed, "stem": _renamed(bleed["stem"], place, rename)} for bleed in document["crosstalk"]
            ]
    return document


def _renamed(name: str, place: str, rename: bool) -> str:
    return f"{place}/{name}" if rename and place != "." else name


def _below(place: str, path: str) -> str:
    """Return a path that is relative to a folder, relative to the common one."""
    return path if PurePosixPath(path).is_absolute() else os.path.normpath(f"{place}/{path}").replace(os.sep, "/")


class _Gathered:
    """The lines of all stems, in a temporary file, and where each begins.

    Args:
        spool: the temporary file; None: keep only a checksum of each line.
        labels: the classes of all manifests.
    """

    def __init__(self, spool: IO[bytes] | None, labels: Sequence[str]) -> None:
        self.spool = spool
        self.counter = Counter(labels)
        self.places: dict[str, tuple[int, int] | bytes] = {}  # id -> offset and length, or checksum
        self.sources: dict[str, _Source] = {}  # song -> manifest that has it
        self.seconds = 0.0
        self.repeated = 0
        self._end = 0

    def add(self, part: _Part, source: _Source) -> None:
        """Add the stems of a chunk of a manifest.

        Raises:
            ConfigError: another manifest has a stem with the same id but other content, or a song with the same name
                in another folder.
        """
        self.counter.join(part.counter)
        self.seconds += part.seconds
        for identity, track, line in part.lines:
            first = self.sources.setdefault(track, source)
            if identity in self.places:
                if not self._holds(identity, line):
                    raise _conflict("stem", identity, first, source)
                stem = Stem.model_validate(json.loads(line))
                self.counter.add(stem, -1)
                self.seconds -= stem.duration
                self.repeated += 1
                continue
            if first.folder != source.folder:
                raise _conflict("song", track, first, source)
            self.places[identity] = self._put(line)

    @property
    def num_bytes(self) -> int:
        """Size of all lines."""
        return self._end

    def _put(self, line: bytes) -> tuple[int, int] | bytes:
        start = self._end
        self._end += len(line)
        if self.spool is None:
            return _checksum(line)
        self.spool.seek(start)
        return start, self.spool.write(line)

    def _holds(self, identity: str, line: bytes) -> bool:
        """Return whether the line of a stem is this one."""
        return self.places[identity] == _checksum(line) if self.spool is None else self._line(identity) == line

    def _line(self, identity: str) -> bytes:
        place = self.places[identity]
        assert self.spool is not None
        assert not isinstance(place, bytes)
        self.spool.seek(place[0])
        return self.spool.read(place[1])

    def sorted_lines(self) -> Iterator[bytes]:
        """Yield the lines, sorted by the ids of their stems."""
        for identity in sorted(self.places):
            yield self._line(identity)


def _checksum(line: bytes) -> bytes:
    return hashlib.sha256(line).digest()


def _conflict(kind: str, name: str, first: _Source, second: _Source) -> ConfigError:
    if first.path == second.path:
        return ConfigError(f'{first.path}: the {kind} "{name}" occurs twice', "remove or rename one of them")
    if first.folder != second.folder:
        return ConfigError(
            f'{first.path} and {second.path} both have a {kind} "{name}", in different folders',
            "put the names of the folders before ids and songs: --rename",
        )
    return ConfigError(
        f'{first.path} and {second.path} both have the {kind} "{name}", with different content',
        f"look at the differences (stemclean diff {first.path} {second.path}), and merge only one of them",
    )


def _skipped(inputs: Sequence[_Source], root: Path) -> list[Skip]:
    """Return the files that were skipped, each once, with the command that skipped it."""
    found: dict[str, Skip] = {}
    for source in inputs:
        place = source.folder.relative_to(root).as_posix()
        for skip in source.header.skipped:
            path = skip.path if place == "." else _below(place, skip.path)
            moved = skip.model_copy(update={"path": path, "by": skip.by or source.header.created.command})
            found.setdefault(moved.model_dump_json(), moved)
    return sorted(found.values(), key=lambda skip: (skip.path, skip.reason, skip.detail))


def _created(inputs: Sequence[_Source], output: Path) -> Created:
    """Return the origin of the joined manifest; settings and weights are those in which all agree."""
    first, *others = inputs
    config = {
        key: value
        for key, value in first.header.created.config.items()
        if all(other.header.created.config.get(key, ...) == value for other in others)
    }
    same = all(other.models == first.models for other in others)
    created = first.header.created
    return Created(
        by=f"stemclean {__version__}",
        command="merge",
        config=config,
        inputs=[manifest.input_of(source.path, output) for source in inputs],
        model=created.model if same else None,
        models=created.models if same else [],
    )


def _card_of(inputs: Sequence[_Source]) -> _Json | None:
    """Return the card of the weights that judged all stems; None if they differ or are not bundled."""
    first, *others = inputs
    known = len(first.models) == 1 and first.models[0].uri.startswith("bundled:")
    if not known or any(other.models != first.models or other.header.labels != first.header.labels for other in others):
        return None
    if not all(source.header.created.config.get("calibrated", True) for source in inputs):
        return None
    from stemclean.models.weights import read_card  # with torch

    path, _ = addresses.resolve(first.models[0].uri)
    return read_card(path) if manifest.file_sha256(path) == first.models[0].sha256 else None


def _write(header: Manifest, lines: Iterator[bytes], output: Path) -> None:
    """Write the manifest, in JSON lines without holding it in memory."""
    if not manifest.is_lines(output):
        stems = [Stem.model_validate(json.loads(line)) for line in lines]
        manifest.write(header.with_stems(stems), output)
        return
    manifest.write_lines(header, lines, output)
