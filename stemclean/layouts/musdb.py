"""Songs for the readers of MUSDB18-HQ: ``train|valid|test/song/drums.wav``, ``mixture.wav``, and ``setup.yaml``.

Behaviour of its readers (musdb 0.4.3, ``musdb/__init__.py``; ``torchaudio.datasets.MUSDB_HQ``), and the consequences:

- musdb takes the classes, their files and the validation songs from a setup file; its own names MUSDB18's four classes
  and fourteen of its songs. So ``setup.yaml`` is written: ``musdb.DB(root, is_wav=True, setup_file="setup.yaml")``.
- musdb looks for songs one folder deep in ``train`` and ``test``, or in the ``subsets`` that it is told; torchaudio in
  ``train`` and ``test`` alone. So declared validation songs are in ``valid``, where no reader takes them for training
  songs: ``musdb.DB(…, subsets="valid")``. With ``validation_in_train`` they are in ``train``, as in MUSDB18, which
  ``musdb.DB(…, subsets="train", split="valid")`` reads; but torchaudio and Open-Unmix's command line know no setup file
  and would train on them.
- musdb leaves out a class that has no file, so that ``track.targets["vocals"]`` raises a KeyError later; torchaudio
  raises an error for a missing file. So a class that a song does not have is written as silence; ``complete`` leaves
  such songs out.
- torchaudio requires files of the same length, 44100 Hz, and a folder with the name ``musdb18hq``. So export to a
  folder of that name, and give it the folder above.
- musdb reads with ffmpeg, as 16 bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from stemclean.disk import replacing
from stemclean.exporting.converting import AudioFormat, Converter
from stemclean.exporting.selection import Selection
from stemclean.exporting.songs import FOLDERS
from stemclean.exporting.trees import MIXTURE, Tree, write_tree
from stemclean.layouts.base import Format, Written

SETUP = "setup.yaml"

STEM_ORDER = ("drums", "bass", "other", "vocals")
"""Order of MUSDB18's classes in ``track.stems``, after the mixture; others follow."""


class Musdb(Format):
    """See the module.

    Args:
        complete: leave out songs in which a class is missing, instead of writing silence.
        validation_in_train: put validation songs into ``train``, as in MUSDB18.
    """

    name: ClassVar[str] = "musdb"
    reader: ClassVar[str] = "musdb, torchaudio"
    audio_formats: ClassVar[tuple[AudioFormat, ...]] = ("wav",)
    in_place: ClassVar[bool] = False

    complete: bool = False
    validation_in_train: bool = False

    def write(self, selection: Selection, converter: Converter) -> Written:
        """Write the songs and ``setup.yaml``.

        Returns:
            The setup file, and as ``extra``: ``num_songs``, by folder, and ``num_silent`` (class -> files of silence).
        """
        folders = {**FOLDERS, "validation": "train"} if self.validation_in_train else FOLDERS
        tree = write_tree(selection, converter, folders=folders, complete=self.complete)
        path = converter.destination / SETUP
        with replacing(path) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in _setup(tree, converter)), encoding="utf-8")
        root = _quoted(str(converter.destination.absolute()))
        step = f"in Python: musdb.DB({root}, is_wav=True, setup_file={_quoted(SETUP)}, subsets="
        steps = [f'{step}"train")']
        if any(song.items[0].stem.split == "validation" for song in tree.songs):
            chosen = '"train", split="valid"' if self.validation_in_train else '"valid"'
            steps.append(f"for validation: subsets={chosen}")
        return Written(beside=[path], extra=tree.extra, next_steps=steps)


LAYOUT = Musdb()


def _setup(tree: Tree, converter: Converter) -> Iterator[str]:
    classes = sorted(tree.classes, key=lambda name: STEM_ORDER.index(name) if name in STEM_ORDER else len(STEM_ORDER))
    targets = {name: [name] for name in classes}
    others = [name for name in classes if name != "vocals"]
    if len(others) in range(1, len(classes)):
        targets.setdefault("accompaniment", others)
    targets.setdefault("linear_mixture", classes)
    yield f"sample_rate: {converter.sample_rate}"
    yield "sources:"
    yield from (f"  {_quoted(name)}: {_quoted(f'{name}.wav')}" for name in classes)
    yield f"mixture: {_quoted(f'{MIXTURE}.wav')}"
    yield "stem_ids:"
    yield from (f"  {_quoted(name)}: {number}" for number, name in enumerate([MIXTURE, *classes]))
    yield "targets:"
    for target, members in targets.items():
        yield f"  {_quoted(target)}: {{{', '.join(f'{_quoted(name)}: 1' for name in members)}}}"
    names = [song.folder.name for song in tree.songs if song.items[0].stem.split == "validation"]
    yield f"validation_tracks: {_listed(names)}"


def _listed(names: Sequence[str]) -> str:
    return f"[{', '.join(map(_quoted, names))}]"


def _quoted(text: str) -> str:
    """Return a string of YAML or Python, in ASCII."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped.encode("ascii", "backslashreplace").decode()}"'
