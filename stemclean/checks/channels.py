"""Two channels that hold one sound: one of them is silent, or the other's negative."""

from __future__ import annotations

from stemclean.checks.base import Code, Sound
from stemclean.manifest import Issue

__all__ = ["CHECK", "INVERTED", "ONE_SIDED", "Channels"]

ONE_SIDED = Code(
    "one_sided", "warning", "one of two channels is silent, throughout or for a while: the other one is heard as mono"
)
INVERTED = Code(
    "polarity_inverted", "warning", "one of two channels is the other's negative: it is heard with its sign turned"
)
PARTS_OF_A_SECOND = 0.05
"""By which a fault may miss the whole of a sound and still count as all of it."""


class Channels:
    """The check; :class:`stemclean.audio.stereo.ChannelMeter` measures what it looks at."""

    codes = (ONE_SIDED, INVERTED)

    def of_sound(self, sound: Sound) -> list[Issue]:
        """At most one issue of each kind; its score is the share of the time in which it holds."""
        issues = []
        for code, kinds in ((ONE_SIDED, ("left", "right")), (INVERTED, ("inverted",))):
            found = [fault for fault in sound.faults.faults if fault.kind in kinds]
            if not found:
                continue
            sides = " or ".join(kind for kind in kinds if any(fault.kind == kind for fault in found))
            what = f"only the {sides} channel sounds" if code is ONE_SIDED else "one channel is the other's negative"
            seconds, whole = sum(fault.end - fault.start for fault in found), sound.faults.duration
            everywhere = seconds >= whole - PARTS_OF_A_SECOND
            where = "" if everywhere else f" for {seconds:.1f} of {whole:.1f} s"
            score = 1.0 if everywhere else round(seconds / whole, 4)
            issues.append(code.issue(f"{what}{where}: heard as the mono that it holds", score))
        return issues


CHECK = Channels()
