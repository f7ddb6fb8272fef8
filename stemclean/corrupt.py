"""Add known label noise to a clean dataset and write the ground truth: the ``corrupt`` verb.

It shows users how well the tool works on *their* kind of music: corrupt a clean dataset, refine the result, and
evaluate it against ``truth.json``. Two kinds of fault are those of Koo et al. (ISMIR 2023, arXiv 2307.12576, section 1:
wrong names and bleed); two more occur in collections from the web (silent recordings, and sound that is not music).
Shares and levels are ours. The written folder looks like a real dataset, ``TRACK/CLASS[_n].flac``: no name or format
gives a fault away.
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
from stemclean.data.planting import CorruptConfig, Planter, Truth, trial
from stemclean.data.song_levels import song_of
from stemclean.disk import replacing
from stemclean.errors import AudioError, ConfigError, SkipReason, StemcleanError, of_one_file
from stemclean.labels import FOUR_STEMS, PROFILES
from stemclean.manifest import Created, Input, Manifest, Skip, Stem
from stemclean.outputs import check_writable, only_writer
from stemclean.plans import MANIFEST_BYTES, Plan, Product, measured, plan_of

__all__ = ["CorruptConfig", "corrupt", "plan_corrupt"]

TRUTH = "truth.json"
UNFINISHED = "truth.json.part"
"""Marks a destination that is being written, so that only the same run can be resumed."""


def corrupt(
    source: str | Path,
    destination: str | Path,
    config: CorruptConfig | None = None,
    *,
    layout: str | None = None,
    quiet: bool = False,
) -> Manifest:
    """Write a corrupted copy of a dataset.

    Two stems of a song exchange their claimed classes (three if the number is odd); stems are exchanged across songs
    only if they are left over, and a single stem left over gets another class. Bleed comes from another stem of the
    same song. Faults are added only to stems that are not silent and whose labels are exactly their claims; other stems
    are copied unchanged. If a stem of a song would exceed full scale, all stems of the song are attenuated by the same
    gain. Files that cannot be read are listed in ``skipped``.

    Args:
        source: a manifest or a folder of stems; never changed.
        destination: a new or empty folder, or one with the same run unfinished, which is then completed. Gets FLAC
            files at the source's sample rate (at most two channels, 16 bits) and ``truth.json``.
        config: the faults to add; None: the defaults.
        layout: layout of the source, such as ``class_folders``; None: detect it.
        quiet: show no progress bars.

    Returns:
        The ground truth, as written to ``truth.json``. Ids are those that a scan of the destination gives. ``claimed``
        holds the classes in the names, ``labels`` those in the files, ``regions`` when they sound, and ``levels_db``
        their levels in the stem and in each region (if every sound has one known class). ``extra`` of a stem holds
        ``from`` (id in the source), ``fault`` (null, ``swapped``, ``bleed``, ``silence``, ``foreign``, or two joined by
        ``+``; ``silent_in_source`` if the source was silent) and ``gain_db`` if the song was attenuated. Depending on
        the fault it also holds ``bleed`` ``{"label", "level_db", "from"}`` (for intermittent bleed also its ``share``
        of the time; the level is that of the times with bleed), ``silence`` ``{"level_dbfs"}`` or ``foreign``
        ``{"kind"}``.

    Raises:
        ConfigError: the destination holds other files or lies in the source; or the dataset has too few stems for
            the faults, for example no song with a second stem.
    """
    config = config or CorruptConfig()
    source, destination = Path(source), Path(destination)
    if source.is_dir():
        refuse_in_source(destination, source)
    with only_writer(destination, folder=True):
        data, folder, created = _loaded(source, destination, config, layout, quiet=quiet)
        _claim(destination, created)
        sources = Unchanged()
        levels, skipped = _measure(data, folder, sources, quiet)
        stems = [stem for stem in data.stems if stem.id in levels]
        nums = _nums(config, len(stems))
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


def plan_corrupt(
    source: str | Path,
    destination: str | Path,
    config: CorruptConfig | None = None,
    *,
    layout: str | None = None,
    quiet: bool = False,
) -> Plan:
    """Return what :func:`corrupt` would do with the same arguments, after the same checks; nothing is written.

    Silent stems, which get no faults, are only known when all stems are read.
    """
    config = config or CorruptConfig()
    source, destination = Path(source), Path(destination)
    if source.is_dir():
        refuse_in_source(destination, source)
    check_writable(destination, folder=True)
    data, folder, _ = _loaded(source, destination, config, layout, quiet=quiet)
    stems = [stem for stem in data.stems if len(stem.claimed) == 1]

    def work(stem: Stem) -> float:
        return trial(stem, folder)

    speed = measured(stems, lambda stem: stem.duration, work, quiet=quiet)
    seconds = sum(stem.duration for stem in stems)
    size = None if speed is None else round(seconds * speed.bytes_per_second)
    products = [
        Product(destination / TRUTH, 1, len(stems) * MANIFEST_BYTES),
        Product(destination, len(stems), size),
    ]
    figures = {"faults": _nums(config, len(stems))}
    return plan_of("corrupt", source, data, products, speed=speed, seconds=seconds, figures=figures)


def _nums(config: CorruptConfig, num_stems: int) -> dict[str, int]:
    """Return the number of stems with each kind of fault."""
    return {kind: math.floor(getattr(config, kind) * num_stems + 0.5) for kind in KINDS}


def _loaded(
    source: Path, destination: Path, config: CorruptConfig, layout: str | None, *, quiet: bool
) -> tuple[Manifest, Path, Created]:
    """Load the dataset and check the destination. Returns the stems, their folder and the origin of the output."""
    data, folder = layouts.load(source, layout=layout, quiet=quiet)
    if not layouts.is_list(source):
        refuse_in_source(destination, folder, source)
    created = _created(data, folder, destination, config)
    _check_owner(destination, created)
    return data, folder, created


def _measure(
    data: Manifest, folder: Path, sources: Unchanged, quiet: bool
) -> tuple[dict[str, sound.Level], list[Skip]]:
    """Return the level of every usable stem by its id, and skips for the other stems."""
    levels: dict[str, sound.Level] = {}
    skipped: list[Skip] = []
    for stem in tqdm(data.stems, "measure", unit="stem", disable=True if quiet else None):
        if len(stem.claimed) != 1:
            skipped.append(
                Skip(path=stem.path, reason=SkipReason.CLASS_UNKNOWN, detail="a file name can claim one class only")
            )
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
    details = [f"{skip.path}: {skip.detail or skip.reason}" for skip in skipped[:5]]
    return ConfigError(f"{folder}: no stem can be used", "\n".join(details))


def _songs(stems: Sequence[Stem], faults: Mapping[str, Fault]) -> list[dict[str, Stem]]:
    """Group the stems by song; each song maps output paths to stems."""
    songs: dict[str, dict[str, Stem]] = {}
    counts: Counter[str] = Counter()
    for stem in stems:
        name = f"{_safe(stem.track)}/{faults[stem.id].claimed}"
        counts[name] += 1
        path = f"{name}_{counts[name]}.flac" if counts[name] > 1 else f"{name}.flac"
        songs.setdefault(song_of(stem), {})[path] = stem
    return list(songs.values())


def _truth(
    destination: Path,
    data: Manifest,
    truths: Mapping[str, Truth],
    created: Created,
    skipped: Sequence[Skip],
) -> Manifest:
    """Scan the destination and add the true labels."""
    profile = next((profile for profile in PROFILES.values() if list(profile.labels) == data.labels), FOUR_STEMS)
    scanned = layouts.scan(destination, profile=profile, quiet=True)
    claims = {stem.path: stem.claimed for stem in scanned.stems}
    planned = {path: [truth.claimed] for path, truth in truths.items()}
    if claims != planned:
        differing = sorted(path for path in {*claims, *planned} if claims.get(path) != planned.get(path))
        raise StemcleanError(
            f"{destination}: {len(differing)} files are not read as planned, for example {differing[0]}",
            "rename the track folder, or remove the file if this run did not write it",
        )
    stems = []
    for stem in scanned.stems:
        truth = truths[stem.path]
        fields = {name: getattr(truth, name) for name in ("labels", "levels_db", "regions", "extra")}
        stems.append(stem.model_copy(update=fields | {"issues": [*stem.issues, *truth.issues]}))
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
    # Convert to what is read back from JSON: lists instead of tuples, floats with the six decimals of a manifest.
    chosen = {name: value for name, value in config.to_dict().items() if value is not None}
    settings = json.loads(json.dumps(chosen), parse_float=lambda text: round(float(text), 6))
    by = f"stemclean {__version__}"
    return Created(
        by=by, command="corrupt", config=settings, inputs=[Input(path=path, sha256=digest, layout=data.layout)]
    )


def _sha256(path: Path) -> str | None:
    """Return the hash of a file; None if it cannot be read, which ``_measure`` reports."""
    try:
        return manifest.file_sha256(path)
    except OSError:
        return None


def _claim(destination: Path, created: Created) -> None:
    """Mark the destination as belonging to this run."""
    with replacing(destination / UNFINISHED) as temporary:
        temporary.write_text(created.model_dump_json(), encoding="utf-8")


def _check_owner(destination: Path, created: Created) -> None:
    """Refuse a destination that does not belong to this run.

    Raises:
        ConfigError: it holds the files of another run, or other files.
    """
    owner: Created | None = None
    if (destination / TRUTH).exists():
        owner = manifest.read(destination / TRUTH).created
    elif (destination / UNFINISHED).exists():
        with suppress(ValueError):  # not written by this verb
            owner = Created.model_validate_json((destination / UNFINISHED).read_bytes())
    elif not destination.exists() or all(path.name[0] == "." for path in destination.iterdir()):
        owner = created
    if owner != created:
        raise ConfigError(f"{destination} holds other files", "choose a new folder, or remove this one first")


def _safe(track: str) -> str:
    """Return a track's name with the characters replaced that a file system may forbid in a folder."""
    parts = (re.sub(r'[\\:*?"<>|\x00-\x1f]', "_", part).strip(". ") for part in track.split("/"))
    return "/".join(part for part in parts if part) or "track"
