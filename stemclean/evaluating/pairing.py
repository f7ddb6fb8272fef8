"""Pair estimates with references, song by song and class by class.

Nothing is guessed, and everything that has no partner is listed.

Rules:

* Songs are paired by name; if no names match, by the last part of the name (``test/Song`` and ``Song``) if it is
  unique. If each side has a single song, the two are paired.
* A class is read from the file with exactly its name (``vocals.wav``); other files that claim it are listed. Without
  such a file, several references of a class are summed as its parts (``Lead Vox.flac``, ``Backing Vox.flac``); several
  estimates are ambiguous and are not used.
* All files of a song must have the sample rate of the first reference and the number of channels of the references;
  mono is copied to every channel. Shorter references are padded with silence; an estimate is cut or padded to the
  length of its song.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from stemclean import duplicates
from stemclean.errors import ConfigError, SkipReason
from stemclean.labels import PROFILES
from stemclean.manifest import Manifest, Stem

__all__ = ["REASONS", "Failure", "Song", "Source", "failure", "pair", "pair_names"]

Failure = dict[str, str]
"""Something that could not be evaluated: ``path``, ``reason``, ``detail``."""

REASONS: dict[str, str] = {
    "missing_estimate": "the song has estimates, but none of this class",
    "missing_track": "there are no estimates of this song",
    "extra_estimate": "there is no reference of this class in the song",
    "extra_track": "there are no references of this song",
    "extra_file": "another file of the song has exactly the name of the class",
    "several_files": "several estimates claim the class, and none has exactly its name",
    "several_classes": "a stem that holds several classes cannot be used as a reference",
    "no_class": "the manifest says that the stem holds no class",
    "trimmed": "silence was cut out, so that the stem is not aligned with the others",
    "sample_rate_differs": "not the sample rate of the song's references",
    "channels_differ": "neither mono nor as many channels as the song's references have",
}
"""Reason code of a failure -> its meaning; files may also have the reason codes of skips in a manifest."""

MAX_NAMED = 5
"""Maximum number of files named in an error."""

NO_FAILURE = frozenset({SkipReason.MIXTURE, SkipReason.SILENT})
"""Skip reasons that are not failures."""


@dataclass(frozen=True)
class Source:
    """One class of one song, on one side.

    Args:
        files: path and audio stream of each part; the parts are summed.
        sample_rate: sample rate in Hz.
        channels: largest number of channels of a part.
        num_samples: length of the longest part.
    """

    files: tuple[tuple[Path, int], ...]
    sample_rate: int
    channels: int
    num_samples: int


@dataclass(frozen=True)
class Song:
    """A song with its references and estimates.

    Args:
        track: name of the song among the references.
        references: class -> source.
        estimates: class -> source, for the same classes.
    """

    track: str
    references: Mapping[str, Source]
    estimates: Mapping[str, Source]

    @property
    def labels(self) -> list[str]:
        """The classes."""
        return list(self.references)

    @property
    def sample_rate(self) -> int:
        """Sample rate of all files."""
        return next(iter(self.references.values())).sample_rate

    @property
    def channels(self) -> int:
        """Number of channels: the largest of the references, or if they are mono, of the estimates."""
        greatest = max(source.channels for source in self.references.values())
        return greatest if greatest > 1 else max(source.channels for source in self.estimates.values())

    @property
    def num_samples(self) -> int:
        """Length of the longest reference."""
        return max(source.num_samples for source in self.references.values())

    def without(self, labels: Iterable[str]) -> Song:
        """Return the song without some classes."""
        removed = set(labels)
        return Song(
            self.track,
            *(
                {label: source for label, source in side.items() if label not in removed}
                for side in (self.references, self.estimates)
            ),
        )

    def owner(self, path: Path) -> str | None:
        """Return the class that a file belongs to."""
        for side in (self.references, self.estimates):
            for label, source in side.items():
                if any(file == path for file, _ in source.files):
                    return label
        return None


def failure(path: str, reason: str, detail: str = "") -> Failure:
    """Create a :data:`Failure`."""
    return {"path": path, "reason": reason, "detail": detail}


def pair(reference: tuple[Manifest, Path], estimate: tuple[Manifest, Path]) -> tuple[list[Song], list[Failure]]:
    """Return the songs that can be evaluated, in the order of the references, and failures for everything else.

    Args:
        reference: a manifest and the folder of its stems.
        estimate: the same.

    Raises:
        ConfigError: no song has estimates, or the files are sorted into one folder per class.
    """
    labels = reference[0].labels
    failures = [*_skipped(*reference), *_skipped(*estimate)]
    references, estimates = _by_track(*reference, failures), _by_track(*estimate, failures)
    names = pair_names(list(references), list(estimates))
    for songs_of_side, (manifest, folder) in ((references, reference), (estimates, estimate)):
        if not songs_of_side:
            raise _nothing_usable(manifest, folder, failures)
    if not names:
        raise ConfigError(
            "no song has both references and estimates",
            f"songs are named like {_example(references)} in the references "
            f"and {_example(estimates)} in the estimates;\n"
            "the estimate of REFERENCE/SONG/vocals.wav must be ESTIMATE/SONG/vocals.wav",
        )
    songs = []
    for track, stems in references.items():
        if track not in names:
            failures.append(failure(track, "missing_track"))
            continue
        true = _sources(stems, reference[1], labels, failures, several=True)
        estimated = _sources(estimates[names[track]], estimate[1], labels, failures, several=False)
        failures += [failure(f"{track}/{label}", "missing_estimate") for label in true if label not in estimated]
        extra = (source for label, source in estimated.items() if label not in true)
        failures += [failure(source.files[0][0].as_posix(), "extra_estimate") for source in extra]
        common = [label for label in true if label in estimated]
        song = Song(track, {label: true[label] for label in common}, {label: estimated[label] for label in common})
        song = _consistent(song, failures)
        if song.labels:
            songs.append(song)
    failures += [failure(track, "extra_track") for track in estimates if track not in names.values()]
    return songs, failures


def _nothing_usable(manifest: Manifest, folder: Path, failures: Sequence[Failure]) -> ConfigError:
    """Return the error for a side without usable files, with the first reasons."""
    relevant = [failed for failed in failures if Path(failed["path"]).is_relative_to(folder)]
    relevant += [
        failure((folder / skip.path).as_posix(), skip.reason, skip.detail)
        for skip in manifest.skipped
        if skip.reason in NO_FAILURE
    ]
    reasons = [
        f"{failed['path']}: {failed['reason']}" + (f" ({failed['detail']})" if failed["detail"] else "")
        for failed in relevant[:MAX_NAMED]
    ]
    classes = f"files are matched to these classes: {', '.join(manifest.labels)}"
    return ConfigError(f"{folder}: no file in it can be used", "\n".join([*reasons, classes]))


def _skipped(manifest: Manifest, folder: Path) -> list[Failure]:
    """Return failures for files that were skipped, except mixtures, other classes, and skips of an earlier run."""
    ignored = set(NO_FAILURE)
    if manifest.created.config.get("profile") not in (None, *PROFILES):
        ignored.add(SkipReason.CLASS_UNKNOWN)  # the user named the classes to evaluate
    reported = (skip for skip in manifest.skipped if skip.reason not in ignored and skip.by is None)
    return [failure((folder / skip.path).as_posix(), skip.reason, skip.detail) for skip in reported]


def _by_track(manifest: Manifest, folder: Path, failures: list[Failure]) -> dict[str, list[Stem]]:
    """Return the usable stems of each song."""
    if manifest.created.config.get("layout") == "class_folders":
        raise ConfigError(
            f"{folder}: a folder of classes does not say which files belong to one song",
            "give a folder of songs: SONG/vocals.wav, SONG/bass.wav …",
        )
    stems_of: dict[str, list[Stem]] = defaultdict(list)
    for stem in manifest.stems:
        if stem.source is not None:
            failures.append(failure((folder / stem.path).as_posix(), "trimmed"))
        elif not stem.labels:
            failures.append(failure((folder / stem.path).as_posix(), "no_class"))
        else:
            stems_of[stem.track].append(stem)
    return dict(stems_of)


def pair_names(references: Sequence[str], estimates: Sequence[str]) -> dict[str, str]:
    """Pair names of songs: name among the references -> name among the estimates."""
    if len(references) == len(estimates) == 1:
        return {references[0]: estimates[0]}
    same = {name: name for name in references if name in set(estimates)}
    if same:
        return same
    true, estimated = _by_last_part(references), _by_last_part(estimates)
    return {true[name][0]: estimated[name][0] for name in true if len(true[name]) == len(estimated.get(name, [])) == 1}


def _by_last_part(names: Iterable[str]) -> dict[str, list[str]]:
    full_names: dict[str, list[str]] = defaultdict(list)
    for name in names:
        full_names[PurePosixPath(name).name].append(name)
    return full_names


def _sources(
    stems: Sequence[Stem], folder: Path, labels: Sequence[str], failures: list[Failure], *, several: bool
) -> dict[str, Source]:
    """Return class -> source of a song, in the order of the classes."""
    unusable: set[str] = set()
    for stem in stems:
        if len(stem.labels) > 1:
            unusable |= set(stem.labels)
            failures.append(failure((folder / stem.path).as_posix(), "several_classes", ", ".join(stem.labels)))
    sources = {}
    for label in labels:
        members = duplicates.first_of_each(stem for stem in stems if stem.labels == [label])  # a copy adds nothing
        exact = [stem for stem in members if PurePosixPath(stem.path).stem.casefold() == label.casefold()]
        if len(exact) == 1:
            detail = f"{label} is read from {exact[0].path}"
            unused = (stem for stem in members if stem is not exact[0])
            failures += [failure((folder / stem.path).as_posix(), "extra_file", detail) for stem in unused]
            members = exact
        elif len(members) > 1 and not several:
            failures += [failure((folder / stem.path).as_posix(), "several_files", label) for stem in members]
            continue
        if label in unusable or not members:
            continue
        sources[label] = Source(
            tuple((folder / stem.path, stem.stream) for stem in members),
            members[0].sample_rate,
            max(stem.channels for stem in members),
            max(stem.num_samples for stem in members),
        )
        rates = {stem.sample_rate for stem in members}
        if len(rates) > 1:
            failures.append(failure(members[0].path, "sample_rate_differs", f"{label} has parts of {_hz(rates)}"))
            del sources[label]
    return sources


def _consistent(song: Song, failures: list[Failure]) -> Song:
    """Remove the classes whose sample rate or number of channels differs from that of the song."""
    if not song.labels:
        return song
    rate, bad = song.sample_rate, set()
    for side in (song.references, song.estimates):
        for label, source in side.items():
            if source.sample_rate != rate and label not in bad:
                bad.add(label)
                detail = f"{source.sample_rate} Hz, the song has {rate} Hz; resample it"
                failures.append(failure(source.files[0][0].as_posix(), "sample_rate_differs", detail))
    song = song.without(bad)
    if not song.labels:
        return song
    bad = set()
    for side in (song.references, song.estimates):
        for label, source in side.items():
            if source.channels not in (1, song.channels) and label not in bad:
                bad.add(label)
                detail = f"{source.channels} channels, the song has {song.channels}"
                failures.append(failure(source.files[0][0].as_posix(), "channels_differ", detail))
    return song.without(bad)


def _hz(rates: Iterable[int]) -> str:
    return " and ".join(f"{rate} Hz" for rate in sorted(rates))


def _example(tracks: Mapping[str, object]) -> str:
    return f'"{next(iter(tracks))}"' if tracks else "(no songs)"
