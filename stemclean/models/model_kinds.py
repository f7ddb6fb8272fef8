"""The parts of a model card that depend on the kind of weights, and the papers that it cites."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["KINDS", "Kind", "papers"]


@dataclass(frozen=True)
class Kind:
    """A kind of weights.

    Args:
        summary: One sentence on what the weights do.
        pipeline_tag: Task name of the hub; "" if the hub has none.
        tags: Further tags of the hub.
        use: Commands and Python code; ``{uri}`` is replaced by the address.
        measured: How the validation metrics of the card were computed.
        not_measured: Metrics that the card does not have, and how to compute them.
    """

    summary: str
    pipeline_tag: str
    tags: tuple[str, ...]
    use: str
    measured: str
    not_measured: str


KINDS: dict[str, Kind] = {
    "classifiers": Kind(
        summary="""\
A multi-label classifier for `stemclean`, which finds mislabelled and faulty stems in music datasets. It predicts which
of its classes sound in a stem.""",
        pipeline_tag="audio-classification",
        tags=("label-noise", "instrument-recognition"),
        use="""\
```
stemclean refine my_stems --weights {uri}
```

```python
from stemclean.refine import refine

refine("my_stems", "refined.json", weights_uri="{uri}")
```

`stemclean train-classifier my_stems -o mine.safetensors --init {uri}` fine-tunes them, with a recipe of the same
architecture.
""",
        measured="""\
`validation` was computed on random mixtures of held-out tracks. `score` is the macro F1 at a threshold of 0.5, less
0.01 per dB of level error if the classifier predicts levels.""",
        not_measured="""\
The card does not say how many wrong stems these weights find in a dataset: `stemclean eval labels` measures this if the
true classes are known.""",
    ),
    "separators": Kind(
        summary="""\
A music source separator for `stemclean`. It separates a song into its classes.""",
        pipeline_tag="audio-to-audio",
        tags=("audio-source-separation",),
        use="""\
```
stemclean separate song.mp3 -o separated --weights {uri}
```

```python
from stemclean.separate import separate

separate("song.mp3", "separated", weights_uri="{uri}")
```

`stemclean train-separator refined.json -o mine.safetensors --init {uri}` fine-tunes them, with a recipe of the same
architecture.
""",
        measured="""\
`validation` is the SDR in dB, 10 log10 of the energy of a source over that of the error, on random mixtures of
held-out tracks. The value of a class is the median over mixtures; `sdr_db` is the mean over classes.""",
        not_measured="""\
SDR, ISR, SIR and SAR of whole songs (BSS Eval) are not in the card: `stemclean eval separation` measures them.""",
    ),
    "pitch": Kind(
        summary="""\
A pitch tracker for `stemclean`. It estimates the f0 of a solo voice, frame by frame.""",
        pipeline_tag="",
        tags=("pitch-estimation", "f0", "singing-voice"),
        use="""\
```
stemclean f0 vocals.wav -o vocals.f0.csv --weights {uri}
```

```python
from stemclean.f0 import find_f0

find_f0(["vocals.wav"], "vocals.f0.csv", weights_uri="{uri}")
```

It expects vocals without accompaniment. `stemclean train-joint songs -o cascade.safetensors --tracker RECIPE
--init-tracker {uri}` trains it together with a separator, for mixtures, and `stemclean train-tracker songs -o
mine.safetensors --init {uri}` fine-tunes it alone, both with a recipe of the same architecture.
""",
        measured="""\
`validation` was computed on excerpts of the vocals of held-out songs. `rpa` is the raw pitch accuracy within 50 cents,
which is also `score`; `oa` is the overall accuracy at the voicing threshold `threshold`.""",
        not_measured="""\
Accuracies of whole songs, raw chroma accuracy, voicing recall and false alarm rate are not in the card: `stemclean eval
pitch` measures them. The card has no metrics on separated vocals.""",
    ),
    "cascades": Kind(
        summary="""\
A cascade for `stemclean`: a music source separator, followed by a pitch tracker on the separated vocals, trained
jointly.""",
        pipeline_tag="audio-to-audio",
        tags=("audio-source-separation", "pitch-estimation", "f0", "singing-voice"),
        use="""\
```
stemclean separate song.mp3 -o separated --weights {uri}
stemclean f0 song.mp3 -o song.f0.csv --weights {uri}
stemclean pseudo-label songs -o completed.json --weights {uri}
```

```python
from stemclean.f0 import find_f0
from stemclean.separate import separate

separate("song.mp3", "separated", weights_uri="{uri}")
find_f0(["song.mp3"], "song.f0.csv", weights_uri="{uri}")
```

The third command adds estimates to songs that have only stems or only an f0. `stemclean train-joint songs -o
mine.safetensors --tracker RECIPE --init {uri}` fine-tunes both parts, with recipes of the same architectures.
""",
        measured="""\
`validation` was computed on excerpts of held-out songs. `sdr_db` is 10 log10 of the energy of a source over that of
the error: the median over excerpts for a class, then the mean over classes. `rpa` is the raw pitch accuracy within 50
cents on the separated vocals; `oa` is the overall accuracy at the voicing threshold `threshold`. `score` is `sdr_db` /
10 plus `rpa`.""",
        not_measured="""\
SDR, ISR, SIR and SAR of whole songs (BSS Eval) and pitch accuracies of whole songs are not in the card: `stemclean eval
separation` and `stemclean eval pitch` measure them.""",
    ),
}

KOO = (
    'Koo et al. 2023, "Self-refining of Pseudo Labels for Music Source Separation with Noisy Labeled Data"',
    "2307.12576",
)
DJCM = (
    'Wei et al. 2024, "DJCM: A Deep Joint Cascade Model for Singing Voice Separation and Vocal Pitch Estimation"',
    "2401.03856",
)
MAJL = (
    (
        'Wei et al. 2025, "MAJL: A Model-Agnostic Joint Learning Framework for Music Source Separation and Pitch '
        'Estimation"'
    ),
    "2501.03689",
)
GCE = (
    'Zhang and Sabuncu 2018, "Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy Labels"',
    "1805.07836",
)
DWA = ('Liu et al. 2019, "End-to-End Multi-Task Learning with Attention"', "1803.10704")
ARCHITECTURES: dict[str, tuple[str, str]] = {
    "convnext": ('Liu et al. 2022, "A ConvNet for the 2020s"', "2201.03545"),
    "convnextv2": (
        'Woo et al. 2023, "ConvNeXt V2: Co-designing and Scaling ConvNets with Masked Autoencoders"',
        "2301.00808",
    ),
    "xumx": (
        'Sawata et al. 2021, "All for One and One for All: Improving Music Separation by Bridging Networks"',
        "2010.04228",
    ),
    "hdemucs": ('Défossez 2021, "Hybrid Spectrogram and Waveform Source Separation"', "2111.03600"),
    "band_split": (
        'Lu et al. 2023, "Music Source Separation with Band-Split RoPE Transformer"',
        "2309.02612",
    ),
    "unet": DJCM,
    "crepe": ('Kim et al. 2018, "CREPE: A Convolutional Representation for Pitch Estimation"', "1802.06182"),
    "rmvpe": (
        'Wei et al. 2023, "RMVPE: A Robust Model for Vocal Pitch Estimation in Polyphonic Music"',
        "2306.15412",
    ),
    "harmof0": (
        'Wei et al. 2022, "HarmoF0: Logarithmic Scale Dilated Convolution For Pitch Estimation"',
        "2205.01019",
    ),
}
"""Architecture -> its paper, and the paper's number on arXiv."""


def papers(card: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return the methods that were used, each with its paper and the paper's number on arXiv.

    Args:
        card: Card of weights of any kind.
    """
    kind, recipe = card["kind"], card.get("recipe", {})
    networks = map(_network, card["options"].values() if kind == "cascades" else [card])
    cited = [("the network", *ARCHITECTURES[name]) for name in networks if name in ARCHITECTURES]
    if kind == "classifiers":
        cited.append(("training on random mixtures of stems with noisy labels", *KOO))
        if recipe.get("loss") == "gce":
            cited.append(("the loss", *GCE))
    shared = recipe.get("mixing", {}).get("multi_label_probability", 0.0)
    if kind == "separators" and shared and card.get("data", {}).get("hours_of_several"):
        cited.append(("training on multi-label stems", *KOO))
    if kind == "cascades":
        cited += [("joint training of a separator and a tracker", *MAJL), ("the joint loss", *DJCM)]
        if card.get("joint", {}).get("weighting") == "dwa":
            cited.append(("the loss weights", *DWA))
    return cited


def _network(part: Mapping[str, Any]) -> str:
    """Return a key of :data:`ARCHITECTURES`, or the name of another architecture."""
    second = str(part["options"].get("backbone", "")).startswith("convnextv2")
    return "convnextv2" if second else str(part["architecture"])
