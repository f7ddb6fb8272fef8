"""Which estimate of f0 belongs to which reference: song by song, by name.

Rules:

* A side is a file of f0, a folder of them, or a manifest whose stems have ``f0``. In a folder the files count that say
  by their name that they are f0 (:mod:`stemclean.layouts.f0_files`); if none does, all that end like one.
* A file's song is its path without the ending and without the words ``f0`` and ``pitch``; below a folder, a last part
  that means vocals or the mixture says nothing: ``song/f0.pv``, ``song/vocals.f0.csv`` and ``song.f0.csv`` are of
  ``song``.
* In a manifest of estimates, f0 that came with the dataset are passed over if there are estimated ones.
* Songs are paired as stems are (:mod:`stemclean.evaluating.pairing`).
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
    """A file of f0.

    Args:
        path: the file.
        format: its name; None: told from what stands in it, and from the sound's length.
        sound: the audio file that it speaks of, and its stream; None: not known.
        song: what the song is called where the file speaks of many; None: not known.
    """

    path: Path
    format: str | None = None
    sound: tuple[Path, int] | None = None
    song: str | None = None

    def duration(self) -> float | None:
        """Seconds of the sound; None where there is none that can be read."""
        if not self.sound:
            return None
        try:
            return files.probe(*self.sound).duration
        except AudioError:
            return None


@dataclass(frozen=True)
class Pair:
    """A song's f0 twice."""

    track: str
    reference: Label
    estimate: Label


def pair(reference: Path, estimate: Path) -> tuple[list[Pair], list[Failure]]:
    """The songs that can be evaluated, in the order of the references, and all that is left over.

    Raises:
        ConfigError: no such file or folder, no f0 in it, or no song that both sides have.
        ManifestError: a broken manifest.
    """
    failures: list[Failure] = []
    true, given = _labels(reference, failures), _labels(estimate, failures, estimated=True)
    names = pair_names(list(true), list(given))
    if not names:
        raise ConfigError(
            "no song has both a reference and an estimate",
            f'songs are called "{next(iter(true))}" there and "{next(iter(given))}" here;\n'
            "the estimate of REFERENCE/SONG/f0.pv is looked for in ESTIMATE/SONG.f0.csv or ESTIMATE/SONG/f0.csv",
        )
    failures += [failure(track, "missing_track") for track in true if track not in names]
    failures += [failure(track, "extra_track") for track in given if track not in names.values()]
    return [Pair(track, true[track], given[names[track]]) for track in true if track in names], failures


def _labels(path: Path, failures: list[Failure], *, estimated: bool = False) -> dict[str, Label]:
    """Song -> its label on one side."""
    if not path.exists():
        raise ConfigError(f"no such file or folder: {path}", "give a file of f0, a folder of them, or a manifest")
    inside = next((path / name for name in layouts.MANIFEST_NAMES if (path / name).is_file()), path)
    if inside.is_file():
        if not _is_manifest(inside):
            whole = PurePosixPath(path.resolve().parent.name, path.name)  # f0.pv is called like its folder
            song = path.stem if f0_files.called(path) else _song(whole)
            return {song: Label(path, sound=f0_files.sound_of(path, FOUR_STEMS), song=song)}
        found = _of_manifest(inside, estimated=estimated)
    else:
        found = _of_folder(path, failures)
    if not found:
        raise ConfigError(f"{path}: no f0 in it", "f0 stands in files called like f0.pv, SONG.pv or SONG.f0.csv")
    return found


def _is_manifest(path: Path) -> bool:
    """Whether a file is a manifest and no label of notes, which may be JSON too."""
    if path.name.endswith(_LIKE_MANIFESTS):
        return True
    if path.suffix != ".json":
        return False
    try:
        document = json_of(path.read_text(encoding="utf-8-sig"))
    except (ValueError, OSError):
        return False
    return isinstance(document, dict) and ("schema" in document or "stems" in document)


def _of_manifest(path: Path, *, estimated: bool) -> dict[str, Label]:
    data = manifest.read(path)
    folder = data.folder(path)
    stems = [(stem, stem.f0) for stem in as_on_disk(data.stems, folder) if stem.f0]
    if estimated and not all(f0.annotated for _, f0 in stems):
        stems = [(stem, f0) for stem, f0 in stems if not f0.annotated]
    times = Counter(stem.track for stem, _ in stems)
    return {
        stem.track if times[stem.track] == 1 else stem.id: Label(
            folder / f0.path, f0.format, (folder / stem.path, stem.stream), _last(stem.track)
        )
        for stem, f0 in stems
    }


def _of_folder(folder: Path, failures: list[Failure]) -> dict[str, Label]:
    paths = sorted(path for path in folder.rglob("*") if f0_files.may_be(path) and path.is_file())
    said = [path for path in paths if f0_files.says_so(path)]
    found: dict[str, Label] = {}
    for path in said or paths:
        song = _song(PurePosixPath(path.relative_to(folder).as_posix()))
        if song in found:
            detail = f"{song} is read from {found[song].path}"
            failures.append(failure(path.as_posix(), "extra_file", detail))
        else:
            found[song] = Label(path, sound=f0_files.sound_of(path, FOUR_STEMS), song=_last(song))
    return found


def _last(song: str) -> str:
    """A song's own name, without the folders above it."""
    return song.rpartition("/")[2]


def _song(path: PurePosixPath) -> str:
    """The song that a label is of, by its path."""
    name = f0_files.called(Path(path.name))
    known = name and FOUR_STEMS.exact(name) not in (f0_files.SUNG, MIXTURE)
    if len(path.parts) == 1:
        return name or path.stem
    return (path.parent / name if known else path.parent).as_posix()
