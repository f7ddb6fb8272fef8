"""The songs that a cascade or a tracker is trained on, and its initial weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemclean.data.aligned import (
    AlignedMixer,
    AlignedMixing,
    AlignedTrack,
    Frames,
    aligned_tracks,
    parts_of_wholes,
    whole_songs,
)
from stemclean.data.pool import content
from stemclean.errors import ConfigError
from stemclean.manifest import Manifest, Stem
from stemclean.models import weights
from stemclean.models.decoding import THRESHOLD
from stemclean.running import Running
from stemclean.training.loop import Progress
from stemclean.training.recipe import Spec
from stemclean.training.run import decoded, without_length
from stemclean.training.split import leaked, split_tracks

__all__ = ["PITCHED", "Songs", "Start", "depends_on", "threshold"]

PITCHED = "vocals"
"""The class whose pitch is tracked."""
SEVERAL = ""
"""Stands for the classes of multi-label stems."""


@dataclass(frozen=True)
class Start:
    """URIs of initial weights (None: random weights). The weights of a cascade can initialise either part.

    Args:
        separator: Weights of the separator.
        tracker: Weights of the tracker.
    """

    separator: str | Path | None = None
    tracker: str | Path | None = None

    def loaded(self) -> dict[str, weights.Weights | None]:
        """Load both weights; returns them by kind.

        Raises:
            WeightsError: The weights cannot be loaded.
        """
        uris = {"separators": self.separator, "pitch": self.tracker}
        return {kind: weights.load(uri, kind=kind) if uri else None for kind, uri in uris.items()}


class Songs:
    """The songs of a manifest, decoded and split into training and validation songs.

    Args:
        manifest: The usable stems, without test stems and dropped stems.
        folder: Folder that its paths are relative to.
        labels: The classes; the voice alone for a tracker.
        spec: Sample rate, channels and length of an excerpt.
        running: Cache and progress.
        share: Share of the songs to hold out for validation, if the data declares no split.
        seed: Random seed of the split and of the excerpts.
        confidences: Whether estimated labels are trusted by their confidence only. If false, they are trusted fully.

    Raises:
        ConfigError: There are too few songs.
    """

    def __init__(
        self,
        manifest: Manifest,
        folder: Path,
        labels: Sequence[str],
        spec: Spec,
        running: Running,
        *,
        share: float,
        seed: int,
        confidences: bool = True,
    ) -> None:
        self.labels, self.spec, self.seed = tuple(labels), spec, seed
        alone = len(self.labels) == 1
        in_time = () if alone else parts_of_wholes(manifest)
        self.pool = decoded(whole_songs(manifest, alone=alone), folder, spec, running, in_time=in_time)
        tracks = aligned_tracks(manifest, folder, self.pool, labels, PITCHED, confidences=confidences)
        if alone:
            tracks = [track for track in tracks if track.f0 is not None]  # a tracker needs an f0
        names = {track.name for track in tracks}
        stems = [stem for stem in manifest.stems if stem.track in names]
        training, validating = split_tracks(stems, share=share, seed=seed)
        copies = leaked(stems, validating)
        training -= {stem.track for stem in stems if stem.id in copies}  # only whole songs can be used
        self.train = [track for track in tracks if track.name in training]
        self.validation = [track for track in tracks if track.name in validating]
        if not self.train or not self.validation:
            raise ConfigError(
                f"too few songs with vocals{' and an f0' if alone else ''} ({len(tracks)}): "
                "at least one is needed for training and one for validation",
                "give more songs; an f0 is read from a file beside the vocals, such as vocals.f0.csv",
            )

    def mixer(self, tracks: Sequence[AlignedTrack], config: AlignedMixing, frames: Frames, part: int) -> AlignedMixer:
        """Return a mixer of excerpts of some of the songs; ``part`` is 0 for training and 1 for validation."""
        return AlignedMixer(tracks, self.pool, self.labels, config, self.spec.segment, frames, seed=(self.seed, part))

    def described(self) -> dict[str, Any]:
        """Return the card's entry on the data: hours per class, and the number of songs by kind of annotation."""
        tracks = [*self.train, *self.validation]
        stems = [stem for track in tracks for stem in (*track.stems, *([track.whole] if track.whole else []))]
        alone: Counter[str] = Counter()
        for stem in stems:
            alone[stem.labels[0] if len(stem.labels) == 1 else SEVERAL] += stem.num_samples
        hours = {label: round(count / self.pool.sample_rate / 3600, 3) for label, count in sorted(alone.items())}
        return {
            "hours": {label: value for label, value in hours.items() if label != SEVERAL},
            "hours_of_several": hours.get(SEVERAL, 0.0),
            "never_alone": [label for label in self.labels if label not in hours],
            "stems": len(stems),
            "labels": "believed",
            "tracks": {"train": len(self.train), "validation": len(self.validation)},
            "known": dict(sorted(Counter(track.kind for track in tracks).items())),
        }


def depends_on(
    manifest: Manifest,
    folder: Path,
    settings: Sequence[Mapping[str, Any]],
    labels: Sequence[str],
    loaded: Mapping[str, weights.Weights | None],
) -> list[Any]:
    """Return everything that a training on songs depends on, except its length."""
    initial = {kind: start and start.sha256 for kind, start in loaded.items()}
    stems = [_content(stem, folder) for stem in manifest.stems]
    return [[without_length(part) for part in settings], list(labels), initial, stems]


def _content(stem: Stem, folder: Path) -> list[object]:
    f0 = stem.f0 and [stem.f0.path, stem.f0.sha256, stem.f0.by]
    estimated = stem.estimated and [stem.estimated.by, stem.estimated.confidence]
    return [*content(stem, folder), stem.track, stem.split, stem.labels, f0, estimated]


def threshold(progress: Progress) -> dict[str, float]:
    """Return the card's entry on the best voicing threshold on the validation songs."""
    return {"threshold": progress.best.get("threshold", THRESHOLD)}
