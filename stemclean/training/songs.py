"""What a cascade or a tracker learns from, in one place: the songs of a manifest, where it starts, how it runs."""

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
from stemclean.data.pool import StemPool
from stemclean.errors import ConfigError
from stemclean.manifest import Manifest
from stemclean.models import weights
from stemclean.training.processes import together
from stemclean.training.split import leaked, split_tracks

__all__ = ["PITCHED", "Running", "Songs", "Start"]

PITCHED = "vocals"
"""The class that is followed."""
SEVERAL = ""
"""Stands for the classes of stems that hold several."""


@dataclass(frozen=True)
class Running:
    """How a training runs; nothing of it changes what is learned.

    Args:
        cache: folder for decoded audio; ``cache_limit_gb``: see :meth:`stemclean.data.pool.StemPool.build`.
        resume: go on from a checkpoint of the same data, recipes and start beside the output.
        keep_checkpoint: leave it there when the weights are written.
        workers: processes that cut excerpts ahead of the model; 0: this one does.
        logs: folder for TensorBoard.
        quiet: no progress.
    """

    cache: Path | None = None
    cache_limit_gb: float | None = None
    resume: bool = True
    keep_checkpoint: bool = False
    workers: int = 2
    logs: Path | None = None
    quiet: bool = False


@dataclass(frozen=True)
class Start:
    """Weights to start from, by URI; None: random ones. A cascade's weights serve for either part.

    Args:
        separator, tracker: of the two parts.
    """

    separator: str | Path | None = None
    tracker: str | Path | None = None

    def loaded(self) -> dict[str, weights.Weights | None]:
        """Both, by the kind that they are loaded as.

        Raises:
            WeightsError: weights that cannot be had.
        """
        uris = {"separators": self.separator, "pitch": self.tracker}
        return {kind: weights.load(uri, kind=kind) if uri else None for kind, uri in uris.items()}


class Songs:
    """The songs of a manifest, decoded, and split into those that train and those that validate.

    Args:
        manifest: declared test stems and those that a refined manifest drops are left out.
        folder: what its paths are relative to.
        labels: the classes; the voice alone for a tracker.
        spec: ``sample_rate``, ``channels`` and ``segment``, as in a recipe.
        running: cache and progress.
        share: of the songs, for validation, where the data declares no split.
        seed: of the draw.
        confidences: False: what is an estimate is taken for the truth.

    Raises:
        ConfigError: too few songs.
    """

    def __init__(
        self,
        manifest: Manifest,
        folder: Path,
        labels: Sequence[str],
        spec: Mapping[str, int],
        running: Running,
        *,
        share: float,
        seed: int,
        confidences: bool = True,
    ) -> None:
        self.labels, self.spec, self.seed = tuple(labels), spec, seed
        processes = together()
        with processes.main_process_first():  # the others find the cache
            alone = len(self.labels) == 1
            self.pool = StemPool.build(
                whole_songs(manifest, alone=alone),
                folder,
                sample_rate=spec["sample_rate"],
                channels=spec["channels"],
                cache=running.cache,
                limit_gb=running.cache_limit_gb,
                in_time=() if alone else parts_of_wholes(manifest),
                quiet=running.quiet or not processes.is_main_process,
            )
        tracks = aligned_tracks(manifest, folder, self.pool, labels, PITCHED, confidences=confidences)
        if len(self.labels) == 1:
            tracks = [track for track in tracks if track.f0 is not None]  # a tracker learns from nothing else
        names = {track.name for track in tracks}
        stems = [stem for stem in manifest.stems if stem.track in names]
        training, validating = split_tracks(stems, share=share, seed=seed)
        copies = leaked(stems, validating)
        training -= {stem.track for stem in stems if stem.id in copies}  # a song is of use whole, or not at all
        self.train = [track for track in tracks if track.name in training]
        self.validation = [track for track in tracks if track.name in validating]
        if not self.train or not self.validation:
            raise ConfigError(
                f"{len(tracks)} song(s) with a voice{' whose f0 is known' if len(self.labels) == 1 else ''}: "
                "one is needed to train and one to validate",
                "give more songs; f0 stands in a file beside the vocals, such as vocals.f0.csv",
            )

    def mixer(self, tracks: Sequence[AlignedTrack], config: AlignedMixing, frames: Frames, part: int) -> AlignedMixer:
        """Excerpts of some of the songs; ``part`` is 0 for training and 1 for validation."""
        return AlignedMixer(
            tracks, self.pool, self.labels, config, self.spec["segment"], frames, seed=(self.seed, part)
        )

    def described(self) -> dict[str, Any]:
        """Hours of each class alone and of several together, songs by what is known of them, for the card."""
        every = [*self.train, *self.validation]
        stems = [stem for track in every for stem in (*track.stems, *([track.whole] if track.whole else []))]
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
            "known": dict(sorted(Counter(track.kind for track in every).items())),
        }
