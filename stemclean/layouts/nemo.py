"""Manifests for NeMo's audio classification: ``train_manifest.json`` and one for each other split, an object a line.

Behaviour of its reader (``ASRSpeechLabel`` in ``nemo/collections/common/parts/preprocessing/collections.py`` and
``nemo/collections/asr/data/audio_to_label.py`` of version 3.0; https://github.com/NVIDIA-NeMo/NeMo), and the
consequences:

- A line needs ``audio_filepath``, ``duration`` and a label; ``offset`` is the start in seconds, and only that stretch
  is read. So ``--cut`` writes no audio: each good part of a stem is a line.
- The label is ``command``, else ``target``, else ``label``. So no other key has one of the first two names; others are
  ignored, and hold what is known of the stem.
- A relative path is relative to the manifest, if it exists there, else to the working directory. So paths are absolute.
- It resamples to the rate of the model. So files keep their rate unless ``--sample-rate`` is given.
- Several channels are passed on as they are, which a batch cannot hold, unless ``channel_selector`` is set. So that
  setting is printed.
- Stretches shorter than ``min_duration``, 0.1 s by default, are ignored.
"""

from __future__ import annotations

from typing import Any, ClassVar

from stemclean.audio import files
from stemclean.exporting.converting import Converter, Placed
from stemclean.exporting.descriptions import by_split, describe
from stemclean.exporting.lists import remove_others, write_jsonl
from stemclean.exporting.selection import Selection
from stemclean.layouts.base import Format, Written
from stemclean.units import round_seconds


class Nemo(Format):
    """See the module."""

    name: ClassVar[str] = "nemo"
    reader: ClassVar[str] = "NeMo, audio classification"
    sample_rate: ClassVar[int | None] = None
    segments: ClassVar[bool] = True

    def write(self, selection: Selection, converter: Converter) -> Written:
        """Write the manifests.

        Returns:
            The lists; as ``extra``: ``num_segments``, by split, and ``next``, settings for NeMo.
        """
        converter.listen(selection)
        keys = {"train": "train_ds", "validation": "validation_ds", "test": "test_ds"}
        lists, counts = [], {}
        settings: dict[str, object] = {"model.labels": selection.targets.names}
        for split, placed in by_split(converter.place(selection)).items():
            rows = [row for file in placed for row in _rows(file, selection)]
            lists.append(write_jsonl(converter.destination / f"{split}_manifest.json", rows))
            counts[split] = len(rows)
            settings[f"model.{keys[split]}.manifest_filepath"] = str(lists[-1].absolute())
            settings[f"model.{keys[split]}.channel_selector"] = "average"
        remove_others(converter.destination, "*_manifest.json", lists)
        steps = [f"in NeMo: {key}={_plain(value)}" for key, value in settings.items()]
        return Written(lists, {"num_segments": counts, "next": settings}, steps)


LAYOUT = Nemo()


def _rows(file: Placed, selection: Selection) -> list[dict[str, Any]]:
    """Return a line for each part of an item."""
    info = files.probe(file.path)
    length = info.num_samples / info.sample_rate
    return [
        {
            "audio_filepath": str(file.path.absolute()),
            "offset": start,
            "duration": round_seconds(min(end, length) - start),
            **describe(file.item, selection),
        }
        for start, end in file.item.spans or ((0.0, length),)
    ]


def _plain(value: object) -> str:
    return f"[{','.join(value)}]" if isinstance(value, list) else str(value)
