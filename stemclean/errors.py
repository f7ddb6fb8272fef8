"""What can go wrong, in words a user can act on.

Every error that a user may meet is a :class:`StemcleanError`: a message that says what and where,
and a hint that says the next step. The command line prints both and exits with ``exit_code``.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["AudioError", "ConfigError", "ManifestError", "StemcleanError", "WeightsError"]


class StemcleanError(Exception):
    """An error with a next step.

    Args:
        message: what is wrong and where, in one line, without a full stop.
        hint: what to do next; may hold several lines. Empty when there is nothing to add.
    """

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class ConfigError(StemcleanError):
    """A flag, a recipe or a combination of them that cannot be meant."""


class ManifestError(StemcleanError):
    """A manifest that breaks its schema or contradicts itself; the message holds the address."""


class WeightsError(StemcleanError):
    """Weights that cannot be found, trusted or used."""


class AudioError(StemcleanError):
    """One audio file that cannot be used. It never ends a run: callers turn it into a skip.

    Args:
        path: the file.
        reason: a reason code of :data:`stemclean.manifest.SKIP_REASONS`.
        detail: what was found, in one line.
    """

    def __init__(self, path: str | Path, reason: str, detail: str) -> None:
        super().__init__(f"{path}: {detail}", f"reason: {reason}")
        self.path = Path(path)
        self.reason = reason
        self.detail = detail
