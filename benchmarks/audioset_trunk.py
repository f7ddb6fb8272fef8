"""Weights to start from: a trunk trained on AudioSet, with untrained outputs for stems.

    python -m benchmarks.audioset_trunk mn04_as.safetensors OUT.safetensors

``mn04_as.safetensors`` is EfficientAT's network of that name (F. Schmid, MIT), as the recipe ``mobilenet`` has it but
for the last layer. Then ``stemclean train-classifier SET -o FILE --recipe mobilenet --init file:OUT.safetensors``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file

import stemclean
from stemclean.labels import FOUR_STEMS
from stemclean.models import registry, weights
from stemclean.models.classifiers.mobilenet import from_audioset
from stemclean.models.contract import ModelSpec
from stemclean.training import recipe

ORIGIN = "EfficientAT mn04_as (F. Schmid, https://github.com/fschmid56/EfficientAT), MobileNetV3 trained on AudioSet"


def main() -> None:
    """Write the weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trunk", type=Path)
    parser.add_argument("output", type=Path)
    args = parser.parse_args()
    settings = recipe.read("mobilenet")
    spec = ModelSpec(
        settings.spec["sample_rate"], settings.spec["channels"], FOUR_STEMS.labels, settings.spec["segment"]
    )
    torch.manual_seed(0)
    model = registry.build("classifiers", settings.architecture, spec, dict(settings.options))
    own = model.net.state_dict()
    taken = {
        name: tensor for name, tensor in from_audioset(load_file(args.trunk)).items() if own[name].shape == tensor.shape
    }
    model.net.load_state_dict(own | taken)
    card = {
        "kind": "classifiers",
        "architecture": settings.architecture,
        "spec": spec.to_dict(),
        "options": dict(settings.options),
        "created_by": f"stemclean {stemclean.__version__}",
        "license": "MIT",
        "origin": ORIGIN,
        "fresh": sorted(own.keys() - taken.keys()),
    }
    weights.save(args.output, model, card, dtype=torch.float32)
    print(f"{len(taken)} tensors taken, fresh: {', '.join(card['fresh'])}")


if __name__ == "__main__":
    main()
