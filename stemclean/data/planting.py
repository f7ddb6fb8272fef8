"""Plant faults in the stems of a song, and record the ground truth; see :mod:`stemclean.data.corrupt`."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from pydantic import Field, model_validator

from stemclean import regions
from stemclean.audio import files
from stemclean.audio.activity import active_regions
from stemclean.audio.headroom import SpooledSound, gain_below_full_scale
from stemclean.audio.unchanged import Unchanged
from stemclean.data import corrupt as sound
from stemclean.data.faults import KINDS, Fault
from stemclean.data.issues import GAIN_DB, turned_down_issue
from stemclean.data.rooms import draw_room
from stemclean.errors import AudioError, ConfigError, of_one_file
from stemclean.manifest import Issue, Region, Skip, Stem
from stemclean.settings import RISING, WHOLE, Chance, LevelsDb, Settings
from stemclean.units import amplitude_to_db, seconds_to_samples

__all__ = ["CorruptConfig", "Planter", "Truth", "trial"]

NEAR_SILENCE_DBFS = (-90.0, -75.0)
"""Range of noise floors of a channel that recorded nothing, below the gate of :mod:`stemclean.data.corrupt`."""

ROOM = 1
"""Key of the random stream of rooms."""

_Share = Annotated[float, Field(gt=0, le=1)]


class CorruptConfig(Settings):
    """Which faults are planted, and how many.

    Args:
        mislabel, bleed, silence, foreign: Share of all stems that get the fault, in [0, 1], exact up to rounding.
        bleed_db: Lowest and highest level of bleed relative to the stem in dB, drawn uniformly; see
            :mod:`stemclean.data.corrupt` for the definition of a level.
        bleed_share: Smallest and largest share of the stem's time in which bleed is audible, in (0, 1], drawn
            uniformly. The bleed is intermittent, in stretches of a few seconds to half a minute. A donor that sounds
            less than that bleeds less. None: wherever the donor sounds.
        bleed_rooms: Share of the bleeds that come through a room, in [0, 1]: late, reverberant and with another
            spectrum (:mod:`stemclean.data.rooms`). The others are exact copies of what the donor plays.
        coincide: Whether a swapped stem may also have bleed, silence or foreign sound; otherwise stems have one fault.
        seed: Random seed; the same seed and data give the same bytes.
    """

    mislabel: Chance = 0.2
    bleed: Chance = 0.2
    bleed_db: LevelsDb = (-20.0, 0.0)
    bleed_share: Annotated[tuple[_Share, _Share], *RISING] | None = None
    bleed_rooms: Chance = 0.0
    silence: Chance = 0.0
    foreign: Chance = 0.0
    coincide: bool = False
    seed: Annotated[int, Field(ge=0, lt=2**32), WHOLE] = 0

    @model_validator(mode="after")
    def _no_more_faults_than_stems(self) -> Self:
        total = sum(getattr(self, name) for name in KINDS) - (self.mislabel if self.coincide else 0.0)
        if total > 1.0 + 1e-9:
            raise ConfigError(f"the shares of faults add up to {total:g}, more than 1", "lower one of them")
        return self


@dataclass(frozen=True)
class _Layer:
    """A sound in a stem.

    Args:
        labels: Its classes.
        waveform: The sound as it was mixed in. Shape: (channel, time)
        spans: Where it sounds, in seconds.
    """

    labels: list[str]
    waveform: sound.Waveform
    spans: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Truth:
    """The ground truth of a written stem.

    Args:
        claimed: Class in the file name.
        labels: Classes that it holds.
        extra: Description of the fault.
        levels_db: Levels of the classes.
        regions: Classes over time.
        issues: Issues of the stem.
    """

    claimed: str
    labels: list[str]
    extra: dict[str, Any]
    levels_db: dict[str, float]
    regions: list[Region]
    issues: list[Issue] = field(default_factory=list)

    def turned_down(self, gain: float, peak: float) -> Truth:
        """Return the ground truth after the song was attenuated because of its peak."""
        gain_db = round(amplitude_to_db(gain), 3) + 0.0
        if not gain_db:
            return self
        return replace(self, extra=self.extra | {GAIN_DB: gain_db}, issues=[turned_down_issue(gain_db, peak)])


@dataclass(frozen=True)
class Planter:
    """Writes the songs of a dataset with their faults.

    Args:
        folder: Folder of the source.
        destination: Folder to write to.
        config: Which faults are planted.
        order: Order of the labels.
        levels: Level of each stem, by id.
        faults: Faults of each stem, by id.
        sources: Checks that the files have not changed since they were measured.
    """

    folder: Path
    destination: Path
    config: CorruptConfig
    order: Sequence[str]
    levels: Mapping[str, sound.Level]
    faults: Mapping[str, Fault]
    sources: Unchanged

    def write(self, song: Mapping[str, Stem]) -> tuple[dict[str, Truth], list[Skip]]:
        """Write the stems of a song, except those already written.

        Args:
            song: Path -> stem.

        Returns:
            The ground truth of each stem, by path, and the stems that could not be written.
        """
        truths: dict[str, Truth] = {}
        spools: dict[str, SpooledSound] = {}
        skipped = []
        with ExitStack() as stack:
            for path, stem in song.items():
                level, fault = self.levels[stem.id], self.faults[stem.id]
                try:
                    with self._reading(stem, fault), of_one_file(self.folder / stem.path):
                        audio, truths[path] = _corrupted(stem, fault, level, self.folder, self.config, self.order)
                except AudioError as error:
                    skipped.append(_lost(stem, self.folder, error))
                    (self.destination / path).unlink(missing_ok=True)  # written by an earlier run
                    continue
                spools[path] = SpooledSound(self.destination, audio.shape[0])
                stack.callback(spools[path].close)
                spools[path].write(audio)
            peak = max((spool.peak for spool in spools.values()), default=0.0)
            gain = gain_below_full_scale(peak)
            for path, spool in spools.items():
                target = self.destination / path
                if not (target.exists() and spool.is_in(target, gain)):
                    spool.pour(target, song[path].sample_rate, gain, subtype="PCM_16")
        return {path: truth.turned_down(gain, peak) for path, truth in truths.items()}, skipped

    @contextmanager
    def _reading(self, stem: Stem, fault: Fault) -> Iterator[None]:
        """Check that a stem and its donor do not change while they are read in this context."""
        with ExitStack() as stack:
            for file_stem in (stem, *([fault.donor] if fault.donor else [])):
                stack.enter_context(self.sources.reading(self.folder / file_stem.path, file_stem.sha256))
            yield


def trial(stem: Stem, folder: Path) -> int:
    """Do the work of corrupting on a stem without writing, to measure its speed; returns its size in bytes as FLAC."""
    path = folder / stem.path
    with of_one_file(path):
        sound.level(files.read(path, stream=stem.stream), stem.sample_rate)
        audio = files.read(path, channels=min(stem.channels, 2), stream=stem.stream)
        return files.flac_size([audio], stem.sample_rate, audio.shape[0])


def _lost(stem: Stem, folder: Path, error: AudioError) -> Skip:
    """Return the skip of a stem that could not be written; the file at fault may be that of its donor."""
    elsewhere = error.path.is_relative_to(folder) and error.path != folder / stem.path
    blamed = f"{error.path.relative_to(folder).as_posix()}, its bleed: " if elsewhere else ""
    return Skip(path=stem.path, reason=error.reason, detail=f"{blamed}{error.detail}")


def _corrupted(
    stem: Stem, fault: Fault, level: sound.Level, folder: Path, config: CorruptConfig, order: Sequence[str]
) -> tuple[sound.Waveform, Truth]:
    """Return a stem with its faults, which may exceed full scale, and its ground truth."""
    random = np.random.default_rng([config.seed, zlib.crc32(stem.id.encode())])  # does not depend on other stems
    rate, channels = stem.sample_rate, min(stem.channels, 2)
    audio = files.read(folder / stem.path, channels=channels, stream=stem.stream)
    extra: dict[str, Any] = {"from": stem.id, "fault": "+".join(fault.kinds) or None}
    layers: list[_Layer] = []
    if level.rms == 0.0:
        extra["fault"] = "silent_in_source"
    elif not {"silence", "foreign"} & set(fault.kinds):
        layers.append(_Layer(stem.labels, audio, _sounding(audio, rate)))
    if fault.donor is not None:
        donor = files.read(folder / fault.donor.path, sample_rate=rate, channels=channels, stream=fault.donor.stream)
        sounding = _sounding(donor[:, : audio.shape[1]], rate)
        acoustics = np.random.default_rng([config.seed, zlib.crc32(stem.id.encode()), ROOM])
        room = draw_room(rate, acoustics, channels) if acoustics.random() < config.bleed_rooms else None
        spans = None
        extra["bleed"] = {"label": fault.donor.labels[0], "level_db": fault.level_db, "from": fault.donor.id}
        if room is not None:
            donor = room(donor)
            extra["bleed"]["room"] = {
                "delay": round(room.delay, 4),
                "reverberation": round(room.reverberation, 3),
                "tilt_db_per_octave": round(room.tilt_db, 2),
            }
        if fault.share is not None:
            duration = audio.shape[1] / rate
            spans = sound.bleeding_spans(sounding, fault.share * duration, random)
            extra["bleed"]["share"] = round(sum(end - start for start, end in spans) / duration, 3)
        added = sound.bleed(audio, donor, rate, fault.level_db, spans)
        layers.append(_Layer(fault.donor.labels, added, sounding if spans is None else spans))
        audio = audio + added
    if "silence" in fault.kinds:
        level_dbfs = round(random.uniform(*NEAR_SILENCE_DBFS), 3) if random.random() < 0.75 else None
        audio = sound.near_silence(audio.shape, level_dbfs, random)
        extra["silence"] = {"level_dbfs": level_dbfs}
    if "foreign" in fault.kinds:
        kind = list(sound.FOREIGN)[random.integers(len(sound.FOREIGN))]
        audio = sound.foreign(kind, audio.shape, rate, level.rms, random)
        extra["foreign"] = {"kind": kind}
    return audio, _truth(fault, extra, layers, order, audio.shape[1], rate)


def _truth(
    fault: Fault,
    extra: dict[str, Any],
    layers: Sequence[_Layer],
    order: Sequence[str],
    num_samples: int,
    sample_rate: int,
) -> Truth:
    """Return the ground truth of a stem with these layers: its classes, their levels, and when they sound."""
    present = {label for layer in layers for label in layer.labels}
    labels = [label for label in order if label in present]
    when = {label: [span for layer in layers if label in layer.labels for span in layer.spans] for label in labels}
    # Levels are known if each layer has a single class and no two layers have the same.
    single = all(len(layer.labels) == 1 for layer in layers) and len(layers) == len(present)
    parts = {layer.labels[0]: layer.waveform for layer in layers} if single else {}
    parts = {label: parts[label] for label in labels if label in parts}
    placed = []
    for region in regions.overlay(when) or [Region(start=0.0, end=num_samples / sample_rate, labels=[])]:
        first, last = (seconds_to_samples(edge, sample_rate) for edge in (region.start, region.end))
        sounding = {label: part[:, first:last] for label, part in parts.items() if label in region.labels}
        placed.append(region.model_copy(update={"levels_db": sound.levels_among(sounding)}))
    return Truth(fault.claimed, labels, extra, sound.levels_among(parts), placed)


def _sounding(waveform: sound.Waveform, sample_rate: int) -> list[tuple[float, float]]:
    """Return the active regions of a waveform in seconds; the whole waveform if there are none."""
    active = active_regions(waveform, sample_rate) or [(0, waveform.shape[1])]
    return [(start / sample_rate, end / sample_rate) for start, end in active]
