"""At which threshold should a claimed class count as present? Errors on validation stems by threshold.

    python -m benchmarks.claimed_threshold SET [--weights URI] [--wrong 0.2]

A stem with a correct claim is lost if its score is below the threshold, and a stem with a swapped claim is kept if its
score is above it. A share ``--wrong`` of the claims counts as swapped, each for one of the classes that the stem does
not hold.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from tqdm import tqdm

from stemclean import manifest as manifests
from stemclean.models import weights
from stemclean.models.calibration import Calibration
from stemclean.models.judge import Judge

MIN_DURATION = 4.0


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("training_set", type=Path)
    parser.add_argument("--weights", default=weights.DEFAULT_CLASSIFIER)
    parser.add_argument("--wrong", type=float, default=0.2)
    arguments = parser.parse_args()
    loaded = weights.load(arguments.weights)
    judge, calibration = Judge(loaded.model), Calibration.of_card(loaded.card)
    labels = judge.model.spec.labels
    right, swapped = [], []
    stems = manifests.read(arguments.training_set / "manifest.json").stems
    chosen = [stem for stem in stems if stem.split == "validation" and stem.duration >= MIN_DURATION]
    for stem in tqdm(chosen, "judge", unit="stem", disable=None):
        judgement = judge(judge.recording(arguments.training_set / stem.path, stem.duration))
        if judgement.weights.any():
            held = np.array([label in stem.labels for label in labels])
            scores = calibration(judgement.pooled())
            right.append(scores[held].min())
            swapped.extend(scores[~held])
    print(f"{len(right)} validation stems, {arguments.wrong:.0%} of the claims wrong")
    print("threshold  right lost  swapped kept  errors")
    for threshold in (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7, 0.9):
        lost, kept = np.mean(np.array(right) <= threshold), np.mean(np.array(swapped) > threshold)
        errors = (1 - arguments.wrong) * lost + arguments.wrong * kept
        print(f"{threshold:9.2f}  {lost:10.3f}  {kept:12.3f}  {errors:6.4f}")


if __name__ == "__main__":
    main()
