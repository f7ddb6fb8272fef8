"""From the files that a layout found to a manifest: headers, checksums, streams, ids, and what is skipped."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from stemclean import __version__, checks
from stemclean.audio import files
from stemclean.audio.files import AudioInfo
from stemclean.audio.formats import STREAM_ENDINGS
from stemclean.errors import AudioError, ConfigError, LabelError, of_one_file
from stemclean.labels import MIXTURE, Profile, Reading
from stemclean.layouts.base import Found, reader_for
from stemclean.layouts.f0_files import SUNG, fitting, with_f0
from stemclean.layouts.naming import common_folder, names, tracks, unclear
from stemclean.layouts.walk import audio_files
from stemclean.manifest import ANNOTATION, ESTIMATE, F0, Created, Input, Manifest, Skip, Stem, file_sha256

__all__ = ["found_to_manifest", "no_audio", "not_named"]


def no_audio(path: Path) -> ConfigError:
    """The error for a folder without any audio file."""
    return ConfigError(f"{path}: no audio files", f"looked for {' '.join(sorted(files.ENDINGS))}")


def found_to_manifest(path: Path, profile: Profile, root: Path | None, *, quiet: bool) -> Manifest:
    """Scan a folder or a list; see :func:`stemclean.layouts.scan`."""
    reader = reader_for(path, profile)
    found = list(reader.read(path, profile))
    if not found:
        raise no_audio(path)
    if path.is_dir() and root is None:
        root = path
    else:
        found = [replace(item, path=Path(os.path.abspath(item.path))) for item in found]  # noqa: PTH100 - keeps links
        root = Path(os.path.abspath(root)) if root else _root_of_list(path, found)  # noqa: PTH100
    inputs = [] if path.is_dir() else [Input(path=path.as_posix(), sha256=file_sha256(path))]
    created = Created(
        by=f"stemclean {__version__}",
        command="scan",
        config={"layout": reader.name, "profile": profile.name},
        inputs=inputs,
    )
    found, lost = with_f0(_with_tracks(found, root, profile), profile)
    stems, skipped = _look_into(found, root, profile, quiet=quiet)
    skipped = sorted([*skipped, *(_lost(label, root) for label in lost)], key=_by_path)
    return Manifest(created=created, labels=list(profile.labels), root=root.as_posix(), stems=stems, skipped=skipped)


def _root_of_list(path: Path, found: list[Found]) -> Path:
    """The deepest folder that holds all files of a list; those that are not there do not count.

    Raises:
        ConfigError: they have only the root of the file system in common, or not even that.
    """
    there = [item.path for item in found if item.path.exists()]
    if not there:
        return Path(os.path.abspath(path.parent))  # noqa: PTH100 - keeps links
    root = common_folder(there)
    if root != root.parent:
        return root
    tops: dict[tuple[str, ...], list[Path]] = {}
    for file in there:
        tops.setdefault(file.parts[:2], []).append(file)
    folders = [str(common_folder(group)) for group in tops.values()]
    raise ConfigError(
        f"{path}: its files have no folder in common: {', '.join(folders)}",
        "link these folders into one, and give that one, or list the files as they are found there:\n"
        f"  mkdir my_stems && ln -s {shlex.join(folders)} my_stems/",
    )


def not_named(manifest: Manifest, folder: Path, beside: Path) -> list[Skip]:
    """Audio files in the folder of a manifest that it says nothing about; none where its stems lie elsewhere."""
    if folder.resolve() != beside.resolve():
        return []
    skipped = {name for skip in manifest.skipped for name in (skip.path, skip.path.rpartition("#")[0])}
    named = {stem.path for stem in manifest.stems} | skipped
    found = (path.relative_to(beside).as_posix() for path in audio_files(beside))
    detail = "scan the folder anew, or move the file"
    return [Skip(path=path, reason="not_in_manifest", detail=detail) for path in found if path not in named]


def _with_tracks(found: list[Found], root: Path, profile: Profile) -> list[Found]:
    """Songs by folder where a layout named none."""
    songless = [item.path for item in found if item.track is None and item.path.is_relative_to(root)]
    song_of = tracks(songless, root, profile)
    return [item if item.track else replace(item, track=song_of.get(item.path, "")) for item in found]


def _look_into(found: list[Found], root: Path, profile: Profile, *, quiet: bool) -> tuple[list[Stem], list[Skip]]:
    stems: dict[str, Stem] = {}
    skipped: list[Skip] = []
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        looked = pool.map(lambda item: _look(item, root, profile), found)
        for item in tqdm(looked, total=len(found), desc="scan", unit="file", disable=True if quiet else None):
            for one in item:
                if isinstance(one, Skip):
                    skipped.append(one)
                elif one.id in stems:
                    detail = f'the id "{one.id}" stands for {stems[one.id].path}'
                    skipped.append(Skip(path=one.path, reason="duplicate_id", detail=detail))
                else:
                    stems[one.id] = one
    return checks.among(sorted(stems.values(), key=lambda stem: stem.id)), skipped


def _by_path(skip: Skip) -> tuple[str, str]:
    return skip.path, skip.reason


def _look(found: Found, root: Path, profile: Profile) -> list[Stem | Skip]:
    """The stems of one file, or a skip, whatever is wrong with it."""
    path = _readable(found.path, root)
    try:
        with of_one_file(found.path):
            return _stems(found, path, root, profile)
    except AudioError as error:
        missing = error.reason == "not_found"
        return [Skip(path=path, reason=error.reason, detail=found.detail if missing and found.detail else error.detail)]
    except OSError as error:
        return [Skip(path=path, reason="unreadable", detail=error.strerror or str(error))]


def _stems(found: Found, path: str, root: Path, profile: Profile) -> list[Stem | Skip]:
    """The stems of one file: one, or one per stream, or a skip."""
    if not found.path.is_relative_to(root):
        if not os.path.exists(found.path):  # noqa: PTH110 - a folder that may not be read is no error here
            return [Skip(path=path, reason="not_found", detail=found.detail or "no such file")]
        return [Skip(path=path, reason="outside_root", detail=f"it is not below {root}")]
    if "\\" in path and path != found.path.relative_to(root).as_posix():
        return [Skip(path=path, reason="unreadable", detail="the name is not UTF-8; rename the file")]
    if found.path.is_dir():
        return [_skipped_folder(found.path, path)]
    if found.refused:
        return [Skip(path=path, reason=found.refused[0], detail=found.refused[1])]
    if found.path.suffix.lower() in STREAM_ENDINGS:
        info = files.probe(found.path)
        if info.num_streams > 1:
            streams = _streams(found, path, info, profile)
            return [one for item in streams for one in (_sung(item, found, root, profile) if found.f0 else [item])]
    refusal = _refusal(path, found.label, found.detail or _unclear(found, root, profile), found.reading)
    if refusal and not (found.f0 and found.label == MIXTURE):
        return [refusal]
    stem = _stem(found, path, files.probe(found.path), 0, file_sha256(found.path))
    return _sung(stem, found, root, profile, refusal) if found.f0 else [stem]


def _skipped_folder(folder: Path, path: str) -> Skip:
    """A scan gives a folder only where it may not be read; a list may name any."""
    try:
        os.scandir(folder).close()
    except OSError:
        return Skip(path=path, reason="no_permission", detail="the folder may not be read")
    return Skip(path=path, reason="not_audio", detail="it is a folder; list the files in it")


def _streams(found: Found, path: str, first: AudioInfo, profile: Profile) -> Iterator[Stem | Skip]:
    """Each audio stream by its title; the song is the file."""
    sha256 = file_sha256(found.path)
    for stream, title in enumerate(first.titles):
        reading = profile.read(title)
        label = reading.label
        detail = f'stream {stream} is called "{title}", which {unclear(title, profile)}'
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


def _sung(
    stem: Stem | Skip, found: Found, root: Path, profile: Profile, otherwise: Skip | None = None
) -> list[Stem | Skip]:
    """A stem with its label of f0, or as it is and why the label is of no use.

    A mixture with a label is a stem of every class. A label with confidences is an estimate: no annotation has them.

    Args:
        stem: what it belongs to; a skip, and what is neither sung nor the mixture, is given back as it is.
        found: with the label.
        root: what paths are relative to.
        profile: the classes.
        otherwise: what a mixture is without its label.
    """
    if isinstance(stem, Skip) or found.f0 is None or not {SUNG, MIXTURE} & set(stem.claimed):
        return [stem]
    try:
        sung, name = fitting(found.f0, stem.duration, stem.track.rpartition("/")[2])
    except LabelError as error:
        return [otherwise or stem, _lost(error, root)]
    trust = None if sung.confidence is None else round(float(sung.confidence.mean()), 4)
    f0 = F0(
        path=_readable(found.f0, root),
        format=name,
        sha256=file_sha256(found.f0),
        by=ANNOTATION if trust is None else ESTIMATE,
        confidence=trust,
    )
    labels = list(profile.labels) if MIXTURE in stem.claimed else stem.claimed
    return [stem.model_copy(update={"f0": f0, "claimed": labels, "labels": list(labels)})]


def _lost(error: LabelError, root: Path) -> Skip:
    return Skip(path=_readable(error.path, root), reason=error.reason, detail=error.detail)


def _refusal(path: str, label: str | None, detail: str, reading: Reading | None) -> Skip | None:
    if label == MIXTURE:
        return Skip(path=path, reason="mixture", detail="kept apart: it holds the whole song")
    if label is None:
        partial = reading is not None and reading.partial
        return Skip(path=path, reason="mixture" if partial else "class_unknown", detail=detail)
    return None


def _unclear(found: Found, root: Path, profile: Profile) -> str:
    """Which names were looked at, and why they tell no class."""
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
    )


def _readable(path: Path, root: Path) -> str:
    """A path as the manifest names it; bytes that are no UTF-8 become escapes."""
    text = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
    return os.fsencode(text).decode("utf-8", "backslashreplace")
