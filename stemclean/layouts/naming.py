"""Derive the class and the song of a file from names of files and folders.

The rules never guess:

* The class of a file is read from the name of its folder if that consists of a class alone, and most files in it do not
  contradict it (``song/vocals/lead.wav``); otherwise from its own name (``Drums 2.flac``). A folder "Bass" that
  contains drums and vocals is a song. A folder such as "no_drums", which is not a class, also describes its files.
  Contradictions between a file and its folder are resolved in :mod:`stemclean.layouts.contradictions`.
* Words of the song's title are ignored. These are words in names of folders above (``Piano Man/Piano Man_mix.wav``),
  and words that all files of a song share. Shared words are not a title if they consist of a class alone and no file
  names another class (``Drums kick.wav`` and ``Drums snare.wav``), or if only numbers and takes differ (``Wobble Bass
  1.wav`` and ``Wobble Bass 2.wav``).
* The song of a file is its folder, or the folder above if its folder is a class.
* A folder contains several songs (``songname_drums.wav``) if the words before the class form groups, at least half of
  which contain two classes or more. A "big snare" and a "small snare" alone are not two songs.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from pathlib import Path

from stemclean.exporting.songs import RECORD
from stemclean.labels import MIXTURE, Profile, Reading
from stemclean.labels.reading import phrase
from stemclean.labels.splitting import Word, cut, normal
from stemclean.labels.words import CONNECTORS
from stemclean.layouts.contradictions import names_another
from stemclean.layouts.walk import names

__all__ = ["by_folder", "common_folder", "folder_claims", "names", "readings", "song_in", "tracks", "unclear"]


_JOINING = CONNECTORS | {"+", "&"}


def folder_claims(in_folder: Mapping[Path, Sequence[Path]], profile: Profile) -> dict[Path, Reading | None]:
    """Return what the name of each folder says about its files; None if it says nothing, as that of an exported song.

    Args:
        in_folder: folder -> its files.
        profile: the classes.
    """
    claims = {folder: _folder_reading(folder.name, profile) for folder in in_folder}
    sibling_labels: dict[Path, set[str | None]] = defaultdict(set)
    for folder, claim in claims.items():
        if claim is not None:
            sibling_labels[folder.parent].add(claim.label)
    for folder, claim in claims.items():
        if claim is None:
            continue
        alone = len(sibling_labels[folder.parent]) == 1
        if (folder / RECORD).is_file() or _is_song(claim, in_folder[folder], profile, alone=alone):
            claims[folder] = None
    return claims


def _is_song(claim: Reading, files: Sequence[Path], profile: Profile, *, alone: bool) -> bool:
    """Return whether a folder named like a class is a song with that title: most of its files name other classes.

    If there are folders of other classes beside it, its files must name two classes: files that all name one class are
    in the wrong folder.
    """
    other_classes = [profile.find(names(path)) for path in files if names_another(names(path), claim, profile)]
    return len(other_classes) * 2 >= max(1, len(files)) and (alone or len(set(other_classes)) > 1)


def _folder_reading(name: str, profile: Profile) -> Reading | None:
    reading = profile.read(name)
    return reading if reading.exact and (reading.label is not None or reading.partial) else None


def readings(in_folder: Mapping[Path, Sequence[Path]], root: Path, profile: Profile) -> dict[Path, Reading]:
    """Read the name of each file without the title of its song.

    Args:
        in_folder: folder -> its files.
        root: folder of the dataset; names of folders above it are not titles.
        profile: the classes.
    """
    file_readings: dict[Path, Reading] = {}
    for folder, files in in_folder.items():
        above = _above(folder, root)
        song_of = _several_songs(files, profile)
        songs: dict[str | None, list[Path]] = defaultdict(list)
        for path in files:
            songs[song_of.get(path)].append(path)
        for song, members in songs.items():
            titles = [*above, song] if song is not None else above
            file_readings |= _song_readings(members, titles, profile)
    return file_readings


def _above(folder: Path, root: Path) -> list[str]:
    """Return the names of the folders from the dataset's folder down to this one."""
    if not folder.is_relative_to(root):
        return [folder.name]
    return [root.resolve().name, *folder.relative_to(root).parts]


def _song_readings(files: Sequence[Path], titles: Sequence[str], profile: Profile) -> dict[Path, Reading]:
    """Read the names of a song's files without its titles."""
    words_of = {path: cut(normal(names(path))) for path in files}
    relevant_titles = [phrase(title) for title in titles if profile.read(title).tells and not profile.read(title).exact]
    title_of = {path: _title(words, relevant_titles) for path, words in words_of.items()}
    full = {path: profile.read(names(path), title_of[path]) for path in files}
    shared = _shared(list(words_of.values()))
    if len(files) < 2 or not shared:
        return full
    common = profile.read(" ".join(shared))
    agreeing = sum(reading.label == common.label for reading in full.values())
    is_class = common.exact and common.label not in (None, MIXTURE) and agreeing * 2 >= len(files)
    if not common.tells or is_class or common.label == MIXTURE:
        return full
    untitled = {}
    for path, words in words_of.items():
        title = _first(words, shared)
        joined = any(word.text in _JOINING and word.start not in title for word in words)  # "Drums and Bass"
        untitled[path] = full[path] if joined else profile.read(names(path), title_of[path] | title)
    return full if _numbered(full, untitled) else untitled


def _numbered(full: Mapping[Path, Reading], untitled: Mapping[Path, Reading]) -> bool:
    """Return whether all names consist of the same class, numbers and takes, so that they contain no title."""
    labels = {reading.label for reading in full.values()}
    is_single = len(labels) == 1 and not labels & {None, MIXTURE}
    return is_single and all(reading.pure and not reading.tells and not reading.absent for reading in untitled.values())


def _title(words: Sequence[Word], titles: Sequence[tuple[str, ...]]) -> frozenset[int]:
    """Return the start positions of the words in a name that form a title."""
    texts = [word.text for word in words]
    starts: set[int] = set()
    for title in titles:
        for at in range(len(texts) - len(title) + 1):
            if tuple(texts[at : at + len(title)]) == title:
                starts |= {word.start for word in words[at : at + len(title)]}
    return frozenset(starts)


def _shared(names_cut: Sequence[Sequence[Word]]) -> list[str]:
    """Return the words that all names contain, except for numbers, in the order of the first name."""
    counts = [Counter(word.text for word in words if not word.text.isdigit()) for words in names_cut]
    common = reduce(lambda first, second: first & second, counts)
    shared = []
    for word in names_cut[0]:
        if common[word.text] > 0:
            common[word.text] -= 1
            shared.append(word.text)
    return shared


def _first(words: Sequence[Word], shared: Sequence[str]) -> frozenset[int]:
    """Return the start position of the first occurrence of each shared word in a name."""
    remaining = Counter(shared)
    starts = set()
    for word in words:
        if remaining[word.text] > 0:
            remaining[word.text] -= 1
            starts.add(word.start)
    return frozenset(starts)


def song_in(name: str, label: str | None, profile: Profile) -> str:
    """Return the text before the words of the class in a name; the whole name if there is none.

    >>> from stemclean.labels import FOUR_STEMS
    >>> song_in("Piano Man_drums", "drums", FOUR_STEMS), song_in("Piano Man", "other", FOUR_STEMS)
    ('Piano Man', 'Piano Man')
    """
    songs = [song for song in _texts_before(name, profile) if song and profile.find(normal(name)[len(song) :]) == label]
    return max(songs, key=len, default="") or profile.before(name) or name


def unclear(name: str, profile: Profile, reading: Reading | None = None) -> str:
    """Return why a name gives no class, to be written after the name; empty if it gives one.

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
    """Group files by their folder."""
    in_folder: dict[Path, list[Path]] = defaultdict(list)
    for file in files:
        in_folder[file.parent].append(file)
    return dict(in_folder)


def tracks(paths: Iterable[Path], root: Path, profile: Profile) -> dict[Path, str]:
    """Return the song of each file, as a POSIX path relative to ``root``; for files in ``root``, its name."""
    in_folder = by_folder(paths)
    claims = folder_claims(in_folder, profile)
    track_of: dict[Path, str] = {}
    for folder, files in in_folder.items():
        song_folder = folder.parent if folder != root and claims[folder] is not None else folder
        song = _relative(song_folder, root)
        several = _several_songs(files, profile)
        for path in files:
            name = several.get(path)
            prefix = "" if song_folder == root else f"{song}/"
            track_of[path] = song if name is None else prefix + name
    return track_of


def common_folder(paths: Sequence[Path]) -> Path:
    """Return the deepest folder that contains all paths; the root of the file system if they have none in common."""
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
    """Return the song of each file if a folder contains several songs; otherwise, an empty mapping.

    The song is the text before a class, a mixture or a negated class. If a name has several of these, the text that
    most files share is used.
    """
    before = {path: _texts_before(names(path), profile) for path in files}
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


def _texts_before(name: str, profile: Profile) -> list[str]:
    """Return the text before each meaningful word of a name."""
    return [normal(name)[:start].strip(" _-.([") for start in profile.read(name).starts]
