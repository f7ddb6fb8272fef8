"""Validation of cards. Weights are refused if an entry of their card has the wrong type or is out of range.

Unknown entries are allowed and preserved.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from stemclean.documents import json_of
from stemclean.errors import ConfigError, WeightsError, in_plain_words
from stemclean.models import bounds, noise_reference
from stemclean.models.addresses import LARGEST_HEADER
from stemclean.models.cascade import PARTS

__all__ = ["FORMAT", "checked", "read", "read_sidecar"]

FORMAT: Final = "stemclean.weights/1"
HINT = "fetch the weights again, or correct the card with stemclean.models.weights.write_card"

Architecture = Annotated[str, Field(min_length=1, max_length=200)]
Chance = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, le=10**15)]
Slope = Annotated[float, Field(ge=0, le=1e6)]
Hours = Annotated[float, Field(ge=0, le=1e9)]
Decibels = Annotated[float, Field(ge=-1000, le=1000)]


class _Keys(BaseModel):
    """An object of the card. Types are strict: a text is not converted to a number. Numbers are finite."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


class _Line(_Keys):
    slope: Slope
    high_slope: Slope
    intercept: Annotated[float, Field(ge=-1e6, le=1e6)]


class _LevelLine(_Keys):
    model_config = ConfigDict(extra="forbid")

    slope: Slope = 1.0
    intercept: Decibels = 0.0
    lowest_db: Annotated[float, Field(ge=-1000, le=0)] = 0.0


class _Mixing(_Keys):
    chance: Annotated[float, Field(gt=0, le=1)] = 0.5
    multi_label_probability: Chance = 0.0


class _OfCalibration(_Keys):
    bleed_chance: Chance = 0.0


class _Loss(_Keys):
    kind: str


class _Recipe(_Keys):
    name: str | None = None
    seed: int | None = None
    loss: str | _Loss | None = None
    mixing: _Mixing = _Mixing()
    calibration: _OfCalibration = _OfCalibration()


class _Data(_Keys):
    hours: dict[str, Hours] = {}
    hours_of_several: Hours | None = None
    never_alone: list[str] = []
    background: list[str] = []
    tracks: dict[str, Count] = {}
    known: dict[str, Count] = {}
    labels: str | None = None


class _Material(_Keys):
    hours_by_kind: dict[str, Hours] = {}
    licences: dict[str, list[str]] = {}


class _Joint(_Keys):
    sep_weight: Annotated[float, Field(ge=0, le=2)]
    weighting: str


class _Start(_Keys):
    uri: str


class _Part(_Keys):
    """The entries from which a model is built."""

    architecture: Architecture
    spec: dict[str, Any]
    options: dict[str, Any]


class _Parts(_Keys):
    """Both models of a cascade, by the names of :data:`~stemclean.models.cascade.PARTS`."""

    model_config = ConfigDict(extra="forbid")

    separator: _Part
    tracker: _Part


class _Common(_Keys):
    """The entries of cards of all kinds."""

    format: Literal["stemclean.weights/1"]
    calibration: dict[str, _Line] | None = None
    level_calibration: _LevelLine = _LevelLine()
    recipe: _Recipe | None = None
    tracker_recipe: _Recipe | None = None
    loudness_lufs: Annotated[float, Field(ge=-70, le=0)] | None = None
    threshold: Chance = 0.5
    parameters: Count = 0
    license: str = ""
    created_by: str | None = None
    notes: str | list[str] = []
    metrics: dict[str, Any] = {}
    data: _Data = _Data()
    training_material: _Material = _Material()
    joint: _Joint | None = None


class _Card(_Common, _Part):
    kind: Literal["classifiers", "separators", "pitch"]


class _Cascade(_Common):
    kind: Literal["cascades"]
    architecture: Architecture
    spec: dict[str, Any]
    options: _Parts


_STARTS = TypeAdapter(dict[str, _Start])


def read(text: str, name: str) -> dict[str, Any]:
    """Return the card in the header of a file.

    Args:
        text: The card as JSON.
        name: Name of the file in error messages.

    Raises:
        WeightsError: The text is not a stemclean card, or :func:`checked` refuses it.
    """
    try:
        card = json_of(text)
    except ValueError as error:
        raise WeightsError(f"{name}: its card is not valid JSON: {error}", "fetch the weights again") from None
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise WeightsError(f"{name}: the file has no stemclean card", "use weights that were trained with stemclean")
    return checked(card, name)


def checked(card: dict[str, Any], name: str) -> dict[str, Any]:
    """Check a card and return it unchanged.

    The options of the architecture are checked when the model is built, see :mod:`stemclean.models.bounds`.

    Raises:
        WeightsError: An entry is invalid; the message names it.
    """
    cascades = card.get("kind") == "cascades"
    try:
        (_Cascade if cascades else _Card).model_validate(card)
        _STARTS.validate_python({key: value for key, value in card.items() if key.startswith("init")})
    except ValidationError as error:
        first = error.errors()[0]
        address = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
        raise _refused(name, f"{address}: {in_plain_words(first['msg'])}") from None
    parts = {"": card, **({f"options.{part}.": card["options"][part] for part in PARTS.values()} if cascades else {})}
    for prefix, part in parts.items():
        try:
            bounds.spec_of(part["spec"])
        except ConfigError as error:
            raise _refused(name, f"{prefix}{error.message}: {error.hint}") from None
    if card.get("reference"):
        try:
            noise_reference.stored(card["reference"])
        except ValueError as error:
            raise _refused(name, str(error)) from None
    return card


def _refused(name: str, reason: str) -> WeightsError:
    return WeightsError(f"{name}: its card is invalid: {reason}", HINT)


def read_sidecar(path: Path, name: str) -> dict[str, Any] | None:
    """Return the card in the JSON file beside a file of weights; None if there is no stemclean card.

    Args:
        path: Path of the weights.
        name: Name of the weights in error messages.

    Raises:
        WeightsError: The card cannot be read, or its ``sha256`` is invalid.
    """
    path = path.with_suffix(".json")
    try:
        if not path.is_file() or path.stat().st_size > LARGEST_HEADER:
            return None
        data = path.read_bytes()
    except OSError:
        return None
    if b'"stemclean.weights/' not in data:
        return None  # a file of another program
    hint = "fetch it again; if the card beside it belongs to another file, remove the card"
    try:
        card = json_of(data.decode("utf-8"))
    except ValueError as error:
        raise WeightsError(f"{name}: the card beside it cannot be read: {error}", hint) from None
    if not isinstance(card, Mapping) or card.get("format") != FORMAT:
        return None
    return _with_checksum(dict(card), name, hint)


def _with_checksum(card: dict[str, Any], name: str, hint: str) -> dict[str, Any]:
    sha256 = card.get("sha256", "0" * 64)
    if not isinstance(sha256, str) or len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
        raise WeightsError(f"{name}: sha256 in the card beside it is not a checksum of 64 hexadecimal digits", hint)
    return card
