"""The verb ``trim``: silence out of every stem, and where each kept sample stood.

What counts as silence, and what the paper leaves open about it, stands in :mod:`stemclean.audio.activity`; how the
kept regions are joined, in :mod:`stemclean.audio.splicing`.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Self

from tqdm import tqdm

from stemclean import __version__, layouts, manifest
from stemclean.data.cutting import Cutter, TrimConfig
from stemclean.errors import AudioError, ConfigError
from stemclean.manifest import Created, Input, Manifest, Skip, Stem

__all__ = ["MANIFEST_NAME", "TrimConfig", "trim"]

MANIFEST_NAME = "manifest.json"


def trim(
    source: str | Path,
    destination: str | Path,
    config: TrimConfig | None = None,
    *,
    regions_only: bool = False,
    quiet: bool = False,
) -> Manifest:
    """Cut the silence out of every stem.

    Writes each stem as FLAC (the source's rate and channels, 16 or 24 bits) under its own path below
    ``destination``, and ``destination/manifest.json``, where ``source`` and ``active`` say for each sample where it
    comes from. The source tree is only read. A stem with nothing to keep is listed in ``skipped`` as ``silent``.

    A run that was interrupted, or is repeated, does again only what changed: a stem is left alone where its bytes, the
    settings and what was written are as they were.

    Args:
        source: a folder, a CSV or a manifest. Stems that were trimmed before stay traceable to their first source.
        destination: a folder outside of the source.
        config: what is silence; None: the defaults.
        regions_only: write the manifest alone: paths lead to the source, ``active`` says what would be kept.
        quiet: no progress bar.

    Returns:
        The manifest as it was written; its ``root`` is relative to ``destination``.

    Raises:
        ConfigError: the destination lies in the source, or holds a manifest that this verb did not write.
        ManifestError: ``source`` is a broken manifest.
    """
    config = config or TrimConfig()
    data, folder = layouts.load(source, quiet=quiet)
    destination = Path(destination)
    _refuse_own_source(Path(source), data, folder, destination)
    created = Created(
        by=f"stemclean {__version__}",
        command="trim",
        config={**dataclasses.asdict(config), "regions_only": regions_only},
        inputs=[_input(Path(source), destination)],
    )
    cutter = Cutter(config, folder, destination, regions_only=regions_only)
    stems: list[Stem] = []
    skipped = list(data.skipped)
    with _Journal(destination / MANIFEST_NAME, created) as journal:
        for stem in tqdm(data.stems, desc="trim", unit="stem", disable=True if quiet else None):
            try:
                stems.append(journal.remember(cutter.cut(stem, journal.known(stem.id))))
            except AudioError as error:
                path = f"{stem.path}#{stem.stream}" if stem.stream else stem.path
                skipped.append(Skip(path=path, reason=error.reason, detail=error.detail))
        root = manifest.relative_root(folder, destination / MANIFEST_NAME) if regions_only else "."
        result = data.with_stems(stems, created=created, root=root, skipped=skipped, summary={})
        written = manifest.write(result, destination / MANIFEST_NAME)
    return manifest.read(written)


class _Journal:
    """What runs before this one wrote with the same settings, finished or not.

    While a run lasts, each stem stands in ``manifest.json.partial.jsonl`` as soon as its file does; the journal goes
    when the manifest is written.
    """

    def __init__(self, path: Path, created: Created) -> None:
        self._partial = path.with_name(path.name + ".partial.jsonl")
        self._settings = {"by": created.by, "config": created.config}
        self._known = {stem.id: stem for stem in [*self._finished(path), *self._unfinished()]}

    def _finished(self, path: Path) -> list[Stem]:
        if not path.exists():
            return []
        earlier = manifest.read(path)
        if earlier.created.command != "trim":
            raise ConfigError(f'{path} was written by "{earlier.created.command}"', "give a folder of its own")
        settings = {"by": earlier.created.by, "config": earlier.created.config}
        return earlier.stems if settings == self._settings else []

    def _unfinished(self) -> list[Stem]:
        if not self._partial.exists():
            return []
        with open(self._partial, encoding="utf-8") as file:
            lines = [line for line in file if line.endswith("\n")]  # a killed run may leave half a line
        if not lines or json.loads(lines[0]) != self._settings:
            return []
        return [Stem.model_validate_json(line) for line in lines[1:]]

    def known(self, stem_id: str) -> Stem | None:
        """What an earlier run made of a stem."""
        return self._known.get(stem_id)

    def remember(self, stem: Stem) -> Stem:
        """Note a stem whose file stands."""
        self._file.write(stem.model_dump_json() + "\n")
        self._file.flush()
        return stem

    def __enter__(self) -> Self:
        self._partial.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self._partial, "w", encoding="utf-8")
        self._file.write(json.dumps(self._settings) + "\n")
        for stem in self._known.values():
            self.remember(stem)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._file.close()
        if kind is None:
            self._partial.unlink()


def _refuse_own_source(source: Path, data: Manifest, folder: Path, destination: Path) -> None:
    target = destination.resolve()
    if source.is_dir() and (target == source.resolve() or target.is_relative_to(source.resolve())):
        raise ConfigError(f"the destination {destination} lies in the source {source}", "give a folder outside of it")
    if target == folder.resolve() and data.stems:
        raise ConfigError(f"the destination {destination} is the folder of the stems", "give another folder")


def _input(source: Path, destination: Path) -> Input:
    sha256 = manifest.file_sha256(source) if source.is_file() else None
    return Input(path=manifest.relative_root(source, destination / MANIFEST_NAME), sha256=sha256)
