"""Write a dataset for Music-Source-Separation-Training by R. Solovyev (ZFTurbo), type 3: one CSV ``instrum,path``.

Behaviour of its reader (``utils/dataset.py`` at commit 0c9e18d; the CSV is read with pandas), and the consequences:

- It reads files with soundfile without resampling, and a mono file has one channel where a batch needs two. So every
  row has two channels and the same sample rate.
- It draws a random row of the class, then ``chunk_size`` samples of it, and draws again while their mean absolute value
  is below ``min_mean_abs``; a file shorter than a chunk is padded with zeros. If no chunk of a class is loud enough, it
  draws forever. So a stem without such a chunk is left out.
- A class in ``training.instruments`` without rows raises an IndexError at the first batch. So an empty class is
  refused.
- If there are several CSVs, it uses only the last. So one is written.
- It resolves paths from its working directory. So they are absolute.
- It caches the length of each path between runs (``metadata_3.pkl``), and an outdated length makes it read past the
  end. So the name of a written file contains a hash of its source.
- A list in its documentation names the first column ``type``; the code reads ``instrum``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stemclean.errors import ConfigError
from stemclean.exporting.converting import Converter
from stemclean.exporting.lists import write_csv
from stemclean.exporting.selection import Item, Selection
from stemclean.layouts.base import Format, Written
from stemclean.settings import WHOLE

__all__ = ["LAYOUT", "ZFTurbo"]

HOPS = 100
"""Steps per chunk: the loudest chunk is searched in steps of a hundredth of its length."""


@dataclass(frozen=True)
class Loudness:
    """Loudness of a stem as the trainer reads it: at the target sample rate and with two channels.

    Args:
        loudest: mean absolute value of the loudest chunk; a lower bound, at most 1 % too low.
        loud_share: share of the chunks that are loud enough, in [0, 1]: the probability that a draw is accepted.
    """

    loudest: float
    loud_share: float


class ZFTurbo(Format):
    """Writes the CSV, and audio for files that the trainer cannot read directly.

    Args:
        chunk_size: ``audio.chunk_size`` of the trainer's config, in samples; the default is the most common value.
        min_mean_abs: ``audio.min_mean_abs`` of the trainer's config.
        allow_empty: export even if a class has no stem; that class must then be left out of ``training.instruments``.
    """

    name: ClassVar[str] = "zfturbo"
    reader: ClassVar[str] = "Music-Source-Separation-Training, dataset type 3"
    held_out: ClassVar[bool] = False

    chunk_size: Annotated[int, Field(ge=1, le=2**31), WHOLE] = 485_100
    min_mean_abs: Annotated[float, Field(ge=0, le=1)] = 0.001
    allow_empty: bool = False

    def write(self, selection: Selection, converter: Converter) -> Written:
        """Write ``zfturbo.csv`` and, below ``audio/``, files for stems that must be converted.

        Stems without a chunk that is loud enough are left out as ``too_quiet``.

        Returns:
            The list, and as ``extra``: ``num_stems`` (class -> rows), ``num_written`` (converted files), ``loud_share``
            (class -> probability that a draw is loud enough) and ``next``, settings for the trainer.

        Raises:
            ConfigError: a class has no stem left (unless ``allow_empty``).
        """
        loud_shares: dict[tuple[str, str], float] = {}

        def too_quiet(item: Item, blocks: Iterable[NDArray[np.float32]]) -> str:
            loudness = listen(blocks, self.chunk_size, self.min_mean_abs)
            loud_shares[item.key] = loudness.loud_share
            return "" if loudness.loudest >= max(self.min_mean_abs, 1e-9) else "too_quiet"

        converter.listen(selection, too_quiet)
        self._check_empty(selection)
        files = converter.place(selection)
        self._check_empty(selection)
        rows = ((file.item.target, str(file.path.absolute())) for file in files)
        path = write_csv(converter.destination / "zfturbo.csv", ("instrum", "path"), rows)
        stems = {target: [item.key for item in items] for target, items in selection.by_target().items()}
        usable = [target for target in stems if stems[target]]
        settings = {
            "--dataset_type": 3,
            "--data_path": str(path.absolute()),
            "training.instruments": usable,
        }
        extra = {
            "num_stems": {target: len(ids) for target, ids in stems.items()},
            "num_written": converter.num_converted,
            "loud_share": {t: round(float(np.mean([loud_shares[i] for i in stems[t]])), 3) for t in usable},
            "next": settings,
        }
        return Written([path], extra, [f"in the trainer: {name} {_plain(value)}" for name, value in settings.items()])

    def _check_empty(self, selection: Selection) -> None:
        empty = selection.empty
        if not empty or (self.allow_empty and selection.items):
            return
        lines = []
        for target in empty:
            reasons = selection.lost_seconds[target].items()
            lost = ", ".join(f"{timedelta(seconds=round(seconds))} {reason}" for reason, seconds in reasons)
            lines.append(f"{target}: {lost or 'no stem of it in the manifest'}")
        raise ConfigError(
            f"no stem is left for: {', '.join(empty)}; the trainer would crash on it",
            "\n".join(
                [
                    *lines,
                    "add stems of that class and refine again, or export the others with --allow-empty and",
                    "take the class out of training.instruments in the trainer's config",
                ]
            ),
        )


LAYOUT = ZFTurbo()


def listen(blocks: Iterable[NDArray[np.float32]], chunk_size: int, min_mean_abs: float) -> Loudness:
    """Measure the loudness of a stem's chunks.

    Shape:
        blocks: ``(channel, time)`` each; together they are the whole stem.
    """
    hop = max(1, chunk_size // HOPS)
    sums = np.zeros(0)  # of absolute values, averaged over channels, per hop
    num_samples = 0
    for block in blocks:
        size = np.abs(block)
        hops = np.arange(num_samples, num_samples + block.shape[1]) // hop
        num_samples += block.shape[1]
        sums = np.pad(sums, (0, -(-num_samples // hop) - len(sums)))
        sums += np.bincount(hops, weights=size.mean(0), minlength=len(sums))
    if num_samples < chunk_size:
        chunks = np.array([sums.sum()])  # the rest is padding
    else:
        whole = np.concatenate([[0.0], np.cumsum(sums[: num_samples // hop])])
        width = chunk_size // hop
        chunks = whole[width:] - whole[:-width]
    means = chunks / chunk_size
    return Loudness(float(means.max()), float((means >= min_mean_abs).mean()))


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
