"""What the page of published weights says that is true of one kind of weights alone, and the papers that it cites."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["KINDS", "Kind", "papers"]


@dataclass(frozen=True)
class Kind:
    """One kind of weights.

    Args:
        what: a sentence.
        pipeline_tag: the task of the hub that it does; "": the hub has none.
        tags: of the hub, more of them.
        use: commands and Python; ``{uri}`` stands for the address.
        measured: how the validation's figures in the card were measured.
        not_measured: what the card has no figures of, and how they are had.
    """

    what: str
    pipeline_tag: str
    tags: tuple[str, ...]
    use: str
    measured: str
    not_measured: str


KINDS: dict[str, Kind] = {
    "classifiers": Kind(
        what="""\
A classifier for `stemclean`, which finds the wrong stems of a music dataset and says why: it tells which of its
classes a stem holds.""",
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

`stemclean train-classifier my_stems -o mine.safetensors --init {uri}` goes on training from them, with a recipe of the
same architecture.
""",
        measured="""\
`validation` is measured on random mixtures of tracks that were held out; `score` is the macro F1 at 0.5, less a
hundredth for each dB of error where levels are told.""",
        not_measured="""\
How many wrong stems it finds in a dataset is not measured here: `stemclean eval labels` tells it where the right
classes are known.""",
    ),
    "separators": Kind(
        what="""\
A music source separator for `stemclean`: it takes a song apart into its classes.""",
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

`stemclean train-separator refined.json -o mine.safetensors --init {uri}` goes on training from them, with a recipe of
the same architecture.
""",
        measured="""\
`validation` is the SDR in dB, 10 log10 of the energy of a source over that of the error, of random mixtures of stems
of tracks that were held out: of a class, the median of its mixtures; `sdr_db` is the mean of the classes.""",
        not_measured="""\
SDR, ISR, SIR and SAR of whole songs, as benchmarks have them (BSS Eval), are not in the card: `stemclean eval
separation` measures them.""",
    ),
    "pitch": Kind(
        what="""\
A pitch tracker for `stemclean`: it tells the f0 of a voice that is heard alone, frame by frame.""",
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

It expects vocals without accompaniment. `stemclean train-separator songs -o cascade.safetensors --joint RECIPE
--init-tracker {uri}` trains it behind a separator, so that it hears mixtures, and `stemclean train-tracker songs -o
mine.safetensors --init {uri}` goes on training it alone, both with a recipe of the same architecture.
""",
        measured="""\
`validation` is measured on excerpts of the vocals of songs that were held out: `rpa` is the raw pitch accuracy within
50 cents, which is also `score`, and `oa` the overall accuracy with frames held for voiced from the posterior
`threshold` on.""",
        not_measured="""\
Accuracies of whole songs, raw chroma accuracy, voicing recall and false alarms are not in the card: `stemclean eval
pitch` measures them. Nor is there any figure of vocals that a separator has estimated.""",
    ),
    "cascades": Kind(
        what="""\
A cascade for `stemclean`: a music source separator and, behind it, a pitch tracker that hears the vocals it
separates; both were trained as one.""",
        pipeline_tag="audio-to-audio",
        tags=("audio-source-separation", "pitch-estimation", "f0", "singing-voice"),
        use="""\
```
stemclean separate song.mp3 -o separated --weights {uri}
stemclean f0 song.mp3 -o song.f0.csv --weights {uri}
stemclean refine songs -o completed.json --pitch {uri}
```

```python
from stemclean.f0 import find_f0
from stemclean.separate import separate

separate("song.mp3", "separated", weights_uri="{uri}")
find_f0(["song.mp3"], "song.f0.csv", weights_uri="{uri}")
```

The third command completes songs of which only the stems or only the f0 is known. `stemclean train-separator songs -o
mine.safetensors --joint RECIPE --init {uri}` goes on training both parts, with recipes of the same architectures.
""",
        measured="""\
`validation` is measured on excerpts of songs that were held out. `sdr_db` is 10 log10 of the energy of a source over
that of the error: of a class, the median of its excerpts, and the mean of the classes. `rpa` is the raw pitch
accuracy within 50 cents on the separated vocals, `oa` the overall accuracy with frames held for voiced from the
posterior `threshold` on; `score` is a tenth of `sdr_db` and `rpa` together.""",
        not_measured="""\
SDR, ISR, SIR and SAR of whole songs, as benchmarks have them (BSS Eval), and accuracies of whole songs are not in the
card: `stemclean eval separation` and `stemclean eval pitch` measure them.""",
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
"""Architecture -> the paper that it is from, and its number on arXiv."""


def papers(card: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What was taken from where, the paper, and its number on arXiv; no paper of a method that was not used.

    Args:
        card: of weights of any kind.
    """
    kind, recipe = card["kind"], card.get("recipe", {})
    networks = map(_network, card["options"].values() if kind == "cascades" else [card])
    found = [("the network", *ARCHITECTURES[name]) for name in networks if name in ARCHITECTURES]
    if kind == "classifiers":
        found.append(("training on random mixtures of stems that may be labelled wrongly", *KOO))
        if recipe.get("loss") == "gce":
            found.append(("the loss", *GCE))
    shared = recipe.get("mixing", {}).get("multi_label_probability", 0.0)
    if kind == "separators" and shared and card.get("data", {}).get("hours_of_several"):
        found.append(("training on stems of several classes", *KOO))
    if kind == "cascades":
        found += [("training any separator with any tracker", *MAJL), ("the joint loss", *DJCM)]
        if card.get("joint", {}).get("weighting") == "dwa":
            found.append(("the weights of both losses", *DWA))
    return found


def _network(part: Mapping[str, Any]) -> str:
    """A key of :data:`ARCHITECTURES`, or the name of another architecture."""
    second = str(part["options"].get("backbone", "")).startswith("convnextv2")
    return "convnextv2" if second else str(part["architecture"])
