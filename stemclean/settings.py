"""Settings: what a run may be told, each value with its range, and one reader of ``KEY=VALUE`` for all of them.

Every group of settings (a verb's, a recipe's, a part of a recipe, a format's options) is a class of :class:`Settings`:
a frozen pydantic model, in which a field's type says what it may be. Nothing is converted but lists, which become
tuples, and numbers without a fraction (``1e6``), which count as whole. What is wrong raises a :class:`SettingError`,
one line with the setting's full name (``loop.warmup``), its value and what is allowed; that is made from the field's
type, so that it says what is checked and nothing else.

Settings come in layers: defaults, then a recipe's file, then ``KEY=VALUE`` (:func:`assignment`, :func:`merged`). An
error names the layer that it is in: the file, or the option.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Collection, Iterable, Mapping
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
    "frozen",
    "merged",
    "shown",
]

LONGEST_SHOWN = 80
"""Letters of a value that an error repeats."""


class SettingError(ConfigError):
    """A setting that cannot be meant.

    Args:
        key: its full name, as ``loop.warmup``.
        message: begins with it.
        hint: the next step.
    """

    def __init__(self, key: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.key = key

    def at(self, where: str) -> SettingError:
        """The same with the place where the setting stands: a file, or an option."""
        return SettingError(self.key, f"{where}: {self.message}", self.hint)

    def under(self, section: str) -> SettingError:
        """The same where all names begin with another section."""
        key = f"{section}.{self.key}"
        return SettingError(key, self.message.replace(self.key, key, 1), self.hint)


class UnknownSettingError(SettingError):
    """A setting that there is not; the hint is the one that was probably meant, or all.

    Args:
        key: as it was written.
        known: all that there are.
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
    """A group of settings, frozen; see the module."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    section: ClassVar[str] = ""
    """What stands before its settings' names: ``loop`` makes ``loop.warmup``."""

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
        """The full name of one of its settings."""
        return f"{cls.section}.{name}" if cls.section else name

    def to_dict(self, *, given: bool = False) -> dict[str, Any]:
        """All settings, ready for JSON; or those alone that were given, without defaults."""
        return self.model_dump(exclude_unset=given)

    def changed(self, **values: Any) -> Self:
        """The same with other values, which are checked as the first ones were."""
        kept = {name: getattr(self, name) for name in self.model_fields_set}
        return type(self)(**{**kept, **values})


def frozen(value: Any) -> Any:
    """Lists made tuples, inner ones as well."""
    return tuple(frozen(item) for item in value) if isinstance(value, list) else value


def _refused(kind: type[Settings], values: Mapping[str, Any], error: ValidationError) -> SettingError:
    """The first thing that is wrong, names first: a value may be missing as its name is misspelt."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    fault = next((fault for fault in faults if fault["type"] == "extra_forbidden"), faults[0])
    name = str(fault["loc"][0])
    if fault["type"] == "extra_forbidden":
        return UnknownSettingError(kind.key(name), [kind.key(known) for known in kind.model_fields])
    if name not in values:
        return SettingError(kind.key(name), f"{kind.key(name)} is missing; it must be {allowed(kind, name)}")
    return SettingError(kind.key(name), f"{kind.key(name)} is {shown(values[name])}; it must be {allowed(kind, name)}")


def shown(value: Any) -> str:
    """A value as it is written in TOML, no longer than an error has room for.

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
    """Of a whole number, which may be too large to be written."""
    estimate = int(abs(number).bit_length() * 0.30103)
    return estimate + 1 if abs(number) >= 10**estimate else estimate


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 1]}…"


# ------------------------------------------------------------------------------------------------ what is allowed


def allowed(kind: type[Settings], name: str) -> str:
    """What a field may be, in words that follow "it must be"."""
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
        each = [_in_words(one) for one in schema["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(each))
    if "enum" in schema or "const" in schema:
        return _either([shown(one) for one in schema.get("enum", [schema.get("const")])])
    describe = _KINDS.get(schema.get("type", ""))
    return describe(schema) if describe else "something else"


def _either(choices: list[str]) -> str:
    return " or ".join([*([", ".join(choices[:-1])] if choices[1:] else []), choices[-1]])


def _number(one: str, many: str) -> Callable[[Mapping[str, Any]], str]:
    def describe(schema: Mapping[str, Any]) -> str:
        return f"{many if schema.get('plural') else one} {_range(schema)}".rstrip()

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
        return f"{_COUNTS.get(len(items), str(len(items)))} {plural}{', the lesser first' * schema.get('rising', 0)}"
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
    "string": lambda _: "a text",
    "object": _table,
}


# ------------------------------------------------------------------------------------------- types that many have


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _rising(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError("the larger one stands first")
    return pair


WHOLE = BeforeValidator(_whole)
"""Of an ``int``: takes ``1e6`` as well, which has no fraction."""
RISING = AfterValidator(_rising), Field(json_schema_extra={"rising": True})
"""Of a pair: the lesser number stands first."""


@dataclass(frozen=True)
class OneOf:
    """Of a text: one of some names that are known when they are asked for, as files and entry points are.

    Args:
        names: gives them.
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
"""How many of something that takes time or memory."""
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
        key: the setting's full name.
        value: as TOML has it.
        source: where it was given; an error begins with it.
    """

    key: str
    value: Any
    source: str = "--set"


def assignment(text: str, source: str = "--set") -> Assignment:
    """What ``KEY=VALUE`` says. A value is TOML; one that is none is a text, so that words need no quotes.

    >>> assignment("loop.batch_size=32").value, assignment("loss=l1").value
    (32, 'l1')

    Raises:
        ConfigError: no ``=`` or no key, or a number that is none of TOML's, which are of 64 bits.
    """
    key, equals, value = text.partition("=")
    key, value = key.strip(), value.strip()
    if not equals or not key:
        raise ConfigError(
            f"{source}: {shown(text)} sets nothing", f"write {source} KEY=VALUE, as in {source} loop.batch_size=32"
        )
    try:
        document = toml_of(f"value = {value}")
    except FlawError as flaw:
        if flaw.what in _NO_WORDS:
            raise SettingError(key, f"{source}: {_cut(key)} is {_cut(value)}: {flaw.what}") from None
        document = {}
    alone = list(document) == ["value"]
    return Assignment(key, document["value"] if alone else value, source)


_NO_WORDS = frozenset({"a whole number of more than 64 bits", "nested too deeply"})


def assignments(settings: Iterable[str | Assignment]) -> list[Assignment]:
    """What each says; those that are read already stay as they are."""
    return [one if isinstance(one, Assignment) else assignment(one) for one in settings]


def merged(document: Mapping[str, Any], given: Iterable[Assignment]) -> dict[str, Any]:
    """A document of nested settings with some changed; a later one counts.

    >>> merged({"loop": {"clip": 1.0}}, [assignment("loop.clip=0"), assignment("seed=3")])
    {'loop': {'clip': 0}, 'seed': 3}

    Raises:
        SettingError: a key that leads into a value.
    """
    changed = _copied(document)
    for one in given:
        *path, last = one.key.split(".")
        place = changed
        for depth, part in enumerate(path, 1):
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                holder = ".".join(path[:depth])
                raise SettingError(one.key, f"no setting named {shown(one.key)}: {holder} is a value")
        place[last] = one.value
    return changed


def _copied(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copied(value) if isinstance(value, Mapping) else value for key, value in document.items()}
