"""The picture and the clip of a stem."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stemclean.audio import clips, files
from stemclean.audio.overview import overview
from stemclean.audio.unchanged import Unchanged
from stemclean.errors import AudioError, of_one_file
from stemclean.manifest import Stem
from stemclean.reporting.png import png
from stemclean.reporting.worst import worst_seconds

__all__ = ["SIZES", "Media", "Size", "media_of", "size_for"]


@dataclass(frozen=True)
class Size:
    """Size of a picture.

    Args:
        columns, rows: in points.
        colours: number of its colours.
    """

    columns: int
    rows: int
    colours: int


SIZES = {500: Size(720, 96, 32), 1500: Size(480, 80, 16), 100_000: Size(240, 48, 16)}
"""Maximum number of stems of a page -> size of its pictures, so that the page stays small."""


@dataclass(frozen=True)
class Media:
    """What a page shows and plays of a stem.

    Args:
        picture: spectrogram, a PNG file; empty if the file cannot be read.
        clip: the worst seconds, an Ogg Opus file; empty if there is no sound.
        worst: start and end of the clip in seconds.
        failure: why the file cannot be read; empty if it can.
    """

    picture: bytes = b""
    clip: bytes = b""
    worst: tuple[float, float] = (0.0, 0.0)
    failure: str = ""


def size_for(num_stems: int) -> Size:
    """Return the size of the pictures for a number of stems."""
    return next((size for most, size in SIZES.items() if num_stems <= most), list(SIZES.values())[-1])


def media_of(
    stem: Stem, folder: Path, size: Size, unchanged: Unchanged, worst: tuple[float, float] | None = None
) -> Media:
    """Return the picture and the clip of a stem; an unreadable file is no error.

    Args:
        stem: the stem.
        folder: folder that its path is relative to.
        size: size of the picture.
        unchanged: checks that the file is the one that was judged.
        worst: start and end of the clip in seconds; None: found by listening to the file.
    """
    path = folder / stem.path
    try:
        with unchanged.reading(path, stem.sha256), of_one_file(path):
            seen = overview(path, columns=size.columns, rows=size.rows, stream=stem.stream)
            start, end = worst or worst_seconds(stem, seen.power)
            clip = b""
            if np.any(seen.power > 0):
                sound = files.read(
                    path, sample_rate=clips.RATE, channels=1, start=start, duration=end - start, stream=stem.stream
                )
                clip = clips.encoded(sound) if sound.shape[1] else b""
    except AudioError as error:
        return Media(failure=f"{error.reason}: {error.detail}".replace("_", " "))
    return Media(png(seen.levels, size.colours), clip, (start, end))
