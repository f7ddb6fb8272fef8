"""A recipe in layers: a file, then ``KEY=VALUE`` over it; what is wrong is refused with the name of its layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar, get_args

from stemclean.documents import FlawError, toml_of
from stemclean.errors import ConfigError
from stemclean.models import options, registry
from stemclean.models.contract import ModelSpec
from stemclean.settings import Assignment, SettingError, Settings, merged, shown
from stemclean.training.idle import ANY, Idle

__all__ = ["known", "located", "read_layers"]

R = TypeVar("R", bound=Settings)
Check = Callable[[Any], None]
Idling = Callable[[Any], Iterator[Idle]]


def read_layers(
    name: str | Path | R, given: Sequence[Assignment], kind: type[R], check: Check, idling: Idling, section: str = ""
) -> R:
    """A recipe, all of which is checked.

    Args:
        name: of the package's, or a ``.toml`` file; or a recipe, whose own settings were checked when it was read.
        given: over it.
        check: raises a :class:`~stemclean.settings.SettingError` where settings do not go together.
        idling: tells which settings do nothing, see :mod:`stemclean.training.idle`.
        section: what the names of its settings begin with where they were given.

    Raises:
        ConfigError: no such recipe; or a :class:`~stemclean.settings.SettingError` with the file or option.
    """
    is_file = False
    if isinstance(name, kind):
        where, document = f"recipe {name.to_dict()['name']}", name.to_dict(given=True)
    else:
        is_file = Path(str(name)).suffix == ".toml"
        where = str(name) if is_file else f"recipe {name}"
        document = {"name": Path(str(name)).stem, **_document(str(name), where, _wanted(kind))}
    try:
        recipe = _whole(merged(document, given), kind)
        if not isinstance(name, kind):
            _check_architecture(recipe)
        told: Any = recipe
        options.check(told.kind, told.architecture, told.options)
        check(recipe)
        idle = list(idling(recipe))
        _refuse(idle, {one.key: one.value for one in given})
        if is_file:  # what its file says
            _refuse(_idle_in(document, kind, idle, idling), document)
        _check_model(recipe)
    except SettingError as error:
        raise located(error, where, given, section) from None
    return recipe


def known(kind: str) -> list[str]:
    """The recipes that come with the package, of one kind; ``""``: of all."""
    return sorted(name for name, its in _kinds().items() if not kind or its == kind)


@cache
def _kinds() -> dict[str, str]:
    every = [p for p in (files("stemclean") / "recipes").iterdir() if p.name.endswith(".toml")]
    return {p.name.removesuffix(".toml"): toml_of(p.read_text(encoding="utf-8"))["kind"] for p in every}


def located(error: SettingError, where: str, given: Sequence[Assignment], section: str = "") -> SettingError:
    """An error with the layer that it is in: the last option that says anything of its setting, else the file."""
    for one in reversed(given):
        if f"{one.key}.".startswith(f"{error.key}.") or f"{error.key}.".startswith(f"{one.key}."):
            return (error.under(section) if section else error).at(one.source)
    return error.at(where)


def _document(name: str, where: str, kind: str) -> dict[str, Any]:
    path = Path(name)
    if path.suffix == ".toml":
        content = _content(path)
    elif name in known(""):
        content = (files("stemclean") / "recipes" / f"{name}.toml").read_bytes()
    else:
        raise ConfigError(f"no recipe named {shown(name)}", f"known: {', '.join(known(kind))}, or give a .toml file")
    try:
        return toml_of(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ConfigError(f"{where}: line {line} is not UTF-8", "save the recipe as UTF-8") from None
    except FlawError as error:
        raise ConfigError(f"{where}: {error}", "see the recipes of the documentation") from None


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise ConfigError(f"{path}: no such recipe file") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None


def _wanted(kind: type[Settings]) -> str:
    return str(get_args(kind.model_fields["kind"].annotation)[0])


def _whole(document: Mapping[str, Any], kind: type[R]) -> R:
    """The recipe that a document says.

    Raises:
        SettingError: it is one of another kind, or a key or value means nothing.
    """
    wanted = _wanted(kind)
    if document.get("kind", wanted) != wanted:
        told = shown(document["kind"])
        raise SettingError("kind", f"kind is {told}; it must be {shown(wanted)}", f"known: {', '.join(known(wanted))}")
    for key in ("joint", "tracker"):
        if wanted == "separators" and isinstance(document.get(key), Mapping):
            raise SettingError(key, f"settings of {key} are for joint training", "add --joint rmvpe, or leave them out")
    return kind(**document)


def _check_architecture(recipe: Any) -> None:
    if options.is_known(recipe.kind, recipe.architecture):
        return
    there = registry.names(recipe.kind)
    if recipe.architecture not in there:
        told = shown(recipe.architecture)
        raise SettingError("architecture", f"architecture is {told}; it must be one of {', '.join(there)}")


def _check_model(recipe: Any) -> None:
    """Build it without memory, for a few classes, as its options may not fit one another.

    Raises:
        SettingError: of all its ``options``.
    """
    if not options.is_known(recipe.kind, recipe.architecture):
        return
    labels = ("one",) if recipe.kind == "pitch" else ("one", "two")
    try:
        registry.check(recipe.kind, recipe.architecture, ModelSpec(labels=labels, **recipe.spec), recipe.options)
    except ConfigError as error:
        raise SettingError("options", error.message, error.hint) from None


def _idle_in(document: Mapping[str, Any], kind: type[Settings], now: list[Idle], idling: Idling) -> list[Idle]:
    """Those that did nothing before a later layer changed something, either."""
    try:
        before = {one.key for one in idling(_whole(document, kind))}
    except SettingError:  # by itself it is none
        return now
    return [one for one in now if one.key in before]


def _refuse(idle: Sequence[Idle], document: Mapping[str, Any]) -> None:
    """Refuse the first setting of a layer that does nothing.

    Raises:
        SettingError: there is one.
    """
    for key, value in _flat(document):
        for one in idle:
            same = key == one.key or (one.key.endswith(".") and key.startswith(one.key))
            if same and (one.off is ANY or _plain(value) != _plain(one.off)):
                raise SettingError(key, f"{key} is {shown(value)}, but does nothing {one.why}", "leave it out")


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _flat(document: Mapping[str, Any], section: str = "") -> Iterator[tuple[str, Any]]:
    """Full names and values of nested settings."""
    for key, value in document.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{section}{key}.")
        else:
            yield f"{section}{key}", value
