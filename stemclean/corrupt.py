"""The verb ``corrupt``: plant known label noise in a clean dataset, and write down the truth.

It tells a user what the tool finds on *his* kind of music: corrupt, refine the result, hold it against ``truth.json``.
The kinds of fault are those of Koo et al. (ISMIR 2023, arXiv 2307.12576, section 1: wrong names and bleed) and two that
collections from the web have (channels that recorded nothing, sound that is no music). Shares and levels
are ours. The written folder looks like what a curator gets: ``TRACK/CLASS[_n].flac``, nothing in a name or
a format that betrays a fault.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from stemclean import __version__, layouts, manifest, regions
from stemclean.audio import files
from stemclean.audio.activity import active_regions
from stemclean.data import corrupt as sound
from stemclean.data.destination import refuse_in_source
from stemclean.data.faults import KINDS, Fault, plan
from stemclean.disk import replacing
from stemclean.errors import AudioError, ConfigError, StemcleanError, of_one_file
from stemclean.labels import FOUR_STEMS, PROFILES
from stemclean.manifest import Created, Input, Manifest, Region, Skip, Stem
from stemclean.outputs import only_writer
from stemclean.units import seconds_to_samples

__all__ = ["CorruptConfig", "corrupt"]

TRUTH = "truth.json"
UNFINISHED = "truth.json.part"
"""Stands in the destination while it is being written, so that only the same run is taken up again."""

NEAR_SILENCE_DBFS = (-90.0, -75.0)
"""Noise floors of a channel that recorded nothing, below the gate of :mod:`stemclean.data.corrupt`."""


@dataclass(frozen=True)
class CorruptConfig:
    """How much of what is planted.

    Args:
        mislabel, bleed, silence, foreign: share of all stems that get the fault, in [0, 1], met up to rounding.
        bleed_db: lowest and highest level of a bleed relative to the stem, in dB, drawn uniformly;
            see :mod:`stemclean.data.corrupt` for how a level is measured.
        bleed_share: least and greatest share of the stem's time in which a bleed is heard, in (0, 1], drawn uniformly;
            it comes and goes in stretches of a few seconds to half a minute. None: wherever the donor sounds. A donor
            that sounds less than that bleeds less.
        coincide: a swapped stem may hold a bleed, silence or foreign sound as well; otherwise one fault a stem.
        seed: the same seed and data give the same bytes.
    """

    mislabel: float = 0.2
    bleed: float = 0.2
    bleed_db: tuple[float, float] = (-20.0, 0.0)
    bleed_share: tuple[float, float] | None = None
    silence: float = 0.0
    foreign: float = 0.0
    coincide: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        shares = {name: getattr(self, name) for name in KINDS}
        for name, share in shares.items():
            if not 0.0 <= share <= 1.0:
                raise ConfigError(f"{name} {share:g} is no share", "give a number from 0 to 1, such as 0.2")
        total = sum(shares.values()) - (self.mislabel if self.coincide else 0.0)
        if total > 1.0 + 1e-9:
            raise ConfigError(f"the shares add up to {total:g}: more faults than stems", "lower one of them")
        if not self.bleed_db[0] <= self.bleed_db[1]:
            raise ConfigError(f"bleed_db {self.bleed_db[0]:g}:{self.bleed_db[1]:g} runs backwards", "low first: -20:0")
        if self.bleed_share is not None and not 0.0 < self.bleed_share[0] <= self.bleed_share[1] <= 1.0:
            low, high = self.bleed_share
            raise ConfigError(f"bleed_share {low:g}:{high:g} is no range of shares", "from above 0 to 1: 0.2:0.6")


def corrupt(
    source: str | Path, destination: str | Path, config: CorruptConfig | None = None, *, quiet: bool = False
) -> Manifest:
    """Write a corrupted copy of a dataset.

    Within a song two stems exchange their claimed classes (three in a ring where the number is odd), across songs only
    what is left over; a single one that is left takes another class. A bleed is another stem of the same song. Faults
    go to stems that sound and whose labels are exactly what they claim; other stems are copied as they are.

    Args:
        source: a manifest or a folder of stems; only read.
        destination: a folder that is new, empty, or holds the same run unfinished, which is then completed. Gets
            FLAC files at the source's rate (at most two channels, 16 bits) and ``truth.json``.
        config: what to plant.
        quiet: no progress bars.

    Returns:
        The truth: what ``truth.json`` holds. Ids are those that a scan of the destination gives; ``claimed`` is
        what the names say, ``labels`` what is in the files, ``regions`` when it sounds there, ``levels_db`` how loud it
        is, of the stem and of each region (where every sound has one known class). ``extra`` of a stem holds ``from``
        (id in the source), ``fault`` (null, ``swapped``, ``bleed``, ``silence``, ``foreign``, or two with ``+``;
        ``silent_in_source`` was there before), ``gain_db`` where clipping was prevented, and as the case may be
        ``bleed`` ``{"label", "level_db", "from"}`` (and ``share`` of the time, of one that comes and goes; its level is
        that while it is heard), ``silence`` ``{"level_dbfs"}``, ``foreign`` ``{"kind"}``.

    Raises:
        ConfigError: the destination holds something else or lies in the source; or the dataset cannot take
            as many faults (no song has a second stem to bleed, …).
    """
    config = config or CorruptConfig()
    destination = Path(destination)
    if Path(source).is_dir():
        refuse_in_source(destination, Path(source))
    with only_writer(destination, folder=True):
        data, folder = layouts.load(source, quiet=quiet)
        if not layouts.is_list(source):
            refuse_in_source(destination, folder)
        created = _created(data, folder, destination, config)
        _claim(destination, created)

        levels, skipped = _measure(data, folder, quiet)
        stems = [stem for stem in data.stems if stem.id in levels]
        nums = {kind: math.floor(getattr(config, kind) * len(stems) + 0.5) for kind in KINDS}
        faults = plan(
            stems,
            levels,
            data.labels,
            nums,
            config.bleed_db,
            config.coincide,
            np.random.default_rng(config.seed),
            config.bleed_share,
        )
        truths: dict[str, _Truth] = {}  # by path
        taken: Counter[str] = Counter()
        for stem in tqdm(stems, "corrupt", unit="stem", disable=True if quiet else None):
            fault = faults[stem.id]
            name = f"{_safe(stem.track)}/{fault.claimed}"
            taken[name] += 1
            path = f"{name}_{taken[name]}.flac" if taken[name] > 1 else f"{name}.flac"
            truths[path] = _write(stem, fault, levels[stem.id], folder, destination / path, config, data.labels)
        truth = _truth(destination, data, truths, created, [*data.skipped, *skipped])
        manifest.write(truth, destination / TRUTH)
        (destination / UNFINISHED).unlink(missing_ok=True)
        return truth


def _measure(data: Manifest, folder: Path, quiet: bool) -> tuple[dict[str, sound.Level], list[Skip]]:
    """Level of every stem that can be used, by id; why the others cannot."""
    levels: dict[str, sound.Level] = {}
    skipped: list[Skip] = []
    for stem in tqdm(data.stems, "measure", unit="stem", disable=True if quiet else None):
        if len(stem.claimed) != 1:
            skipped.append(Skip(path=stem.path, reason="class_unknown", detail="a file name can claim one class only"))
            continue
        try:
            with of_one_file(folder / stem.path):
                audio = files.read(folder / stem.path, stream=stem.stream)
                levels[stem.id] = sound.level(audio, stem.sample_rate)
        except AudioError as error:
            skipped.append(Skip(path=stem.path, reason=error.reason, detail=error.detail))
    if not levels:
        why = [f"{skip.path}: {skip.detail or skip.reason}" for skip in [*skipped, *data.skipped][:5]]
        raise ConfigError(f"{folder}: no stem can be used", "\n".join(why))
    return levels, skipped


@dataclass(frozen=True)
class _Layer:
    """A sound in a stem.

    Args:
        labels: its classes.
        waveform: ``(channel, time)``, as it was mixed in.
        spans: where it sounds, in seconds.
    """

    labels: list[str]
    waveform: sound.Waveform
    spans: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class _Truth:
    """What is known of a written stem.

    Args:
        claimed: what the file name says.
        labels, levels_db, regions: what it holds, how loud, and when.
        extra: the fault.
    """

    claimed: str
    labels: list[str]
    extra: dict[str, Any]
    levels_db: dict[str, float]
    regions: list[Region]


def _write(
    stem: Stem,
    fault: Fault,
    level: sound.Level,
    folder: Path,
    path: Path,
    config: CorruptConfig,
    order: Sequence[str],
) -> _Truth:
    """Write one stem, unless it is there; what is known of it.

    Args:
        order: of the labels.
    """
    random = np.random.default_rng([config.seed, zlib.crc32(stem.id.encode())])  # of the stem alone: any order will do
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
        spans = None
        extra["bleed"] = {"label": fault.donor.labels[0], "level_db": fault.level_db, "from": fault.donor.id}
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
    audio, gain_db = sound.without_clipping(audio)
    if gain_db:
        extra["gain_db"] = round(gain_db, 3)
    if not path.exists():  # a whole file of the same run: it was written under another name and renamed
        files.write(path, audio, rate, subtype="PCM_16")
    return _known(fault, extra, layers, order, audio.shape[1], rate)


def _known(
    fault: Fault,
    extra: dict[str, Any],
    layers: Sequence[_Layer],
    order: Sequence[str],
    num_samples: int,
    sample_rate: int,
) -> _Truth:
    """What a stem of these layers holds, how loud, and when."""
    held = {label for layer in layers for label in layer.labels}
    labels = [label for label in order if label in held]
    when = {label: [span for layer in layers if label in layer.labels for span in layer.spans] for label in labels}
    # The level of a class is known where each sound has one class, and no two the same.
    single = all(len(layer.labels) == 1 for layer in layers) and len(layers) == len(held)
    parts = {layer.labels[0]: layer.waveform for layer in layers} if single else {}
    parts = {label: parts[label] for label in labels if label in parts}
    placed = []
    for region in regions.overlay(when) or [Region(start=0.0, end=num_samples / sample_rate, labels=[])]:
        first, last = (seconds_to_samples(edge, sample_rate) for edge in (region.start, region.end))
        heard = {label: part[:, first:last] for label, part in parts.items() if label in region.labels}
        placed.append(region.model_copy(update={"levels_db": sound.levels_among(heard)}))
    return _Truth(fault.claimed, labels, extra, sound.levels_among(parts), placed)


def _sounding(waveform: sound.Waveform, sample_rate: int) -> list[tuple[float, float]]:
    """Where a waveform is loud enough to count, in seconds; throughout where the gate finds nothing."""
    active = active_regions(waveform, sample_rate) or [(0, waveform.shape[1])]
    return [(start / sample_rate, end / sample_rate) for start, end in active]


def _truth(
    destination: Path,
    data: Manifest,
    truths: Mapping[str, _Truth],
    created: Created,
    skipped: Sequence[Skip],
) -> Manifest:
    """What a scan of the destination finds, with the true labels."""
    profile = next((known for known in PROFILES.values() if list(known.labels) == data.labels), FOUR_STEMS)
    seen = layouts.scan(destination, profile=profile, quiet=True)
    said = {stem.path: stem.claimed for stem in seen.stems}
    planned = {path: [known.claimed] for path, known in truths.items()}
    if said != planned:
        odd = sorted(path for path in {*said, *planned} if said.get(path) != planned.get(path))
        raise StemcleanError(
            f"{destination}: {len(odd)} files would be read otherwise than planned, {odd[0]} among them",
            "rename the track folder, or remove the file if it is not of this run",
        )
    stems = []
    for stem in seen.stems:
        known = truths[stem.path]
        found = {name: getattr(known, name) for name in ("labels", "levels_db", "regions", "extra")}
        stems.append(stem.model_copy(update=found))
    kinds = Counter(kind for stem in stems for kind in str(stem.extra["fault"] or "none").split("+"))
    return Manifest(
        created=created,
        labels=data.labels,
        stems=stems,
        skipped=list(skipped),
        summary={"faults": dict(sorted(kinds.items())), "num_stems": len(stems)},
    )


def _created(data: Manifest, folder: Path, destination: Path, config: CorruptConfig) -> Created:
    contents = [[stem.id, stem.sha256 or manifest.file_sha256(folder / stem.path)] for stem in data.stems]
    digest = hashlib.sha256(json.dumps(contents).encode()).hexdigest()
    path = manifest.relative_root(folder, destination / TRUTH)
    # As it will be read back: tuples are lists, floats have the six decimals of a manifest.
    chosen = {name: value for name, value in asdict(config).items() if value is not None}
    settings = json.loads(json.dumps(chosen), parse_float=lambda text: round(float(text), 6))
    by = f"stemclean {__version__}"
    return Created(by=by, command="corrupt", config=settings, inputs=[Input(path=path, sha256=digest)])


def _claim(destination: Path, created: Created) -> None:
    """Make the destination ours, or find that it already is."""
    found: Created | None = None
    if (destination / TRUTH).exists():
        found = manifest.read(destination / TRUTH).created
    elif (destination / UNFINISHED).exists():
        with suppress(ValueError):  # ours in name alone
            found = Created.model_validate_json((destination / UNFINISHED).read_bytes())
    elif not destination.exists() or all(path.name[0] == "." for path in destination.iterdir()):
        found = created
    if found != created:
        raise ConfigError(f"{destination} holds something else", "give a new folder, or remove this one first")
    with replacing(destination / UNFINISHED) as temporary:
        temporary.write_text(created.model_dump_json(), encoding="utf-8")


def _safe(track: str) -> str:
    """A track's name as a folder on any file system."""
    parts = (re.sub(r'[\\:*?"<>|\x00-\x1f]', "_", part).strip(". ") for part in track.split("/"))
    return "/".join(part for part in parts if part) or "track"
