"""Files of more than two channels."""

from __future__ import annotations

from stemclean.audio.stream import AudioInfo
from stemclean.checks.base import Code
from stemclean.manifest import Issue

__all__ = ["CHECK", "Downmixed"]

DOWNMIXED = Code("downmixed", "note", "more than two channels are heard as two")


class Downmixed:
    """The check."""

    codes = (DOWNMIXED,)

    def of_header(self, info: AudioInfo) -> list[Issue]:
        """One issue, where there are more than two channels."""
        return [DOWNMIXED.issue(f"{info.channels} channels are read as 2")] if info.channels > 2 else []


CHECK = Downmixed()
