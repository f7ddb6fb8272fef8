"""docs/weights.md: the bundled weights, from their cards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PATH = "docs/weights.md"

HEAD = """# Weights

`stemclean refine` uses the bundled weights by default. `--weights` accepts these URIs:

| URI | source |
|---|---|
| `bundled:NAME.TAG` | the package itself |
| `file:PATH`, or a path | a local file |
| `hub:ORG/REPO[@REVISION][/FILE]` | the Hugging Face Hub, cached by its library |

Weights are safetensors files with a JSON card, both in the file and next to it; pickles are refused. `stemclean
train-classifier`, `train-separator` and `train-tracker` write both, and can [publish](training.md#publishing) them.

Weights are untrusted input, so they are checked before any tensor is loaded, in this order: the header against the file
size; the card; names, shapes and types of the tensors against the architecture in the card; and the checksum, if a card
next to the file states one. Only then are the tensors read; NaN and infinite values are refused. Of a cascade, only the
part that is needed is read. An error names the file and the tensor or key, and the exit code is 2. All card entries
that are used must have the right type and range: `spec`, `options`, `calibration`, `level_calibration`, `reference`,
`threshold`, `loudness_lufs`, the mixing settings in `recipe`, and the entries shown on a published page. Other keys are
ignored.

There are four classifier recipes. `small` is meant for two CPU cores and uses generalised cross-entropy, which
tolerates wrong labels. `paper` has the network and loss of Koo et al. 2023. `atto` produced the bundled weights, with
cross-entropy on clean stems and a calibration on held-out tracks. `mobilenet` is a smaller network that was pretrained
on AudioSet: the tensors of its front end and trunk are those of EfficientAT's `mn04_as` (MIT), which
`python -m benchmarks.audioset_trunk` writes as weights for `--init`.
"""


def render() -> str:
    """The page's text."""
    cards = sorted((ROOT / "stemclean" / "weights").glob("*.json"))
    return "\n".join([HEAD, *(_card(path.stem, json.loads(path.read_text(encoding="utf-8"))) for path in cards)])


def _card(name: str, card: dict[str, Any]) -> str:
    """The section about a card."""
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
    lines += ["Hours of training and validation audio by class:", "", "| class | hours |", "|---|---|"]
    lines += [f"| {label} | {hours:.2f} |" for label, hours in card["data"]["hours"].items()]
    if material:
        lines += [
            "",
            "Hours by kind (explained in `benchmarks/training_set/README.md`):",
            "",
        ]
        lines += ["| kind | hours |", "|---|---|"]
        lines += [f"| {kind.replace('_', ' ')} | {hours:.2f} |" for kind, hours in material["hours_by_kind"].items()]
        lines += [
            "",
            "Not used for training: " + ", ".join(material["held_out_songs"]) + ", and the singers of MIR-1K.",
            "",
        ]
        lines += ["Licences of the audio:", "", "| licence | sources |", "|---|---|"]
        lines += [f"| {licence} | {', '.join(sources)} |" for licence, sources in material["licences"].items()]
    for note in card.get("notes", []):
        lines += ["", note]
    lines += [
        "",
        "Metrics on the validation mixtures during training: " + _metrics(card["metrics"]["validation"]) + ".",
        "",
    ]
    return "\n".join(lines)


def _metrics(figures: dict[str, float]) -> str:
    names = {"f1_at_0.5": "macro F1 at 0.5", "f1_at_0.9": "macro F1 at 0.9 (uncalibrated)", "val_loss": "loss"}
    figures = {"f1_at_0.5": figures["score"], **figures}  # older cards only have the score
    return ", ".join(f"{text} {figures[key]:.3f}" for key, text in names.items() if key in figures)
