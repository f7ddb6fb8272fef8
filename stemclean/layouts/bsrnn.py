"""Songs and segments for BandSplitRNN-PyTorch by amanteur: MUSDB18's tree, and ``lists/vocals_train.txt``.

There are ``CLASS_train.txt`` and ``CLASS_valid.txt`` for each class; a line is ``song<tab>start<tab>end`` in samples.

Behaviour of its reader (``src/data/dataset.py`` and ``src/prepare_dataset.py``;
https://github.com/amanteur/BandSplitRNN-PyTorch), and the consequences:

- It reads ``train/SONG/mixture.wav`` and ``train/SONG/CLASS.wav``, those of ``CLASS_valid.txt``, too. So validation
  songs are also in ``train``; test songs are in ``test``, directly, since it looks for ``test/*``.
- Files with another sample rate than ``sr`` end the training. So all have the same.
- Segments are put into batches as they are. So all are of the same length, ``window`` seconds, which its own script
  takes every half of that; songs that are shorter are in no list.
- Its script finds segments by their level. Here, a segment is listed if the class was found in at least half of it; if
  a stem has no regions, it counts as a whole.
- Every class has lists of its own. So a song needs only those classes that it has; the mixture is their sum.
- Braces in a path are replaced. So the names of songs have none.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from stemclean.disk import replacing
from stemclean.exporting.converting import AudioFormat, Converter
from stemclean.exporting.descriptions import regions_of
from stemclean.exporting.lists import remove_others
from stemclean.exporting.selection import Item, Selection
from stemclean.exporting.songs import Song
from stemclean.exporting.trees import write_tree
from stemclean.layouts.base import Format, Written
from stemclean.units import seconds_to_samples

FOLDERS = {"train": "train", "validation": "train", "test": "test"}
"""Split -> the folder of its songs."""


class BandSplitRNN(Format):
    """See the module.

    Args:
        window: length of a segment in seconds.
    """

    name: ClassVar[str] = "bsrnn"
    reader: ClassVar[str] = "BandSplitRNN-PyTorch"
    audio_formats: ClassVar[tuple[AudioFormat, ...]] = ("wav",)
    in_place: ClassVar[bool] = False

    window: Annotated[float, Field(ge=0.1, le=600)] = 6.0

    def write(self, selection: Selection, converter: Converter) -> Written:
        """Write the songs and the lists.

        Returns:
            The lists in ``beside``; as ``extra``: ``num_segments``, by list, and ``next``, settings for the trainer.
        """
        songs = write_tree(selection, converter, folders=FOLDERS, silence=False).songs
        lines: dict[str, list[str]] = {f"{target}_train": [] for target in selection.targets.names}
        for song in songs:
            split = {None: "train", "validation": "valid"}.get(song.items[0].stem.split, song.items[0].stem.split)
            for target, items in song.classes.items():
                if split != "test":
                    found = lines.setdefault(f"{target}_{split}", [])
                    found += [f"{song.folder.name}\t{start}\t{end}\n" for start, end in self._segments(song, items)]
        folder = converter.destination / "lists"
        folder.mkdir(exist_ok=True)
        paths = [folder / f"{name}.txt" for name in sorted(lines)]
        for path in paths:
            with replacing(path) as temporary:
                temporary.write_text("".join(lines[path.stem]), encoding="utf-8", newline="\n")
        remove_others(folder, "*.txt", paths)
        settings = {"MUSDB_DIR": converter.destination.absolute(), "txt_dir": folder.absolute()}
        extra = {
            "num_songs": len(songs),
            "num_segments": {name: len(found) for name, found in sorted(lines.items())},
            "next": {key: str(value) for key, value in settings.items()},
        }
        steps = [
            f"in BandSplitRNN-PyTorch: export MUSDB_DIR={settings['MUSDB_DIR']}",
            f"in BandSplitRNN-PyTorch: train_dataset.txt_dir={settings['txt_dir']} train_dataset.target=CLASS",
        ]
        return Written(extra=extra, next_steps=steps, beside=paths)

    def _segments(self, song: Song, items: list[Item]) -> Iterator[tuple[int, int]]:
        """Yield the windows in which a class is found for at least half of the time, in samples."""
        stretches = sorted(
            (region.start, region.end) for item in items for region in regions_of(item, [item.target]) if region.labels
        )
        window = seconds_to_samples(self.window, song.sample_rate)
        for start in range(0, song.num_samples - window + 1, max(1, window // 2)):
            begin, end = start / song.sample_rate, (start + window) / song.sample_rate
            if 2 * _covered(stretches, begin, end) >= end - begin:
                yield start, start + window


LAYOUT = BandSplitRNN()


def _covered(stretches: list[tuple[float, float]], begin: float, end: float) -> float:
    """Return how many seconds of a window are covered by sorted stretches, which may overlap."""
    covered, at = 0.0, begin
    for start, stop in stretches:
        first, last = max(start, at), min(stop, end)
        if first < last:
            covered += last - first
            at = last
    return covered
