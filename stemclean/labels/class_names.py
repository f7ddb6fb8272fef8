"""What a class may be called, wherever its name comes from: a manifest, a card, a recipe or a flag.

Classes become names of files and folders, so nothing in one leads elsewhere or hides.
"""

from __future__ import annotations

from collections.abc import Iterable

from stemclean.errors import ConfigError, visible

__all__ = ["LONGEST", "check", "checked"]

LONGEST = 100
"""Bytes in UTF-8; a file's name may have 255, of which its ending and a number need some."""


def checked(name: str) -> str:
    r"""The name itself.

    Raises:
        ValueError: it is empty or longer than :data:`LONGEST`, begins or ends with a space, begins with a point, or
            holds ``/``, ``\`` or a character that cannot be seen.

    >>> checked("lead vocals")
    'lead vocals'
    >>> checked("bass/../bass")
    Traceback (most recent call last):
    ValueError: "bass/../bass" cannot be the name of a class: it holds a path separator
    """
    flaw = _flaw(name)
    if flaw:
        raise ValueError(f'"{visible(name[:LONGEST])}" cannot be the name of a class: {flaw}')
    return name


def check(names: Iterable[str]) -> None:
    """Refuse names that no class may have.

    Raises:
        ConfigError: there is one.
    """
    for name in names:
        try:
            checked(name)
        except ValueError as error:
            raise ConfigError(str(error), "call it as vocals or lead_guitar") from None


def _flaw(name: str) -> str:
    """What is wrong with a name; empty where nothing is."""
    if not name:
        return "it is empty"
    if "/" in name or "\\" in name:
        return "it holds a path separator"
    if not name.isprintable():
        return "it holds a character that cannot be seen"
    if name != name.strip():
        return "it begins or ends with a space"
    if name.startswith("."):
        return "it begins with a point"
    if len(name.encode()) > LONGEST:
        return f"it is longer than {LONGEST} bytes"
    return ""
