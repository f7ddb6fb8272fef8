"""A dataset with planted faults, whose truth is known."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from stemclean import manifest as manifests
from stemclean.corrupt import CorruptConfig, corrupt
from stemclean.manifest import Manifest

BLEED_DB = (-10.0, 0.0)
TRUTH = "truth.json"


@dataclass(frozen=True)
class Noise:
    """The planted faults.

    Args:
        mislabel, bleed: share of the stems with a swapped label, and with another stem of the song mixed in.
    """

    mislabel: float
    bleed: float

    @property
    def name(self) -> str:
        """For folders: ``swap15-bleed15``."""
        return f"swap{self.mislabel * 100:g}-bleed{self.bleed * 100:g}"

    def to_dict(self) -> dict[str, float]:
        """Return the settings for a result."""
        return {"mislabel": self.mislabel, "bleed": self.bleed}


CLEAN = Noise(0.0, 0.0)
HALF_AND_HALF = Noise(0.15, 0.15)
SHARES = (0.1, 0.2, 0.4, 0.6)
"""Of the sweep."""


class Planted:
    """One noisy dataset, made on first use.

    Args:
        songs: folder of the clean songs.
        work: folder for all noisy datasets.
        noise: what is planted.
        seed: of what is planted.
    """

    def __init__(self, songs: Path, work: Path, noise: Noise, seed: int) -> None:
        self.songs, self.noise, self.seed = songs, noise, seed
        self.work = work / f"{noise.name}-seed{seed}"
        self.audio = self.work / "stems"
        self._truth: Manifest | None = None

    @property
    def truth(self) -> Manifest:
        """The dataset with its true labels; planted where it is not there."""
        if self._truth is None:
            path = self.audio / TRUTH
            config = CorruptConfig(
                mislabel=self.noise.mislabel, bleed=self.noise.bleed, bleed_db=BLEED_DB, seed=self.seed
            )
            self._truth = manifests.read(path) if path.exists() else corrupt(self.songs, self.audio, config)
        return self._truth

    def believing(self, labels: str) -> Manifest:
        """Return the dataset before refining, with its claims (``claimed``) or its true labels (``labels``)."""
        stems = [
            stem.model_copy(update={"labels": getattr(stem, labels), "extra": {}, "regions": [], "levels_db": {}})
            for stem in self.truth.stems
        ]
        return self.truth.with_stems(stems)

    def clear(self) -> None:
        """Remove the audio; it is planted again, byte by byte, where it is needed again."""
        shutil.rmtree(self.audio, ignore_errors=True)
