"""What names say: the class of a file and the song that it belongs to.

Rules, none of which guesses:

* A file's class stands in the name of its folder, if that is a class and nothing else and a folder beside it is
  another class (``song/vocals/lead.wav`` beside ``song/drums/``), or the files in it do not mostly say otherwise; else
  in its own name (``Drums 2.flac``). A lone folder "Bass" that holds drums and vocals is a song.
* A file's song is its folder; the folder above, where the folder is a class.
* A folder holds several songs (``songname_drums.wav``) where the words before the class fall into groups and at
  least half of the groups hold two classes or more. A lone "big snare" beside a "small snare" makes no two songs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from stemclean.labels import MIXTURE, Profile

__all__ = ["by_folder", "common_folder", "folder_claims", "names", "tracks", "unclear"]


def names(path: Path) -> str:
    """A file's name without its endings: ``song`` for ``song.stem.mp4``."""
    return path.stem.removesuffix(".stem")


def folder_claims(in_folder: Mapping[Path, Sequence[Path]], profile: Profile) -> dict[Path, str | None]:
    """The class that each folder claims for the files in it; None where it claims none.

    Args:
        in_folder: folder -> its files.
        profile: the classes.
    """
    claims = {folder: profile.exact(folder.name) for folder in in_folder}
    beside: dict[Path, set[str]] = defaultdict(set)
    for folder, label in claims.items():
        if label is not None:
            beside[folder.parent].add(label)
    for folder, label in claims.items():
        if label is not None and len(beside[folder.parent]) == 1:
            objections = sum(profile.find(names(path)) not in (None, MIXTURE, label) for path in in_folder[folder])
            if objections * 2 >= max(1, len(in_folder[folder])):
                claims[folder] = None
    return claims


def unclear(name: str, profile: Profile) -> str:
    """Why a name tells no class, to be put after the name; empty where it tells one.

    >>> from stemclean.labels import FOUR_STEMS
    >>> unclear("stem 4", FOUR_STEMS), unclear("drums and bass", FOUR_STEMS)
    ('names no class', 'names 2 classes: bass, drums')
    """
    named = profile.named(name)
    if len(named) == 1:
        return ""
    return f"names {len(named)} classes: {', '.join(named)}" if named else "names no class"


def by_folder(files: Iterable[Path]) -> dict[Path, list[Path]]:
    """Folder -> the files in it."""
    found: dict[Path, list[Path]] = defaultdict(list)
    for file in files:
        found[file.parent].append(file)
    return dict(found)


def tracks(paths: Iterable[Path], root: Path, profile: Profile) -> dict[Path, str]:
    """The song of each file, as a POSIX path relative to ``root``; files in ``root`` itself take its name."""
    in_folder = by_folder(paths)
    claims = folder_claims(in_folder, profile)
    found: dict[Path, str] = {}
    for folder, files in in_folder.items():
        song_folder = folder.parent if folder != root and claims[folder] is not None else folder
        song = _relative(song_folder, root)
        several = _several_songs(files, profile)
        for path in files:
            name = several.get(path)
            prefix = "" if song_folder == root else f"{song}/"
            found[path] = song if name is None else prefix + name
    return found


def common_folder(paths: Sequence[Path]) -> Path:
    """The deepest folder that holds all of the files; a file system's own root where they have nothing in common."""
    folder = paths[0].parent
    for path in paths:
        while not path.is_relative_to(folder) and folder != folder.parent:
            folder = folder.parent
    return folder


def _relative(folder: Path, root: Path) -> str:
    if folder == root:
        return root.resolve().name or "."
    return folder.relative_to(root).as_posix()


def _several_songs(files: Sequence[Path], profile: Profile) -> dict[Path, str]:
    """File -> song, where a folder holds several; else nothing."""
    song_of = {path: profile.before(names(path)) for path in files if profile.find(names(path)) is not None}
    classes: dict[str, set[str]] = defaultdict(set)
    for path, song in song_of.items():
        label = profile.find(names(path))
        if song and label not in (None, MIXTURE):
            classes[song].add(str(label))
    full = sum(len(labels) > 1 for labels in classes.values())
    if len(classes) < 2 or full * 2 < len(classes):
        return {}
    return {path: song for path, song in song_of.items() if song in classes}
