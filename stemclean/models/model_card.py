"""The model card of published weights (README.md): what they are, how to use them, metrics and training data."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from stemclean.models.model_kinds import KINDS, Kind, papers

__all__ = ["render"]

KNOWN_LICENSES = frozenset(
    "apache-2.0 mit bsd-2-clause bsd-3-clause cc0-1.0 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-3.0 "
    "cc-by-nc-4.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 gpl-2.0 gpl-3.0 lgpl-3.0 agpl-3.0 mpl-2.0 unlicense".split()
)
"""Licences that the hub knows by name; all others are called "other" there."""
KNOWN = {
    "full": "stems and f0",
    "only_stems": "stems without f0",
    "only_f0": "mixture with f0, without stems",
    "pseudo": "partly estimated",
}
"""Kinds of annotation of the songs that a cascade or a tracker was trained on."""
LABELS = {"claimed": "the dataset's own", "believed": "the manifest's, refined or not"}
"""Sources of the labels that a separator was trained on."""


def render(card: Mapping[str, Any], uri: str) -> str:
    """Return the model card as Markdown, with the metadata header of the hub.

    Args:
        card: Card of the weights, of any kind of :data:`~stemclean.models.model_kinds.KINDS`.
        uri: ``hub:ORG/REPO``.
    """
    kind = KINDS[card["kind"]]
    parts = [
        _header(card, kind),
        _head(card, kind, uri),
        f"## Use\n\n{kind.use.format(uri=uri)}",
        _metrics(card, kind),
        _data(card),
        _notes(card),
        _papers(card),
    ]
    return "\n".join(part for part in parts if part)


def _header(card: Mapping[str, Any], kind: Kind) -> str:
    license_name = str(card.get("license", "")).strip()
    lines = ["---"]
    if license_name.lower() in KNOWN_LICENSES:
        lines.append(f"license: {license_name.lower()}")
    elif license_name:
        lines += ["license: other", f"license_name: {json.dumps(license_name)}"]
    lines.append("library_name: stemclean")
    if kind.pipeline_tag:
        lines.append(f"pipeline_tag: {kind.pipeline_tag}")
    tags = ["stemclean", "audio", "music", *kind.tags]
    return "\n".join([*lines, "tags:", *(f"- {tag}" for tag in tags), "---", ""])


def _head(card: Mapping[str, Any], kind: Kind, uri: str) -> str:
    if card["kind"] == "cascades":
        facts: dict[str, Any] = {}
        for name, part in card["options"].items():
            recipe = card.get({"separator": "recipe", "tracker": "tracker_recipe"}[name], {})
            facts |= {f"{name}: {key}": value for key, value in _network(part, recipe).items()}
    else:
        facts = _network(card, card.get("recipe", {}))
    joint = card.get("joint", {})
    rows = {
        **facts,
        "parameters": f"{card['parameters']:,}" if "parameters" in card else None,
        "input loudness": f"{card['loudness_lufs']:g} LUFS" if card.get("loudness_lufs") is not None else None,
        "loss weights of separation, pitch": f"{joint['sep_weight']:g}, {2 - joint['sep_weight']:g}" if joint else None,
        "example weighting": joint.get("weighting"),
        "initial weights": _start(card),
        "created by": card.get("created_by"),
        "licence": card.get("license", "not stated"),
    }
    return "\n".join([f"# {_plain(uri.rpartition('/')[2])}", "", kind.summary, "", *_table(rows)])


def _network(part: Mapping[str, Any], recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return the table rows on a network and its training; for a cascade, on one of its parts."""
    spec, options = part["spec"], part.get("options", {})
    loss = recipe.get("loss")
    settings = [
        recipe.get("name"),
        f"loss {loss['kind'] if isinstance(loss, Mapping) else loss}" if loss else None,
        f"seed {recipe['seed']}" if "seed" in recipe else None,
    ]
    return {
        "classes": ", ".join(spec["labels"]),
        "network": " ".join(str(part) for part in (part["architecture"], options.get("backbone")) if part),
        "options": ", ".join(f"{key} {value}" for key, value in sorted(options.items()) if key != "backbone") or None,
        "input": f"{spec['segment'] / spec['sample_rate']:.2f} s at {spec['sample_rate']} Hz, "
        f"{spec['channels']} channel(s)",
        "recipe": ", ".join(setting for setting in settings if setting) or None,
    }


def _start(card: Mapping[str, Any]) -> str | None:
    """Return the URIs of the initial weights."""
    uris = {name.removeprefix("init").lstrip("_"): card[name]["uri"] for name in card if name.startswith("init")}
    return ", ".join(f"{uri} ({part})" if part else uri for part, uri in uris.items()) or None


def _metrics(card: Mapping[str, Any], kind: Kind) -> str:
    metrics = card.get("metrics", {})
    rows = {
        f"{split}: {name.replace('_', ' ')}": f"{value:.4g}"
        for split, figures in metrics.items()
        if isinstance(figures, Mapping)
        for name, value in figures.items()
        if isinstance(value, int | float)
    }
    lines = [kind.measured, "", *_table(rows)] if rows else ["The card has no metrics.", ""]
    return "\n".join(["## Metrics", "", *lines, kind.not_measured, ""])


def _papers(card: Mapping[str, Any]) -> str:
    lines = [
        f"- {method}: {paper}, [arXiv {number}](https://arxiv.org/abs/{number})"
        for method, paper, number in papers(card)
    ]
    return "\n".join(["## Papers", "", *lines, ""]) if lines else ""


def _data(card: Mapping[str, Any]) -> str:
    data, material = card.get("data", {}), card.get("training_material", {})
    several = data.get("hours_of_several")
    alone = " alone" if several is not None and card["kind"] != "pitch" else ""
    rows = {f"hours of {label}{alone}": f"{hours:.2f}" for label, hours in data.get("hours", {}).items()}
    rows |= {"hours of several classes at once": f"{several:.2f}"} if several else {}
    rows |= {"classes without stems of their own": ", ".join(data["never_alone"])} if data.get("never_alone") else {}
    rows |= {"background in the mixtures": ", ".join(data["background"])} if data.get("background") else {}
    rows |= {f"hours of {kind}": f"{hours:.2f}" for kind, hours in material.get("hours_by_kind", {}).items()}
    rows |= {f"tracks: {split}": str(count) for split, count in data.get("tracks", {}).items()}
    rows |= {f"songs: {KNOWN[kind]}": str(count) for kind, count in data.get("known", {}).items() if kind in KNOWN}
    rows |= {"labels": LABELS[data["labels"]]} if data.get("labels") in LABELS else {}
    lines = ["## Training data", "", *_table(rows)] if rows else []
    if "licences" in material:
        lines += ["Licences of the training data:", ""]
        lines += _table({name: ", ".join(sources) for name, sources in material["licences"].items()})
    elif lines:
        lines += ["The card does not state the licences of the training data.", ""]
    return "\n".join(lines)


def _notes(card: Mapping[str, Any]) -> str:
    notes = card.get("notes", [])
    lines = [f"- {_plain(note)}" for note in ([notes] if isinstance(notes, str) else notes)]
    return "\n".join(["## Notes", "", *lines, ""]) if lines else ""


def _table(rows: Mapping[str, Any]) -> list[str]:
    shown = [f"| {_plain(name)} | {_plain(value)} |" for name, value in rows.items() if value is not None]
    return ["| | |", "|---|---|", *shown, ""]


def _plain(value: Any) -> str:
    """Return text that is safe in a table cell: on one line, with pipes escaped."""
    return re.sub(r"\s+", " ", str(value)).replace("|", "\\|")
