"""What names say: the class of a file and the song that it belongs to.

Rules, none of which guesses:

* A file's class stands in its name (``Drums 2.flac``), else in the name of its folder, if that is a class and nothing
  else and no file in it says otherwise (``song/drums/0017.wav``).
* A file's song is its folder; the folder above, where the folder is a class.
* A folder holds several songs (``songname_drums.wav``) where the words before the class fall into groups and at
  least half of the groups hold two classes or more. A lone "big snare" beside a "small snare" makes no two songs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from stemclean.labels import MIXTURE, Profile

__all__ = ["common_folder", "label_of", "names", "speaks_for", "tracks"]


def names(path: Path) -> str:
    """A file's name without its endings: ``song`` for ``song.stem.mp4``."""
    return path.stem.removesuffix(".stem")


def speaks_for(folder: str, files: Sequence[Path], profile: Profile) -> str | None:
    """The class that a folder's name claims for the files in it; None where it claims none or they mostly object."""
    label = profile.exact(folder)
    if label is None:
        return None
    objections = sum(profile.find(names(path)) not in (None, MIXTURE, label) for path in files)
    return label if objections * 2 < len(files) or not files else None


def label_of(path: Path, folder_label: str | None, profile: Profile) -> str | None:
    """The class of a file: as its name says, else as its folder says."""
    return profile.find(names(path)) or folder_label


def tracks(paths: Iterable[Path], root: Path, profile: Profile) -> dict[Path, str]:
    """The song of each file, as a POSIX path relative to ``root``; files in ``root`` itself take its name."""
    by_folder: dict[Path, list[Path]] = defaultdict(list)
    for path in paths:
        by_folder[path.parent].append(path)
    found: dict[Path, str] = {}
    for folder, files in by_folder.items():
        claims = folder != root and speaks_for(folder.name, files, profile) is not None
        song_folder = folder.parent if claims else folder
        song = _relative(song_folder, root)
        several = _several_songs(files, profile)
        for path in files:
            name = several.get(path)
            prefix = "" if song_folder == root else f"{song}/"
            found[path] = song if name is None else prefix + name
    return found


def common_folder(paths: Sequence[Path]) -> Path:
    """The deepest folder that holds all of the files."""
    folder = paths[0].parent
    for path in paths:
        while not path.is_relative_to(folder):
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
