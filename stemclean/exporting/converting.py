"""Convert the audio of an export: read it, keep it below full scale, and write what cannot be used in place."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np

from stemclean.audio import files
from stemclean.audio.headroom import gain_below_full_scale
from stemclean.audio.splicing import splice
from stemclean.audio.unchanged import Unchanged
from stemclean.audio.waveform import Waveform
from stemclean.data.song_levels import song_of
from stemclean.disk import replacing, short
from stemclean.errors import ConfigError, of_one_file
from stemclean.exporting.cutting import Spans
from stemclean.exporting.selection import Item, Selection
from stemclean.units import amplitude_to_db, seconds_to_samples

__all__ = [
    "AUDIO",
    "CHANNELS",
    "LEFT_OVER",
    "AudioFormat",
    "Converter",
    "Link",
    "Meter",
    "Placed",
    "is_marked",
    "reads_right",
    "song_gains",
]

AudioFormat = Literal["flac", "wav"]
"""Format of written audio."""

Link = Literal["symlink", "hardlink", "copy"]
"""How files that need no conversion come into the destination."""

FADE = 0.01
"""Length in seconds of the cross-fades where parts of a stem are joined, and of the fades at its cut ends."""

AUDIO = "audio"
"""Folder below the destination for the written audio of formats that are lists."""

CHANNELS = 2
"""Number of channels of all audio, if a sample rate is given: separators are trained on stereo."""

LEFT_OVER = ".stemclean-"
"""Beginning of the names of temporary folders in the destination."""

MAX_CHANNELS = 8
"""Limit of FLAC."""

MAX_ODD_RATE = 65_535
"""Limit of FLAC for sample rates in Hz that are no multiple of 10."""

READ_RIGHT = frozenset({"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "VORBIS"})
"""libsndfile's names of the codecs that it seeks in exactly; other files are decoded once and written."""

FINE = frozenset({"PCM_24", "PCM_32", "FLOAT", "DOUBLE"})
"""Codecs that are written with 24 bits; the others have no more than 16."""

Meter = Callable[[Item, Iterable[Waveform]], str]
"""Listens to an item, given blocks ``(channel, time)`` of the sound as it will be written, before any gain. Returns the
reason for leaving it out, or an empty string."""


@dataclass(frozen=True)
class Placed:
    """An item and its file.

    Args:
        item: the item.
        path: the file that a trainer reads: the original, or a converted copy.
    """

    item: Item
    path: Path


class Converter:
    """Reads and writes the audio of one export.

    Args:
        folder: folder that the paths of the stems are relative to.
        destination: folder that files are written to.
        sample_rate: sample rate of all audio, in Hz, which then has two channels; None: files stay as they are.
        audio_format: format of written audio.
        segments: whether the format lists the parts of a file that are used, so that nothing is cut.
        link: how files that need no conversion come into the destination; None: they are used where they are.
        quiet: show no progress bars.

    Attributes:
        files: audio files in the destination, those of earlier runs included, in the order of the items.
        turned_down: song -> gain in dB, below 0, applied to all its stems because one exceeded full scale.

    Raises:
        ConfigError: the source lies in the destination, or FLAC does not support the sample rate.
    """

    def __init__(
        self,
        folder: Path,
        destination: Path,
        sample_rate: int | None,
        *,
        audio_format: AudioFormat = "flac",
        link: Link | None = None,
        segments: bool = False,
        quiet: bool = False,
    ) -> None:
        if folder.resolve().is_relative_to(destination.resolve()):
            raise ConfigError(f"the source {folder} lies in the destination {destination}", "choose another folder")
        if audio_format == "flac" and sample_rate and sample_rate > MAX_ODD_RATE and sample_rate % 10:
            raise ConfigError(f"--sample-rate: FLAC does not support {sample_rate} Hz", "give a multiple of 10")
        self.folder, self.destination, self.sample_rate, self.quiet = folder, destination, sample_rate, quiet
        self.audio_format, self.link, self.segments = audio_format, link, segments
        self.files: list[Path] = []
        self._links: set[Path] = set()
        self.turned_down: dict[str, float] = {}
        self._unchanged = Unchanged()
        self._written_peaks: dict[str, dict[tuple[str, str], float]] = {}  # song -> item to be converted -> peak
        self._reads_right: set[tuple[str, str]] = set()

    @property
    def num_converted(self) -> int:
        """Number of files that had to be converted or turned down."""
        return len(self.files) - len(self._links)

    def listen(
        self,
        selection: Selection,
        meter: Meter | None = None,
        *,
        uniform: bool = False,
        endings: Collection[str] | None = None,
    ) -> None:
        """Read every item once; what cannot be read, does not pass the meter, or is a copy leaves the selection.

        Args:
            selection: the items.
            meter: the format's own rule.
            uniform: use an original only if it has the audio format of the export.
            endings: use an original only if its name ends with one of these; None: whatever its name is.
        """
        endings = (f".{self.audio_format}",) if uniform else endings

        def check(item: Item) -> str:
            stem = item.stem
            with self.reading(item) as source:
                peak = _Peak(self.blocks(item))
                reason = meter(item, peak) if meter else ""
                peak.finish()
                right = self._spans(item) is None and reads_right(source, stem.stream, self.sample_rate)
                right = right and (endings is None or source.suffix.lower() in endings)
            reason = reason or ("" if not peak.peak else selection.copy_reason(item))  # silent stems are not duplicates
            if not reason and right:
                self._reads_right.add(item.key)
            elif not reason:
                self._written_peaks.setdefault(song_of(stem), {})[item.key] = peak.peak
            return reason

        selection.keep(check, title="listen", quiet=self.quiet)

    def place(
        self,
        selection: Selection,
        folder: Callable[[Item], str] | None = None,
        *,
        single: bool = False,
        among: Callable[[Item], bool] | None = None,
    ) -> list[Placed]:
        """Return a file for every item: the original if it has the right form, else a copy below ``audio/``.

        If a copy would exceed full scale, all stems of its song are written, attenuated by the same gain. An item that
        can no longer be read leaves the selection. Call :meth:`listen` first.

        Args:
            selection: the items.
            folder: returns the folder in the destination for the copy of an item, instead of ``audio``.
            single: put every file directly into that folder, originals as links (as :attr:`link` says, or symbolic).
            among: says which items are meant; the others stay in the selection. None: all.

        Raises:
            ConfigError: with ``single``, a folder holds files of an earlier export that are not part of this one.
        """
        link: Link | None = (self.link or "symlink") if single else self.link
        placed: list[Placed] = []
        seen: set[Path] = set()  # with segments, several items may be parts of a file

        def add(item: Item, source: Path, gain: float) -> None:
            below = self.destination / (folder(item) if folder else AUDIO)
            path = self._placed(item, source, gain, below, link, single=single)
            if path != source and path not in seen:
                seen.add(path)
                self.files.append(path)
            placed.append(Placed(item, path))

        self._each(selection, add, among)
        if single:
            _check_earlier(seen)
        return placed

    def pack(self, selection: Selection, use: Callable[[Placed], None] | None) -> None:
        """Hand a file of every item to a function that puts it into an archive. As :meth:`place`, but no copy remains.

        Args:
            selection: the items.
            use: reads the file; a copy is removed afterwards. None: the archive exists, and nothing is converted.
        """
        for left_over in self.destination.glob(f"{LEFT_OVER}*"):  # of a killed run
            shutil.rmtree(left_over, ignore_errors=True)
        with TemporaryDirectory(prefix=LEFT_OVER, dir=self.destination) as folder:

            def add(item: Item, source: Path, gain: float) -> None:
                if use is None:
                    return
                path = self._placed(item, source, gain, Path(folder), self.link)
                use(Placed(item, path))
                if path != source:
                    path.unlink()

            self._each(selection, add)

    def _each(
        self,
        selection: Selection,
        use: Callable[[Item, Path, float], None],
        among: Callable[[Item], bool] | None = None,
    ) -> None:
        """Call a function with every item, its file and its gain, while the file is known to be the one listened to."""
        gains = song_gains(self._written_peaks)

        def check(item: Item) -> str:
            if among is not None and not among(item):
                return ""
            gain = gains.get(song_of(item.stem), 1.0)
            with self.reading(item) as source:
                use(item, source, gain)
            if gain != 1.0:
                self.turned_down[item.stem.track or item.stem.id] = in_db(gain)
            return ""

        selection.keep(check, title="write", quiet=self.quiet)

    @contextmanager
    def reading(self, item: Item) -> Iterator[Path]:
        """Context for reading the file of an item, which must be the one that was judged, and not change in the run.

        Raises:
            AudioError: it was changed, or fails in the block.
        """
        source = self._source(item)
        with self._unchanged.reading(source, item.stem.sha256), of_one_file(source):
            yield source

    def blocks(self, item: Item, *, aligned: bool = False) -> Iterator[Waveform]:
        """Yield the sound of an item as it will be written, before any gain.

        Args:
            item: the item; if it has spans, only these are read.
            aligned: keep the time of everything: silence replaces what lies between the spans, which are otherwise
                joined.

        Yields:
            Shape: (channel, time).
        """
        as_it_is = self.sample_rate is None and item.stem.channels <= MAX_CHANNELS
        channels = None if as_it_is else CHANNELS
        sound = files.blocks(
            self._source(item), sample_rate=self.sample_rate, channels=channels, stream=item.stem.stream
        )
        spans = self._spans(item)
        if spans is None:
            return sound
        rate = self.sample_rate or item.stem.sample_rate
        num_samples = files.resampled_length(item.stem.num_samples, item.stem.sample_rate, rate)
        regions = [
            (seconds_to_samples(start, rate), min(seconds_to_samples(end, rate), num_samples)) for start, end in spans
        ]
        fade = seconds_to_samples(FADE, rate)
        return _muted(sound, regions, num_samples, fade) if aligned else splice(sound, regions, num_samples, fade)

    def fits(self, item: Item) -> bool:
        """Return whether the original of an item can be used as it is; reads only its header. Raises AudioError."""
        return self._spans(item) is None and reads_right(self._source(item), item.stem.stream, self.sample_rate)

    def trial(self, item: Item, *, in_place: bool) -> int:
        """Do the work on an item without writing, to measure its speed. Raises AudioError.

        Args:
            item: the item.
            in_place: whether the format uses originals that fit.

        Returns:
            The size in bytes of the file that would be written; 0 if the original is used.
        """
        source = self._source(item)
        with of_one_file(source):
            _Peak(self.blocks(item)).finish()
            if in_place and self.fits(item):
                return source.stat().st_size if self.link == "copy" else 0
            rate, channels, subtype = self._written_format(item, source)
            if self.audio_format == "flac":
                return files.flac_size(self.blocks(item), rate, channels, subtype=subtype)
            num_samples = sum(int(block.shape[1]) for block in self.blocks(item))
            return num_samples * channels * (3 if subtype == "PCM_24" else 2)

    def _written_format(self, item: Item, source: Path) -> tuple[int, int, str]:
        """Return the sample rate, the number of channels and the sample format of the copy of an item."""
        info = files.probe(source, item.stem.stream)
        as_it_is = self.sample_rate is None and info.channels <= MAX_CHANNELS
        return (
            self.sample_rate or info.sample_rate,
            info.channels if as_it_is else CHANNELS,
            written_subtype(info.subtype),
        )

    def _spans(self, item: Item) -> Spans | None:
        """Return the parts of an item that are cut out; None if its file is written whole."""
        return None if self.segments else item.spans

    def _source(self, item: Item) -> Path:
        return self.folder / item.stem.path

    def _placed(
        self, item: Item, source: Path, gain: float, folder: Path, link: Link | None, *, single: bool = False
    ) -> Path:
        right = item.key in self._reads_right and reads_right(source, item.stem.stream, self.sample_rate)
        if not right or gain != 1.0:
            return self._converted(item, source, gain, folder, single=single)
        return source if link is None else self._linked(item, source, link, folder, single=single)

    def _linked(self, item: Item, source: Path, link: Link, folder: Path, *, single: bool) -> Path:
        """Link or copy a file into the destination; an existing one has the same content and is kept."""
        path = _target(folder, item, source, link, source.suffix, single=single)
        self._links.add(path)
        if not os.path.lexists(path):
            with replacing(path) as temporary:
                if link == "copy":
                    shutil.copyfile(source, temporary)
                else:
                    temporary.unlink()
                    _make_link(source.resolve(), temporary, link)
        return path

    def _converted(self, item: Item, source: Path, gain: float, folder: Path, *, single: bool) -> Path:
        """Write a copy; an existing file has the same content and is kept."""
        contents = f"{self.sample_rate}"
        contents += f" {in_db(gain)} dB" if gain != 1.0 else ""
        spans = self._spans(item)
        contents += f" {spans}" if spans is not None else ""
        path = _target(folder, item, source, contents, f".{self.audio_format}", single=single)
        if not path.exists():
            rate, channels, subtype = self._written_format(item, source)
            with files.create(path, rate, channels, subtype=subtype) as file:
                for block in self.blocks(item):
                    file.write(block * np.float32(gain))
        return path


def _target(folder: Path, item: Item, source: Path, contents: str, suffix: str, *, single: bool) -> Path:
    """Return the path of a file in the destination; its name has a hash of the source and of what is done to it."""
    stem = item.stem
    whole = f"{stem.sha256 or source.stat().st_mtime_ns} {stem.stream} {contents}"
    mark = _mark(whole)
    *folders, name = [short(" - ".join(safe_parts(stem.id)))] if single else safe_parts(stem.id)
    return folder.joinpath(*folders, f"{name}.{mark}{suffix.lower()}")


def _mark(content: str) -> str:
    """Return eight hexadecimal digits, of which one is a letter, so that no date looks like one."""
    mark = hashlib.sha256(content.encode()).hexdigest()[:8]
    return f"f{mark[1:]}" if mark.isdigit() else mark


def is_marked(name: str) -> bool:
    """Return whether a name, without its extension, ends with the mark of an export.

    >>> is_marked("song - drums.3f2a91bc"), is_marked("drums.20240115"), is_marked("drums")
    (True, False, False)
    """
    mark = re.fullmatch(r".+\.([0-9a-f]{8})", name)
    return mark is not None and not mark[1].isdigit()


def _check_earlier(paths: Collection[Path]) -> None:
    """Refuse folders with other files than these: a trainer would read them, too."""
    for folder in sorted({path.parent for path in paths}):
        other = next((path for path in sorted(folder.iterdir()) if path not in paths and path.name[0] != "."), None)
        if other is not None:
            raise ConfigError(
                f"{other} is a file of an earlier export, which is left out now", "export to a new folder"
            )


def _make_link(source: Path, path: Path, link: Link) -> None:
    try:
        if link == "symlink":
            path.symlink_to(source)
        else:
            path.hardlink_to(source)
    except OSError as error:
        raise ConfigError(
            f"--link {link}: {source} cannot be linked to {path.parent}: {error.strerror or error}",
            "use --link copy",
        ) from None


def _muted(
    blocks: Iterator[Waveform], regions: Sequence[tuple[int, int]], num_samples: int, fade: int
) -> Iterator[Waveform]:
    """Yield a sound that is silent outside of regions, which fade in and out, but not at the ends of the file."""
    corners: list[tuple[float, float]] = []
    for start, end in regions:
        rise = min(fade, (end - start) // 2)
        corners += [(start, 0.0), (start + rise, 1.0)] if start > 0 else [(start, 1.0)]
        corners += [(end - rise, 1.0), (end, 0.0)] if end < num_samples else [(end, 1.0)]
    places, gains = zip(*corners, strict=True)
    at = 0
    for block in blocks:
        envelope = np.interp(np.arange(at, at + block.shape[1]), places, gains)
        at += block.shape[1]
        yield block * envelope.astype(np.float32)


class _Peak:
    """Blocks of a sound, and their highest absolute value."""

    def __init__(self, blocks: Iterator[Waveform]) -> None:
        self._blocks = blocks
        self.peak = 0.0

    def __iter__(self) -> Iterator[Waveform]:
        for block in self._blocks:
            self.peak = max(self.peak, float(np.abs(block).max(initial=0.0)))
            yield block

    def finish(self) -> None:
        """Read the rest."""
        for _ in self:
            pass


def reads_right(path: Path, stream: int, sample_rate: int | None) -> bool:
    """Return whether a trainer that uses soundfile reads a file with the given rate, two channels and exact samples.

    With ``sample_rate`` None, any file with a single stream will do.
    """
    info = files.probe(path, stream)
    if sample_rate is None:
        return info.num_streams == 1
    shape = (info.sample_rate, info.channels, info.num_streams)
    return shape == (sample_rate, CHANNELS, 1) and info.subtype in READ_RIGHT and info.plain


def song_gains(peaks: Mapping[str, Mapping[tuple[str, str], float]]) -> dict[str, float]:
    """Return the gains of songs in which a written file would clip: song -> factor that keeps all below full scale.

    Args:
        peaks: song -> key of an item that is written -> highest absolute value.
    """
    gains = {song: gain_below_full_scale(max(of_song.values())) for song, of_song in peaks.items()}
    return {song: gain for song, gain in gains.items() if in_db(gain)}


def in_db(gain: float) -> float:
    """Return a gain in dB, with three decimals."""
    return round(amplitude_to_db(gain), 3) + 0.0


def safe_parts(path: str) -> Sequence[str]:
    """Return the parts of a POSIX path as names that any file system and list can hold.

    >>> safe_parts("AC/DC: Live?/drums.")
    ['AC', 'DC_ Live_', 'drums_']
    """
    safe = (re.sub(r"[^\w #&'!()+,=.-]|^\.|\.$", "_", part.strip()) or "_" for part in path.split("/"))
    return [short(part) for part in safe]


def written_subtype(subtype: str) -> str:
    """Return the sample format of a copy: 24 bits if the source has more than 16."""
    return "PCM_24" if subtype in FINE else "PCM_16"
