"""Serve the report of a manifest on this machine, and save the decisions as they are made: the verb ``review``."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache
from http.server import ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stemclean import decisions, manifest
from stemclean.audio import files
from stemclean.audio.unchanged import Unchanged
from stemclean.decisions import Decisions
from stemclean.errors import AudioError, ConfigError
from stemclean.manifest import Stem
from stemclean.outputs import refuse_foreign
from stemclean.reporting import page as pages
from stemclean.reporting.media import Media, media_of, size_for
from stemclean.reporting.overall import overall
from stemclean.reporting.rows import LIMIT, PLAYABLE, keys, row, worst_first
from stemclean.reporting.server import Site, serve
from stemclean.reporting.worst import expected_worst

__all__ = ["review"]

TYPES = {
    ".wav": "audio/wav", ".flac": "audio/flac", ".mp3": "audio/mpeg", ".m4a": "audio/mp4", ".mp4": "audio/mp4",
    ".aac": "audio/aac", ".webm": "audio/webm", ".weba": "audio/webm",
}  # fmt: skip
"""Types of files that are not Ogg."""
SIZE = size_for(1)


class _Session:
    """The stems of a page, and what is served of them.

    Args:
        stems: the stems, in the order of the page.
        folder: folder that their paths are relative to.
        work: folder for files that no browser plays, converted.
    """

    def __init__(self, stems: list[Stem], folder: Path, work: Path) -> None:
        self.stems, self.folder, self.work = stems, folder, work
        self._unchanged = Unchanged()
        self._converting = threading.Lock()
        self.media: Callable[[int], Media] = lru_cache(maxsize=256)(self._media)

    def picture(self, number: int) -> bytes:
        return self.media(number).picture if number < len(self.stems) else b""

    def clip(self, number: int) -> bytes:
        return self.media(number).clip if number < len(self.stems) else b""

    def audio(self, number: int) -> tuple[Path, str] | None:
        """Return a file that a browser can play, and its type."""
        if number >= len(self.stems):
            return None
        stem = self.stems[number]
        path = self.folder / stem.path
        if path.suffix.lower() in PLAYABLE and not stem.stream:
            return path, TYPES.get(path.suffix.lower(), "audio/ogg")
        converted = self.work / f"{number}.flac"
        try:
            with self._converting:
                if not converted.exists():
                    _convert(path, stem.stream, converted)
        except AudioError:
            return None
        return converted, TYPES[".flac"]

    def _media(self, number: int) -> Media:
        stem = self.stems[number]
        return media_of(stem, self.folder, SIZE, self._unchanged, expected_worst(stem))


def review(
    refined: str | Path,
    output: str | Path = "decisions.json",
    *,
    limit: int = LIMIT,
    port: int = 0,
    ready: Callable[[str], None] = print,
    stop: threading.Event | None = None,
) -> dict[str, Any]:
    """Serve the report of a manifest on this machine until it is interrupted.

    The page is that of :func:`stemclean.report_page.report`, but plays all stems as a whole, and ``output`` holds the
    decisions made so far. Only this machine can reach the server, and only with the address that it prints.

    Args:
        refined: a manifest, usually the output of ``refine``.
        output: the file of decisions; those that it already holds are shown, and kept.
        limit: maximum number of stems that the page lists.
        port: port; 0: any free one.
        ready: called with the address.
        stop: ends the server; None: an interrupt from the keyboard does.

    Returns:
        ``output``, and ``decisions``: the number of decisions that it holds.

    Raises:
        ConfigError: the template engine is not installed, the port is in use, or ``output`` holds no decisions.
        ManifestError: the manifest or the file of decisions cannot be read.
    """
    pages.check_installed()
    output, source = Path(output), Path(refined)
    refuse_foreign(output, lambda path: bool(decisions.read(path)), "decisions of stemclean")
    data = manifest.read(source)
    filed = decisions.read(output) if output.exists() and output.stat().st_size else Decisions()
    folder = data.folder(source)
    listed = worst_first(data.stems)[:limit]
    key_of = keys(data.stems)
    _, elsewhere = _rows(listed, key_of, data.labels, filed)
    text = pages.PageText(
        title=source.resolve().parent.name if data.root == "." else folder.resolve().name,
        origin=f"{source.name}; decisions are saved in {output.name}",
        labels=data.labels,
        overall=overall(data),
        num_left_out=len(data.stems) - len(listed),
        served=True,
    )

    def rendered() -> bytes:
        held = decisions.read(output) if output.exists() and output.stat().st_size else filed
        return "".join(pages.page(text, _rows(listed, key_of, data.labels, held)[0])).encode()

    def save(content: str) -> None:
        made = decisions.parsed(content, "decisions")
        decisions.write(Decisions(decisions=[*made.decisions, *elsewhere]), output)

    with TemporaryDirectory() as work:
        session = _Session(listed, folder, Path(work))
        site = Site(rendered, session.picture, session.clip, session.audio, save)
        try:
            server, address = serve(site, port)
        except OSError as error:
            raise ConfigError(
                f"port {port}: {error.strerror or error}", "choose another --port, or leave it out"
            ) from None
        with server:
            ready(address)
            _run(server, stop)
    held = decisions.read(output).decisions if output.exists() and output.stat().st_size else []
    return {"output": str(output), "decisions": len(held)}


def _run(server: ThreadingHTTPServer, stop: threading.Event | None) -> None:
    """Answer until the event is set, or until an interrupt from the keyboard, which is how a review ends."""
    answering = threading.Thread(target=server.serve_forever, daemon=True)
    answering.start()
    try:
        (stop or threading.Event()).wait()
    except KeyboardInterrupt as error:
        if type(error) is not KeyboardInterrupt:  # terminated, not ended by the person
            raise
    finally:
        server.shutdown()
        answering.join()


def _rows(
    listed: list[Stem], key_of: dict[str, str], labels: list[str], filed: Decisions
) -> tuple[list[dict[str, Any]], list[decisions.StemDecision]]:
    """Return the rows of the page with the decisions in the file, and the decisions about other stems."""
    exact = {(stem.sha256, stem.stream, stem.id): index for index, stem in enumerate(listed)}
    alike: dict[tuple[str | None, int], int] = {
        (stem.sha256, stem.stream): index for index, stem in enumerate(listed) if stem.sha256
    }
    rows, elsewhere = [], []
    for index, stem in enumerate(listed):
        entry = row(stem, key_of[stem.id], labels, f"audio/{index}")
        entry |= {"picture": f"picture/{index}", "clip": f"clip/{index}", "worst": list(expected_worst(stem))}
        rows.append(entry)
    for decision in filed.decisions:
        content = (decision.sha256, decision.stream)
        at = exact.get((*content, decision.id), alike.get(content))
        if at is None:
            elsewhere.append(decision)
        else:
            rows[at]["decision"] = decision.model_dump(include={"action", "labels", "note", "by", "decided"})
    return rows, elsewhere


def _convert(path: Path, stream: int, output: Path) -> None:
    """Write a stream of a file as FLAC."""
    info = files.probe(path, stream)
    channels = min(info.channels, 2)
    with files.create(output, info.sample_rate, channels, subtype="PCM_16") as file:
        for block in files.blocks(path, channels=channels, stream=stream):
            file.write(block)
