"""Datasets for training Open-Unmix: songs in folders, or a folder for each class.

The setting ``dataset`` has the names of Open-Unmix's ``--dataset``:

- ``trackfolder_fix`` (the default): ``train|valid/song/drums.wav``, every class in every song;
- ``trackfolder_var``: the same, each song with the classes that it has;
- ``aligned``: the same with ``mixture.wav``, for mapping the mixture to a class;
- ``sourcefolder``: ``train|valid/drums/any name.wav``, stems of any length, mixed at random.

Behaviour of its reader (``openunmix/data.py`` of version 1.3), and the consequences:

- ``trackfolder_fix`` leaves out a song that lacks a file. So a class that a song does not have is written as silence;
  ``complete`` leaves such songs out.
- ``trackfolder_var`` adds up all files of a song. So there is no mixture and no silence. Songs without the target are
  left out, or silence with ``--silence-missing``. It fails without ``--source-augmentations``. So that is printed.
- ``aligned`` leaves out a song without the target. So no silence is written.
- ``sourcefolder`` looks one folder deep, for one file name extension, and fails if a class has no file that is longer
  than ``--seq-dur`` in ``train`` and in ``valid``. So all files have the format of ``--format``; originals of that
  format are linked.
- No dataset resamples or checks sample rates. So all files have one.
- It does not start without a folder ``valid``. Test songs are in ``test``, which it does not read.
- It calls ``torchaudio.info``, which torchaudio 2.9 removed. So install ``torchaudio<2.9``.
"""

from __future__ import annotations

import shlex
from typing import Any, ClassVar, Literal

from stemclean.errors import ConfigError
from stemclean.exporting.converting import AudioFormat, Converter
from stemclean.exporting.selection import Item, Selection
from stemclean.exporting.songs import FOLDERS
from stemclean.exporting.trees import MIXTURE, write_tree
from stemclean.layouts.base import Format, Written


class OpenUnmix(Format):
    """See the module.

    Args:
        dataset: the kind of dataset.
        complete: leave out songs in which a class is missing; not for ``sourcefolder``.
    """

    name: ClassVar[str] = "openunmix"
    reader: ClassVar[str] = "Open-Unmix"
    audio_formats: ClassVar[tuple[AudioFormat, ...]] = ("wav", "flac")
    shape: ClassVar[tuple[str, ...]] = ("dataset",)

    dataset: Literal["aligned", "sourcefolder", "trackfolder_fix", "trackfolder_var"] = "trackfolder_fix"
    complete: bool = False

    @property
    def in_place(self) -> bool:
        """Whether originals are linked: songs are written anew."""
        return self.dataset == "sourcefolder"

    def write(self, selection: Selection, converter: Converter) -> Written:
        """Write the dataset.

        Returns:
            No list; as ``extra``: ``num_songs`` and ``num_silent``, or for ``sourcefolder`` ``num_stems`` (folder ->
            class -> files); and ``next``, options of the trainer for the first class.

        Raises:
            ConfigError: nothing is left to train on.
        """
        extra, classes = (
            self._class_folders(selection, converter) if self.in_place else self._songs(selection, converter)
        )
        options = self._options(classes, converter)
        words = [word for name, value in options.items() for word in (name, *map(str, _listed(value)))]
        steps = [f"in a clone of Open-Unmix: python scripts/train.py {shlex.join(words)}"]
        held = {item.target for item in selection.items if item.stem.split == "validation"}
        missing = [name for name in classes if name not in held] if self.in_place or not held else []
        if missing:
            steps.append(f"warning: Open-Unmix does not start without validation songs; none has {', '.join(missing)}")
        return Written(extra={**extra, "next": options}, next_steps=steps)

    def _songs(self, selection: Selection, converter: Converter) -> tuple[dict[str, Any], list[str]]:
        tree = write_tree(
            selection,
            converter,
            mixture=self.dataset == "aligned",
            silence=self.dataset == "trackfolder_fix",
            complete=self.complete,
        )
        return tree.extra, tree.classes

    def _class_folders(self, selection: Selection, converter: Converter) -> tuple[dict[str, Any], list[str]]:
        if self.complete:
            raise ConfigError("complete has no effect on dataset=sourcefolder, which has no songs", "leave it out")
        converter.listen(selection, uniform=True)
        num_stems: dict[str, dict[str, int]] = {}
        for file in converter.place(selection, lambda item: f"{_folder(item)}/{item.target}", single=True):
            counts = num_stems.setdefault(_folder(file.item), {})
            counts[file.item.target] = counts.get(file.item.target, 0) + 1
        classes = [name for name in selection.targets.names if name in num_stems.get("train", {})]
        if not classes:
            raise ConfigError("no stem is left to train on", "export --to csv says why each is left out")
        return {"num_stems": num_stems}, classes

    def _options(self, classes: list[str], converter: Converter) -> dict[str, Any]:
        suffix = f".{converter.audio_format}"
        target, others = classes[0], classes[1:]
        options: dict[str, Any] = {"--dataset": self.dataset, "--root": str(converter.destination.absolute())}
        if self.dataset == "aligned":
            return options | {"--input-file": f"{MIXTURE}{suffix}", "--output-file": f"{target}{suffix}"}
        if self.dataset == "sourcefolder":
            return options | {"--target-dir": target, "--interferer-dirs": others, "--ext": suffix}
        options["--target-file"] = f"{target}{suffix}"
        if self.dataset == "trackfolder_fix":
            return options | {"--interferer-files": [f"{name}{suffix}" for name in others]}
        return options | {"--ext": suffix, "--source-augmentations": ["gain", "channelswap"]}


LAYOUT = OpenUnmix()


def _folder(item: Item) -> str:
    return FOLDERS[item.stem.split or "train"]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
