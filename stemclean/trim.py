"""The verb ``trim``: silence out of every stem, and where each kept sample stood.

What counts as silence, and what the paper leaves open about it, stands in :mod:`stemclean.audio.activity`; how the
kept regions are joined, in :mod:`stemclean.audio.splicing`.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from tqdm import tqdm

from stemclean import __version__, layouts, manifest
from stemclean.data.cutting import Cutter, TrimConfig
from stemclean.data.destination import check_free_or_own, refuse_in_source
from stemclean.data.journal import sealed, unsealed, whole_lines
from stemclean.disk import replacing, writing
from stemclean.errors import AudioError, of_one_file
from stemclean.manifest import Created, Input, Manifest, Skip, Stem
from stemclean.outputs import only_writer

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
    comes from. The source tree is only read. A stem with nothing to keep is listed in ``skipped`` as ``silent``. Where
    a stem of a song exceeds full scale, all of them are turned down by one gain, which ``extra`` and the issue
    ``turned_down`` tell.

    A run that was interrupted, or is repeated, does again only what changed: a stem is left alone where its bytes, the
    settings and what was written are as they were. Any other folder that is not empty is refused.

    Args:
        source: a folder, a CSV or a manifest. Stems that were trimmed before stay traceable to their first source.
        destination: a folder outside of the source.
        config: what is silence; None: the defaults.
        regions_only: write the manifest alone: paths lead to the source, ``active`` says what would be kept.
        quiet: no progress bar.

    Returns:
        The manifest as it was written; its ``root`` is relative to ``destination``.

    Raises:
        ConfigError: the destination lies in the source, or holds anything but what this verb made of this source.
        ManifestError: ``source`` is a broken manifest.
    """
    config = config or TrimConfig()
    source, destination = Path(source), Path(destination)
    if source.is_dir():
        refuse_in_source(destination, source)
    created = Created(
        by=f"stemclean {__version__}",
        command="trim",
        config={**config.to_dict(), "regions_only": regions_only},
        inputs=[_input(source, destination)],
    )
    _Journal.check(destination, created)
    with only_writer(destination, folder=True):
        data, folder = layouts.load(source, quiet=quiet)
        if not layouts.is_list(source):
            refuse_in_source(destination, folder, source)
        stems: list[Stem] = []
        skipped = list(data.skipped)
        with _Journal(destination / MANIFEST_NAME, created) as journal:
            cutter = Cutter(data.stems, config, folder, destination, journal.known, regions_only=regions_only)
            for stem in tqdm(data.stems, desc="trim", unit="stem", disable=True if quiet else None):
                try:
                    with of_one_file(folder / stem.path):
                        cut = cutter.cut(stem)
                    stems.append(journal.remember(cut))
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
        self._partial = _partial(path)
        self._created = created
        self._known = {stem.id: stem for stem in [*self._finished(path), *self._unfinished()]}

    @staticmethod
    def check(destination: Path, created: Created) -> None:
        """Refuse a folder that holds anything but what an earlier such run left; a manifest is read for it."""
        path = destination / MANIFEST_NAME
        earlier = None
        if path.is_file():
            earlier = manifest.read(path).created
        elif _partial(path).is_file():
            earlier = _first(_partial(path)) or created  # killed at its first line, or that was damaged
        check_free_or_own(destination, earlier, created)

    def _finished(self, path: Path) -> list[Stem]:
        if not path.exists():
            return []
        earlier = manifest.read(path)
        return earlier.stems if self._agrees(earlier.created) else []

    def _unfinished(self) -> list[Stem]:
        lines = whole_lines(self._partial, _read) if self._partial.exists() else []
        if not lines or not isinstance(lines[0], Created) or not self._agrees(lines[0]):
            return []
        return [stem for stem in lines[1:] if isinstance(stem, Stem)]

    def _agrees(self, earlier: Created) -> bool:
        """Whether what an earlier run made of a stem is what this one would make of it."""
        return (earlier.by, earlier.config) == (self._created.by, self._created.config)

    def known(self, stem_id: str) -> Stem | None:
        """What an earlier run made of a stem."""
        return self._known.get(stem_id)

    def remember(self, stem: Stem) -> Stem:
        """Note a stem whose file stands."""
        with writing(self._partial):
            self._file.write(sealed(stem.model_dump(mode="json")))
            self._file.flush()
        return stem

    def __enter__(self) -> Self:
        with writing(self._partial):
            self._partial.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self._partial) as temporary, temporary.open("w", encoding="utf-8") as file:
                file.write(sealed(self._created.model_dump(mode="json")))
                file.writelines(sealed(stem.model_dump(mode="json")) for stem in self._known.values())
            self._file = open(self._partial, "a", encoding="utf-8")
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with suppress(OSError) if kind else writing(self._partial):
            self._file.close()
        if kind is None:
            self._partial.unlink()


def _partial(path: Path) -> Path:
    return path.with_name(path.name + ".partial.jsonl")


def _read(told: Any) -> Created | Stem:
    """What a line of the journal tells: the first one who writes, each other one a stem."""
    kind = Created if isinstance(told, dict) and "command" in told else Stem
    return kind.model_validate(told)


def _first(partial: Path) -> Created | None:
    """Who wrote a journal; None where its first line does not tell."""
    with open(partial, "rb") as file:
        try:
            told = _read(unsealed(file.readline()))
        except ValueError:
            return None
    return told if isinstance(told, Created) else None


def _input(source: Path, destination: Path) -> Input:
    sha256 = manifest.file_sha256(source) if source.is_file() else None
    return Input(path=manifest.relative_root(source, destination / MANIFEST_NAME), sha256=sha256)
