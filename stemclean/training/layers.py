"""Read a recipe in layers: a file, overridden by ``KEY=VALUE`` settings. Errors name the layer at fault."""

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
from stemclean.settings import Assignment, SettingError, Settings, flat, merged, shown
from stemclean.training.idle import ANY, Idle

__all__ = ["located", "read_layers", "recipe_names"]

R = TypeVar("R", bound=Settings)
Check = Callable[[Any], None]
Idling = Callable[[Any], Iterator[Idle]]


def read_layers(
    name: str | Path | R,
    overrides: Sequence[Assignment],
    kind: type[R],
    check: Check,
    idling: Idling,
    section: str = "",
) -> R:
    """Read and check a recipe.

    Args:
        name: Name of a recipe of the package, a ``.toml`` file, or a recipe (its settings were checked when read).
        overrides: Settings that override those of the recipe.
        kind: Class of the recipe.
        check: Raises a :class:`~stemclean.settings.SettingError` if settings contradict each other.
        idling: Yields the settings that have no effect, see :mod:`stemclean.training.idle`.
        section: Prefix of the overrides' names on the command line.

    Raises:
        ConfigError: There is no such recipe; or a :class:`~stemclean.settings.SettingError` that names the file or
            option.
    """
    is_file = False
    if isinstance(name, kind):
        where, document = f"recipe {name.to_dict()['name']}", name.to_dict(given=True)
    else:
        is_file = Path(str(name)).suffix == ".toml"
        where = str(name) if is_file else f"recipe {name}"
        document = {"name": Path(str(name)).stem, **_document(str(name), where, _kind_name(kind))}
    try:
        recipe = _validated(merged(document, overrides), kind)
        if not isinstance(name, kind):
            _check_architecture(recipe)
        untyped: Any = recipe
        options.check(untyped.kind, untyped.architecture, untyped.options)
        check(recipe)
        idle = list(idling(recipe))
        _refuse(idle, {override.key: override.value for override in overrides})
        if is_file:
            _refuse(_idle_in(document, kind, idle, idling), document)
        _check_model(recipe)
    except SettingError as error:
        raise located(error, where, overrides, section) from None
    return recipe


def recipe_names(kind: str) -> list[str]:
    """Return the names of the package's recipes of a kind; of all kinds for ``""``."""
    return sorted(name for name, its_kind in _kinds().items() if not kind or its_kind == kind)


@cache
def _kinds() -> dict[str, str]:
    """Return the kind of every recipe of the package, by name."""
    paths = [p for p in (files("stemclean") / "recipes").iterdir() if p.name.endswith(".toml")]
    return {p.name.removesuffix(".toml"): toml_of(p.read_text(encoding="utf-8"))["kind"] for p in paths}


def located(error: SettingError, where: str, overrides: Sequence[Assignment], section: str = "") -> SettingError:
    """Add to an error where it is: the last override of its setting, or else the file ``where``."""
    for override in reversed(overrides):
        if f"{override.key}.".startswith(f"{error.key}.") or f"{error.key}.".startswith(f"{override.key}."):
            return (error.under(section) if section else error).at(override.source)
    return error.at(where)


def _document(name: str, where: str, kind: str) -> dict[str, Any]:
    path = Path(name)
    if path.suffix == ".toml":
        content = _content(path)
    elif name in recipe_names(""):
        content = (files("stemclean") / "recipes" / f"{name}.toml").read_bytes()
    else:
        choices = ", ".join(recipe_names(kind))
        raise ConfigError(f"no recipe named {shown(name)}", f"known: {choices}, or give a .toml file")
    try:
        return toml_of(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ConfigError(f"{where}: line {line} is not UTF-8", "save the recipe as UTF-8") from None
    except FlawError as error:
        raise ConfigError(f"{where}: {error}", "see the example recipes in the documentation") from None


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise ConfigError(f"{path}: no such recipe file") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None


def _kind_name(kind: type[Settings]) -> str:
    """Return the value of ``kind`` in recipes of a class."""
    return str(get_args(kind.model_fields["kind"].annotation)[0])


def _validated(document: Mapping[str, Any], kind: type[R]) -> R:
    """Build the recipe of a document.

    Raises:
        SettingError: The recipe is of another kind, or a key or value is invalid.
    """
    expected = _kind_name(kind)
    if document.get("kind", expected) != expected:
        message = f"kind is {shown(document['kind'])}; it must be {shown(expected)}"
        raise SettingError("kind", message, f"known: {', '.join(recipe_names(expected))}")
    for key in ("joint", "tracker"):
        if expected == "separators" and isinstance(document.get(key), Mapping):
            raise SettingError(key, f"settings of {key} are for joint training", "use train-joint, or leave them out")
    return kind(**document)


def _check_architecture(recipe: Any) -> None:
    if options.is_known(recipe.kind, recipe.architecture):
        return
    names = registry.names(recipe.kind)
    if recipe.architecture not in names:
        message = f"architecture is {shown(recipe.architecture)}; it must be one of {', '.join(names)}"
        raise SettingError("architecture", message)


def _check_model(recipe: Any) -> None:
    """Build the model for one or two classes without allocating memory, to see whether its options fit together.

    Raises:
        SettingError: They do not; the key is ``options``.
    """
    if not options.is_known(recipe.kind, recipe.architecture):
        return
    labels = ("one",) if recipe.kind == "pitch" else ("one", "two")
    try:
        registry.check(recipe.kind, recipe.architecture, ModelSpec(labels=labels, **recipe.spec), recipe.options)
    except ConfigError as error:
        raise SettingError("options", error.message, error.hint) from None


def _idle_in(document: Mapping[str, Any], kind: type[Settings], idle: list[Idle], idling: Idling) -> list[Idle]:
    """Return the idle settings that were already idle in the file, before the overrides."""
    try:
        before = {setting.key for setting in idling(_validated(document, kind))}
    except SettingError:  # the file alone is not a valid recipe
        return idle
    return [setting for setting in idle if setting.key in before]


def _refuse(idle: Sequence[Idle], document: Mapping[str, Any]) -> None:
    """Refuse the first idle setting of a layer.

    Raises:
        SettingError: The layer sets an idle setting.
    """
    for key, value in flat(document):
        for setting in idle:
            same = key == setting.key or (setting.key.endswith(".") and key.startswith(setting.key))
            if same and (setting.off is ANY or _plain(value) != _plain(setting.off)):
                raise SettingError(key, f"{key} is {shown(value)}, but does nothing {setting.why}", "leave it out")


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
