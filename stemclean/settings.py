"""Settings with their types and ranges, and one parser of ``KEY=VALUE`` for all of them.

Every group of settings (of a verb, a recipe, a part of a recipe, or a format) is a subclass of :class:`Settings`, a
frozen pydantic model whose field types define the allowed values. The only conversions are lists to tuples and numbers
without a fraction (``1e6``) to integers. An invalid value raises a :class:`SettingError`: one line with the full name
of the setting (``loop.warmup``), its value and the allowed values, which are derived from the type of the field.

Settings come in layers: defaults, then a recipe file, then ``KEY=VALUE`` (:func:`assignment`, :func:`merged`). An error
names its layer: the file, or the option.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from stemclean.documents import FlawError, toml_of
from stemclean.errors import ConfigError

__all__ = [
    "RISING",
    "WHOLE",
    "Assignment",
    "Chance",
    "Count",
    "LevelDb",
    "LevelsDb",
    "LoudnessLufs",
    "OneOf",
    "SettingError",
    "Settings",
    "SilenceDbfs",
    "UnknownSettingError",
    "allowed",
    "assignment",
    "assignments",
    "flat",
    "frozen",
    "merged",
    "shown",
]

LONGEST_SHOWN = 80
"""Number of characters of a value that an error shows."""


class SettingError(ConfigError):
    """An invalid setting.

    Args:
        key: its full name, such as ``loop.warmup``.
        message: begins with it.
        hint: the next step.
    """

    def __init__(self, key: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.key = key

    def at(self, where: str) -> SettingError:
        """Return the same error with the source of the setting, a file or an option."""
        return SettingError(self.key, f"{where}: {self.message}", self.hint)

    def under(self, section: str) -> SettingError:
        """Return the same error with all names in a section."""
        key = f"{section}.{self.key}"
        return SettingError(key, self.message.replace(self.key, key, 1), self.hint)


class UnknownSettingError(SettingError):
    """An unknown setting. The hint names the most similar setting, or all.

    Args:
        key: the unknown name.
        known: the names of all settings.
    """

    def __init__(self, key: str, known: Collection[str]) -> None:
        last = {name.rpartition(".")[2]: name for name in known}
        near = difflib.get_close_matches(key.rpartition(".")[2], last, 1)
        hint = f'did you mean "{last[near[0]]}"?' if near else f"known: {', '.join(known) or 'none'}"
        super().__init__(key, f"no setting named {shown(key)}", hint)
        self.known = known

    def under(self, section: str) -> SettingError:
        """See :meth:`SettingError.under`."""
        return UnknownSettingError(f"{section}.{self.key}", [f"{section}.{name}" for name in self.known])


class Settings(BaseModel):
    """A frozen group of settings; see the module."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    section: ClassVar[str] = ""
    """Prefix of the names of its settings: ``loop`` gives ``loop.warmup``."""

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _refused(type(self), values, error) from None

    @model_validator(mode="before")
    @classmethod
    def _lists_as_tuples(cls, values: Any) -> Any:
        return {name: frozen(value) for name, value in values.items()} if isinstance(values, dict) else values

    @classmethod
    def key(cls, name: str) -> str:
        """Return the full name of one of its settings."""
        return f"{cls.section}.{name}" if cls.section else name

    def to_dict(self, *, given: bool = False) -> dict[str, Any]:
        """Return all settings in JSON types, or with ``given`` only those that were set explicitly."""
        return self.model_dump(exclude_unset=given)

    def changed(self, **values: Any) -> Self:
        """Return a copy with other values, which are validated as well."""
        explicit = {name: getattr(self, name) for name in self.model_fields_set}
        return type(self)(**{**explicit, **values})


def frozen(value: Any) -> Any:
    """Convert all lists in a value to tuples, including nested ones."""
    return tuple(frozen(item) for item in value) if isinstance(value, list) else value


def _refused(kind: type[Settings], values: Mapping[str, Any], error: ValidationError) -> SettingError:
    """Return the first error. Unknown names come first, because a value may be missing due to a misspelt name."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    fault = next((fault for fault in faults if fault["type"] == "extra_forbidden"), faults[0])
    name = str(fault["loc"][0])
    if fault["type"] == "extra_forbidden":
        return UnknownSettingError(kind.key(name), [kind.key(known) for known in kind.model_fields])
    if name not in values:
        return SettingError(kind.key(name), f"{kind.key(name)} is missing; it must be {allowed(kind, name)}")
    return SettingError(kind.key(name), f"{kind.key(name)} is {shown(values[name])}; it must be {allowed(kind, name)}")


def shown(value: Any) -> str:
    """Format a value as in TOML, cut to :data:`LONGEST_SHOWN` characters.

    >>> shown([0.9, True, "a"]), shown(10**400)
    ('[0.9, true, "a"]', 'a number of 401 digits')
    """
    match value:
        case bool():
            return "true" if value else "false"
        case None:
            return "none"
        case int() if abs(value) >= 10**LONGEST_SHOWN:
            return f"a number of {_digits(value)} digits"
        case str():
            return _cut(json.dumps(value, ensure_ascii=False))
        case list() | tuple():
            return _cut(f"[{', '.join(shown(item) for item in value[:LONGEST_SHOWN])}]")
        case Mapping():
            pairs = list(value.items())[:LONGEST_SHOWN]
            return _cut(f"{{{', '.join(f'{name} = {shown(item)}' for name, item in pairs)}}}")
        case _:
            return _cut(str(value))


def _digits(number: int) -> int:
    """Return the number of digits of an integer, which may be too large to be converted to text."""
    estimate = int(abs(number).bit_length() * 0.30103)
    return estimate + 1 if abs(number) >= 10**estimate else estimate


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 1]}…"


# ------------------------------------------------------------------------------------------------ allowed values


def allowed(kind: type[Settings], name: str) -> str:
    """Return the allowed values of a field, in words that follow "it must be"."""
    return _in_words(_schema(kind)["properties"][name])


@cache
def _schema(kind: type[Settings]) -> dict[str, Any]:
    return kind.model_json_schema()


def _in_words(schema: Mapping[str, Any]) -> str:
    if "description" in schema:
        return str(schema["description"])
    if "$ref" in schema:
        return _TABLE
    if "anyOf" in schema:
        alternatives = [_in_words(option) for option in schema["anyOf"] if option.get("type") != "null"]
        return " or ".join(dict.fromkeys(alternatives))
    if "enum" in schema or "const" in schema:
        return _either([shown(choice) for choice in schema.get("enum", [schema.get("const")])])
    describe = _KINDS.get(schema.get("type", ""))
    return describe(schema) if describe else "something else"


def _either(choices: list[str]) -> str:
    return " or ".join([*([", ".join(choices[:-1])] if choices[1:] else []), choices[-1]])


def _number(singular: str, plural: str) -> Callable[[Mapping[str, Any]], str]:
    def describe(schema: Mapping[str, Any]) -> str:
        return f"{plural if schema.get('plural') else singular} {_range(schema)}".rstrip()

    return describe


def _range(schema: Mapping[str, Any]) -> str:
    least, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    most, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    if least is not None and most is not None:
        return f"from {_plain(least)} to {_plain(most)}"
    low = f"of at least {_plain(least)}" if least is not None else f"above {_plain(above)}" if above is not None else ""
    high = f"at most {_plain(most)}" if most is not None else f"below {_plain(below)}" if below is not None else ""
    return " and ".join(filter(None, (low, high)))


def _plain(number: float) -> str:
    return f"{number:,.0f}".replace(",", " ") if abs(number) >= 1000 and number == int(number) else f"{number:g}"


def _list(schema: Mapping[str, Any]) -> str:
    items = schema.get("prefixItems") or [schema.get("items", {})]
    plural = _in_words({**items[0], "plural": True})
    if "prefixItems" in schema:
        return f"{_COUNTS.get(len(items), str(len(items)))} {plural}{', in ascending order' * schema.get('rising', 0)}"
    return f"a list of {plural}"


def _table(schema: Mapping[str, Any]) -> str:
    values = schema.get("additionalProperties")
    if isinstance(values, Mapping):
        return f"a table of {_in_words({**values, 'plural': True})}"
    return _TABLE


_TABLE = "a table of settings, each set as KEY.NAME=VALUE"
_COUNTS = {2: "two", 3: "three", 4: "four"}
_KINDS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "integer": _number("a whole number", "whole numbers"),
    "number": _number("a number", "numbers"),
    "array": _list,
    "boolean": lambda _: "true or false",
    "string": lambda _: "text",
    "object": _table,
}


# -------------------------------------------------------------------------------------------------- common types


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _rising(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError("not in ascending order")
    return pair


WHOLE = BeforeValidator(_whole)
"""For an ``int``: also accepts ``1e6``, which has no fraction."""
RISING = AfterValidator(_rising), Field(json_schema_extra={"rising": True})
"""For a pair: the numbers are in ascending order."""


@dataclass(frozen=True)
class OneOf:
    """For a string: one of several names that are only known at run time, such as files and entry points.

    Args:
        names: returns them.
    """

    names: Callable[[], Collection[str]]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"enum": list(self.names())}

    def _checked(self, name: str) -> str:
        if name not in self.names():
            raise ValueError("not one of them")
        return name


Count = Annotated[int, Field(ge=1, le=1_000_000), WHOLE]
"""A number of items that take time or memory."""
Chance = Annotated[float, Field(ge=0, le=1)]
LevelDb = Annotated[float, Field(ge=-120, le=60)]
LevelsDb = Annotated[tuple[LevelDb, LevelDb], *RISING]
"""The ends of a range of levels, in dB."""
SilenceDbfs = Annotated[float, Field(ge=-300, le=0)]
LoudnessLufs = Annotated[float, Field(ge=-70, le=0)]


# -------------------------------------------------------------------------------------------------- KEY=VALUE


@dataclass(frozen=True)
class Assignment:
    """A value for a setting.

    Args:
        key: full name of the setting.
        value: as parsed from TOML.
        source: where it was given; errors begin with it.
    """

    key: str
    value: Any
    source: str = "--set"


def assignment(text: str, source: str = "--set") -> Assignment:
    """Parse ``KEY=VALUE``. The value is TOML; if it is not, it is text, so that words need no quotes.

    >>> assignment("loop.batch_size=32").value, assignment("loss=l1").value
    (32, 'l1')

    Raises:
        ConfigError: there is no ``=`` or no key, or the value is an integer of more than 64 bits.
    """
    key, equals, value = text.partition("=")
    key, value = key.strip(), value.strip()
    if not equals or not key:
        raise ConfigError(
            f"{source}: {shown(text)} is not KEY=VALUE", f"write {source} KEY=VALUE, as in {source} loop.batch_size=32"
        )
    try:
        document = toml_of(f"value = {value}")
    except FlawError as flaw:
        if flaw.problem in _NEVER_TEXT:
            raise SettingError(key, f"{source}: {_cut(key)} is {_cut(value)}: {flaw.problem}") from None
        document = {}
    alone = list(document) == ["value"]
    return Assignment(key, document["value"] if alone else value, source)


_NEVER_TEXT = frozenset({"a whole number of more than 64 bits", "nested too deeply"})


def assignments(settings: Iterable[str | Assignment]) -> list[Assignment]:
    """Parse several assignments; those that are already parsed are returned unchanged."""
    return [setting if isinstance(setting, Assignment) else assignment(setting) for setting in settings]


def merged(document: Mapping[str, Any], given: Iterable[Assignment]) -> dict[str, Any]:
    """Return a copy of nested settings with some values changed; the last assignment of a key wins.

    >>> merged({"loop": {"clip": 1.0}}, [assignment("loop.clip=0"), assignment("seed=3")])
    {'loop': {'clip': 0}, 'seed': 3}

    Raises:
        SettingError: a part of the key is a value, not a section.
    """
    changed = _copied(document)
    for setting in given:
        *path, last = setting.key.split(".")
        section = changed
        for depth, part in enumerate(path, 1):
            section = section.setdefault(part, {})
            if not isinstance(section, dict):
                holder = ".".join(path[:depth])
                raise SettingError(setting.key, f"no setting named {shown(setting.key)}: {holder} is a value")
        section[last] = setting.value
    return changed


def flat(document: Mapping[str, Any], section: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the full names and values of nested settings.

    >>> list(flat({"seed": 1, "loop": {"clip": 0.5}}))
    [('seed', 1), ('loop.clip', 0.5)]
    """
    for key, value in document.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{section}{key}.")
        else:
            yield f"{section}{key}", value


def _copied(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copied(value) if isinstance(value, Mapping) else value for key, value in document.items()}
