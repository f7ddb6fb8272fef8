"""Turn the files found by a layout into a manifest: read headers, checksums and streams, set ids, list skips."""

from __future__ import annotations

import logging
import os
import shlex
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from stemclean import __version__, checks
from stemclean.audio import files
from stemclean.audio.files import AudioInfo
from stemclean.audio.formats import STREAM_ENDINGS
from stemclean.errors import AudioError, ConfigError, LabelError, SkipReason, of_one_file
from stemclean.labels import MIXTURE, Profile, Reading
from stemclean.layouts.base import SPLITS, Found, reader_for
from stemclean.layouts.f0_files import SUNG, fitting, with_f0
from stemclean.layouts.naming import common_folder, names, tracks, unclear
from stemclean.layouts.walk import audio_files
from stemclean.manifest import ANNOTATION, ESTIMATE, F0, Created, Input, Manifest, Skip, Stem, file_sha256

__all__ = ["found_to_manifest", "no_audio", "not_named"]

_LOG = logging.getLogger("stemclean.layouts")


def no_audio(path: Path) -> ConfigError:
    """Return the error for a folder without audio files."""
    return ConfigError(f"{path}: no audio files", f"looked for {' '.join(sorted(files.ENDINGS))}")


def found_to_manifest(
    path: Path, profile: Profile, root: Path | None, *, layout: str | None = None, quiet: bool
) -> Manifest:
    """Scan a folder or a list; see :func:`stemclean.layouts.scan`."""
    reader = reader_for(path, profile, layout)
    _LOG.info("reading %s as %s", path, reader.name)
    files_found = list(reader.read(path, profile))
    if not files_found:
        raise no_audio(path)
    if path.is_dir() and root is None:
        root = path
    else:
        files_found = [replace(item, path=Path(os.path.abspath(item.path))) for item in files_found]  # noqa: PTH100 - keeps links
        root = Path(os.path.abspath(root)) if root else _root_of_list(path, files_found)  # noqa: PTH100
    inputs = [] if path.is_dir() else [Input(path=path.as_posix(), sha256=file_sha256(path))]
    created = Created(
        by=f"stemclean {__version__}",
        command="scan",
        config={"layout": reader.name, "profile": profile.name},
        inputs=inputs,
    )
    files_found, unused = with_f0(_with_tracks(files_found, root, profile), profile)
    stems, skipped = _look_into(files_found, root, profile, quiet=quiet)
    stems = _without_splits(stems) if path.is_dir() else stems
    skipped = sorted([*skipped, *(_lost(label, root) for label in unused)], key=_by_path)
    return Manifest(created=created, labels=list(profile.labels), root=root.as_posix(), stems=stems, skipped=skipped)


def _root_of_list(path: Path, found: list[Found]) -> Path:
    """Return the deepest folder that contains all existing files of a list.

    Raises:
        ConfigError: they have only the root of the file system in common, or no folder at all.
    """
    existing = [item.path for item in found if item.path.exists()]
    if not existing:
        return Path(os.path.abspath(path.parent))  # noqa: PTH100 - keeps links
    root = common_folder(existing)
    if root != root.parent:
        return root
    tops: dict[tuple[str, ...], list[Path]] = {}
    for file in existing:
        tops.setdefault(file.parts[:2], []).append(file)
    folders = [str(common_folder(group)) for group in tops.values()]
    raise ConfigError(
        f"{path}: its files have no folder in common: {', '.join(folders)}",
        "link these folders into one folder, and use that folder, or list the files by their paths in it:\n"
        f"  mkdir my_stems && ln -s {shlex.join(folders)} my_stems/",
    )


def not_named(manifest: Manifest, folder: Path, beside: Path) -> list[Skip]:
    """Return skips for audio files beside a manifest that it does not list; none if its stems are elsewhere."""
    if folder.resolve() != beside.resolve():
        return []
    skipped = {name for skip in manifest.skipped for name in (skip.path, skip.path.rpartition("#")[0])}
    named = {stem.path for stem in manifest.stems} | skipped
    found = (path.relative_to(beside).as_posix() for path in audio_files(beside))
    detail = "scan the folder again, or move the file"
    return [Skip(path=path, reason=SkipReason.NOT_IN_MANIFEST, detail=detail) for path in found if path not in named]


def _with_tracks(found: list[Found], root: Path, profile: Profile) -> list[Found]:
    """Set the song from the folder if the layout found none."""
    songless = [item.path for item in found if item.track is None and item.path.is_relative_to(root)]
    song_of = tracks(songless, root, profile)
    return [item if item.track else replace(item, track=song_of.get(item.path, "")) for item in found]


def _look_into(found: list[Found], root: Path, profile: Profile, *, quiet: bool) -> tuple[list[Stem], list[Skip]]:
    stems: dict[str, Stem] = {}
    skipped: list[Skip] = []
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        scanned = pool.map(lambda item: _scan_file(item, root, profile), found)
        for results in tqdm(scanned, total=len(found), desc="scan", unit="file", disable=True if quiet else None):
            for result in results:
                if isinstance(result, Skip):
                    skipped.append(result)
                elif result.id in stems:
                    detail = f'the id "{result.id}" is already used for {stems[result.id].path}'
                    skipped.append(Skip(path=result.path, reason=SkipReason.DUPLICATE_ID, detail=detail))
                else:
                    stems[result.id] = result
    return checks.among(sorted(stems.values(), key=lambda stem: stem.id)), skipped


def _by_path(skip: Skip) -> tuple[str, str]:
    return skip.path, skip.reason


def _scan_file(found: Found, root: Path, profile: Profile) -> list[Stem | Skip]:
    """Return the stems of one file, or a skip if it cannot be read."""
    path = _readable(found.path, root)
    try:
        with of_one_file(found.path):
            return _stems(found, path, root, profile)
    except AudioError as error:
        missing = error.reason == SkipReason.NOT_FOUND
        return [Skip(path=path, reason=error.reason, detail=found.detail if missing and found.detail else error.detail)]
    except OSError as error:
        return [Skip(path=path, reason=SkipReason.UNREADABLE, detail=error.strerror or str(error))]


def _stems(found: Found, path: str, root: Path, profile: Profile) -> list[Stem | Skip]:
    """Return the stems of one file: one, or one per stream, or a skip."""
    if not found.path.is_relative_to(root):
        if not os.path.exists(found.path):  # noqa: PTH110 - no error in an unreadable folder
            return [Skip(path=path, reason=SkipReason.NOT_FOUND, detail=found.detail or "no such file")]
        return [Skip(path=path, reason=SkipReason.OUTSIDE_ROOT, detail=f"it is not below {root}")]
    if "\\" in path and path != found.path.relative_to(root).as_posix():
        return [Skip(path=path, reason=SkipReason.UNREADABLE, detail="the name is not UTF-8; rename the file")]
    if found.path.is_dir():
        return [_skipped_folder(found.path, path)]
    if found.refused:
        return [Skip(path=path, reason=found.refused[0], detail=found.refused[1])]
    if found.path.suffix.lower() in STREAM_ENDINGS:
        info = files.probe(found.path)
        if info.num_streams > 1:
            streams = _streams(found, path, info, profile)
            return [stem for item in streams for stem in (_with_f0(item, found, root, profile) if found.f0 else [item])]
    refusal = _refusal(path, found.label, found.detail or _unclear(found, root, profile), found.reading)
    if refusal and not (found.f0 and found.label == MIXTURE):
        return [refusal]
    stem = _stem(found, path, files.probe(found.path), 0, file_sha256(found.path))
    return _with_f0(stem, found, root, profile, refusal) if found.f0 else [stem]


def _skipped_folder(folder: Path, path: str) -> Skip:
    """Return the skip of a folder: from a scan, one that cannot be read; in a list, any folder."""
    try:
        os.scandir(folder).close()
    except OSError:
        return Skip(path=path, reason=SkipReason.NO_PERMISSION, detail="the folder may not be read")
    return Skip(path=path, reason=SkipReason.NOT_AUDIO, detail="it is a folder; list the files in it")


def _streams(found: Found, path: str, first: AudioInfo, profile: Profile) -> Iterator[Stem | Skip]:
    """Yield a stem or a skip for each audio stream, by its title; the file is the song."""
    sha256 = file_sha256(found.path)
    for stream, title in enumerate(first.titles):
        reading = profile.read(title)
        label = reading.label
        detail = f'stream {stream} is named "{title}", which {unclear(title, profile)}'
        refusal = _refusal(f"{path}#{stream}", label, detail, reading)
        if refusal:
            yield refusal
            continue
        try:
            info = files.probe(found.path, stream)
        except AudioError as error:
            yield Skip(path=f"{path}#{stream}", reason=error.reason, detail=error.detail)
            continue
        track = f"{Path(path).parent.as_posix()}/{names(found.path)}".removeprefix("./")
        yield _stem(replace(found, label=label, track=track), path, info, stream, sha256)


def _without_splits(stems: list[Stem]) -> list[Stem]:
    """Return the stems with songs that are files in the folder of their split named like the file alone.

    If a song in another split would then have the same name, both keep the folder.
    """
    tracks_found = {stem.track: stem.split for stem in stems}
    short = {
        track: track.partition("/")[2]
        for track, split in tracks_found.items()
        if split and SPLITS.get(track.partition("/")[0].lower()) == split
    }
    places = Counter(short.get(track, track) for track in tracks_found)
    return [
        stem.model_copy(update={"track": name}) if (name := short.get(stem.track)) and places[name] == 1 else stem
        for stem in stems
    ]


def _with_f0(
    stem: Stem | Skip, found: Found, root: Path, profile: Profile, otherwise: Skip | None = None
) -> list[Stem | Skip]:
    """Add its f0 file to a stem; if that cannot be used, return the stem unchanged, and a skip for the f0 file.

    A mixture with an f0 becomes a stem of all classes. An f0 file with confidences is an estimate, because annotations
    have none.

    Args:
        stem: the stem; skips, and stems that are neither vocals nor a mixture, are returned unchanged.
        found: the audio file and its f0 file.
        root: folder that paths are relative to.
        profile: the classes.
        otherwise: result for a mixture without a usable f0.
    """
    if isinstance(stem, Skip) or found.f0 is None or not {SUNG, MIXTURE} & set(stem.claimed):
        return [stem]
    try:
        track, name = fitting(found.f0, stem.duration, stem.track.rpartition("/")[2])
    except LabelError as error:
        return [otherwise or stem, _lost(error, root)]
    confidence = None if track.confidence is None else round(float(track.confidence.mean()), 4)
    f0 = F0(
        path=_readable(found.f0, root),
        format=name,
        sha256=file_sha256(found.f0),
        by=ANNOTATION if confidence is None else ESTIMATE,
        confidence=confidence,
    )
    labels = list(profile.labels) if MIXTURE in stem.claimed else stem.claimed
    return [stem.model_copy(update={"f0": f0, "claimed": labels, "labels": list(labels)})]


def _lost(error: LabelError, root: Path) -> Skip:
    return Skip(path=_readable(error.path, root), reason=error.reason, detail=error.detail)


def _refusal(path: str, label: str | None, detail: str, reading: Reading | None) -> Skip | None:
    if label == MIXTURE:
        return Skip(path=path, reason=SkipReason.MIXTURE, detail="it contains the whole song")
    if label is None:
        partial = reading is not None and reading.partial
        return Skip(path=path, reason=SkipReason.MIXTURE if partial else SkipReason.CLASS_UNKNOWN, detail=detail)
    return None


def _unclear(found: Found, root: Path, profile: Profile) -> str:
    """Return the names that were read, and why they give no class."""
    name, above = names(found.path), found.path.parent
    if above != root and (folder := profile.read(above.name)).exact and folder == found.reading and not folder.label:
        return f'its folder "{above.name}" {unclear(above.name, profile)}'
    beside = f', and its folder "{above.name}" is none' if above != root and profile.exact(above.name) is None else ""
    partial = found.reading is not None and found.reading.partial
    return f'"{name}" {unclear(name, profile, found.reading)}{"" if partial else beside}'


def _stem(found: Found, path: str, info: AudioInfo, stream: int, sha256: str) -> Stem:
    identity = str(Path(path).with_suffix("").as_posix())
    claimed = [str(found.label)]
    return Stem(
        id=f"{identity}#{stream}" if stream else identity,
        track=found.track or "",
        path=path,
        stream=stream,
        sha256=sha256,
        sample_rate=info.sample_rate,
        channels=info.channels,
        num_samples=info.num_samples,
        split=found.split,
        claimed=claimed,
        labels=list(claimed),
        issues=checks.of_header(info),
        extra=dict(found.extra),
    )


def _readable(path: Path, root: Path) -> str:
    """Return a path as it is written in the manifest; bytes that are not valid UTF-8 are escaped."""
    text = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
    return os.fsencode(text).decode("utf-8", "backslashreplace")
