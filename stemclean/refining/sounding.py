"""Detect the active regions of stems before training and judging, with the detector that the user chose."""

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
    """Return the dataset with the ``active`` regions that a detector finds, for both training and judging.

    Trimmed files are active throughout and are left unchanged, as are files that cannot be read: the next step that
    reads one reports the error.

    Args:
        source: the dataset.
        folder: folder that its paths are relative to.
        detector: the activity detector.
        workers: number of files read in parallel; None: one per core.
        quiet: show no progress bar.
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
