"""Check names of classes from manifests, model cards, recipes and options.

Classes become names of files and folders, so a name must neither lead to another folder nor hide a file.
"""

from __future__ import annotations

from collections.abc import Iterable

from stemclean.errors import ConfigError, visible

__all__ = ["LONGEST", "check", "checked"]

LONGEST = 100
"""Maximum length in bytes of UTF-8; a file name may have 255, including its extension and a number."""


def checked(name: str) -> str:
    r"""Return a valid name unchanged.

    Raises:
        ValueError: it is empty or longer than :data:`LONGEST`, begins or ends with a space, begins with a point, or
            contains ``/``, ``\`` or an invisible character.

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
    """Check names of classes.

    Raises:
        ConfigError: a name is invalid.
    """
    for name in names:
        try:
            checked(name)
        except ValueError as error:
            raise ConfigError(str(error), "choose a name like vocals or lead_guitar") from None


def _flaw(name: str) -> str:
    """Return what is wrong with a name; empty if it is valid."""
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
