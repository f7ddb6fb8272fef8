"""How people keep stems on disk: every shape is one module here, read and written both ways.

:func:`load` is where every verb starts: a folder, a list or a manifest becomes a manifest.
"""

from __future__ import annotations

from pathlib import Path

from stemclean import checks
from stemclean import manifest as manifests
from stemclean.labels import FOUR_STEMS, Profile
from stemclean.layouts.accents import as_on_disk, otherwise_written
from stemclean.layouts.base import reader_for
from stemclean.layouts.csv_list import LAYOUT as CSV_LIST
from stemclean.layouts.looking import found_to_manifest, no_audio, not_named
from stemclean.layouts.walk import holds_audio
from stemclean.manifest import Manifest, Skip

__all__ = ["check", "is_list", "load", "scan"]

MANIFEST_NAMES = ("manifest.json", "manifest.jsonl", "manifest.jsonl.gz")
"""A folder that holds one of these is read through it by :func:`load`."""


def scan(
    path: str | Path, *, profile: Profile = FOUR_STEMS, root: str | Path | None = None, quiet: bool = False
) -> Manifest:
    """A dataset on disk as a manifest: what there is, which class each file claims, what cannot be used and why.

    Only names, headers and checksums are looked at; no sound is decoded. The order and the bytes of the result
    depend on the files alone.

    Args:
        path: a folder (of tracks, of classes, or flat), a CSV ``instrum,path``, or a manifest.
        profile: the classes and the words that mean them.
        root: folder that paths are relative to; None: the folder itself, or of a CSV the folder that holds all of
            its files.
        quiet: no progress bar.

    Returns:
        A manifest whose ``root`` is a folder as seen from here (use :func:`stemclean.manifest.relative_root` to
        write it). A manifest is returned as it is, but for its ``root``, and for the accents of its paths, which are
        written as they are on disk.

    Raises:
        ConfigError: no such path, a shape that is not known, or no audio file at all.
        ManifestError: a broken manifest.
    """
    path = Path(path)
    if _is_manifest(path):
        manifest = manifests.read(path)
        root = manifest.folder(path)
        root = root if root.exists() else otherwise_written(root) or root
        return manifest.with_stems(as_on_disk(manifest.stems, root), root=root.as_posix())
    return found_to_manifest(path, profile, Path(root) if root is not None else None, quiet=quiet)


def load(path: str | Path, *, profile: Profile = FOUR_STEMS, quiet: bool = False) -> tuple[Manifest, Path]:
    """A manifest and the folder that its paths are relative to; every verb starts here.

    A manifest is read, everything else is scanned. A folder that holds ``manifest.json`` (or ``.jsonl``) is read
    through it, since the manifest may know more than the names do: the classes of a trimmed dataset, where each sample
    came from, declared splits. Audio files in such a folder that the manifest does not name are listed in ``skipped``
    as ``not_in_manifest``. What a manifest lists as skipped keeps standing there, with ``by`` as the verb that passed
    it over: it is no failure of the run that now begins. Stems with the same audio are remarked on anew.

    Args:
        path: a folder, a CSV ``instrum,path`` or a manifest.
        profile: as in :func:`scan`.
        quiet: no progress bar.

    Raises:
        ConfigError: as :func:`scan`.
        ManifestError: a broken manifest.
    """
    path = Path(path)
    inside = next((path / name for name in MANIFEST_NAMES if (path / name).is_file()), None)
    manifest = scan(inside or path, profile=profile, quiet=quiet)
    folder = Path(manifest.root)
    if not _is_manifest(inside or path):
        return manifest, folder
    skipped = [_of_before(skip, manifest.created.command) for skip in manifest.skipped]
    if inside is not None:
        skipped += not_named(manifest, folder, path)
    return manifest.with_stems(checks.among(manifest.stems), skipped=skipped), folder


def check(path: str | Path, *, profile: Profile = FOUR_STEMS) -> None:
    """Refuse at once what :func:`load` would refuse: a look at names, in a folder up to the first audio file.

    Raises:
        ConfigError: no such path, a shape that is not known, or no audio file at all.
    """
    path = Path(path)
    if path.is_dir():
        if not any((path / name).is_file() for name in MANIFEST_NAMES) and not holds_audio(path):
            raise no_audio(path)
    elif not _is_manifest(path):
        reader_for(path, profile)


def is_list(path: str | Path) -> bool:
    """Whether stems are given one by one, in a CSV: what lies beside them is no part of the dataset."""
    return CSV_LIST.can_read(Path(path), FOUR_STEMS)


def _is_manifest(path: Path) -> bool:
    return path.is_file() and path.name.endswith(manifests.ENDINGS)


def _of_before(skip: Skip, command: str) -> Skip:
    """A skip of an earlier run, with the verb that passed the file over first."""
    return skip if skip.by else skip.model_copy(update={"by": command})
