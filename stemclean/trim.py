"""Cut the silence out of every stem and record where each kept sample came from: the ``trim`` verb.

:mod:`stemclean.audio.activity` defines silence, and says what the paper leaves open; :mod:`stemclean.audio.splicing`
joins the kept regions.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from tqdm import tqdm

from stemclean import __version__, layouts, manifest
from stemclean.data.cutting import Cutter, TrimConfig, trial
from stemclean.data.destination import check_free_or_own, refuse_in_source
from stemclean.data.journal import sealed, unsealed, whole_lines
from stemclean.disk import replacing, writing
from stemclean.errors import AudioError, of_one_file
from stemclean.manifest import Created, Manifest, Skip, Stem
from stemclean.outputs import check_writable, only_writer
from stemclean.plans import MANIFEST_BYTES, Plan, Product, measured, plan_of

__all__ = ["MANIFEST_NAME", "TrimConfig", "plan_trim", "trim"]

MANIFEST_NAME = "manifest.json"


def trim(
    source: str | Path,
    destination: str | Path,
    config: TrimConfig | None = None,
    *,
    regions_only: bool = False,
    layout: str | None = None,
    quiet: bool = False,
) -> Manifest:
    """Cut the silence out of every stem.

    Writes each stem as FLAC (with the source's sample rate and channels, 16 or 24 bits) to its path below
    ``destination``, and writes ``destination/manifest.json``, whose ``source`` and ``active`` say where each sample
    comes from. The source is never changed. A stem without any sound is listed in ``skipped`` as ``silent``. If a stem
    of a song exceeds full scale, all stems of the song are attenuated by the same gain, which is recorded in ``extra``
    and by the issue ``turned_down``.

    An interrupted or repeated run processes only what has changed: a stem is kept if its bytes, the settings and the
    written file are unchanged. Any other folder that is not empty is refused.

    Args:
        source: a folder, a CSV or a manifest. Stems that were trimmed before stay traceable to their first source.
        destination: a folder outside the source.
        config: settings of trimming; None: the defaults.
        regions_only: write only the manifest: paths point to the source, and ``active`` lists the parts to keep.
        layout: layout of the data, such as ``class_folders``; None: detect it.
        quiet: show no progress bar.

    Returns:
        The manifest as written; its ``root`` is relative to ``destination``.

    Raises:
        ConfigError: the destination lies in the source, or holds anything other than earlier output of this verb for
            this source.
        ManifestError: ``source`` is a broken manifest.
    """
    config = config or TrimConfig()
    source, destination = Path(source), Path(destination)
    created = _created(source, destination, config, regions_only=regions_only)
    with only_writer(destination, folder=True):
        data, folder = _loaded(source, destination, layout, quiet=quiet)
        created = created.of(manifest.input_of(source, destination / MANIFEST_NAME, data))
        stems: list[Stem] = []
        skipped = list(data.skipped)
        with _Journal(destination / MANIFEST_NAME, created) as journal:
            cutter = Cutter(data.stems, config, folder, destination, journal.earlier, regions_only=regions_only)
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


def plan_trim(
    source: str | Path,
    destination: str | Path,
    config: TrimConfig | None = None,
    *,
    regions_only: bool = False,
    layout: str | None = None,
    quiet: bool = False,
) -> Plan:
    """Return what :func:`trim` would do with the same arguments, after the same checks; nothing is written.

    Stems that an earlier run has trimmed take no time.
    """
    config = config or TrimConfig()
    source, destination = Path(source), Path(destination)
    created = _created(source, destination, config, regions_only=regions_only)
    check_writable(destination, folder=True)
    data, folder = _loaded(source, destination, layout, quiet=quiet)

    def work(stem: Stem) -> float:
        return trial(stem, folder, regions_only=regions_only)

    speed = measured(data.stems, lambda stem: stem.duration, work, quiet=quiet)
    products = [Product(destination / MANIFEST_NAME, 1, len(data.stems) * MANIFEST_BYTES)]
    if not regions_only:
        seconds = sum(stem.duration for stem in data.stems)
        size = None if speed is None else round(seconds * speed.bytes_per_second)
        products.append(Product(destination, len(data.stems), size))
    journal = _Journal(destination / MANIFEST_NAME, created, keep_damaged=False)
    cutter = Cutter(data.stems, config, folder, destination, journal.earlier, regions_only=regions_only)
    return plan_of("trim", source, data, products, speed=speed, finished=filter(cutter.has, data.stems))


def _created(source: Path, destination: Path, config: TrimConfig, *, regions_only: bool) -> Created:
    """Check the destination before the scan, and return the origin of the output."""
    if source.is_dir():
        refuse_in_source(destination, source)
    created = Created(
        by=f"stemclean {__version__}",
        command="trim",
        config={**config.to_dict(), "regions_only": regions_only},
        inputs=[manifest.input_of(source, destination / MANIFEST_NAME)],
    )
    _Journal.check(destination, created)
    return created


def _loaded(source: Path, destination: Path, layout: str | None, *, quiet: bool) -> tuple[Manifest, Path]:
    """Load the dataset, and check that the destination is outside of it."""
    data, folder = layouts.load(source, layout=layout, quiet=quiet)
    if not layouts.is_list(source):
        refuse_in_source(destination, folder, source)
    return data, folder


class _Journal:
    """The stems that earlier runs with the same settings have written, finished or not.

    During a run, each stem is added to ``manifest.json.partial.jsonl`` as soon as its file is written. The journal is
    removed once the manifest is written.
    """

    def __init__(self, path: Path, created: Created, *, keep_damaged: bool = True) -> None:
        self._partial = _partial(path)
        self._keep_damaged = keep_damaged
        self._created = created
        self._known = {stem.id: stem for stem in [*self._finished(path), *self._unfinished()]}

    @staticmethod
    def check(destination: Path, created: Created) -> None:
        """Refuse a folder that holds anything other than the output of an earlier run with the same settings."""
        path = destination / MANIFEST_NAME
        earlier = None
        if path.is_file():
            earlier = manifest.read(path).created
        elif _partial(path).is_file():
            earlier = _first(_partial(path)) or created  # killed while writing the first line, or a damaged line
        check_free_or_own(destination, earlier, created)

    def _finished(self, path: Path) -> list[Stem]:
        if not path.exists():
            return []
        earlier = manifest.read(path)
        return earlier.stems if self._agrees(earlier.created) else []

    def _unfinished(self) -> list[Stem]:
        if not self._partial.exists():
            return []
        lines = list(whole_lines(self._partial, _read, keep_damaged=self._keep_damaged))
        if not lines or not isinstance(lines[0], Created) or not self._agrees(lines[0]):
            return []
        return [stem for stem in lines[1:] if isinstance(stem, Stem)]

    def _agrees(self, earlier: Created) -> bool:
        """Return whether an earlier run has the same version and settings, so that its stems can be reused."""
        return (earlier.by, earlier.config) == (self._created.by, self._created.config)

    def earlier(self, stem_id: str) -> Stem | None:
        """Return the stem as an earlier run has written it, if it has."""
        return self._known.get(stem_id)

    def remember(self, stem: Stem) -> Stem:
        """Add a stem whose file has been written."""
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


def _read(value: Any) -> Created | Stem:
    """Parse a line of the journal: the first holds the origin, every other one a stem."""
    kind = Created if isinstance(value, dict) and "command" in value else Stem
    return kind.model_validate(value)


def _first(partial: Path) -> Created | None:
    """Return the origin in the first line of a journal; None if that line is damaged."""
    with open(partial, "rb") as file:
        try:
            origin = _read(unsealed(file.readline()))
        except ValueError:
            return None
    return origin if isinstance(origin, Created) else None
