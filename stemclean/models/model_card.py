"""The page that stands with published weights: what they are, what they learned from, how well, how to use them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["render"]

KNOWN_LICENSES = frozenset(
    "apache-2.0 mit bsd-2-clause bsd-3-clause cc0-1.0 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-3.0 "
    "cc-by-nc-4.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 gpl-2.0 gpl-3.0 lgpl-3.0 agpl-3.0 mpl-2.0 unlicense".split()
)
"""Those that the hub knows by name; any other one is "other" there."""


def render(card: Mapping[str, Any], uri: str) -> str:
    """The page as Markdown, with the header that the hub reads.

    Args:
        card: of the weights.
        uri: ``hub:ORG/REPO``.
    """
    parts = [_header(card), _head(card, uri), _use(uri), _metrics(card), _data(card), _notes(card)]
    return "\n".join(part for part in parts if part)


def _header(card: Mapping[str, Any]) -> str:
    license_name = str(card.get("license", "")).strip()
    lines = ["---"]
    if license_name.lower() in KNOWN_LICENSES:
        lines.append(f"license: {license_name.lower()}")
    elif license_name:
        lines += ["license: other", f"license_name: {json.dumps(license_name)}"]
    tags = ["music", "source-separation", "stems", "label-noise", "stemclean"]
    lines += ["library_name: stemclean", "pipeline_tag: audio-classification", "tags:", *(f"- {tag}" for tag in tags)]
    return "\n".join([*lines, "---", ""])


def _head(card: Mapping[str, Any], uri: str) -> str:
    spec, recipe = card["spec"], card.get("recipe", {})
    options = card.get("options", {})
    rows = {
        "classes": ", ".join(spec["labels"]),
        "network": " ".join(str(part) for part in (card["architecture"], options.get("backbone")) if part),
        "parameters": f"{card['parameters']:,}" if "parameters" in card else None,
        "input": f"{spec['segment'] / spec['sample_rate']:.2f} s at {spec['sample_rate']} Hz, "
        f"{spec['channels']} channel(s)",
        "recipe": f"{recipe['name']}, loss {recipe['loss']}, seed {recipe['seed']}" if recipe else None,
        "started from": card.get("init", {}).get("uri"),
        "made by": card.get("created_by"),
        "licence": card.get("license", "not stated"),
    }
    return "\n".join(
        [
            f"# {_plain(uri.rpartition('/')[2])}",
            "",
            "A classifier for `stemclean`, which finds the wrong stems of a music dataset and says why: it tells which",
            "of its classes a stem holds.",
            "",
            *_table(rows),
        ]
    )


def _use(uri: str) -> str:
    return f"""## Use

```
stemclean refine my_stems --weights {uri}
```

```python
from stemclean.refine import refine

refine("my_stems", "refined.json", weights_uri="{uri}")
```
"""


def _metrics(card: Mapping[str, Any]) -> str:
    told = card.get("metrics", {})
    rows = {
        f"{where}: {name.replace('_', ' ')}": f"{value:.4g}"
        for where, figures in told.items()
        if isinstance(figures, Mapping)
        for name, value in figures.items()
        if isinstance(value, int | float)
    }
    if not rows:
        return ""
    text = "`validation` is measured on random mixtures of tracks that were held out; `score` is the macro F1 at 0.5, "
    text += "less a hundredth for each dB of error where levels are told."
    return "\n".join(["## Measured", "", text, "", *_table(rows)])


def _data(card: Mapping[str, Any]) -> str:
    data, material = card.get("data", {}), card.get("training_material", {})
    rows = {f"hours of {label}": f"{hours:.2f}" for label, hours in data.get("hours", {}).items()}
    rows |= {f"hours of {kind}": f"{hours:.2f}" for kind, hours in material.get("hours_by_kind", {}).items()}
    rows |= {f"tracks: {split}": str(count) for split, count in data.get("tracks", {}).items()}
    lines = ["## Trained on", "", *_table(rows)] if rows else []
    if "licences" in material:
        lines += ["Licences of the material:", ""]
        lines += _table({name: ", ".join(sources) for name, sources in material["licences"].items()})
    elif lines:
        lines += ["The licences of the material are not stated in the card.", ""]
    return "\n".join(lines)


def _notes(card: Mapping[str, Any]) -> str:
    notes = card.get("notes", [])
    lines = [f"- {_plain(note)}" for note in ([notes] if isinstance(notes, str) else notes)]
    return "\n".join(["## Notes", "", *lines, ""]) if lines else ""


def _table(rows: Mapping[str, Any]) -> list[str]:
    shown = [f"| {_plain(name)} | {_plain(value)} |" for name, value in rows.items() if value is not None]
    return ["| | |", "|---|---|", *shown, ""]


def _plain(value: Any) -> str:
    """Text that cannot break out of its cell or its line."""
    return re.sub(r"\s+", " ", str(value)).replace("|", "\\|")
