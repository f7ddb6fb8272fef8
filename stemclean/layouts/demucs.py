"""Write a dataset for training Demucs: ``train|valid/song/drums.wav`` and ``mixture.wav``.

Behaviour of its reader (``demucs/wav.py`` of version 4.1, with ``demucs/train.py`` and ``conf/config.yaml``), and the
consequences:

- It reads every class of every song in ``dset.sources`` and stops at the first missing file. So a class that a song
  does not have is written as silence, and the mixture is the sum of the others; ``complete`` leaves such songs out.
- At the first start, it scans all folders, measures the mixtures, writes a missing ``mixture.wav`` itself, and stores
  the result as ``wav_HASH.json`` in ``dset.metadata``, where HASH is that of the path in ``dset.wav``; from then on it
  reads only what is listed there. The scan needs ``torchaudio.info``, which torchaudio 2.9 removed. So this file is
  written, too: Demucs scans nothing, and writes nothing among the songs.
- All files of a song must have the same length and sample rate. So they have.
- It divides a song by the standard deviation of its mixture. So a song whose mixture is silent is not listed.
- It trains on ``train`` and does not start without a song in ``valid``.
- At the end, it tests on the folder ``test`` in ``dset.musdb``, which must have MUSDB18's classes. So that is this
  dataset if it has test songs and no other classes.
- ``weights`` holds a weight for each class; the default has four. So others are printed.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from typing import Any, ClassVar

import numpy as np

from stemclean.audio import files
from stemclean.disk import replacing
from stemclean.exporting.converting import AudioFormat, Converter
from stemclean.exporting.selection import Selection
from stemclean.exporting.songs import Song
from stemclean.exporting.trees import MIXTURE, write_tree
from stemclean.layouts.base import Format, Written

MUSDB_CLASSES = frozenset({"vocals", "drums", "bass", "other"})


class Demucs(Format):
    """See the module.

    Args:
        complete: leave out songs in which a class is missing, instead of writing silence.
    """

    name: ClassVar[str] = "demucs"
    reader: ClassVar[str] = "Demucs, version 4"
    audio_formats: ClassVar[tuple[AudioFormat, ...]] = ("wav",)
    in_place: ClassVar[bool] = False

    complete: bool = False

    def write(self, selection: Selection, converter: Converter) -> Written:
        """Write the songs and the metadata that Demucs reads instead of scanning them.

        Returns:
            The metadata, and as ``extra``: ``num_songs``, by folder of the split; ``num_silent`` (class -> files of
            silence); ``silent_songs``, which the metadata leave out; and ``next``, settings for Demucs.
        """
        tree = write_tree(selection, converter, complete=self.complete)
        stored = {name: {song.folder.name: _metadata(song) for song in tree.below(name)} for name in ("train", "valid")}
        silent_songs = [name for songs in stored.values() for name, values in songs.items() if not values["std"]]
        listed = [{name: songs[name] for name in songs if songs[name]["std"]} for songs in stored.values()]
        root = str(converter.destination.absolute())
        folder = converter.destination / "metadata"
        path = folder / f"wav_{hashlib.sha1(root.encode(), usedforsecurity=False).hexdigest()[:8]}.json"
        folder.mkdir(exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(listed), encoding="utf-8")
        settings: dict[str, Any] = {
            "dset.wav": root,
            "dset.metadata": f"{root}/metadata",
            "dset.use_musdb": False,
            "dset.samplerate": converter.sample_rate,
            "dset.sources": tree.classes,
            "weights": [1.0] * len(tree.classes),
        }
        if tree.below("test") and MUSDB_CLASSES.issuperset(tree.classes):
            settings["dset.musdb"] = root
        extra = tree.extra | {"silent_songs": silent_songs, "next": settings}
        steps = ["in a clone of Demucs: dora run " + " ".join(_override(*pair) for pair in settings.items())]
        if not listed[1]:
            steps.append("warning: Demucs does not start without validation songs, and no song is declared as one")
        if "dset.musdb" not in settings:
            steps.append("Demucs tests on MUSDB18-HQ: set dset.musdb to its folder")
        return Written(beside=[path], extra=extra, next_steps=steps)


LAYOUT = Demucs()


def _metadata(song: Song) -> dict[str, Any]:
    """Return what Demucs stores of a song: of its mixture, the average and deviation of the mean of both channels."""
    total, squares, num_samples = 0.0, 0.0, 0
    for block in files.blocks(song.files[MIXTURE]):
        mono = block.mean(0, dtype=np.float64)
        total += float(mono.sum())
        squares += float((mono**2).sum())
        num_samples += len(mono)
    mean = total / num_samples
    variance = max(0.0, squares - num_samples * mean**2) / max(1, num_samples - 1)
    return {"length": num_samples, "mean": mean, "std": variance**0.5, "samplerate": song.sample_rate}


def _override(key: str, value: object) -> str:
    """Return a setting for the command line of Hydra, quoted for it and for the shell."""
    text = f"[{','.join(map(_quoted, value))}]" if isinstance(value, list) else _quoted(value)
    return shlex.quote(f"{key}={text}")


def _quoted(value: object) -> str:
    """Return a value in Hydra's grammar, where a backslash is itself unless it is before a quote."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if re.fullmatch(r"[\w./-]+", text, re.ASCII):
        return text
    escaped = re.sub(r'(\\*)"', r'\1\1\\"', text)
    escaped += "\\" * (len(escaped) - len(escaped.rstrip("\\")))  # before the quote that closes it
    return f'"{escaped}"'
