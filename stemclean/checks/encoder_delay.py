"""Report lossy files that do not state the delay of their encoder."""

from __future__ import annotations

from collections.abc import Sequence

from stemclean.audio.stream import AudioInfo
from stemclean.checks.base import Code
from stemclean.manifest import Issue, Stem

__all__ = ["CHECK", "EncoderDelay"]

UNKNOWN = Code(
    "delay_unknown",
    "warning",
    "an MP3 or AAC without a gapless tag, which may start 10 to 50 ms later than the other stems of its song",
)


class EncoderDelay:
    """The check. It reports an issue only if the stems of a song may be out of sync."""

    codes = (UNKNOWN,)

    def of_header(self, info: AudioInfo) -> list[Issue]:
        """Return one issue if the delay is unknown."""
        return [] if info.delay_known else [UNKNOWN.issue(f"{info.subtype} does not state where its sound starts")]

    def of_dataset(self, stems: Sequence[Stem]) -> dict[str, list[Issue]]:
        """Return these issues, except in songs whose stems all have the same format and therefore the same delay."""
        delays: dict[str, set[str]] = {}
        for stem in stems:
            delays.setdefault(stem.track, set()).add(_delay(stem))
        return {
            stem.id: [issue for issue in stem.issues if issue.code == UNKNOWN.name]
            for stem in stems
            if _delay(stem) and len(delays[stem.track]) > 1
        }


def _delay(stem: Stem) -> str:
    """Return the detail of the issue about the delay of a stem, or "" if its delay is known."""
    return next((issue.detail for issue in stem.issues if issue.code == UNKNOWN.name), "")


CHECK = EncoderDelay()
