"""Short gaps of digital silence in the middle of a sound, as lost packets or a full buffer leave them."""

from __future__ import annotations

from stemclean.audio.signal_meter import Signal
from stemclean.checks.base import Code
from stemclean.manifest import Issue

__all__ = ["CHECK", "Dropouts"]

DROPOUTS = Code("dropouts", "warning", "the sound breaks off for a moment, with digital silence in between")
SHOWN = 3
"""Number of gaps that an issue names."""
CERTAIN = 5
"""Number of gaps with a score of 1."""


class Dropouts:
    """The check."""

    codes = (DROPOUTS,)

    def of_signal(self, signal: Signal) -> list[Issue]:
        """One issue with the first gaps; its score grows with their number."""
        gaps = signal.dropouts
        if not gaps:
            return []
        shown = ", ".join(f"{gap.start:.2f} s ({1000 * (gap.end - gap.start):.1f} ms)" for gap in gaps[:SHOWN])
        more = f" and {len(gaps) - SHOWN} more" if len(gaps) > SHOWN else ""
        return [DROPOUTS.issue(f"at {shown}{more}", round(min(1.0, len(gaps) / CERTAIN), 4))]


CHECK = Dropouts()
