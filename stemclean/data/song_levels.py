"""Levels of the songs of a dataset, to detect their silent stems; see :mod:`stemclean.audio.activity`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from threading import Lock

from stemclean.audio import files
from stemclean.audio.activity import FIRST_DB, SECOND_DB, SILENCE_FLOOR_DBFS, Levels, levels, regions_of
from stemclean.audio.formats import quantisation_step
from stemclean.errors import AudioError
from stemclean.manifest import Stem
from stemclean.units import db_to_amplitude

__all__ = ["SongLevels", "song_of"]


class SongLevels:
    """Detects silence in stems relative to the other stems of their song.

    A song is measured once, and only if one of its stems is so soft that this matters. Thread-safe.

    Args:
        stems: All stems of the dataset.
        folder: Folder that their paths are relative to.
        floor_dbfs: Sound below this level is silence in any song.
    """

    def __init__(self, stems: Iterable[Stem], folder: Path, floor_dbfs: float = SILENCE_FLOOR_DBFS) -> None:
        self._folder = folder
        self._floor = db_to_amplitude(floor_dbfs)
        self._songs: dict[str, list[Stem]] = defaultdict(list)
        for stem in stems:
            self._songs[song_of(stem)].append(stem)
        self._peaks: dict[str, float] = {}
        self._locks: dict[str, Lock] = {song: Lock() for song in self._songs}

    def regions(self, stem: Stem, measured: Levels) -> list[tuple[int, int]]:
        """Return the active regions of a stem, in samples at the rate of the measurement.

        Raises:
            AudioError: The header of the file cannot be read.
        """
        floor, peak = self._floor, 1.0
        if measured.reference < db_to_amplitude(FIRST_DB - SECOND_DB):  # else the first pass decides
            peak = self._peak(stem)
        step = quantisation_step(files.probe(self._folder / stem.path, stem.stream).subtype)
        return regions_of(measured, song_peak=peak, floor=max(floor, step))

    def _peak(self, stem: Stem) -> float:
        """Return the highest sustained peak of the song's stems; unreadable stems are ignored."""
        song = song_of(stem)
        with self._locks.setdefault(song, Lock()):
            if song not in self._peaks:
                stems = self._songs.get(song) or [stem]
                self._peaks[song] = max((self._measured(other) for other in stems), default=0.0)
            return self._peaks[song]

    def _measured(self, stem: Stem) -> float:
        try:
            blocks = files.blocks(self._folder / stem.path, stream=stem.stream)
            return levels(blocks, stem.sample_rate).sustained_peak
        except AudioError:
            return 0.0


def song_of(stem: Stem) -> str:
    """Return the song of a stem; a stem without a track is a song of its own."""
    return stem.track or f"\0{stem.id}"
