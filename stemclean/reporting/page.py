"""The page: one HTML file with everything in it, or with its pictures and clips in a folder beside it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from stemclean import __version__
from stemclean.errors import ConfigError
from stemclean.verdicts import VerdictReason

__all__ = ["BUDGET", "PageText", "check_installed", "page", "within_budget"]

BUDGET = 42_000_000
"""Maximum size in bytes of the pictures and clips that a page contains."""
PICTURES = 0.7
"""Maximum share of the budget that is used for pictures."""
SCRIPTS = ("state.js", "filters.js", "list.js", "plot.js", "detail.js", "decide.js", "keys.js", "start.js")
"""The parts of the script, in order; together they are one function."""


@dataclass(frozen=True)
class PageText:
    """What the page says, besides the stems.

    Args:
        title: name of the dataset.
        origin: where the manifest comes from, in one line.
        labels: all classes, in order.
        overall: see :func:`stemclean.reporting.overall.overall`.
        num_left_out: number of stems that the page does not list.
        served: whether ``stemclean review`` serves the page and saves the decisions.
    """

    title: str
    origin: str
    labels: Sequence[str]
    overall: Mapping[str, Any]
    num_left_out: int = 0
    served: bool = False


def check_installed() -> None:
    """Check that the template engine is installed.

    Raises:
        ConfigError: it is not.
    """
    try:
        import jinja2  # noqa: F401
    except ImportError:
        hint = 'python -m pip install "stemclean[report]"'
        raise ConfigError("the report needs Jinja, which is not installed", hint) from None


def page(text: PageText, rows: Sequence[dict[str, Any]], embedded: Iterable[tuple[bytes, bytes]] = ()) -> Iterator[str]:
    """Yield the page in parts, so that it need not be in memory as a whole.

    Args:
        text: what it says, besides the stems.
        rows: the stems, see :func:`stemclean.reporting.rows.row`.
        embedded: picture and clip of each row, which may be empty.
    """
    import jinja2

    files = _files()
    script = "(() => {\n'use strict';\n" + "\n".join(files[name] for name in SCRIPTS) + "\n})();\n"
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["clock"] = _clock
    environment.filters["percent"] = _percent
    template = environment.from_string(files["page.html.jinja"])
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    settings = {
        "labels": list(text.labels),
        "served": text.served,
        "title": text.title,
        "reasons": {reason.value: reason.meaning for reason in VerdictReason},
    }
    yield template.render(
        text=text,
        version=__version__,
        overall=text.overall,
        colours={label: index % 8 for index, label in enumerate(text.labels)},
        style=files["page.css"],
        script=script,
        script_hash=digest,
        rows=_safe_json(rows),
        settings=_safe_json(settings),
    )
    for index, (picture, clip) in enumerate(embedded):
        if picture or clip:
            content = f"{base64.b64encode(picture).decode()} {base64.b64encode(clip).decode()}"
            yield f'<script type="text/plain" id="m{index}">{content}</script>\n'
    yield "</body>\n</html>\n"


def within_budget(media: Sequence[tuple[bytes, bytes]], budget: int = BUDGET) -> list[tuple[bytes, bytes]]:
    """Return the pictures and clips that a page contains: as many pictures as fit, then clips, the first rows first."""
    kept: list[list[bytes]] = [[b"", b""] for _ in media]
    left = budget
    for kind, floor in ((0, round(budget * (1 - PICTURES))), (1, 0)):
        for index, pair in enumerate(media):
            size = len(pair[kind]) * 4 // 3 + 40
            if left - size < floor:
                break
            kept[index][kind] = pair[kind]
            left -= size
    return [(picture, clip) for picture, clip in kept]


def _safe_json(value: object) -> str:
    """Return JSON that can stand in a script element: no character in it can end the element or a line."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@cache
def _files() -> dict[str, str]:
    """Return the parts of the page that are files of the package."""
    folder = resources.files("stemclean.reporting") / "assets"
    return {name: (folder / name).read_text(encoding="utf-8") for name in ("page.html.jinja", "page.css", *SCRIPTS)}


def _clock(seconds: float) -> str:
    """Return a duration as h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}"
