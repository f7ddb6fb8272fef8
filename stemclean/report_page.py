"""Write the report of a manifest, a page to look through it, listen and decide: the verb ``report``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from operator import itemgetter
from os import cpu_count
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tqdm import tqdm

from stemclean import manifest
from stemclean.audio.unchanged import Unchanged
from stemclean.disk import replacing
from stemclean.errors import AudioError, ConfigError, SkipReason
from stemclean.manifest import Manifest, Stem
from stemclean.manifest_chunks import Chunk, Ids, in_chunks
from stemclean.outputs import check_writable, only_writer, refuse_foreign
from stemclean.plans import Plan, Product, measured, plan_of
from stemclean.reporting import page as pages
from stemclean.reporting.media import Media, media_of, size_for
from stemclean.reporting.overall import Overall
from stemclean.reporting.rows import LIMIT, badness, content_of, flagged, keys, row, url_of
from stemclean.running import Running

__all__ = ["check_output", "plan_report", "report"]

ROW_BYTES = 1500
"""Approximate size of a stem in the page, without its picture and clip."""
MARK = '<meta name="generator" content="stemclean '


def report(
    refined: str | Path,
    output: str | Path,
    *,
    assets: bool = False,
    limit: int = LIMIT,
    running: Running = Running(),
) -> dict[str, Any]:
    """Write the report of a manifest.

    The page lists the stems, worst first. The flagged ones have a spectrogram and the worst seconds as a clip. The page
    contains as many of them as fit into 50 MB, the worst first; with ``assets``, all of them are in a folder beside it.

    Args:
        refined: a manifest, usually the output of ``refine``.
        output: the page to write (``.html``).
        assets: put pictures and clips into the folder ``NAME_assets`` beside the page.
        limit: maximum number of stems that the page lists.
        running: workers and progress.

    Returns:
        ``output``; ``stems``: number of stems listed; ``flagged``, of these; ``pictures``, ``clips``: number of each;
        ``left_out``: number of clips that did not fit into the page; ``bytes``: size of the page; ``unreadable``: stems
        without a picture, because the file cannot be read, each with ``id`` and ``reason``.

    Raises:
        ConfigError: the template engine is not installed, or the output is no page of ours.
        ManifestError: the manifest cannot be read.
    """
    output = check_output(output)
    source = Path(refined)
    data, listed, counted, repeated = _read(source, limit, running)
    folder = data.folder(source)
    folder_name = f"{output.stem}_assets"
    with only_writer(output):
        media = _media(listed, folder, assets=assets, running=running)
        key_of = keys(listed, repeated)
        rows = [row(stem, key_of[stem.id], data.labels, url_of(stem, folder, output)) for stem in listed]
        files = [(found.picture, found.clip) if found else (b"", b"") for found in media]
        if assets:
            embedded: Sequence[tuple[bytes, bytes]] = ()
            _write_assets(output.with_name(folder_name), files, rows, folder_name)
        else:
            embedded = pages.within_budget(files)
            for entry, (picture, clip) in zip(rows, embedded, strict=True):
                entry.update({name: True for name, data_of in (("picture", picture), ("clip", clip)) if data_of})
        for entry, found in zip(rows, media, strict=True):
            entry.update(_about(found))
        text = pages.PageText(
            title=source.resolve().parent.name if data.root == "." else folder.resolve().name,
            origin=f"{source.name}, written by {data.created.by}, {data.created.command}",
            labels=data.labels,
            overall=counted.summary(data),
            num_left_out=counted.stems - len(listed),
        )
        with replacing(output) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(pages.page(text, rows, embedded))
    return {
        "output": str(output),
        "stems": len(listed),
        "flagged": sum(map(flagged, listed)),
        "pictures": sum("picture" in entry for entry in rows),
        "clips": sum("clip" in entry for entry in rows),
        "left_out": sum(bool(clip) for _, clip in files) - sum("clip" in entry for entry in rows),
        "bytes": output.stat().st_size,
        "unreadable": [
            {"id": stem.id, "reason": found.failure}
            for stem, found in zip(listed, media, strict=True)
            if found and found.failure
        ],
    }


def plan_report(
    refined: str | Path,
    output: str | Path,
    *,
    assets: bool = False,
    limit: int = LIMIT,
    running: Running = Running(),
) -> Plan:
    """Return what :func:`report` would do with the same arguments, after the same checks; nothing is written.

    Only the stems that the page lists are counted.
    """
    output = check_output(output)
    check_writable(output)
    source = Path(refined)
    data, listed, _, _ = _read(source, limit, running)
    folder = data.folder(source)
    wanted = [stem for stem in listed if flagged(stem)]
    size, unchanged = size_for(1 if assets else len(wanted)), Unchanged()
    pictures: list[int] = []

    def work(stem: Stem) -> float:
        media = media_of(stem, folder, size, unchanged)
        if media.failure:
            raise AudioError(folder / stem.path, SkipReason.UNREADABLE, media.failure)
        pictures.append(len(media.picture) + len(media.clip))
        return 0.0

    speed = measured(
        wanted, lambda stem: stem.duration, work, workers=running.workers_or(cpu_count() or 1), quiet=running.quiet
    )
    of_media = round(len(wanted) * sum(pictures) / len(pictures)) if pictures else 0
    products = [Product(output, 1, len(listed) * ROW_BYTES + (0 if assets else min(of_media * 4 // 3, pages.BUDGET)))]
    if assets and wanted:
        products.append(Product(output.with_name(f"{output.stem}_assets"), 2 * len(wanted), of_media))
    seconds = sum(stem.duration for stem in wanted)
    figures = {"listed": len(listed), "with_pictures": len(wanted)}
    # Files that earlier commands passed over are no concern of the page.
    plan = plan_of("report", refined, data.with_stems(listed), products, speed=speed, seconds=seconds, figures=figures)
    return replace(plan, skipped=())


def _read(source: Path, limit: int, running: Running) -> tuple[Manifest, list[Stem], Overall, set[str]]:
    """Read a manifest, in JSON lines without holding it in memory.

    Returns:
        (the manifest without its stems, the worst stems in the order of the page, counts of all stems, contents of
        files that several stems have)

    Raises:
        ManifestError: it cannot be read.
    """
    loaded = None if manifest.is_lines(source) else manifest.read_documents(source)
    header = loaded[0] if loaded else manifest.read_header(source)
    counted, ids, worst = Overall(header.labels), Ids(source), list[_Listed]()
    contents, repeated = set[str](), set[str]()
    parts = in_chunks(
        source, _of_chunk, processes=running.workers, loaded=loaded, title=source.name, quiet=running.quiet
    )
    for part in parts:
        ids.add(part.ids)
        counted.join(part.counted)
        repeated.update(content for content in part.contents if content in contents)
        repeated.update(content for content, times in Counter(part.contents).items() if times > 1)
        contents.update(part.contents)
        worst += part.stems
        if len(worst) > 2 * limit:
            worst = sorted(worst, key=itemgetter(0))[:limit]
    lines = [(number, content) for _, number, content in sorted(worst, key=itemgetter(0))[:limit]]
    return header, [stem for _, _, stem in Chunk(source, header, lines).stems()], counted, repeated


_Listed = tuple[tuple[bool, bool, float, str], int, Any]
"""How bad a stem is, its number in the manifest, and its line or what was read from it."""


@dataclass
class _Part:
    """What a chunk adds: counts, address and id of each stem, contents of the files, and the stems."""

    counted: Overall
    ids: list[tuple[str, str]] = field(default_factory=list)
    contents: list[str] = field(default_factory=list)
    stems: list[_Listed] = field(default_factory=list)


def _of_chunk(chunk: Chunk) -> _Part:
    part = _Part(Overall(chunk.header.labels))
    for (number, content), (address, _, stem) in zip(chunk.lines, chunk.stems(), strict=True):
        part.counted.add(stem)
        part.ids.append((address, stem.id))
        part.stems.append((badness(stem), number, content))
        if of_file := content_of(stem):
            part.contents.append(of_file)
    return part


def check_output(path: str | Path) -> Path:
    """Refuse an output path for a page before any work.

    Raises:
        ConfigError: the template engine is not installed, the extension is not that of a page, or the file exists and
            is no page of ours.
    """
    pages.check_installed()
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"{path}: the report is a web page", f"name it {path.with_suffix('.html')}")
    refuse_foreign(path, _is_report, "report of stemclean")
    return path


def _is_report(path: Path) -> bool:
    with path.open(encoding="utf-8") as file:
        return MARK in file.read(4096)


def _media(listed: Sequence[Stem], folder: Path, *, assets: bool, running: Running) -> list[Media | None]:
    """Return what the page shows and plays of each stem; None for those that are not flagged."""
    wanted = [stem for stem in listed if flagged(stem)]
    size, unchanged = size_for(1 if assets else len(wanted)), Unchanged()
    with ThreadPoolExecutor(running.workers or cpu_count() or 1) as threads:
        found = threads.map(lambda stem: media_of(stem, folder, size, unchanged), wanted)
        media: Iterator[Media] = iter(
            tqdm(found, "report", len(wanted), unit="stem", disable=True if running.quiet else None)
        )
        return [next(media) if flagged(stem) else None for stem in listed]


def _about(found: Media | None) -> dict[str, Any]:
    if found is None:
        return {}
    if found.failure:
        return {"failure": found.failure}
    return {"worst": list(found.worst)} if found.clip else {}


def _write_assets(
    folder: Path, files: Sequence[tuple[bytes, bytes]], rows: Sequence[dict[str, Any]], name: str
) -> None:
    """Write pictures and clips into the folder beside the page, and their addresses into the rows."""
    for index, ((picture, clip), entry) in enumerate(zip(files, rows, strict=True)):
        for kind, content, ending in (("picture", picture, "png"), ("clip", clip, "ogg")):
            if content:
                file_name = f"{index:05}.{ending}"
                with replacing(folder / file_name) as temporary:
                    temporary.write_bytes(content)
                entry[kind] = f"{quote(name)}/{file_name}"
