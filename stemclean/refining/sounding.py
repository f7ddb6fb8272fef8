"""Where stems sound, found before anything else is done with them, by the detector that a run names."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tqdm import tqdm

from stemclean.audio import activity, files
from stemclean.audio.activity import Detector
from stemclean.errors import AudioError, of_one_file
from stemclean.manifest import Manifest, Stem
from stemclean.units import samples_to_seconds

__all__ = ["sounding"]


def sounding(
    source: Manifest, folder: Path, detector: Detector, *, workers: int | None = None, quiet: bool = False
) -> Manifest:
    """The dataset with the ``active`` regions that a detector finds, for training and judging alike.

    Of a trimmed file all is sound, and it stays as it is; so does a file that cannot be read, which whoever reads it
    next says.

    Args:
        folder: what paths of the dataset are relative to.
        workers: files read at once; None: one a core.
    """
    with ThreadPoolExecutor(workers) as threads:
        found = threads.map(partial(_sounding, folder=folder, detector=detector), source.stems)
        bar = tqdm(found, "trim", len(source.stems), unit="stem", disable=True if quiet else None)
        return source.with_stems(list(bar))


def _sounding(stem: Stem, folder: Path, detector: Detector) -> Stem:
    if stem.source is not None:
        return stem
    try:
        with of_one_file(folder / stem.path):
            blocks = files.blocks(folder / stem.path, sample_rate=stem.sample_rate, stream=stem.stream)
            regions = activity.active_regions(blocks, stem.sample_rate, detector=detector)
    except AudioError:
        return stem
    spans = [
        (samples_to_seconds(start, stem.sample_rate), samples_to_seconds(end, stem.sample_rate))
        for start, end in regions
    ]
    return stem.model_copy(update={"active": [(start, min(end, stem.duration)) for start, end in spans]})
