"""Train the weights that come with the package.

    python -m benchmarks.training_set MATERIAL SET
    python -m benchmarks.bundled_weights SET OUT.safetensors [--recipe atto] [--set loop.examples=400000] [--init URI]

``atto.v4`` are six runs, each from the weights before it, of which the recipe has the settings that are not named:

    --init bundled:atto.v2 --set loop.examples=49152 --set loop.validations=12 --set loop.learning_rate=5e-4
        --set loop.decay=0.4 --set mixing.same_song_chance=0.4 --set mixing.quiet_chance=0.7
        --set mixing.quiet_db=[-30,-3]
    --init ONE --set loop.examples=131072 --set loop.validations=16 --set loop.learning_rate=6e-4
        --set loop.decay=0.4
    --init TWO --set loop.examples=32768 --set loop.validations=8 --set loop.learning_rate=3e-4 --set loop.decay=0.6
        --set disguised=0.2 --set mixing.same_song_chance=0.7 --set mixing.quiet_chance=0.9
        --set mixing.quiet_db=[-28,1] --set mixing.chance=0.7 --set mixing.most=2 --set mixing.effects=none
    --init THREE, and the third again with --set loop.validations=1 --set loop.decay=0.7 --set disguised=0.3
        --set mixing.same_song_chance=0.35
    --init FOUR --set loop.examples=65536 --set loop.validations=1 --set loop.learning_rate=4e-4 --set loop.decay=0.6
        --set disguised=0.3 --set mixing.same_song_chance=0.3 --set mixing.quiet_chance=0.9
        --set mixing.quiet_db=[-28,1] --set mixing.chance=0.6 --set mixing.most=3 --set mixing.speed=[0.8,1.25]
    --init FIVE, and the fifth again with --set loop.examples=90112 --set loop.decay=0.7 --set mixing.chance=0.7
        --set mixing.most=2

In the first four all singers had the weight 2, PJS too (:mod:`benchmarks.training_set.manifest`). Then
:mod:`benchmarks.noise_reference`. The command is the same as ``stemclean train-classifier SET/manifest.json -o OUT
--recipe atto``, with the set's sources and licences in the card.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from pathlib import Path

from benchmarks.training_set import manifest as training_set
from stemclean import manifest as manifests
from stemclean.manifest import Manifest
from stemclean.running import Running
from stemclean.train_classifier import train_classifier


def describe(manifest: Manifest) -> dict[str, object]:
    """Sources, licences and hours of what trains and validates; test stems are left out."""
    licences: dict[str, set[str]] = defaultdict(set)
    hours: Counter[str] = Counter()
    held_out = sorted({stem.track for stem in manifest.stems if stem.split == "test" and stem.extra["kind"] == "songs"})
    for stem in manifest.stems:
        if stem.split != "test":
            licences[stem.extra["licence"]].add(stem.extra["source"].split("/")[0])
            hours[stem.extra["kind"]] += stem.duration / 3600
    return {
        "licences": {licence: sorted(sources) for licence, sources in sorted(licences.items())},
        "hours_by_kind": {kind: round(value, 2) for kind, value in sorted(hours.items())},
        "held_out_songs": held_out,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("training_set", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--recipe", default="atto")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--init", metavar="URI")
    parser.add_argument("--cache", type=Path)
    arguments = parser.parse_args()
    path = arguments.training_set / "manifest.json"
    manifest = manifests.read(path) if path.exists() else training_set.build(arguments.training_set)
    card = {"license": "MIT", "training_material": describe(manifest)}
    card = train_classifier(
        path,
        arguments.output,
        recipe=arguments.recipe,
        overrides=arguments.overrides,
        init=arguments.init,
        card=card,
        running=Running(cache=arguments.cache, keep_checkpoint=True),
    )
    print(json.dumps({key: card[key] for key in ("metrics", "data", "seconds")}, indent=1))


if __name__ == "__main__":
    main()
