"""What names say: the class of a file and the song that it belongs to.

Rules, none of which guesses:

* A file's class stands in the name of its folder, if that is a class and nothing else, and the files in it do not
  mostly say otherwise (``song/vocals/lead.wav``); else in its own name (``Drums 2.flac``). A folder "Bass" that holds
  drums and vocals is a song. What a folder says that is no class, such as "no_drums", goes for its files too. What a
  name says against its folder is settled in :mod:`stemclean.layouts.contradictions`.
* Words of the song's title tell nothing: those that the folders above have too (``Piano Man/Piano Man_mix.wav``), and
  those that all files of a song share, unless they are a class and nothing else, and no file names another
  (``Drums kick.wav`` and ``Drums snare.wav``), or all that differs are numbers and takes (``Wobble Bass 1.wav`` and
  ``Wobble Bass 2.wav``).
* A file's song is its folder; the folder above, where the folder is a class.
* A folder holds several songs (``songname_drums.wav``) where the words before the class fall into groups and at
  least half of the groups hold two classes or more. A lone "big snare" beside a "small snare" makes no two songs.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from pathlib import Path

from stemclean.labels import MIXTURE, Profile, Reading
from stemclean.labels.reading import phrase
from stemclean.labels.splitting import Word, cut, normal
from stemclean.labels.words import CONNECTORS
from stemclean.layouts.contradictions import names_another
from stemclean.layouts.walk import names

__all__ = ["by_folder", "common_folder", "folder_claims", "names", "readings", "song_in", "tracks", "unclear"]


_JOINING = CONNECTORS | {"+", "&"}


def folder_claims(in_folder: Mapping[Path, Sequence[Path]], profile: Profile) -> dict[Path, Reading | None]:
    """What each folder says of the files in it; None where it says nothing.

    Args:
        in_folder: folder -> its files.
        profile: the classes.
    """
    claims = {folder: _of_folder(folder.name, profile) for folder in in_folder}
    beside: dict[Path, set[str | None]] = defaultdict(set)
    for folder, claim in claims.items():
        if claim is not None:
            beside[folder.parent].add(claim.label)
    for folder, claim in claims.items():
        if claim is not None and _is_song(claim, in_folder[folder], profile, alone=len(beside[folder.parent]) == 1):
            claims[folder] = None
    return claims


def _is_song(claim: Reading, files: Sequence[Path], profile: Profile, *, alone: bool) -> bool:
    """Whether a folder that is called like a class holds a song of that title: its files mostly name other classes.

    Beside a folder of another class, they must name two: files that all name one are in the wrong folder.
    """
    others = [profile.find(names(path)) for path in files if names_another(names(path), claim, profile)]
    return len(others) * 2 >= max(1, len(files)) and (alone or len(set(others)) > 1)


def _of_folder(name: str, profile: Profile) -> Reading | None:
    reading = profile.read(name)
    return reading if reading.exact and (reading.label is not None or reading.partial) else None


def readings(in_folder: Mapping[Path, Sequence[Path]], root: Path, profile: Profile) -> dict[Path, Reading]:
    """What the name of each file says, without the title of its song.

    Args:
        in_folder: folder -> its files.
        root: of the dataset; folders above it are none of its songs' titles.
        profile: the classes.
    """
    found: dict[Path, Reading] = {}
    for folder, files in in_folder.items():
        above = _above(folder, root)
        song_of = _several_songs(files, profile)
        songs: dict[str | None, list[Path]] = defaultdict(list)
        for path in files:
            songs[song_of.get(path)].append(path)
        for song, members in songs.items():
            titles = [*above, song] if song is not None else above
            found |= _of_song(members, titles, profile)
    return found


def _above(folder: Path, root: Path) -> list[str]:
    """Names of a folder and of those above it, up to the dataset's own."""
    if not folder.is_relative_to(root):
        return [folder.name]
    return [root.resolve().name, *folder.relative_to(root).parts]


def _of_song(files: Sequence[Path], titles: Sequence[str], profile: Profile) -> dict[Path, Reading]:
    """What the names of a song's files say, without its titles."""
    cut_up = {path: cut(normal(names(path))) for path in files}
    telling = [phrase(title) for title in titles if profile.read(title).tells and not profile.read(title).exact]
    title_of = {path: _title(words, telling) for path, words in cut_up.items()}
    full = {path: profile.read(names(path), title_of[path]) for path in files}
    shared = _shared(list(cut_up.values()))
    if len(files) < 2 or not shared:
        return full
    common = profile.read(" ".join(shared))
    agreeing = sum(reading.label == common.label for reading in full.values())
    is_class = common.exact and common.label not in (None, MIXTURE) and agreeing * 2 >= len(files)
    if not common.tells or is_class or common.label == MIXTURE:
        return full
    untitled = {}
    for path, words in cut_up.items():
        title = _first(words, shared)
        joined = any(word.text in _JOINING and word.start not in title for word in words)  # "Drums and Bass"
        untitled[path] = full[path] if joined else profile.read(names(path), title_of[path] | title)
    return full if _numbered(full, untitled) else untitled


def _numbered(full: Mapping[Path, Reading], untitled: Mapping[Path, Reading]) -> bool:
    """Whether names say one class and nothing besides but numbers and takes: then no song's title is in them."""
    labels = {reading.label for reading in full.values()}
    one = len(labels) == 1 and not labels & {None, MIXTURE}
    return one and all(reading.pure and not reading.tells and not reading.absent for reading in untitled.values())


def _title(words: Sequence[Word], titles: Sequence[tuple[str, ...]]) -> frozenset[int]:
    """Where the words of a name start that are a title, one after the other."""
    texts = [word.text for word in words]
    starts: set[int] = set()
    for title in titles:
        for at in range(len(texts) - len(title) + 1):
            if tuple(texts[at : at + len(title)]) == title:
                starts |= {word.start for word in words[at : at + len(title)]}
    return frozenset(starts)


def _shared(names_cut: Sequence[Sequence[Word]]) -> list[str]:
    """Words that all names have, numbers aside, in the order of the first."""
    counts = [Counter(word.text for word in words if not word.text.isdigit()) for words in names_cut]
    common = reduce(lambda one, other: one & other, counts)
    kept = []
    for word in names_cut[0]:
        if common[word.text] > 0:
            common[word.text] -= 1
            kept.append(word.text)
    return kept


def _first(words: Sequence[Word], shared: Sequence[str]) -> frozenset[int]:
    """Where the first of each of the shared words starts in a name."""
    left = Counter(shared)
    starts = set()
    for word in words:
        if left[word.text] > 0:
            left[word.text] -= 1
            starts.add(word.start)
    return frozenset(starts)


def song_in(name: str, label: str | None, profile: Profile) -> str:
    """What stands before the words of a name that mean a class; the whole name where nothing does.

    >>> from stemclean.labels import FOUR_STEMS
    >>> song_in("Piano Man_drums", "drums", FOUR_STEMS), song_in("Piano Man", "other", FOUR_STEMS)
    ('Piano Man', 'Piano Man')
    """
    songs = [song for song in _befores(name, profile) if song and profile.find(normal(name)[len(song) :]) == label]
    return max(songs, key=len, default="") or profile.before(name) or name


def unclear(name: str, profile: Profile, reading: Reading | None = None) -> str:
    """Why a name tells no class, to be put after the name; empty where it tells one.

    >>> from stemclean.labels import FOUR_STEMS
    >>> unclear("stem 4", FOUR_STEMS), unclear("drums and bass", FOUR_STEMS)
    ('names no class', 'names 2 classes: bass, drums')
    >>> unclear("no_vocals", FOUR_STEMS), unclear("karaoke", FOUR_STEMS)
    ('says that it is without vocals', 'says that it is a mixture of some of the classes')
    """
    reading = reading or profile.read(name)
    if reading.label is not None:
        return ""
    if reading.absent:
        return f"says that it is without {', '.join(reading.absent)}"
    if reading.partial:
        return "says that it is a mixture of some of the classes"
    if len(reading.named) > 1:
        return f"names {len(reading.named)} classes: {', '.join(reading.named)}"
    return "names no class"


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
    """The deepest folder that holds all of the paths; a file system's own root where they have nothing in common."""
    folder = paths[0].parent
    for path in paths:
        while not path.parent.is_relative_to(folder) and folder != folder.parent:
            folder = folder.parent
    return folder


def _relative(folder: Path, root: Path) -> str:
    if folder == root:
        return root.resolve().name or "."
    return folder.relative_to(root).as_posix()


def _several_songs(files: Sequence[Path], profile: Profile) -> dict[Path, str]:
    """File -> song, where a folder holds several; else nothing.

    The song is what stands before a class, before a mixture or before what is left out: of several such places, the
    one that most files share.
    """
    before = {path: _befores(names(path), profile) for path in files}
    times = Counter(song for songs in before.values() for song in songs)
    song_of = {
        path: max(songs, key=lambda song: (song != "", times[song], len(song)))
        for path, songs in before.items()
        if songs
    }
    classes: dict[str, set[str]] = defaultdict(set)
    for path, song in song_of.items():
        label = profile.find(normal(names(path))[len(song) :])
        if song and label not in (None, MIXTURE):
            classes[song].add(str(label))
    full = sum(len(labels) > 1 for labels in classes.values())
    if len(classes) < 2 or full * 2 < len(classes):
        return {}
    return {path: song for path, song in song_of.items() if song in classes}


def _befores(name: str, profile: Profile) -> list[str]:
    """What stands before each word of a name that tells anything."""
    return [normal(name)[:start].strip(" _-.([") for start in profile.read(name).starts]
