"""One stem without its silence: which regions stay, the file that holds them, and where each sample came from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
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
from stemclean.errors import AudioError, LabelError, of_one_file
from stemclean.manifest import Issue, Source, Stem
from stemclean.settings import Settings, SilenceDbfs
from stemclean.units import amplitude_to_db, db_to_amplitude, samples_to_seconds, seconds_to_samples

__all__ = ["Cutter", "TrimConfig"]

MAX_CHANNELS = 8
"""FLAC holds no more; files with more are down-mixed to stereo."""

TRIMMED_FROM = "trimmed_from_sha256"
"""In ``extra`` of a stem that was trimmed twice: the file between it and its ``source``."""

F0_CUT_FROM = "f0_cut_from_sha256"
"""In ``extra`` of a trimmed stem: the file of f0 that its own was cut from."""

SIXTEEN_BITS = frozenset({"PCM_16", "PCM_S8", "PCM_U8", "ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM"})
"""Sample formats that 16 bits hold; everything else, lossy formats too, becomes 24 bits."""

_CARRIED = ("track", "split", "claimed", "labels", "scores", "levels_db", "verdict")
"""What trimming leaves as it was."""


_Db = Annotated[float, Field(ge=0, le=300)]
_Seconds = Annotated[float, Field(ge=0, le=3600)]


class TrimConfig(Settings):
    """What is silence, and how the rest is joined; the terms are those of :mod:`stemclean.audio.activity`.

    Args:
        first_db: first pass: what lies this many dB below the stem's own level goes.
        second_db: second pass: what lies this many dB below the song's peak goes.
        silence_floor_dbfs: what is softer goes, however soft the song.
        fade: seconds of a cross-fade.
        min_gap: seconds; shorter silence stays.
        pad: seconds kept before and after what is loud.
        detector: ``"sustained"``, or ``"peak"`` for the paper's letter.

    Raises:
        ConfigError: a value that cannot be meant.
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
class _Heard:
    """What a stem is like, before it is cut."""

    info: AudioInfo
    levels: Levels
    loudness: LoudnessMeter
    faults: ChannelFaults


@dataclass(frozen=True)
class _Song:
    """What the stems of a song have in common.

    Args:
        sustained_peak: the highest of theirs, see :mod:`stemclean.audio.activity`.
        peak: the largest sample of those that may exceed full scale.
    """

    sustained_peak: float
    peak: float

    @property
    def gain(self) -> float:
        """What all its stems are multiplied by, so that none is clipped."""
        return gain_below_full_scale(self.peak)

    @property
    def gain_db(self) -> float:
        """The same in dB, to three decimals."""
        return round(amplitude_to_db(self.gain), 3) + 0.0


class Cutter:
    """Cuts one stem after the other.

    Args:
        stems: of the dataset, by which songs are told.
        config: what is silence, and how the rest is joined.
        folder: what paths of stems are relative to.
        destination: where the files go, each under its own path.
        known: id -> what an earlier run with the same settings made of a stem; taken over where nothing has changed
            since.
        regions_only: write no file; say only what would be kept.
    """

    def __init__(
        self,
        stems: Iterable[Stem],
        config: TrimConfig,
        folder: Path,
        destination: Path,
        known: Callable[[str], Stem | None],
        *,
        regions_only: bool = False,
    ) -> None:
        self._stems: dict[str, list[Stem]] = defaultdict(list)
        for stem in stems:
            self._stems[song_of(stem)].append(stem)
        self._known = known
        self._heard: dict[str, _Heard | AudioError] = {}  # by id
        self._songs: dict[str, _Song] = {}
        self._files = Unchanged()
        self._config = config
        self._folder = folder
        self._destination = destination
        self._regions_only = regions_only
        self._written: dict[str, str] = {}  # path -> id

    def cut(self, stem: Stem) -> Stem:
        """The stem without its silence.

        Raises:
            AudioError: the file cannot be used, or (``silent``) nothing in it is to be kept.
        """
        path = self._folder / stem.path
        target = self._target(stem, path)
        known = self._unchanged(stem)
        if known is not None and all(self._unchanged(other) for other in self._stems[song_of(stem)]):
            return self._taken_over(known, stem)
        heard = self._hear(stem)
        if isinstance(heard, AudioError):
            raise heard
        song = self._song(stem)
        regions = self._regions(heard, song)
        del self._heard[stem.id]
        if not regions:
            raise AudioError(path, "silent", "nothing in it is loud enough to be kept")
        sha256 = self._sha256(stem)
        noted = checks.after_sound(stem.issues, Sound(heard.faults))
        if self._regions_only:
            measured = {"loudness_lufs": heard.loudness.integrated_lufs(), "peak_dbfs": heard.loudness.peak_dbfs()}
            active = stem.active if stem.source else _seconds(regions, heard.info.sample_rate)
            return stem.model_copy(update={**measured, "sha256": sha256, "active": active, "issues": noted})
        origin = self._origin(stem, path, heard.info, regions, sha256)
        if song.gain_db:
            before = float(stem.extra.get(GAIN_DB, 0.0))
            origin["extra"] = {**origin["extra"], GAIN_DB: round(before + song.gain_db, 3)}
            noted = checks.with_issues(noted, [turned_down_issue(song.gain_db, song.peak)], ["turned_down"])
        if known is not None and (known.active, known.extra.get(GAIN_DB)) == (
            origin["active"],
            origin["extra"].get(GAIN_DB),
        ):
            return self._taken_over(known, stem)
        with self._reading(stem):
            written = self._write(path, stem, heard.info, regions, self._destination / target, song.gain)
        described = _described(stem, {**written, "path": target, "issues": noted, **origin})
        return self._with_f0(stem, described, _seconds(regions, heard.info.sample_rate))

    def _unchanged(self, stem: Stem) -> Stem | None:
        """What an earlier run made of a stem that is what it was."""
        known = self._known(stem.id)
        if known is None:
            return None
        try:
            sha256 = self._sha256(stem)
        except AudioError:  # of which the reading tells more
            return None
        same = self._input_sha256(known) == sha256 and self._f0_sha256(known) == _f0_sha256(stem)
        return known if same and self._is_there(known) else None

    def _taken_over(self, known: Stem, stem: Stem) -> Stem:
        return known.model_copy(update={name: getattr(stem, name) for name in _CARRIED})

    def _sha256(self, stem: Stem) -> str:
        return self._files.sha256(self._folder / stem.path)

    def _with_f0(self, stem: Stem, cut: Stem, regions: Sequence[tuple[float, float]]) -> Stem:
        """The trimmed stem with its f0 on its own time line; where that cannot be read, an issue says so."""
        if stem.f0 is None:
            kept = {key: value for key, value in cut.extra.items() if key != F0_CUT_FROM}
            return cut.model_copy(update={"extra": kept})
        extra = {**cut.extra, F0_CUT_FROM: _f0_sha256(stem)}
        target = PurePosixPath(cut.path).with_suffix(".f0.csv").as_posix()
        try:
            f0 = cut_file(stem, self._folder, regions, self._destination, target)
        except LabelError as error:
            lost = Issue(code=error.reason, detail=f"{stem.f0.path}: {error.detail}")
            return cut.model_copy(update={"f0": None, "extra": extra, "issues": [*cut.issues, lost]})
        return cut.model_copy(update={"f0": f0, "extra": extra})

    def _target(self, stem: Stem, path: Path) -> str:
        relative = PurePosixPath(stem.path)
        name = relative.stem + (f"#{stem.stream}" if stem.stream else "") + ".flac"
        target = relative.with_name(name).as_posix()
        if self._written.setdefault(target, stem.id) != stem.id:
            raise AudioError(path, "duplicate_id", f'the stem "{self._written[target]}" is written to {target} too')
        return target

    def _input_sha256(self, known: Stem) -> str | None:
        """Checksum of the file that a stem of an earlier run was made from."""
        if self._regions_only:
            return known.sha256
        cut_twice = known.extra.get(TRIMMED_FROM)
        return str(cut_twice) if cut_twice else known.source.sha256 if known.source else None

    def _f0_sha256(self, known: Stem) -> str | None:
        """Checksum of the label that the f0 of a stem of an earlier run was made from."""
        if self._regions_only:
            return _f0_sha256(known)
        cut_from = known.extra.get(F0_CUT_FROM)
        return str(cut_from) if cut_from else None

    def _is_there(self, known: Stem) -> bool:
        """Whether what an earlier run wrote is still what it wrote."""
        if self._regions_only:
            return True
        made = [(known.path, known.sha256), *([(known.f0.path, known.f0.sha256)] if known.f0 else [])]
        paths = [(self._destination / path, sha256) for path, sha256 in made]
        return all(path.is_file() and manifest.file_sha256(path) == sha256 for path, sha256 in paths)

    def _hear(self, stem: Stem) -> _Heard | AudioError:
        """What a stem is like; decoded once, though its song asks for it first."""
        if stem.id not in self._heard:
            path = self._folder / stem.path
            try:
                with self._reading(stem), of_one_file(path):
                    self._heard[stem.id] = _listen(path, stem)
            except AudioError as error:
                self._heard[stem.id] = error
        return self._heard[stem.id]

    def _reading(self, stem: Stem) -> AbstractContextManager[None]:
        return self._files.reading(self._folder / stem.path, stem.sha256)

    def _song(self, stem: Stem) -> _Song:
        """What the stems of a stem's song have in common; those that cannot be read do not count."""
        name = song_of(stem)
        if name not in self._songs:
            heard = [one for one in map(self._hear, self._stems[name]) if isinstance(one, _Heard)]
            peaks = [one.loudness.peak for one in heard if can_exceed(one.info)]
            self._songs[name] = _Song(max(one.levels.sustained_peak for one in heard), max(peaks, default=0.0))
        return self._songs[name]

    def _regions(self, heard: _Heard, song: _Song) -> list[tuple[int, int]]:
        return activity.regions_of(
            heard.levels,
            first_db=self._config.first_db,
            second_db=self._config.second_db,
            song_peak=song.sustained_peak,
            floor=max(db_to_amplitude(self._config.silence_floor_dbfs), quantisation_step(heard.info.subtype)),
            min_gap=self._config.min_gap,
            pad=self._config.pad,
            detector=self._config.detector,
        )

    def _write(
        self, path: Path, stem: Stem, info: AudioInfo, regions: Sequence[tuple[int, int]], target: Path, gain: float
    ) -> dict[str, Any]:
        """Write the regions and say what stands there now."""
        channels = info.channels if info.channels <= MAX_CHANNELS else 2
        subtype = "PCM_16" if info.subtype in SIXTEEN_BITS else "PCM_24"
        meter = LoudnessMeter(info.sample_rate)
        fade = seconds_to_samples(self._config.fade, info.sample_rate)
        sound = files.blocks(path, channels=channels, stream=stem.stream)
        with files.create(target, info.sample_rate, channels, subtype=subtype) as file:
            for block in splice(sound, regions, info.num_samples, fade):
                softer = block if gain == 1.0 else block * np.float32(gain)
                meter.add(softer)
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
        """``source`` and ``active``: of the file, or of the file that *it* was cut from."""
        first = stem.source
        if first is not None and first.sample_rate == info.sample_rate:
            outer = [tuple(seconds_to_samples(time, first.sample_rate) for time in span) for span in stem.active or []]
            if sum(end - start for start, end in outer) == info.num_samples:
                spans = subregions([(start, end) for start, end in outer], regions)
                extra = {**stem.extra, TRIMMED_FROM: sha256}
                first = first.model_copy(update={"path": self._seen_from_here(self._folder / first.path)})
                return {"source": first, "active": _seconds(spans, info.sample_rate), "extra": extra}
        source = Source(
            path=self._seen_from_here(path),
            sha256=sha256,
            sample_rate=info.sample_rate,
            num_samples=info.num_samples,
            stream=stem.stream,
        )
        return {"source": source, "active": _seconds(regions, info.sample_rate), "extra": stem.extra}

    def _seen_from_here(self, path: Path) -> str:
        return manifest.relative_root(path, self._destination / "manifest.json")


def _f0_sha256(stem: Stem) -> str | None:
    """Checksum of a stem's label of f0, or what else tells it from others; None where there is none."""
    return (stem.f0.sha256 or stem.f0.path) if stem.f0 else None


def _described(stem: Stem, written: dict[str, Any]) -> Stem:
    """The stem with what was written of it; regions and bleeds of an earlier run stood on another time line."""
    return stem.model_copy(update={**written, "regions": [], "crosstalk": None})


def _listen(path: Path, stem: Stem) -> _Heard:
    info = files.probe(path, stem.stream)
    loudness, channels = LoudnessMeter(info.sample_rate), ChannelMeter(info.sample_rate)

    def metered(block: Waveform) -> Waveform:
        loudness.add(block)
        channels.add(block)
        return block

    measured = activity.levels(map(metered, files.blocks(path, stream=stem.stream)), info.sample_rate)
    return _Heard(info, measured, loudness, channels.faults())


def _seconds(regions: Sequence[tuple[int, int]], sample_rate: int) -> list[tuple[float, float]]:
    return [(samples_to_seconds(start, sample_rate), samples_to_seconds(end, sample_rate)) for start, end in regions]
