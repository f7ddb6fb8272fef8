"""Serve the page to one person on this machine, with whole files, and save the decisions as they are made.

The server listens on loopback alone. Every address begins with a secret token; the ``Host`` header must name this
machine, so that no other site can reach the server through a name of its own (DNS rebinding); and decisions are only
taken from our own page.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from stemclean.errors import StemcleanError

__all__ = ["LONGEST", "LOOPBACK", "Site", "serve"]

LOOPBACK = "127.0.0.1"
LONGEST = 64_000_000
"""Maximum number of bytes of a file of decisions."""
BLOCK = 1 << 18
RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True)
class Site:
    """What is served.

    Args:
        page: returns the page with the decisions made so far.
        picture, clip: return a picture or a clip by the number of its row; empty if there is none.
        audio: returns the file of a row and its type; None if there is none.
        save: takes the text of a file of decisions, and raises :class:`~stemclean.errors.StemcleanError` if it is none.
    """

    page: Callable[[], bytes]
    picture: Callable[[int], bytes]
    clip: Callable[[int], bytes]
    audio: Callable[[int], tuple[Path, str] | None]
    save: Callable[[str], None]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, site: Site, port: int) -> None:
        super().__init__((LOOPBACK, port), _Handler)
        self.site = site
        self.token = secrets.token_urlsafe(24)
        self.saving = threading.Lock()

    @property
    def hosts(self) -> set[str]:
        """Values of ``Host`` that name this server."""
        return {f"{name}:{self.server_port}" for name in (LOOPBACK, "localhost")}

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore readers that went away; a browser does so whenever it seeks."""


def serve(site: Site, port: int = 0) -> tuple[ThreadingHTTPServer, str]:
    """Return a server, which is listening but not yet answering, and the address of the page.

    Args:
        site: what is served.
        port: port; 0: any free one.

    Raises:
        OSError: the port is in use.
    """
    server = _Server(site, port)
    return server, f"http://{LOOPBACK}:{server.server_port}/{server.token}/"


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "stemclean"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer with the page, a picture, a clip or a file."""
        path = self._path()
        if path is None:
            return
        kind, _, number = path.partition("/")
        if path == "":
            self._send(self.server.site.page(), "text/html; charset=utf-8")
        elif kind in ("picture", "clip", "audio") and number.isascii() and number.isdecimal() and len(number) < 10:
            self._send_media(kind, int(number))
        else:
            self._refuse(HTTPStatus.NOT_FOUND)

    def do_HEAD(self) -> None:
        """Answer like :meth:`do_GET`, without the content."""
        self.do_GET()

    def do_PUT(self) -> None:
        """Save the decisions."""
        path = self._path()
        if path is None:
            return
        length = self.headers.get("Content-Length", "")
        origin = self.headers.get("Origin")
        if path != "decisions":
            self._refuse(HTTPStatus.NOT_FOUND)
        elif origin is not None and urlsplit(origin).netloc not in self.server.hosts:
            self._refuse(HTTPStatus.FORBIDDEN)
        elif not length.isascii() or not length.isdecimal():
            self._refuse(HTTPStatus.LENGTH_REQUIRED)
        elif len(length) > 12 or int(length) > LONGEST:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            try:
                text = self.rfile.read(int(length)).decode()
                with self.server.saving:
                    self.server.site.save(text)
            except (StemcleanError, UnicodeDecodeError) as error:
                self._send(json.dumps({"error": str(error)}).encode(), "application/json", HTTPStatus.BAD_REQUEST)
            else:
                self._send(b"{}", "application/json")

    def log_message(self, *args: object) -> None:
        """Log nothing: addresses contain the token."""

    def _path(self) -> str | None:
        """Return the path after the token; None if the request was refused."""
        token, _, path = urlsplit(self.path).path.removeprefix("/").partition("/")
        if self.headers.get("Host", "") not in self.server.hosts:
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST)
        elif not hmac.compare_digest(token.encode(), self.server.token.encode()):
            self._refuse(HTTPStatus.NOT_FOUND)
        else:
            return path
        return None

    def _send_media(self, kind: str, number: int) -> None:
        site = self.server.site
        if kind == "audio":
            found = site.audio(number)
            if found is not None:
                self._send_file(*found)
                return
        elif content := (site.picture if kind == "picture" else site.clip)(number):
            self._send(content, "image/png" if kind == "picture" else "audio/ogg")
            return
        self._refuse(HTTPStatus.NOT_FOUND)

    def _send(self, content: bytes, mime: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._begin(status, mime, len(content))
        if self.command != "HEAD":
            self.wfile.write(content)

    def _send_file(self, path: Path, mime: str) -> None:
        """Send a file, or the part that is asked for."""
        try:
            file = path.open("rb")
        except OSError:
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        with file:
            size = file.seek(0, 2)
            span = _span(self.headers.get("Range", ""), size)
            if span is None:
                self._begin(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, mime, 0, {"Content-Range": f"bytes */{size}"})
                return
            first, last = span
            partial = {"Content-Range": f"bytes {first}-{last}/{size}"} if "Range" in self.headers else {}
            status = HTTPStatus.PARTIAL_CONTENT if partial else HTTPStatus.OK
            self._begin(status, mime, last - first + 1, {"Accept-Ranges": "bytes", **partial})
            if self.command != "HEAD":
                self._copy(file, first, last - first + 1)

    def _copy(self, file: BinaryIO, start: int, length: int) -> None:
        file.seek(start)
        while length > 0 and (block := file.read(min(BLOCK, length))):
            self.wfile.write(block)
            length -= len(block)

    def _refuse(self, status: HTTPStatus) -> None:
        self.close_connection = True  # an unread body must not be taken for the next request
        self._begin(status, "text/plain", 0, {"Connection": "close"})

    def _begin(self, status: HTTPStatus, mime: str, length: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        common = {
            "Content-Type": mime,
            "Content-Length": str(length),
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
        for name, value in {**common, **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()


def _span(asked: str, size: int) -> tuple[int, int] | None:
    """Return the first and the last byte of a range (RFC 9110, 14.1.2); None if it lies outside the file.

    Anything but a single range of bytes means the whole file.

    >>> _span("bytes=2-", 10), _span("bytes=-3", 10), _span("bytes=0-99", 10), _span("bytes=10-", 10)
    ((2, 9), (7, 9), (0, 9), None)
    """
    match = RANGE.fullmatch(asked.strip())
    if match is None or match.groups() == ("", ""):
        return 0, size - 1
    first, last = match.groups()
    if not first:
        return (max(0, size - int(last)), size - 1) if int(last) and size else None
    if int(first) >= size or (last and int(last) < int(first)):
        return None
    return int(first), min(int(last) if last else size - 1, size - 1)
