"""Report stereo files that hold mono sound: one channel is silent, or the negative of the other."""

from __future__ import annotations

from stemclean.checks.base import Code, Sound
from stemclean.manifest import Issue

__all__ = ["CHECK", "INVERTED", "ONE_SIDED", "Channels"]

ONE_SIDED = Code(
    "one_sided", "warning", "one of two channels is silent, throughout or for a while; the other one is used as mono"
)
INVERTED = Code("polarity_inverted", "warning", "one of two channels is the negative of the other; its sign is flipped")
PARTS_OF_A_SECOND = 0.05
"""A fault that is shorter than the sound by at most this many seconds counts as covering all of it."""


class Channels:
    """The check. The faults are measured by :class:`stemclean.audio.stereo.ChannelMeter`."""

    codes = (ONE_SIDED, INVERTED)

    def of_sound(self, sound: Sound) -> list[Issue]:
        """Return at most one issue of each kind; its score is the share of the time that the fault covers."""
        issues = []
        for code, kinds in ((ONE_SIDED, ("left", "right")), (INVERTED, ("inverted",))):
            faults = [fault for fault in sound.faults.faults if fault.kind in kinds]
            if not faults:
                continue
            sides = " or ".join(kind for kind in kinds if any(fault.kind == kind for fault in faults))
            fault = (
                f"only the {sides} channel has sound"
                if code is ONE_SIDED
                else "one channel is the negative of the other"
            )
            seconds, duration = sum(fault.end - fault.start for fault in faults), sound.faults.duration
            everywhere = seconds >= duration - PARTS_OF_A_SECOND
            where = "" if everywhere else f" for {seconds:.1f} of {duration:.1f} s"
            score = 1.0 if everywhere else round(seconds / duration, 4)
            issues.append(code.issue(f"{fault}{where}: used as mono", score))
        return issues


CHECK = Channels()
