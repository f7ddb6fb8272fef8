"""Read and write the layouts in which people keep stems on disk; each layout is one module.

Every verb starts with :func:`load`, which turns a folder, a list or a manifest into a manifest.
"""

from __future__ import annotations

import logging
from pathlib import Path

from stemclean import checks
from stemclean import manifest as manifests
from stemclean.errors import ConfigError
from stemclean.labels import FOUR_STEMS, Profile
from stemclean.layouts.accents import as_on_disk, otherwise_written
from stemclean.layouts.base import reader_for
from stemclean.layouts.csv_list import LAYOUT as CSV_LIST
from stemclean.layouts.looking import found_to_manifest, no_audio, not_named
from stemclean.layouts.walk import holds_audio
from stemclean.manifest import Manifest, Skip

__all__ = ["check", "is_list", "load", "scan"]

_LOG = logging.getLogger("stemclean.layouts")

MANIFEST_NAMES = ("manifest.json", "manifest.jsonl", "manifest.jsonl.gz")
"""A folder that holds one of these is read through it by :func:`load`."""


def scan(
    path: str | Path,
    *,
    profile: Profile = FOUR_STEMS,
    root: str | Path | None = None,
    layout: str | None = None,
    quiet: bool = False,
) -> Manifest:
    """Scan a dataset into a manifest: its stems, the class that each file claims, and skipped files with reasons.

    Only names, headers and checksums are read; no audio is decoded. The result depends only on the files, down to its
    order and bytes.

    Args:
        path: a folder (of tracks, of classes, or flat), a CSV ``instrum,path``, or a manifest.
        profile: the classes and their synonyms.
        root: folder that paths are relative to; None: the folder itself, or for a CSV, the deepest folder that contains
            all of its files.
        layout: name of the layout, such as ``class_folders``; None: detect it.
        quiet: show no progress bar.

    Returns:
        A manifest whose ``root`` is relative to the working directory (use :func:`stemclean.manifest.relative_root`
        before writing it). An existing manifest is returned unchanged, except for its ``root``, and for the Unicode
        form of its paths, which becomes that of the names on disk.

    Raises:
        ConfigError: no such path, an unknown layout, one that does not fit, or no audio files.
        ManifestError: a broken manifest.
    """
    path = Path(path)
    if _is_manifest(path):
        _check_unnamed(path, layout)
        manifest = manifests.read(path)
        root = manifest.folder(path)
        root = root if root.exists() else otherwise_written(root) or root
        return manifest.with_stems(as_on_disk(manifest.stems, root), root=root.as_posix())
    return found_to_manifest(path, profile, Path(root) if root is not None else None, layout=layout, quiet=quiet)


def load(
    path: str | Path, *, profile: Profile = FOUR_STEMS, layout: str | None = None, quiet: bool = False
) -> tuple[Manifest, Path]:
    """Load a dataset; every verb starts here.

    A manifest is read, everything else is scanned. If a folder contains ``manifest.json`` (or ``.jsonl``) and no layout
    is named, that manifest is read, because it may hold more than the names: the classes of a trimmed dataset, the
    origin of each sample, declared splits. Audio files in such a folder that are not in the manifest are listed in
    ``skipped`` as ``not_in_manifest``. Skips in a manifest are kept, with the verb that skipped the file as ``by``;
    they do not count as failures of the new run. Issues about stems with the same audio are renewed. What is read, and
    as which layout, is logged.

    Args:
        path: a folder, a CSV ``instrum,path`` or a manifest.
        profile: as in :func:`scan`.
        layout: as in :func:`scan`.
        quiet: show no progress bar.

    Returns:
        (the manifest, the folder that its paths are relative to)

    Raises:
        ConfigError: as for :func:`scan`.
        ManifestError: a broken manifest.
    """
    path = Path(path)
    inside = None if layout else next((path / name for name in MANIFEST_NAMES if (path / name).is_file()), None)
    if inside is not None:
        _LOG.info("reading %s", inside)
    manifest = scan(inside or path, profile=profile, layout=layout, quiet=quiet)
    folder = Path(manifest.root)
    if not _is_manifest(inside or path):
        return manifest, folder
    skipped = [_by_earlier_run(skip, manifest.created.command) for skip in manifest.skipped]
    if inside is not None:
        skipped += not_named(manifest, folder, path)
    return manifest.with_stems(checks.among(manifest.stems), skipped=skipped), folder


def check(path: str | Path, *, profile: Profile = FOUR_STEMS, layout: str | None = None) -> None:
    """Check quickly that :func:`load` will accept a path; in a folder, names are read up to the first audio file.

    Raises:
        ConfigError: no such path, an unknown layout, or no audio files.
    """
    path = Path(path)
    if layout is not None:
        _check_unnamed(path, layout)
        reader_for(path, profile, layout)
    if path.is_dir():
        if not any((path / name).is_file() for name in MANIFEST_NAMES) and not holds_audio(path):
            raise no_audio(path)
    elif not _is_manifest(path):
        reader_for(path, profile)


def is_list(path: str | Path) -> bool:
    """Return whether a path is a CSV list of stems; files beside the stems do not belong to such a dataset."""
    return CSV_LIST.can_read(Path(path), FOUR_STEMS)


def _is_manifest(path: Path) -> bool:
    return path.is_file() and path.name.endswith(manifests.ENDINGS)


def _check_unnamed(path: Path, layout: str | None) -> None:
    """Refuse a layout for a manifest."""
    if layout is not None and _is_manifest(path):
        raise ConfigError(f"--layout: {path} is a manifest, which has no layout", "leave it out")


def _by_earlier_run(skip: Skip, command: str) -> Skip:
    """Return a skip with the verb that first skipped the file."""
    return skip if skip.by else skip.model_copy(update={"by": command})
