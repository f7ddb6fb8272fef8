"""Lossy files that do not say how much their encoder has put before the sound."""

from __future__ import annotations

from collections.abc import Sequence

from stemclean.audio.stream import AudioInfo
from stemclean.checks.base import Code
from stemclean.manifest import Issue, Stem

__all__ = ["CHECK", "EncoderDelay"]

UNKNOWN = Code(
    "delay_unknown",
    "warning",
    "an MP3 or AAC without a gapless tag, which may start 10 to 50 ms later than the stems beside it",
)


class EncoderDelay:
    """The check: an issue only where stems of one song may be out of step."""

    codes = (UNKNOWN,)

    def of_header(self, info: AudioInfo) -> list[Issue]:
        """One issue, where the delay is not known."""
        return [] if info.delay_known else [UNKNOWN.issue(f"{info.subtype} says not where its sound starts")]

    def of_dataset(self, stems: Sequence[Stem]) -> dict[str, list[Issue]]:
        """The same issues, but for songs whose stems are all alike: one encoder is late by the same in every file."""
        delays: dict[str, set[str]] = {}
        for stem in stems:
            delays.setdefault(stem.track, set()).add(_delay(stem))
        return {
            stem.id: [issue for issue in stem.issues if issue.code == UNKNOWN.name]
            for stem in stems
            if _delay(stem) and len(delays[stem.track]) > 1
        }


def _delay(stem: Stem) -> str:
    """What is known of a stem's delay: "" for all, else the words of the issue."""
    return next((issue.detail for issue in stem.issues if issue.code == UNKNOWN.name), "")


CHECK = EncoderDelay()
