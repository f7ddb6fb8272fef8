"""Pair estimates of f0 with references, song by song, by name.

Rules:

* Each side is an f0 file, a folder of f0 files, or a manifest whose stems have ``f0``. In a folder, files count whose
  name marks them as f0 (:mod:`stemclean.layouts.f0_files`); if there are none, all files with the extension of one.
* The song of a file is its path without the extension and without the words ``f0`` and ``pitch``. Below a folder, a
  last part that means vocals or the mixture is ignored: ``song/f0.pv``, ``song/vocals.f0.csv`` and ``song.f0.csv`` all
  belong to ``song``.
* In a manifest of estimates, annotated f0 are ignored if there are estimated ones.
* Songs are paired in the same way as stems (:mod:`stemclean.evaluating.pairing`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from stemclean import layouts, manifest
from stemclean.audio import files
from stemclean.documents import json_of
from stemclean.errors import AudioError, ConfigError
from stemclean.evaluating.pairing import Failure, failure, pair_names
from stemclean.labels import FOUR_STEMS, MIXTURE
from stemclean.layouts import f0_files
from stemclean.layouts.accents import as_on_disk

__all__ = ["Label", "Pair", "pair"]

_LIKE_MANIFESTS = (".jsonl", ".jsonl.gz")


@dataclass(frozen=True)
class Label:
    """An f0 file.

    Args:
        path: the file.
        format: name of its format; None: detected from the content and the duration of the audio.
        sound: the audio file that it annotates, and its stream; None: unknown.
        song: name of the song within a file of several songs; None: unknown.
    """

    path: Path
    format: str | None = None
    sound: tuple[Path, int] | None = None
    song: str | None = None

    def duration(self) -> float | None:
        """Return the duration of the audio in seconds; None if there is none that can be read."""
        if not self.sound:
            return None
        try:
            return files.probe(*self.sound).duration
        except AudioError:
            return None


@dataclass(frozen=True)
class Pair:
    """The reference and the estimate of a song."""

    track: str
    reference: Label
    estimate: Label


def pair(reference: Path, estimate: Path) -> tuple[list[Pair], list[Failure]]:
    """Return the songs that can be evaluated, in the order of the references, and failures for everything else.

    Raises:
        ConfigError: no such file or folder, no f0 in it, or no song on both sides.
        ManifestError: a broken manifest.
    """
    failures: list[Failure] = []
    true, estimated = _labels(reference, failures), _labels(estimate, failures, estimated=True)
    names = pair_names(list(true), list(estimated))
    if not names:
        raise ConfigError(
            "no song has both a reference and an estimate",
            f'songs are named like "{next(iter(true))}" in the references '
            f'and "{next(iter(estimated))}" in the estimates;\n'
            "the estimate of REFERENCE/SONG/f0.pv must be ESTIMATE/SONG.f0.csv or ESTIMATE/SONG/f0.csv",
        )
    failures += [failure(track, "missing_track") for track in true if track not in names]
    failures += [failure(track, "extra_track") for track in estimated if track not in names.values()]
    return [Pair(track, true[track], estimated[names[track]]) for track in true if track in names], failures


def _labels(path: Path, failures: list[Failure], *, estimated: bool = False) -> dict[str, Label]:
    """Return song -> f0 file on one side."""
    if not path.exists():
        raise ConfigError(f"no such file or folder: {path}", "give an f0 file, a folder of f0 files, or a manifest")
    source = next((path / name for name in layouts.MANIFEST_NAMES if (path / name).is_file()), path)
    if source.is_file():
        if not _is_manifest(source):
            relative = PurePosixPath(path.resolve().parent.name, path.name)  # f0.pv has the name of its folder
            song = path.stem if f0_files.called(path) else _song(relative)
            return {song: Label(path, sound=f0_files.sound_of(path, FOUR_STEMS), song=song)}
        labels = _manifest_labels(source, estimated=estimated)
    else:
        labels = _folder_labels(path, failures)
    if not labels:
        raise ConfigError(f"{path}: no f0 in it", "f0 files have names like f0.pv, SONG.pv or SONG.f0.csv")
    return labels


def _is_manifest(path: Path) -> bool:
    """Return whether a file is a manifest rather than an annotation of notes, which may be JSON too."""
    if path.name.endswith(_LIKE_MANIFESTS):
        return True
    if path.suffix != ".json":
        return False
    try:
        document = json_of(path.read_text(encoding="utf-8-sig"))
    except (ValueError, OSError):
        return False
    return isinstance(document, dict) and ("schema" in document or "stems" in document)


def _manifest_labels(path: Path, *, estimated: bool) -> dict[str, Label]:
    data = manifest.read(path)
    folder = data.folder(path)
    stems = [(stem, stem.f0) for stem in as_on_disk(data.stems, folder) if stem.f0]
    if estimated and not all(f0.annotated for _, f0 in stems):
        stems = [(stem, f0) for stem, f0 in stems if not f0.annotated]
    per_track = Counter(stem.track for stem, _ in stems)
    return {
        stem.track if per_track[stem.track] == 1 else stem.id: Label(
            folder / f0.path, f0.format, (folder / stem.path, stem.stream), _last(stem.track)
        )
        for stem, f0 in stems
    }


def _folder_labels(folder: Path, failures: list[Failure]) -> dict[str, Label]:
    paths = sorted(path for path in folder.rglob("*") if f0_files.may_be(path) and path.is_file())
    marked = [path for path in paths if f0_files.says_so(path)]
    labels: dict[str, Label] = {}
    for path in marked or paths:
        song = _song(PurePosixPath(path.relative_to(folder).as_posix()))
        if song in labels:
            detail = f"{song} is read from {labels[song].path}"
            failures.append(failure(path.as_posix(), "extra_file", detail))
        else:
            labels[song] = Label(path, sound=f0_files.sound_of(path, FOUR_STEMS), song=_last(song))
    return labels


def _last(song: str) -> str:
    """Return a song's name without its folders."""
    return song.rpartition("/")[2]


def _song(path: PurePosixPath) -> str:
    """Return the song of an f0 file, from its path."""
    name = f0_files.called(Path(path.name))
    names_song = name and FOUR_STEMS.exact(name) not in (f0_files.SUNG, MIXTURE)
    if len(path.parts) == 1:
        return name or path.stem
    return (path.parent / name if names_song else path.parent).as_posix()
