"""Trim one stem: find the regions to keep, write them to a file, and record where each sample came from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Self

import numpy as np
from pydantic import Field, model_validator

from stemclean import checks, manifest
from stemclean.audio import activity, files
from stemclean.audio.activity import Detector, Levels
from stemclean.audio.files import AudioInfo
from stemclean.audio.formats import quantisation_step
from stemclean.audio.headroom import can_exceed, gain_below_full_scale
from stemclean.audio.loudness import LoudnessMeter
from stemclean.audio.splicing import splice, subregions
from stemclean.audio.stereo import ChannelFaults, ChannelMeter
from stemclean.audio.unchanged import Unchanged
from stemclean.audio.waveform import Waveform
from stemclean.checks import Sound
from stemclean.data.cut_f0 import cut_file
from stemclean.data.issues import GAIN_DB, turned_down_issue
from stemclean.data.song_levels import song_of
from stemclean.errors import AudioError, LabelError, SkipReason, of_one_file
from stemclean.manifest import Issue, Source, Stem
from stemclean.settings import Settings, SilenceDbfs
from stemclean.units import amplitude_to_db, db_to_amplitude, samples_to_seconds, seconds_to_samples

__all__ = ["Cutter", "TrimConfig", "trial"]

MAX_CHANNELS = 8
"""Limit of FLAC; files with more channels are mixed down to stereo."""

TRIMMED_FROM = "trimmed_from_sha256"
"""Key in ``extra`` of a stem that was trimmed twice: checksum of the file between it and its ``source``."""

F0_CUT_FROM = "f0_cut_from_sha256"
"""Key in ``extra`` of a trimmed stem: checksum of the f0 file that its own was cut from."""

SIXTEEN_BITS = frozenset({"PCM_16", "PCM_S8", "PCM_U8", "ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM"})
"""Sample formats that fit into 16 bits; all others, including lossy formats, are written with 24 bits."""

_CARRIED = ("track", "split", "claimed", "labels", "scores", "levels_db", "verdict")
"""Fields that trimming does not change."""


HELD_BYTES = 1 << 29
"""Decoded sound that is kept between measuring and writing: four stems of six minutes. Others are decoded twice."""

_Db = Annotated[float, Field(ge=0, le=300)]
_Seconds = Annotated[float, Field(ge=0, le=3600)]


class TrimConfig(Settings):
    """How silence is detected and how the rest is joined; see :mod:`stemclean.audio.activity` for the terms.

    Args:
        first_db: First pass: sound this many dB below the level of the stem is cut.
        second_db: Second pass: sound this many dB below the peak of the song is cut.
        silence_floor_dbfs: Sound below this level is cut in any case.
        fade: Length of a cross-fade in seconds.
        min_gap: Silence shorter than this is kept, in seconds.
        pad: Seconds kept before and after loud sound.
        detector: ``"sustained"``, or ``"peak"`` for the literal method of the paper.

    Raises:
        ConfigError: A value is invalid.
    """

    first_db: _Db = activity.FIRST_DB
    second_db: _Db = activity.SECOND_DB
    silence_floor_dbfs: SilenceDbfs = activity.SILENCE_FLOOR_DBFS
    fade: Annotated[float, Field(ge=0, le=activity.FRAME_LENGTH)] = 0.01
    min_gap: _Seconds = activity.MIN_GAP
    pad: _Seconds = activity.PAD
    detector: Detector = "sustained"

    @model_validator(mode="after")
    def _pads_leave_a_gap(self) -> Self:
        activity.gap_and_pad_frames(self.min_gap, self.pad)
        return self


@dataclass(frozen=True)
class _Measured:
    """The measurements of a stem before it is cut.

    Args:
        loudness: None if the stem will be written, because it is measured then.
        sound: The decoded blocks, each ``(channel, time)``; None if the stem is decoded again to be written.
    """

    info: AudioInfo
    levels: Levels
    loudness: LoudnessMeter | None
    faults: ChannelFaults
    sound: list[Waveform] | None = None

    @property
    def peak(self) -> float:
        """Largest absolute sample; full scale is 1."""
        return float(self.levels.peak.max(initial=0.0))

    @property
    def held(self) -> int:
        """Size of the decoded blocks in bytes."""
        return sum(block.nbytes for block in self.sound or [])


@dataclass(frozen=True)
class _Song:
    """The levels of a song.

    Args:
        sustained_peak: Highest sustained peak of its stems, see :mod:`stemclean.audio.activity`.
        peak: Largest sample of the stems that may exceed full scale.
    """

    sustained_peak: float
    peak: float

    @property
    def gain(self) -> float:
        """Factor on all stems of the song that avoids clipping."""
        return gain_below_full_scale(self.peak)

    @property
    def gain_db(self) -> float:
        """The gain in dB, rounded to three decimals."""
        return round(amplitude_to_db(self.gain), 3) + 0.0


class Cutter:
    """Trims stems one by one.

    Args:
        stems: All stems of the dataset, to find the stems of each song.
        config: How silence is detected and how the rest is joined.
        folder: Folder that the paths of stems are relative to.
        destination: Folder to write to; files keep their relative paths.
        earlier: Returns the result of an earlier run with the same settings for the id of a stem. It is reused if
            nothing has changed since.
        regions_only: Write no files, but only return the regions that would be kept.
    """

    def __init__(
        self,
        stems: Iterable[Stem],
        config: TrimConfig,
        folder: Path,
        destination: Path,
        earlier: Callable[[str], Stem | None],
        *,
        regions_only: bool = False,
    ) -> None:
        self._stems: dict[str, list[Stem]] = defaultdict(list)
        for stem in stems:
            self._stems[song_of(stem)].append(stem)
        self._earlier = earlier
        self._measured: dict[str, _Measured | AudioError] = {}  # by id
        self._held = 0  # bytes of decoded sound in it
        self._songs: dict[str, _Song] = {}
        self._files = Unchanged()
        self._config = config
        self._folder = folder
        self._destination = destination
        self._regions_only = regions_only
        self._written: dict[str, str] = {}  # path -> id

    def cut(self, stem: Stem) -> Stem:
        """Return the trimmed stem.

        Raises:
            AudioError: The file cannot be used, or nothing in it is to be kept (``silent``).
        """
        path = self._folder / stem.path
        target = self._target(stem, path)
        earlier = self._unchanged(stem)
        if earlier is not None and all(self._unchanged(other) for other in self._stems[song_of(stem)]):
            return self._reused(earlier, stem)
        measured = self._measure(stem)
        if isinstance(measured, AudioError):
            raise measured
        song = self._song(stem)
        regions = self._regions(measured, song)
        del self._measured[stem.id]
        self._held -= measured.held
        if not regions:
            raise AudioError(path, SkipReason.SILENT, "nothing in it is loud enough to be kept")
        sha256 = self._sha256(stem)
        issues = checks.after_sound(stem.issues, Sound(measured.faults))
        loudness, info = measured.loudness, measured.info
        if loudness is not None:  # nothing is written
            levels = {"loudness_lufs": loudness.integrated_lufs(), "peak_dbfs": loudness.peak_dbfs()}
            active = stem.active if stem.source else _seconds(regions, info.sample_rate)
            return stem.model_copy(update={**levels, "sha256": sha256, "active": active, "issues": issues})
        origin = self._origin(stem, path, info, regions, sha256)
        if song.gain_db:
            before = float(stem.extra.get(GAIN_DB, 0.0))
            origin["extra"] = {**origin["extra"], GAIN_DB: round(before + song.gain_db, 3)}
            issues = checks.with_issues(issues, [turned_down_issue(song.gain_db, song.peak)], ["turned_down"])
        if earlier is not None and (earlier.active, earlier.extra.get(GAIN_DB)) == (
            origin["active"],
            origin["extra"].get(GAIN_DB),
        ):
            return self._reused(earlier, stem)
        with self._reading(stem):
            written = self._write(path, stem, measured, regions, self._destination / target, song.gain)
        trimmed = _trimmed(stem, {**written, "path": target, "issues": issues, **origin})
        return self._with_f0(stem, trimmed, _seconds(regions, info.sample_rate))

    def has(self, stem: Stem) -> bool:
        """Return whether an earlier run has trimmed a stem, which has not changed since."""
        return self._unchanged(stem) is not None

    def _unchanged(self, stem: Stem) -> Stem | None:
        """Return the result of an earlier run if the stem has not changed since."""
        earlier = self._earlier(stem.id)
        if earlier is None:
            return None
        try:
            sha256 = self._sha256(stem)
        except AudioError:  # reading the stem raises a better error
            return None
        same = self._input_sha256(earlier) == sha256 and self._f0_sha256(earlier) == _f0_sha256(stem)
        return earlier if same and self._is_intact(earlier) else None

    def _reused(self, earlier: Stem, stem: Stem) -> Stem:
        return earlier.model_copy(update={name: getattr(stem, name) for name in _CARRIED})

    def _sha256(self, stem: Stem) -> str:
        return self._files.sha256(self._folder / stem.path)

    def _with_f0(self, stem: Stem, cut: Stem, regions: Sequence[tuple[float, float]]) -> Stem:
        """Add the trimmed f0 to a trimmed stem, or an issue if the f0 cannot be read."""
        if stem.f0 is None:
            extra_without_f0 = {key: value for key, value in cut.extra.items() if key != F0_CUT_FROM}
            return cut.model_copy(update={"extra": extra_without_f0})
        extra = {**cut.extra, F0_CUT_FROM: _f0_sha256(stem)}
        target = PurePosixPath(cut.path).with_suffix(".f0.csv").as_posix()
        try:
            f0 = cut_file(stem, self._folder, regions, self._destination, target)
        except LabelError as error:
            issue = Issue(code=error.reason, detail=f"{stem.f0.path}: {error.detail}")
            return cut.model_copy(update={"f0": None, "extra": extra, "issues": [*cut.issues, issue]})
        return cut.model_copy(update={"f0": f0, "extra": extra})

    def _target(self, stem: Stem, path: Path) -> str:
        relative = PurePosixPath(stem.path)
        name = relative.stem + (f"#{stem.stream}" if stem.stream else "") + ".flac"
        target = relative.with_name(name).as_posix()
        if self._written.setdefault(target, stem.id) != stem.id:
            raise AudioError(
                path, SkipReason.DUPLICATE_ID, f'the stem "{self._written[target]}" is written to {target} too'
            )
        return target

    def _input_sha256(self, earlier: Stem) -> str | None:
        """Return the checksum of the file from which an earlier run made a stem."""
        if self._regions_only:
            return earlier.sha256
        cut_twice = earlier.extra.get(TRIMMED_FROM)
        return str(cut_twice) if cut_twice else earlier.source.sha256 if earlier.source else None

    def _f0_sha256(self, earlier: Stem) -> str | None:
        """Return the checksum of the f0 file from which an earlier run made the f0 of a stem."""
        if self._regions_only:
            return _f0_sha256(earlier)
        cut_from = earlier.extra.get(F0_CUT_FROM)
        return str(cut_from) if cut_from else None

    def _is_intact(self, earlier: Stem) -> bool:
        """Return whether the files of an earlier run exist unchanged."""
        if self._regions_only:
            return True
        made = [(earlier.path, earlier.sha256), *([(earlier.f0.path, earlier.f0.sha256)] if earlier.f0 else [])]
        paths = [(self._destination / path, sha256) for path, sha256 in made]
        return all(path.is_file() and manifest.file_sha256(path) == sha256 for path, sha256 in paths)

    def _measure(self, stem: Stem) -> _Measured | AudioError:
        """Return the measurements of a stem, or why it cannot be read. Each stem is decoded once."""
        if stem.id not in self._measured:
            path = self._folder / stem.path
            try:
                with self._reading(stem), of_one_file(path):
                    room = 0 if self._regions_only else HELD_BYTES - self._held
                    measured = _measure(path, stem, loudness=self._regions_only, room=room)
                self._measured[stem.id] = measured
                self._held += measured.held
            except AudioError as error:
                self._measured[stem.id] = error
        return self._measured[stem.id]

    def _reading(self, stem: Stem) -> AbstractContextManager[None]:
        return self._files.reading(self._folder / stem.path, stem.sha256)

    def _song(self, stem: Stem) -> _Song:
        """Return the levels of a stem's song; stems that cannot be read are ignored."""
        name = song_of(stem)
        if name not in self._songs:
            readable = [stem for stem in map(self._measure, self._stems[name]) if isinstance(stem, _Measured)]
            peaks = [stem.peak for stem in readable if can_exceed(stem.info)]
            self._songs[name] = _Song(max(stem.levels.sustained_peak for stem in readable), max(peaks, default=0.0))
        return self._songs[name]

    def _regions(self, measured: _Measured, song: _Song) -> list[tuple[int, int]]:
        return activity.regions_of(
            measured.levels,
            first_db=self._config.first_db,
            second_db=self._config.second_db,
            song_peak=song.sustained_peak,
            floor=max(db_to_amplitude(self._config.silence_floor_dbfs), quantisation_step(measured.info.subtype)),
            min_gap=self._config.min_gap,
            pad=self._config.pad,
            detector=self._config.detector,
        )

    def _write(
        self, path: Path, stem: Stem, measured: _Measured, regions: Sequence[tuple[int, int]], target: Path, gain: float
    ) -> dict[str, Any]:
        """Write the regions to a file; returns the fields of the stem that describe it."""
        info = measured.info
        channels, subtype = _written_format(info)
        meter = LoudnessMeter(info.sample_rate)
        fade = seconds_to_samples(self._config.fade, info.sample_rate)
        if measured.sound is None:
            sound = files.blocks(path, channels=channels, stream=stem.stream)
        else:
            sound = (files.mix_channels(block, channels) for block in measured.sound)
        with files.create(target, info.sample_rate, channels, subtype=subtype) as file, ThreadPoolExecutor(1) as thread:
            metered: Future[None] | None = None
            for block in splice(sound, regions, info.num_samples, fade):
                softer = block if gain == 1.0 else block * np.float32(gain)
                if metered is not None:
                    metered.result()
                metered = thread.submit(meter.add, softer)
                file.write(softer)
            num_samples = file.num_samples
        return {
            "stream": 0,
            "sha256": manifest.file_sha256(target),
            "sample_rate": info.sample_rate,
            "channels": channels,
            "num_samples": num_samples,
            "loudness_lufs": meter.integrated_lufs(),
            "peak_dbfs": meter.peak_dbfs(),
        }

    def _origin(
        self, stem: Stem, path: Path, info: AudioInfo, regions: Sequence[tuple[int, int]], sha256: str
    ) -> dict[str, Any]:
        """Return ``source`` and ``active``: of the file, or of the file that *it* was trimmed from."""
        first = stem.source
        if first is not None and first.sample_rate == info.sample_rate:
            outer = [tuple(seconds_to_samples(time, first.sample_rate) for time in span) for span in stem.active or []]
            if sum(end - start for start, end in outer) == info.num_samples:
                spans = subregions([(start, end) for start, end in outer], regions)
                extra = {**stem.extra, TRIMMED_FROM: sha256}
                first = first.model_copy(update={"path": self._relative(self._folder / first.path)})
                return {"source": first, "active": _seconds(spans, info.sample_rate), "extra": extra}
        source = Source(
            path=self._relative(path),
            sha256=sha256,
            sample_rate=info.sample_rate,
            num_samples=info.num_samples,
            stream=stem.stream,
        )
        return {"source": source, "active": _seconds(regions, info.sample_rate), "extra": stem.extra}

    def _relative(self, path: Path) -> str:
        return manifest.relative_root(path, self._destination / "manifest.json")


def trial(stem: Stem, folder: Path, *, regions_only: bool = False) -> int:
    """Do the work of trimming on a stem without writing, to measure its speed.

    Returns:
        The size in bytes of the stem as FLAC, which is about that of the trimmed stem, because silence takes no room.
    """
    path = folder / stem.path
    info = _measure(path, stem, loudness=regions_only).info
    if regions_only:
        return 0
    channels, subtype = _written_format(info)
    meter = LoudnessMeter(info.sample_rate)

    def metered(block: Waveform) -> Waveform:
        meter.add(block)
        return block

    sound = map(metered, files.blocks(path, channels=channels, stream=stem.stream))
    return files.flac_size(sound, info.sample_rate, channels, subtype=subtype)


def _written_format(info: AudioInfo) -> tuple[int, str]:
    """Return the number of channels and the sample format of a trimmed file."""
    channels = info.channels if info.channels <= MAX_CHANNELS else 2
    return channels, "PCM_16" if info.subtype in SIXTEEN_BITS else "PCM_24"


def _f0_sha256(stem: Stem) -> str | None:
    """Return the checksum of a stem's f0 file, or its path if it has no checksum; None without an f0."""
    return (stem.f0.sha256 or stem.f0.path) if stem.f0 else None


def _trimmed(stem: Stem, written: dict[str, Any]) -> Stem:
    """Update a stem; its regions and bleed are dropped, because they are on the time line of the untrimmed file."""
    return stem.model_copy(update={**written, "regions": [], "crosstalk": None})


def _measure(path: Path, stem: Stem, *, loudness: bool, room: int = 0) -> _Measured:
    """Measure a stem.

    Args:
        loudness: Also measure its loudness.
        room: Keep the decoded sound if it is not larger than this, in bytes.
    """
    info = files.probe(path, stem.stream)
    meter = LoudnessMeter(info.sample_rate) if loudness else None
    channels = ChannelMeter(info.sample_rate)
    size = info.num_samples * info.channels * np.dtype(np.float32).itemsize
    kept: list[Waveform] | None = [] if size <= room else None

    def metered(block: Waveform) -> Waveform:
        channels.add(block)
        if meter is not None:
            meter.add(block)
        if kept is not None:
            kept.append(block)
        return block

    levels = activity.levels(map(metered, files.blocks(path, stream=stem.stream)), info.sample_rate)
    return _Measured(info, levels, meter, channels.faults(), kept)


def _seconds(regions: Sequence[tuple[int, int]], sample_rate: int) -> list[tuple[float, float]]:
    return [(samples_to_seconds(start, sample_rate), samples_to_seconds(end, sample_rate)) for start, end in regions]
