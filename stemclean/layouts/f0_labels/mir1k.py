"""MIR-1K ``.pv``: a MIDI note every 20 ms, in windows of 40 ms, so that the first is centred at 20 ms; 0 is unvoiced.

Source: Hsu and Jang, "On the improvement of singing voice separation for monaural recordings using the MIR-1K dataset",
IEEE TASLP 18 (2010). This is the default for ``.pv`` files that match no other format.
"""

from __future__ import annotations

from stemclean.layouts.f0_labels._semitones import Semitones

FORMAT = Semitones("mir1k", hop=0.02, start=0.02, clip=None, priority=40)
