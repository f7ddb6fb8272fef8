"""Write a reference into the card of weights: their scores of stems whose classes are known.

    python -m benchmarks.noise_reference SET WEIGHTS.safetensors [--work DIR]

``SET`` is the training set (:mod:`benchmarks.training_set`). Its validation stems, which the weights were not trained
on, are judged as by ``refine``: each as it is, and twice with bleed at -20 to 0 dB from a stem of another class of any
track, with the class drawn first. ``refine`` uses these scores to estimate how noisy a dataset is
(:func:`stemclean.metrics.label_noise.adjusted`). Run this again whenever the weights or their calibration change. It
leaves the tensors alone, but the card is part of the file, so that the checksum changes.
"""

from __future__ import annotations

import argparse
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.detection import Scores
from stemclean import manifest
from stemclean.audio import files
from stemclean.audio.headroom import gain_below_full_scale
from stemclean.data import corrupt as sound
from stemclean.data.faults import DONOR_SHARE
from stemclean.manifest import Manifest, Stem
from stemclean.metrics.label_reference import Reference
from stemclean.models import weights
from stemclean.models.noise_reference import reference_to_card

BLEED_DB = (-20.0, 0.0)
BLEEDS = 2
"""Copies of each stem with bleed."""
TRIES = 20
"""Number of donors to try, until one is active where the stem is."""


@dataclass(frozen=True)
class Known:
    """A reference, and the donors of its bleed.

    Args:
        reference: the stems.
        donor: track of each stem's bleed, its own track where there is none.
    """

    reference: Reference
    donor: list[str]

    def without(self, tracks: set[str]) -> Reference:
        """Those stems of the reference that no sound of some tracks is in."""
        part, donor = self.reference, np.array(self.donor)
        kept = ~np.isin(part.track, sorted(tracks)) & ~np.isin(donor, sorted(tracks))
        return Reference(part.scores[kept], part.main[kept], part.bleed[kept], part.track[kept])


def validation(training_set: Path) -> Manifest:
    """Return the validation stems of a training set, as a dataset without splits."""
    data = manifest.read(training_set / "manifest.json")
    stems = [stem.model_copy(update={"split": None}) for stem in data.stems if stem.split == "validation"]
    return data.with_stems(stems, skipped=[], summary={})


def judged(data: Manifest, folder: Path, scores: Scores) -> Known:
    """Return the scores of a clean dataset, and of its stems with bleed."""
    labels = scores.weights.card["spec"]["labels"]
    scores.judge(data, folder, "reference-clean")
    sounding = [stem for stem in data.stems if scores.known[str(stem.sha256)] and len(stem.labels) == 1]
    bleed_folder = scores.work / "reference-bleeds"
    bleeds, donors = bled(sounding, folder, bleed_folder, labels)
    scores.judge(data.with_stems(bleeds), bleed_folder, "reference-bleed")
    scored = [(stem, -1, stem.track) for stem in sounding]
    scored += [
        (stem, labels.index(donor.labels[0]), donor.track)
        for stem, donor in zip(bleeds, donors, strict=True)
        if scores.known[str(stem.sha256)]
    ]
    rows = [[scores.known[str(stem.sha256)][label] for label in labels] for stem, _, _ in scored]
    main = np.array([labels.index(stem.labels[0]) for stem, _, _ in scored])
    bleed, track = np.array([bleed for _, bleed, _ in scored]), np.array([stem.track for stem, _, _ in scored])
    return Known(Reference(np.array(rows), main, bleed, track), [donor for _, _, donor in scored])


def bled(stems: list[Stem], folder: Path, output: Path, labels: list[str]) -> tuple[list[Stem], list[Stem]]:
    """Return copies of stems with bleed, written as FLAC if missing, and the donor of each."""
    copies, donors = [], []
    for stem in stems:
        random = np.random.default_rng(zlib.crc32(stem.id.encode()))
        audio = files.read(folder / stem.path, channels=min(stem.channels, 2))
        for number in range(BLEEDS):
            donor_and_sound = donor_of(stem, stems, folder, labels, random)
            if donor_and_sound is None:
                continue
            donor, other = donor_and_sound
            added = sound.bleed(audio, other, stem.sample_rate, random.uniform(*BLEED_DB))
            mixed = audio + added
            mixed *= np.float32(gain_below_full_scale(float(np.abs(mixed).max(initial=0.0))))
            path = f"{stem.id.replace('/', '__')}__{number}.flac"
            if not (output / path).exists():
                output.mkdir(parents=True, exist_ok=True)
                files.write(output / path, mixed, stem.sample_rate, subtype="PCM_16")
            changes = {"id": path, "path": path, "sha256": manifest.file_sha256(output / path)}
            copies.append(stem.model_copy(update=changes))
            donors.append(donor)
    return copies, donors


def donor_of(
    stem: Stem, stems: list[Stem], folder: Path, labels: list[str], random: np.random.Generator
) -> tuple[Stem, sound.Waveform] | None:
    """Return a stem of another class that is active at the same time, and its audio at this stem's rate."""
    classes = [label for label in labels if label not in stem.labels and any(label in other.labels for other in stems)]
    for _ in range(TRIES if classes else 0):
        label = classes[random.integers(len(classes))]
        several = [other for other in stems if other.labels == [label]]
        donor = several[random.integers(len(several))]
        audio = files.read(folder / donor.path, sample_rate=stem.sample_rate, channels=min(stem.channels, 2))
        audio = audio[:, : stem.num_samples]
        if sound.level(audio, stem.sample_rate).share_within(stem.duration) >= DONOR_SHARE:
            return donor, audio
    return None


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("training_set", type=Path, metavar="SET")
    parser.add_argument("weights", type=Path, metavar="WEIGHTS.safetensors")
    parser.add_argument("--work", type=Path, metavar="DIR", help="default: beside the weights")
    arguments = parser.parse_args()
    work = arguments.work or arguments.weights.with_suffix(".reference.work")
    work.mkdir(parents=True, exist_ok=True)
    card = weights.read_card(arguments.weights)
    known = judged(
        validation(arguments.training_set), arguments.training_set, Scores(f"file:{arguments.weights}", work)
    )
    weights.write_card(
        arguments.weights, {**card, "reference": reference_to_card(known.reference, card["spec"]["labels"])}
    )
    print(f"{len(known.reference)} stems of {len(set(known.reference.track))} tracks are now in the card")


if __name__ == "__main__":
    main()
