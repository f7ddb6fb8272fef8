"""Report files with more than two channels."""

from __future__ import annotations

from stemclean.audio.stream import AudioInfo
from stemclean.checks.base import Code
from stemclean.manifest import Issue

__all__ = ["CHECK", "Downmixed"]

DOWNMIXED = Code("downmixed", "note", "a file with more than two channels is mixed down to two")


class Downmixed:
    """The check."""

    codes = (DOWNMIXED,)

    def of_header(self, info: AudioInfo) -> list[Issue]:
        """Return one issue if there are more than two channels."""
        return [DOWNMIXED.issue(f"{info.channels} channels are mixed down to 2")] if info.channels > 2 else []


CHECK = Downmixed()
