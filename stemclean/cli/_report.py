"""What the commands say about the page of a report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stemclean.running import Running

ROWS = 5
"""Unreadable stems that are listed; ``--json`` contains all."""


def check_page(page: Path | None) -> None:
    """Refuse a page that cannot be written, before the work; None is ignored."""
    if page is not None:
        from stemclean.report_page import check_output

        check_output(page)


def page_of(manifest: Path, page: Path | None, running: Running) -> dict[str, Any]:
    """Write the page of a manifest, and return what to say about it under ``report``; nothing for None."""
    if page is None:
        return {}
    from stemclean.report_page import report

    return {"report": report(manifest, page, running=running)}


def wrote(written: Mapping[str, Any] | None) -> list[str]:
    """Lines on a page that was written; see :func:`stemclean.report_page.report`."""
    if written is None:
        return []
    lines = [f"wrote {written['output']} ({written['bytes'] / 1e6:.1f} MB): {written['flagged']} stems to look at"]
    readable = written["flagged"] - len(written["unreadable"])
    if written["pictures"] < readable:
        lines.append(f"only the worst {written['pictures']} have a picture; --assets has room for all")
    elif written["left_out"]:
        lines.append(f"{written['left_out']} of them have no clip in the page; --assets has room for all")
    lines += [f"no picture of {item['id']}: {item['reason']}" for item in written["unreadable"][:ROWS]]
    return lines
