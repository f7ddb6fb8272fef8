"""The page about bundled weights, from their cards and the recipes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PATH = "docs/weights.md"

HEAD = """# Weights

`stemclean refine` judges with the bundled weights unless it is told otherwise:

| URI | where it comes from |
|---|---|
| `bundled:NAME.TAG` | the package itself |
| `file:PATH`, or a path | your disk |
| `hub:ORG/REPO[@REVISION][/FILE]` | the Hugging Face Hub, cached by its own library |

Weights are safetensors with a JSON card inside and beside them; a pickle is refused. `stemclean train-classifier`,
`train-separator` and `train-tracker` write both, and [publish](training.md#publishing) them if asked.

Weights come from anywhere, so they are checked before they take memory, in this order: the header against the size of
the file; the card; names, shapes and types of the tensors against the architecture that the card names; the checksum,
where a card beside the file states one. Only then are the tensors read, and NaN and infinite values refused. Of a
cascade, the part that is asked for is read. What is wrong is named with the file and the tensor or key, and ends a
command with 2. What is read of a card has its type and range: `spec`, `options`, `calibration`, `level_calibration`,
`reference`, `threshold`, `loudness_lufs`, what `recipe` says of the mixtures, and what a published page shows. Keys
that nobody reads may say anything.

The recipes: `small` is meant for two CPU cores, with generalised cross-entropy, which forgives wrong labels;
`paper` is the network and loss of Koo et al. 2023; `atto` made the bundled weights, with cross-entropy on clean stems
and a calibration on held-out tracks. `mobilenet` is a smaller network that learns on from what AudioSet taught it: of
its front end and trunk, EfficientAT's `mn04_as` (MIT) has the tensors, and `python -m benchmarks.audioset_trunk` writes
them as weights for `--init`.
"""


def render() -> str:
    """The page's text."""
    cards = sorted((ROOT / "stemclean" / "weights").glob("*.json"))
    return "\n".join([HEAD, *(_card(path.stem, json.loads(path.read_text(encoding="utf-8"))) for path in cards)])


def _card(name: str, card: dict[str, Any]) -> str:
    """One card as a section."""
    material = card.get("training_material", {})
    facts = {
        "network": f"`{card['options']['backbone']}`, {card['parameters'] / 1e6:.2f} million parameters",
        "input": f"{card['spec']['segment'] / card['spec']['sample_rate']:.2f} s at {card['spec']['sample_rate']} Hz, "
        f"{card['spec']['channels']} channels, {card['options']['n_mels']} mel bands",
        "classes": ", ".join(card["spec"]["labels"]),
        "recipe": f"`{card['recipe']['name']}`, loss `{card['recipe']['loss']}`, seed {card['recipe']['seed']}, "
        f"{int(card['metrics']['validation']['step']) * card['recipe']['loop']['batch_size']} examples",
        "licence": card.get("license", "not stated"),
        "sha256": f"`{card['sha256']}`",
    }
    rows = [f"| {key} | {value} |" for key, value in facts.items()]
    lines = [f"## bundled:{name}", "", "| | |", "|---|---|", *rows, ""]
    lines += ["Hours of training and validation material by class:", "", "| class | hours |", "|---|---|"]
    lines += [f"| {label} | {hours:.2f} |" for label, hours in card["data"]["hours"].items()]
    if material:
        lines += [
            "",
            "By kind, as `benchmarks/training_set/README.md` explains them:",
            "",
        ]
        lines += ["| kind | hours |", "|---|---|"]
        lines += [f"| {kind.replace('_', ' ')} | {hours:.2f} |" for kind, hours in material["hours_by_kind"].items()]
        lines += ["", "Never trained on: " + ", ".join(material["held_out_songs"]) + ", and the singers of MIR-1K.", ""]
        lines += ["Licences of the material:", "", "| licence | sources |", "|---|---|"]
        lines += [f"| {licence} | {', '.join(sources)} |" for licence, sources in material["licences"].items()]
    for note in card.get("notes", []):
        lines += ["", note]
    lines += ["", "On validation mixtures, while it was trained: " + _metrics(card["metrics"]["validation"]) + ".", ""]
    return "\n".join(lines)


def _metrics(figures: dict[str, float]) -> str:
    names = {"f1_at_0.5": "macro F1 at 0.5", "f1_at_0.9": "macro F1 at 0.9 (uncalibrated)", "val_loss": "loss"}
    figures = {"f1_at_0.5": figures["score"], **figures}  # cards of before have it as the score alone
    return ", ".join(f"{text} {figures[key]:.3f}" for key, text in names.items() if key in figures)
