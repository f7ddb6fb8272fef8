"""Songs for Asteroid's ``MUSDB18Dataset``: ``train|valid|test/song/drums.wav``.

Behaviour of its reader (``asteroid/data/musdb18_dataset.py`` of version 0.7), and the consequences:

- It mixes the files of ``sources`` itself. So there is no mixture.
- It looks one folder deep, in the folder that ``split`` names, and leaves out a song that lacks a source. So a class
  that a song does not have is written as silence; ``complete`` leaves such songs out.
- It leaves out songs whose sample rate is not ``sample_rate``, 44100 by default. So the arguments are printed.
- It leaves out songs that are not longer than ``segment``, in seconds.
- It replaces what follows a point in the name of a class. So such a class is refused.
"""

from __future__ import annotations

from typing import Any, ClassVar

from stemclean.errors import ConfigError
from stemclean.exporting.converting import AudioFormat, Converter
from stemclean.exporting.selection import Selection
from stemclean.exporting.trees import write_tree
from stemclean.layouts.base import Format, Written


class Asteroid(Format):
    """See the module.

    Args:
        complete: leave out songs in which a class is missing, instead of writing silence.
    """

    name: ClassVar[str] = "asteroid"
    reader: ClassVar[str] = "Asteroid's MUSDB18Dataset"
    audio_formats: ClassVar[tuple[AudioFormat, ...]] = ("wav", "flac")
    in_place: ClassVar[bool] = False

    complete: bool = False

    def write(self, selection: Selection, converter: Converter) -> Written:
        """Write the songs.

        Returns:
            No list; as ``extra``: ``num_songs``, by folder; ``num_silent`` (class -> files of silence); and ``next``,
            arguments of the dataset.

        Raises:
            ConfigError: a class has a point in its name.
        """
        pointed = next((name for name in selection.targets.names if "." in name), None)
        if pointed:
            raise ConfigError(
                f'Asteroid cannot read the class "{pointed}", which has a point in its name',
                "rename it with a file for --classes",
            )
        tree = write_tree(selection, converter, mixture=False, complete=self.complete)
        arguments: dict[str, Any] = {
            "root": str(converter.destination.absolute()),
            "sources": tree.classes,
            "suffix": f".{converter.audio_format}",
            "sample_rate": converter.sample_rate,
        }
        given = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        return Written(
            extra={**tree.extra, "next": arguments},
            next_steps=[f'in Python: asteroid.data.MUSDB18Dataset({given}, split="train")'],
        )


LAYOUT = Asteroid()
