"""Datasets for Music-Source-Separation-Training by R. Solovyev (ZFTurbo).

The setting ``type`` has the numbers of its ``--dataset_type``:

- 3 (the default): one CSV ``instrum,path`` of stems that are mixed at random;
- 2: the same as folders ``train/drums/drums/any name.flac``;
- 1: songs ``train/song/drums.flac``, whose stems are mixed at random;
- 4, 5: the same, mixed as they are, in random or in fixed chunks;
- 6: the same with ``mixture.flac``;
- 7: the same, each song with the classes that it has, to draw rare classes as often as others.

With ``validation``, declared validation and test songs are written to ``valid`` and ``test`` for ``--valid_path``.

Behaviour of its reader (``utils/dataset.py`` at commit 0c9e18d and in the package msst 0.1.0; the CSV is read with
pandas), and the consequences:

- It reads files with soundfile without resampling, and a mono file has one channel where a batch needs two. So every
  file has two channels and the same sample rate.
- In types 1, 2 and 3, it draws a random file of the class, then ``chunk_size`` samples of it, and draws again while
  their mean absolute value is below ``min_mean_abs``; a file shorter than a chunk is padded with zeros. If no chunk
  of a class is loud enough, it draws forever. So a class without such a chunk is refused, and in types 2 and 3 a stem
  without one is left out.
- A class in ``training.instruments`` without files raises an error at the start or at the first batch. So an empty
  class is refused.
- In types 2 and 3, stems have any length. In the others, a song that lacks a class is an error (type 1) or, at the
  older commit, gets the sound of another class (type 4). So the class is written as silence.
- Type 5 uses the chunks in which no class is quiet. So songs that lack a class are left out; ``complete`` does the
  same for types 1, 4 and 6.
- Type 7 tells by its files which classes a song has. So no silence is written.
- Validation measures the classes that have a file. So no silence is written there, but ``mixture`` is, and
  ``inference.extension`` is printed.
- For type 2, the older commit searches ``drums/*.flac`` below each ``--data_path``, the package ``drums/*/*.flac``. So
  the files are two folders deep: the package is given ``train``, a checkout ``train/*``.
- It searches folders with glob. So a destination with one of ``*?[`` in its path is refused, except for type 3.
- If there are several CSVs, the older commit uses only the last. So one is written.
- It resolves paths from its working directory. So they are absolute.
- It caches the length of each path between runs (``metadata_3.pkl``), and an outdated length makes it read past the
  end. So the name of a written stem contains a hash of its source, and songs are never rewritten.
- A list in its documentation names the first column ``type``; the code reads ``instrum``.
"""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stemclean.errors import ConfigError
from stemclean.exporting.converting import Converter
from stemclean.exporting.lists import write_csv
from stemclean.exporting.selection import Item, Selection
from stemclean.exporting.songs import FOLDERS, Song, write_songs
from stemclean.exporting.trees import MIXTURE, Tree, single_folders
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
    """Writes stems as a CSV or as folders, or songs.

    Args:
        type: the trainer's ``--dataset_type``.
        validation: write declared validation and test songs, too.
        complete: leave out training songs in which a class is missing; only for types with songs.
        chunk_size: ``audio.chunk_size`` of the trainer's config, in samples; the default is the most common value.
        min_mean_abs: ``audio.min_mean_abs`` of the trainer's config.
        allow_empty: export even if a class has no stem; that class must then be left out of ``training.instruments``.
    """

    name: ClassVar[str] = "zfturbo"
    reader: ClassVar[str] = "Music-Source-Separation-Training"
    shape: ClassVar[tuple[str, ...]] = ("type",)

    type: Literal[1, 2, 3, 4, 5, 6, 7] = 3
    validation: bool = False
    complete: bool = False
    chunk_size: Annotated[int, Field(ge=1, le=2**31), WHOLE] = 485_100
    min_mean_abs: Annotated[float, Field(ge=0, le=1)] = 0.001
    allow_empty: bool = False

    @property
    def held_out(self) -> bool:
        """Whether validation and test songs are written."""
        return self.validation

    @property
    def in_place(self) -> bool:
        """Whether originals are listed or linked: songs are written anew."""
        return self.type in (2, 3)

    def write(self, selection: Selection, converter: Converter) -> Written:
        """Write the dataset. Without songs, stems without a chunk that is loud enough are left out as ``too_quiet``.

        Returns:
            For type 3 the list. As ``extra``: ``num_stems`` (class -> training stems), ``num_written`` (converted or
            mixed files), ``loud_share`` (only types 2 and 3: class -> probability that a draw is loud enough),
            ``num_songs`` and ``num_silent`` (only with songs), and ``next``, settings for the trainer.

        Raises:
            ConfigError: a class has no stem left (unless ``allow_empty``); or the trainer cannot search in the
                destination.
        """
        self._check_settings(converter)
        loud_shares: dict[tuple[str, str], float] = {}
        too_quiet: set[tuple[str, str]] = set()

        def meter(item: Item, blocks: Iterable[NDArray[np.float32]]) -> str:
            if item.stem.held_out:
                return ""
            loudness = listen(blocks, self.chunk_size, self.min_mean_abs)
            loud_shares[item.key] = loudness.loud_share
            if loudness.loudest >= max(self.min_mean_abs, 1e-9):
                return ""
            too_quiet.add(item.key)
            return "too_quiet" if self.in_place else ""

        converter.listen(selection, meter, endings=(".flac", ".wav") if self.type == 2 else None)
        self._check_empty(selection, too_quiet)
        lists, path, extra = self._stems(selection, converter) if self.in_place else self._songs(selection, converter)
        valid = self._validation(selection, converter) if self.validation else []
        self._check_empty(selection, too_quiet)
        keys = {target: [item.key for item in items] for target, items in _training(selection).items()}
        usable = [target for target in keys if keys[target]]
        settings: dict[str, Any] = {
            "--dataset_type": self.type,
            "--data_path": str(path.absolute()),
            "training.instruments": usable,
        }
        if any(song.folder.parent.name == "valid" for song in valid):
            settings["--valid_path"] = str((converter.destination / "valid").absolute())
            settings["inference.extension"] = converter.audio_format
        if valid:
            counts = Counter(song.folder.parent.name for song in valid)
            extra["num_songs"] = extra.get("num_songs", {}) | dict(sorted(counts.items()))
        extra |= {"num_stems": {target: len(found) for target, found in keys.items()}}
        extra |= {"num_written": converter.num_converted, "next": settings}
        if self.in_place:
            extra["loud_share"] = {t: round(float(np.mean([loud_shares[key] for key in keys[t]])), 3) for t in usable}
        checkout = f"a checkout older than the package msst takes --data_path {shlex.quote(str(path.absolute()))}/*"
        return Written(lists, extra, [*_steps(settings), *[checkout] * (self.type == 2)])

    def _check_settings(self, converter: Converter) -> None:
        if self.complete and self.in_place:
            raise ConfigError(f"complete has no effect on type={self.type}, which has no songs", "leave it out")
        if self.type != 3 and set("*?[") & set(str(converter.destination.absolute())):
            raise ConfigError(
                f"the trainer cannot search in {converter.destination.absolute()}",
                "choose a folder without * ? [ in its path",
            )

    def _stems(self, selection: Selection, converter: Converter) -> tuple[list[Path], Path, dict[str, Any]]:
        """Write the list of type 3, or the folders of type 2. Returns the lists, ``--data_path`` and figures."""

        def training(item: Item) -> bool:
            return not item.stem.held_out

        if self.type == 2:
            converter.place(selection, lambda item: f"train/{item.target}/{item.target}", single=True, among=training)
            return [], converter.destination / "train", {}
        files = converter.place(selection, among=training)
        rows = ((file.item.target, str(file.path.absolute())) for file in files)
        path = write_csv(converter.destination / "zfturbo.csv", ("instrum", "path"), rows)
        return [path], path, {}

    def _songs(self, selection: Selection, converter: Converter) -> tuple[list[Path], Path, dict[str, Any]]:
        """Write the training songs. Returns no lists, ``--data_path`` and figures."""
        classes = [target for target, items in _training(selection).items() if items]
        complete = self.complete or self.type == 5
        songs = write_songs(
            selection,
            converter,
            single_folders(selection, {"train": "train"}),
            mixture=MIXTURE if self.type in (6, 7) else None,
            complete=complete,
            silence=() if complete or self.type == 7 else classes,
            tops=("train",),
        )
        if not songs:
            raise ConfigError("no song has all classes", "choose another type, or leave out --set complete=true")
        return [], converter.destination / "train", Tree(songs, classes).extra

    def _validation(self, selection: Selection, converter: Converter) -> list[Song]:
        folders = {split: FOLDERS[split] for split in ("validation", "test")}
        place = single_folders(selection, folders)
        return write_songs(selection, converter, place, mixture=MIXTURE, tops=tuple(folders.values()))

    def _check_empty(self, selection: Selection, too_quiet: Collection[tuple[str, str]]) -> None:
        """Refuse classes without training stems; in type 1, these must have a loud chunk."""
        found = _training(selection)
        quiet = too_quiet if self.type == 1 else ()
        empty = [target for target, items in found.items() if all(item.key in quiet for item in items)]
        if not empty or (self.allow_empty and any(found.values())):
            return
        lines = []
        for target in empty:
            reasons = dict(selection.lost_seconds[target])
            if found[target]:
                reasons["too_quiet"] = sum(item.seconds for item in found[target])
            lost = ", ".join(f"{timedelta(seconds=round(seconds))} {reason}" for reason, seconds in reasons.items())
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


def _training(selection: Selection) -> dict[str, list[Item]]:
    """Return all targets with their training items."""
    found = selection.by_target()
    return {target: [item for item in items if not item.stem.held_out] for target, items in found.items()}


def _steps(settings: Mapping[str, Any]) -> list[str]:
    """Return the settings as words of the command line, and as blocks of the config, ready to paste."""
    words = [word for key, value in settings.items() if key[0] == "-" for word in (key, str(value))]
    steps = [f"in the trainer: {shlex.join(words)}"]
    for key, value in settings.items():
        if key[0] != "-":
            block, _, name = key.partition(".")
            steps += [f"in its config, under {block}:", f"  {name}: {json.dumps(value, ensure_ascii=False)}"]
    return steps
