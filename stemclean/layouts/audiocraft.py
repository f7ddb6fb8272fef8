"""Manifests for AudioCraft (MusicGen, EnCodec and others): ``train/data.jsonl.gz`` and one for each other split.

Behaviour of its reader (``audiocraft/data/audio_dataset.py`` of version 1.3;
https://github.com/facebookresearch/audiocraft), and the consequences:

- A dataset is a folder with ``data.jsonl`` or ``data.jsonl.gz``, one object for each file; of two, it reads
  ``data.jsonl``. So each split is a folder.
- It keeps the keys of ``AudioMeta`` (``path``, ``duration``, ``sample_rate``, ``amplitude``, ``weight``,
  ``info_path``) and ignores others. So a line also has what is known of the stem, such as ``label`` and
  ``given_label``.
- It draws files with a probability proportional to ``weight`` times ``duration``, where no weight counts as 1. So the
  weight is the label quality, which is the probability that the claim is right; of a relabelled stem, it is the
  probability that the claim is wrong. Weights that are all zero make it fail. So none is below 0.001.
- ``amplitude`` is the highest absolute sample. So it is that.
- An entry has no start. So ``--cut`` writes audio.
- It resamples and converts channels itself. So files keep their rate unless ``--sample-rate`` is given.
- Relative paths need Dora. So paths are absolute.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from stemclean.audio import files
from stemclean.audio.waveform import Waveform
from stemclean.exporting.converting import Converter, Placed
from stemclean.exporting.descriptions import by_split, describe
from stemclean.exporting.lists import remove_others, write_jsonl
from stemclean.exporting.selection import Item, Selection
from stemclean.layouts.base import Format, Written
from stemclean.units import db_to_amplitude

LEAST = 0.001
"""Lowest weight."""


class AudioCraft(Format):
    """See the module."""

    name: ClassVar[str] = "audiocraft"
    reader: ClassVar[str] = "AudioCraft"
    sample_rate: ClassVar[int | None] = None

    def write(self, selection: Selection, converter: Converter) -> Written:
        """Write the manifests.

        Returns:
            The lists; as ``extra``: ``num_files``, by split, and ``next``, settings for AudioCraft.
        """
        peaks: dict[tuple[str, str], float] = {}

        def peak(item: Item, blocks: Iterable[Waveform]) -> str:
            peaks[item.key] = max((float(np.abs(block).max(initial=0.0)) for block in blocks), default=0.0)
            return ""

        converter.listen(selection, peak)
        splits = by_split(converter.place(selection))
        lists, counts = [], {}
        for split, placed in splits.items():
            rows = []
            for file in placed:
                gain_db = converter.turned_down.get(file.item.stem.track or file.item.stem.id, 0.0)
                rows.append(_row(file, peaks[file.item.key] * db_to_amplitude(gain_db), selection))
            lists.append(write_jsonl(converter.destination / split / "data.jsonl.gz", rows))
            counts[split] = len(rows)
        remove_others(converter.destination, "*/data.jsonl.gz", lists)
        keys = {"train": "datasource.train", "validation": "datasource.valid", "test": "datasource.evaluate"}
        settings = {keys[split]: str((converter.destination / split).absolute()) for split in counts}
        steps = [f"in AudioCraft: {key}={folder}" for key, folder in settings.items()]
        return Written(lists, {"num_files": counts, "next": settings}, steps)


LAYOUT = AudioCraft()


def _row(file: Placed, amplitude: float, selection: Selection) -> dict[str, Any]:
    info = files.probe(file.path)
    known = describe(file.item, selection)
    quality = known["label_quality"]
    if quality is not None and known["verdict"] == "relabel":
        quality = 1 - quality
    return {
        "path": str(file.path.absolute()),
        "duration": info.num_samples / info.sample_rate,
        "sample_rate": info.sample_rate,
        "amplitude": round(amplitude, 6),
        "weight": None if quality is None else max(LEAST, round(quality, 6)),
        "info_path": None,
        **known,
    }
