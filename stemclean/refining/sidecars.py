"""Files written beside a manifest, and the common root that their paths and those of the data are relative to."""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
from pathlib import Path

from stemclean import manifest
from stemclean.errors import ConfigError
from stemclean.manifest import Manifest, Skip, Stem

__all__ = ["Sidecars"]


class Sidecars:
    """The folders of files that belong to a manifest: ``OUT.f0/`` and ``OUT.vocals/`` beside ``OUT.json``.

    All paths in a manifest lie below its root, so the root is the deepest folder that contains both the data and the
    manifest.

    Args:
        output: the manifest to write.
        folder: folder of the data.

    Raises:
        ConfigError: the two have only the root of the file system in common.
    """

    def __init__(self, output: Path, folder: Path) -> None:
        self._output = Path(os.path.abspath(output))  # noqa: PTH100 - keeps links
        data = Path(os.path.abspath(folder))  # noqa: PTH100
        try:
            self.root = Path(os.path.commonpath([data, self._output.parent]))
        except ValueError:  # two drives
            self.root = Path(data.anchor)
        if self.root == self.root.parent and self.root not in (data, self._output.parent):
            raise ConfigError(
                f"{output} and {folder} have no common parent folder, so the manifest cannot use relative paths",
                f"write the output next to the data: -o {folder.resolve().parent / output.name}",
            )
        self._prefix = data.relative_to(self.root).as_posix()

    def folder(self, kind: str) -> Path:
        """Return the folder for a kind of files, ``f0`` or ``vocals``."""
        name = self._output.name
        ending = next(ending for ending in sorted(manifest.ENDINGS, key=len, reverse=True) if name.endswith(ending))
        return self._output.with_name(f"{name.removesuffix(ending)}.{kind}")

    def place(self, kind: str, stem_id: str, ending: str) -> Path:
        """Return the path of a stem's file, named after the stem's id with unsafe characters replaced."""
        parts = [re.sub(r"[^\w #()+,=.-]", "_", part) for part in stem_id.split("/")]
        parts = ["_" if part.strip(" .") == "" else part for part in parts]
        name = "/".join(parts)
        if name != stem_id:  # another id may have become the same name
            name += "." + hashlib.sha256(stem_id.encode()).hexdigest()[:8]
        return self.folder(kind) / f"{name}{ending}"

    def named(self, path: Path) -> str:
        """Return the path of a sidecar file as it is written in the manifest."""
        return path.relative_to(self.root).as_posix()

    def moved(self, data: Manifest) -> Manifest:
        """Return the dataset with its paths relative to the common root."""
        stems = [self._stem(stem) for stem in data.stems]
        skipped = [self._skip(skip) for skip in data.skipped]
        return data.with_stems(stems, skipped=skipped, root=manifest.relative_root(self.root, self._output))

    def _stem(self, stem: Stem) -> Stem:
        changes: dict[str, object] = {"path": self._path(stem.path)}
        if stem.f0:
            changes["f0"] = stem.f0.model_copy(update={"path": self._path(stem.f0.path)})
        if stem.source:
            changes["source"] = stem.source.model_copy(update={"path": self._path(stem.source.path)})
        return stem.model_copy(update=changes)

    def _skip(self, skip: Skip) -> Skip:
        return skip if posixpath.isabs(skip.path) else skip.model_copy(update={"path": self._path(skip.path)})

    def _path(self, path: str) -> str:
        return posixpath.normpath(posixpath.join(self._prefix, path)) if self._prefix != "." else path
