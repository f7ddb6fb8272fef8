"""What all formats of ``export`` share: which audio stands for which class, and its conversion.

``export`` makes one :class:`~stemclean.exporting.selection.Selection` and one
:class:`~stemclean.exporting.converting.Converter` and hands both to the format, a module of :mod:`stemclean.layouts`
with a ``write`` method. A format does not choose stems or touch samples; it writes lists. In outline::

    class MyTrainer(Format):
        name: ClassVar[str] = "my_trainer"
        reader: ClassVar[str] = "My Trainer, version 2"
        held_out: ClassVar[bool] = False

        def write(self, selection: Selection, converter: Converter) -> Written:
            converter.listen(selection)            # reads every stem once; unreadable ones leave the selection
            files = converter.place(selection)     # every stem as a file: the original, or a converted copy
            rows = ((file.item.target, str(file.path.absolute())) for file in files)
            path = write_csv(converter.destination / "my_trainer.csv", ("class", "path"), rows)
            return Written([path], {"next": {"--data": str(path)}})

* A format with its own rule, such as a minimum loudness, passes a function to ``listen``: it gets each item and its
  sound as it will be written, and returns the reason for leaving it out, or nothing.
* A format that needs no audio calls ``selection.drop_copies()`` instead of ``listen``.
* What a format needs is declared as class variables of :class:`stemclean.layouts.base.Format`, such as its sample rate;
  its settings are fields.
* Lists per class follow from ``item.target``, in the order of ``selection.targets``; splits from ``item.stem.split``.
* A format of time-aligned songs calls :func:`~stemclean.exporting.songs.write_songs` instead of ``place``. If its
  reader looks one folder deep and wants every class in every song, it calls
  :func:`~stemclean.exporting.trees.write_tree`.
* A format of folders with stems calls ``place`` with ``single``: every file lies in its folder, originals as links.
* A format of segments declares ``segments`` and lists ``item.spans``, the seconds of the file that are used with
  ``--cut``; None is all of it. Then no audio is cut.
* Hours kept and lost per class, skipped files and songs that were turned down are counted by the selection and the
  converter; the format reports only its lists and next steps.

The target classes follow one rule, see :mod:`stemclean.exporting.targets`. No file is written into the source, and no
written audio is ever rewritten: its name or the record beside it contains a hash of what it was made from.
"""

from __future__ import annotations
