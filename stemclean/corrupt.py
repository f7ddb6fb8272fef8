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
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from tqdm import tqdm

from stemclean import __version__, layouts, manifest
from stemclean.audio import files
from stemclean.audio.unchanged import Unchanged
from stemclean.data import corrupt as sound
from stemclean.data.destination import refuse_in_source
from stemclean.data.faults import KINDS, Fault, plan
from stemclean.data.planting import CorruptConfig, Planter, Truth
from stemclean.data.song_levels import song_of
from stemclean.disk import replacing
from stemclean.errors import AudioError, ConfigError, StemcleanError, of_one_file
from stemclean.labels import FOUR_STEMS, PROFILES
from stemclean.manifest import Created, Input, Manifest, Skip, Stem
from stemclean.outputs import only_writer

__all__ = ["CorruptConfig", "corrupt"]

TRUTH = "truth.json"
UNFINISHED = "truth.json.part"
"""Stands in the destination while it is being written, so that only the same run is taken up again."""


def corrupt(
    source: str | Path, destination: str | Path, config: CorruptConfig | None = None, *, quiet: bool = False
) -> Manifest:
    """Write a corrupted copy of a dataset.

    Within a song two stems exchange their claimed classes (three in a ring where the number is odd), across songs only
    what is left over; a single one that is left takes another class. A bleed is another stem of the same song. Faults
    go to stems that sound and whose labels are exactly what they claim; other stems are copied as they are. Where a
    stem of a song would exceed full scale, all of them are turned down by one gain. What cannot be read is listed in
    ``skipped``, and the rest is done.

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
        ``silent_in_source`` was there before), ``gain_db`` where the song was turned down, and as the case may be
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
            refuse_in_source(destination, folder, source)
        created = _created(data, folder, destination, config)
        _claim(destination, created)

        sources = Unchanged()
        levels, skipped = _measure(data, folder, sources, quiet)
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
        truths: dict[str, Truth] = {}  # by path
        with tqdm(total=len(stems), desc="corrupt", unit="stem", disable=True if quiet else None) as bar:
            planter = Planter(folder, destination, config, data.labels, levels, faults, sources)
            for song in _songs(stems, faults):
                written, lost = planter.write(song)
                truths |= written
                skipped += lost
                bar.update(len(song))
        if not truths:
            raise _nothing_usable(folder, [*skipped, *data.skipped])
        truth = _truth(destination, data, truths, created, [*data.skipped, *skipped])
        manifest.write(truth, destination / TRUTH)
        (destination / UNFINISHED).unlink(missing_ok=True)
        return truth


def _measure(
    data: Manifest, folder: Path, sources: Unchanged, quiet: bool
) -> tuple[dict[str, sound.Level], list[Skip]]:
    """Level of every stem that can be used, by id; why the others cannot."""
    levels: dict[str, sound.Level] = {}
    skipped: list[Skip] = []
    for stem in tqdm(data.stems, "measure", unit="stem", disable=True if quiet else None):
        if len(stem.claimed) != 1:
            skipped.append(Skip(path=stem.path, reason="class_unknown", detail="a file name can claim one class only"))
            continue
        try:
            with sources.reading(folder / stem.path, stem.sha256), of_one_file(folder / stem.path):
                audio = files.read(folder / stem.path, stream=stem.stream)
                levels[stem.id] = sound.level(audio, stem.sample_rate)
        except AudioError as error:
            skipped.append(Skip(path=stem.path, reason=error.reason, detail=error.detail))
    if not levels:
        raise _nothing_usable(folder, [*skipped, *data.skipped])
    return levels, skipped


def _nothing_usable(folder: Path, skipped: Sequence[Skip]) -> ConfigError:
    why = [f"{skip.path}: {skip.detail or skip.reason}" for skip in skipped[:5]]
    return ConfigError(f"{folder}: no stem can be used", "\n".join(why))


def _songs(stems: Sequence[Stem], faults: Mapping[str, Fault]) -> list[dict[str, Stem]]:
    """The stems by the path that each is written to, song by song."""
    songs: dict[str, dict[str, Stem]] = {}
    taken: Counter[str] = Counter()
    for stem in stems:
        name = f"{_safe(stem.track)}/{faults[stem.id].claimed}"
        taken[name] += 1
        path = f"{name}_{taken[name]}.flac" if taken[name] > 1 else f"{name}.flac"
        songs.setdefault(song_of(stem), {})[path] = stem
    return list(songs.values())


def _truth(
    destination: Path,
    data: Manifest,
    truths: Mapping[str, Truth],
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
        stems.append(stem.model_copy(update=found | {"issues": [*stem.issues, *known.issues]}))
    kinds = Counter(kind for stem in stems for kind in str(stem.extra["fault"] or "none").split("+"))
    return Manifest(
        created=created,
        labels=data.labels,
        stems=stems,
        skipped=list(skipped),
        summary={"faults": dict(sorted(kinds.items())), "num_stems": len(stems)},
    )


def _created(data: Manifest, folder: Path, destination: Path, config: CorruptConfig) -> Created:
    contents = [[stem.id, stem.sha256 or _sha256(folder / stem.path)] for stem in data.stems]
    digest = hashlib.sha256(json.dumps(contents).encode()).hexdigest()
    path = manifest.relative_root(folder, destination / TRUTH)
    # As it will be read back: tuples are lists, floats have the six decimals of a manifest.
    chosen = {name: value for name, value in config.to_dict().items() if value is not None}
    settings = json.loads(json.dumps(chosen), parse_float=lambda text: round(float(text), 6))
    by = f"stemclean {__version__}"
    return Created(by=by, command="corrupt", config=settings, inputs=[Input(path=path, sha256=digest)])


def _sha256(path: Path) -> str | None:
    """Of a file's bytes; None where it cannot be read, of which the measuring tells more."""
    try:
        return manifest.file_sha256(path)
    except OSError:
        return None


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
