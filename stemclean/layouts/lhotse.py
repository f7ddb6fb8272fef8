"""Manifests for Lhotse: recordings, supervisions and cuts, as JSONL.GZ.

For each split there are ``stemclean_recordings_train.jsonl.gz``, ``stemclean_supervisions_train.jsonl.gz`` and
``stemclean_cuts_train.jsonl.gz``; stems without a declared split are in ``train``, the others in ``validation`` and
``test``.

Behaviour of Lhotse (1.33; https://github.com/lhotse-speech/lhotse), and the consequences:

- ``lhotse.recipes.utils.read_manifests_if_cached`` expects the names ``{prefix}_{type}_{part}.jsonl.gz``. So the files
  are named like that.
- ``load_manifest`` tells the kind of an object by its keys: ``sources`` means a recording, ``type`` a cut. So no other
  object has such a key outside of ``custom``.
- A recording has no field for anything else, cuts and supervisions have ``custom``. So all that the manifest knows of a
  stem is in its cuts, as ``custom.stem``; the supervisions repeat the label, the claim, its quality and the verdict, so
  that ``CutSet.from_manifests`` keeps these.
- A cut is a stretch of a recording. So ``--cut`` writes no audio: each good part of a stem is a cut, and
  ``CutSet.from_manifests(…).trim_to_supervisions()`` gives the same stretches, region by region.
- A supervision has one ``text``, meant for transcripts. So the classes are in ``custom.labels``, any number for a
  segment, and the target class is in ``custom.label``.
- Validation requires that a supervision is longer than zero, ends within its recording, and lists only channels of the
  recording; a cut of several channels is a ``MultiCut``. There is a supervision for each region in which the same
  classes were found; one for the whole file if the stem was not divided, or is held out.
- Cuts resample when they are loaded (``cut.resample(44100)``). So files keep their rate unless ``--sample-rate`` is
  given.
- Paths are relative to the working directory. So they are absolute.
"""

from __future__ import annotations

from typing import Any, ClassVar

from stemclean.audio import files
from stemclean.exporting.converting import Converter, Placed
from stemclean.exporting.descriptions import by_split, describe, regions_of
from stemclean.exporting.lists import remove_others, write_jsonl
from stemclean.exporting.selection import Selection
from stemclean.layouts.base import Format, Written
from stemclean.units import round_seconds

PREFIX = "stemclean"
REPEATED = ("label", "given_label", "label_quality", "verdict", "reason")

Row = dict[str, Any]


class Lhotse(Format):
    """See the module."""

    name: ClassVar[str] = "lhotse"
    reader: ClassVar[str] = "Lhotse"
    sample_rate: ClassVar[int | None] = None
    segments: ClassVar[bool] = True

    def write(self, selection: Selection, converter: Converter) -> Written:
        """Write the three manifests of each split.

        Returns:
            The lists, cuts first; as ``extra``: ``num_cuts``, by split.
        """
        converter.listen(selection)
        lists, counts = [], {}
        for split, placed in by_split(converter.place(selection)).items():
            recordings = {file.item.stem.id: _recording(file) for file in placed}
            supervisions, cuts = [], []
            for file in placed:
                found = _supervisions(file, recordings[file.item.stem.id], selection)
                supervisions += found
                cuts += _cuts(file, recordings[file.item.stem.id], found, selection)
            kinds = {"cuts": cuts, "recordings": list(recordings.values()), "supervisions": supervisions}
            for kind, rows in kinds.items():
                path = converter.destination / f"{PREFIX}_{kind}_{split}.jsonl.gz"
                lists.append(write_jsonl(path, rows))
            counts[split] = len(cuts)
        remove_others(converter.destination, f"{PREFIX}_*.jsonl.gz", lists)
        return Written(
            lists, {"num_cuts": counts}, [f'in Python: lhotse.load_manifest("{path}")' for path in lists[:1]]
        )


LAYOUT = Lhotse()


def _recording(file: Placed) -> Row:
    info = files.probe(file.path)
    channels = list(range(info.channels))
    return {
        "id": file.item.stem.id,
        "sources": [{"type": "file", "channels": channels, "source": str(file.path.absolute())}],
        "sampling_rate": info.sample_rate,
        "num_samples": info.num_samples,
        "duration": info.num_samples / info.sample_rate,
        "channel_ids": channels,
    }


def _channel(recording: Row) -> list[int] | int:
    channels: list[int] = recording["channel_ids"]
    return channels if len(channels) > 1 else 0


def _supervisions(file: Placed, recording: Row, selection: Selection) -> list[Row]:
    """Return a supervision for each region of an item; times in the recording."""
    known = describe(file.item, selection)
    found: list[Row] = []
    for region in regions_of(file.item, known["labels"]):
        end = min(region.end, recording["duration"])
        custom = {"labels": region.labels, "levels_db": region.levels_db, **{key: known[key] for key in REPEATED}}
        row = {
            "id": f"{recording['id']}:{file.item.target}-{len(found)}",
            "recording_id": recording["id"],
            "start": region.start,
            "duration": round_seconds(end - region.start),
            "channel": _channel(recording),
            "custom": custom,
        }
        found += [row] if row["duration"] > 0 else []
    return found


def _cuts(file: Placed, recording: Row, supervisions: list[Row], selection: Selection) -> list[Row]:
    """Return a cut for the whole file, or for each part that is used, with its supervisions; times in the cut."""
    item = file.item
    custom = {**describe(item, selection), "stem": item.stem.model_dump(mode="json", exclude_defaults=True)}
    found: list[Row] = []
    for start, end in item.spans or ((0.0, recording["duration"]),):
        duration = min(end, recording["duration"]) - start
        inside = [row for row in supervisions if start <= row["start"] < end]
        found.append(
            {
                "id": recording["id"] if item.spans is None else f"{recording['id']}:{item.target}-{len(found)}",
                "start": start,
                "duration": duration if item.spans is None else round_seconds(duration),
                "channel": _channel(recording),
                "supervisions": [{**row, "start": round_seconds(row["start"] - start)} for row in inside],
                "recording": recording,
                "custom": custom,
                "type": "MultiCut" if len(recording["channel_ids"]) > 1 else "MonoCut",
            }
        )
    return found
