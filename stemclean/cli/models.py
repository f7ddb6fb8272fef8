"""``stemclean models``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stemclean.cli import _options as options
from stemclean.cli._planned import about_bytes
from stemclean.cli._shared import data, example, new_app, register, remark, table, typed

EXAMPLE = "stemclean models show bundled:atto.v2"

app = new_app(help="List, show and download weights.", epilog=example(EXAMPLE))

Uri = Annotated[
    str, typer.Argument(metavar="URI", help="Weights: bundled:NAME, hub:ORG/REPO, hub:ORG/REPO@REVISION or file:PATH.")
]


def list_(*, printing: options.Printing) -> None:
    """List the bundled weights."""
    from stemclean.models import addresses, weights

    rows = []
    for name in addresses.bundled():
        uri = f"bundled:{name}"
        path, _ = addresses.resolve(uri)
        card = weights.read_card(path)
        rows.append(
            {
                "uri": uri,
                "default": uri == addresses.DEFAULT_CLASSIFIER,
                "kind": card["kind"],
                "architecture": card["architecture"],
                "labels": list(card["spec"]["labels"]),
                "parameters": card.get("parameters"),
                "bytes": path.stat().st_size,
            }
        )
    numbers = ("parameters", "MB")
    shown = table("Bundled weights", "URI", "kind", "architecture", "classes", *numbers, "", numbers=numbers)
    for row in rows:
        shown.add_row(
            row["uri"],
            row["kind"],
            row["architecture"],
            ", ".join(row["labels"]),
            _millions(row["parameters"]),
            f"{row['bytes'] / 1e6:.1f}",
            "default" if row["default"] else "",
        )
    data({"weights": rows}, [shown], as_json=printing.as_json)
    remark("weights on the hub: hub:ORG/REPO", quiet=printing.quiet)


def show(uri: Uri, *, printing: options.Printing) -> None:
    """Show the card of weights.

    The card says what the weights do and what they were trained on. Weights on the hub are downloaded first.
    """
    from stemclean.models import addresses, weights

    path, name = addresses.resolve(uri)
    card = weights.read_card(path)
    shown = table(name, "key", "value")
    for key, value in _rows(card):
        shown.add_row(key, value)
    data({"uri": name, "path": str(path), "card": card}, [shown], as_json=printing.as_json)


def download(uri: Uri, dry_run: options.DryRun = False, *, printing: options.Printing) -> None:
    """Download weights from the hub, and print where they are.

    Later runs with the same URI work without a network.
    """
    from stemclean.models import addresses, weights

    if dry_run:
        print_download(uri, printing)
        return
    path, name = addresses.resolve(uri)
    card = weights.read_card(path)
    data({"uri": name, "path": str(path), "kind": card["kind"]}, [str(path)], as_json=printing.as_json)
    verbs = {"classifiers": "refine", "separators": "separate", "pitch": "f0", "cascades": "separate"}
    remark(f"next: {typed(verbs[card['kind']], 'DATA', '--weights', uri)}", quiet=printing.quiet)


def print_download(uri: str, printing: options.Printing) -> None:
    """Print what would be downloaded, and its size."""
    from stemclean.models import addresses
    from stemclean.plans import free_bytes

    found = addresses.look(uri)
    here = isinstance(found, Path)
    path = found if isinstance(found, Path) else found.folder
    size = found.stat().st_size if isinstance(found, Path) else found.num_bytes
    report = {"dry_run": True, "uri": uri, "cached": here, "path": str(path), "bytes": size}
    free = free_bytes(path)
    known = "an unknown size" if size is None else about_bytes(size)
    line = f"{path}: there already, {known}" if here else f"{uri}: {known}, to {path}; {about_bytes(free)} free"
    data({**report, "free_bytes": free}, [line], as_json=printing.as_json)
    remark("dry run: nothing was downloaded", quiet=printing.quiet)


register(app, "list", list_, "stemclean models list")
register(app, "show", show, EXAMPLE)
register(app, "download", download, "stemclean models download hub:my-org/my-classifier")


def _rows(card: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the parts of a card that a person reads, in order."""
    spec, training, metrics = card["spec"], card.get("data", {}), card.get("metrics", {}).get("validation", {})
    rows = [
        ("kind", card["kind"]),
        ("architecture", card["architecture"]),
        ("classes", ", ".join(spec["labels"])),
        ("sample rate", f"{spec['sample_rate']} Hz, {spec['channels']} channels"),
        ("segment", f"{spec['segment'] / spec['sample_rate']:.2f} s"),
        ("parameters", _millions(card.get("parameters"))),
        ("licence", card.get("license") or "not stated"),
        ("recipe", (card.get("recipe") or {}).get("name") or "its own"),
        ("created by", card.get("created_by", "")),
        ("SHA-256", card.get("sha256") or ""),
    ]
    if hours := training.get("hours"):
        rows.append(("hours of sound", ", ".join(f"{label} {value:.2f}" for label, value in hours.items())))
    if tracks := training.get("tracks"):
        rows.append(("tracks", ", ".join(f"{split} {number}" for split, number in tracks.items())))
    rows += [(f"validation: {name.replace('_', ' ')}", f"{value:.4g}") for name, value in metrics.items()]
    return [*rows, *(("note", note) for note in card.get("notes", ()))]


def _millions(number: int | None) -> str:
    return "–" if number is None else f"{number / 1e6:.1f} million"
