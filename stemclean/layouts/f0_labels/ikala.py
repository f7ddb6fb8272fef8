"""iKala ``.pv``: a MIDI note every 32 ms, the first centred at 16 ms; 0 is unvoiced. All clips are 30 s long.

Source: Chan et al., "Vocal activity informed singing voice separation with the iKala dataset", ICASSP 2015; the centre
of the first frame is that of mirdata's loader.
"""

from __future__ import annotations

from stemclean.layouts.f0_labels._semitones import Semitones

FORMAT = Semitones("ikala", hop=0.032, start=0.016, clip=30.0, priority=30)
