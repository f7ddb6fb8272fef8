"""Weights by URI: safetensors and a card, never a pickle.

``bundled:NAME.TAG`` comes with the package, ``file:PATH`` (or a bare path) from disk, and
``hub:ORG/REPO[@REVISION][/FILE]`` from the Hugging Face Hub, through its own cache. The card travels inside the file,
in the safetensors header, and stands beside it as JSON for people to read.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from stemclean.disk import replacing
from stemclean.errors import ConfigError, WeightsError
from stemclean.manifest import file_sha256
from stemclean.models import bounds, cascade, hub, model_card, registry, tensor_header
from stemclean.models import card as cards
from stemclean.models.addresses import DEFAULT_CLASSIFIER, bundled, resolve
from stemclean.models.card import FORMAT
from stemclean.models.contract import ModelSpec

__all__ = [
    "DEFAULT_CLASSIFIER",
    "FORMAT",
    "Weights",
    "bundled",
    "load",
    "push",
    "read_card",
    "resolve",
    "save",
    "start_from",
    "write_card",
]

FREE_OPTIONS = frozenset({"checkpoint_activations", "drop_path", "level_head"})
"""Options in which a model may differ from the weights that it starts from: no tensor means another thing by them."""
_DTYPES = {
    torch.bool: ("BOOL",), torch.uint8: ("U8",), torch.int8: ("I8",), torch.int16: ("I16",), torch.int32: ("I32",),
    torch.int64: ("I64",),
}  # fmt: skip
"""Type of a model's tensor -> those that it may have in a file; numbers with a point may be any of these."""


@dataclass(frozen=True)
class Weights:
    """A loaded model.

    Args:
        model: in evaluation mode, on the CPU, float32.
        card: what it is: kind, architecture, spec, options, recipe, data, metrics, calibration.
        uri: as it was asked for; a bare path reads ``file:NAME``, so that manifests hold no machine's paths.
        sha256: of the file.
    """

    model: Any
    card: dict[str, Any]
    uri: str
    sha256: str


def save(path: str | Path, model: nn.Module, card: dict[str, Any], *, dtype: torch.dtype = torch.float16) -> Path:
    """Write a model and its card; the card also as ``PATH`` with the ending ``.json``.

    Args:
        card: JSON-able; must hold ``kind``, ``architecture``, ``spec`` and ``options``, so that :func:`load` can build
            the model.
        dtype: of the floating-point tensors on disk.
    """
    path = Path(path)
    missing = {"kind", "architecture", "spec", "options"} - card.keys()
    if missing:
        raise ValueError(f"the card lacks {', '.join(sorted(missing))}")
    tensors = {
        name: (tensor.detach().to("cpu", dtype) if tensor.is_floating_point() else tensor.detach().cpu()).contiguous()
        for name, tensor in model.state_dict().items()
    }
    _write(path, tensors, {"format": FORMAT, **card})
    return path


def read_card(path: str | Path) -> dict[str, Any]:
    """The card of a file of weights.

    Raises:
        WeightsError: no readable safetensors file, or without a card.
    """
    return _header(Path(path), str(path))[1]


def write_card(path: str | Path, card: dict[str, Any]) -> None:
    """Give weights on disk another card; the tensors stay as they are."""
    path = Path(path)
    header, _ = _header(path, str(path))
    _write(path, _tensors(path, str(path), header.tensors), {"format": FORMAT, **card})


def push(path: str | Path, repo: str, *, quiet: bool = False) -> str:
    """Publish weights on the Hugging Face Hub, with their card and a page that says how to use them.

    Args:
        path: the ``.safetensors`` file; it becomes ``model.safetensors``.
        repo: ``ORG/REPO``; created where it does not exist. What stands there already stays in its history.

    Returns:
        ``hub:ORG/REPO@COMMIT``, which always means these weights.

    Raises:
        ConfigError: ``repo`` is no such name.
        WeightsError: no weights, nobody is logged in, or the hub cannot be reached or refuses. The file stays.
    """
    path = Path(path)
    card = read_card(path)
    sha256 = file_sha256(path)
    _check_sha256(path, str(path), sha256)
    card = cards.checked({**card, **(cards.beside(path, str(path)) or {})}, str(path))  # which may say more
    files: dict[str, Path | bytes] = {
        "model.safetensors": path,
        "model.json": _card_text(card, sha256).encode(),
        "README.md": model_card.render(card, f"hub:{repo}").encode(),
    }
    return f"hub:{repo}@{hub.publish(repo, files, f'stemclean weights {sha256[:12]}', quiet=quiet)}"


def _card_text(card: dict[str, Any], sha256: str) -> str:
    return json.dumps({**card, "sha256": sha256}, indent=1, sort_keys=True) + "\n"


def _write(path: Path, tensors: dict[str, torch.Tensor], card: dict[str, Any]) -> None:
    card_path = path.with_suffix(".json")
    with replacing(card_path) as new_card, replacing(path) as temporary:  # what does not fit leaves both as they were
        save_file(tensors, temporary, metadata={"card": json.dumps(card, sort_keys=True)})
        temporary.chmod(0o644)  # safetensors writes for the owner alone
        new_card.write_text(_card_text(card, file_sha256(temporary)), encoding="utf-8")
        card_path.unlink(missing_ok=True)  # a card that belongs to another file would be taken for a damaged file


def _header(path: Path, name: str) -> tuple[tensor_header.Header, dict[str, Any]]:
    """What a file says that it holds, and its card; ``name`` is what an error calls the file."""
    header = tensor_header.read(path, name)
    return header, cards.read(header.metadata.get("card", "null"), name)


def _tensors(path: Path, name: str, keys: Iterable[str]) -> dict[str, torch.Tensor]:
    """Tensors of a file whose header was read."""
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in keys}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{name}: no readable safetensors file: {error}", "fetch it again") from None


def load(uri: str | Path, *, kind: str = "classifiers") -> Weights:
    """A model by URI, ready to judge.

    Args:
        uri: of a file of weights.
        kind: ``classifiers``, ``separators``, ``pitch`` or ``cascades``. Of a cascade's weights, its separator or its
            pitch tracker can be had alone; the card is then that part's.

    Raises:
        WeightsError: not found, no safetensors, no card, another kind of model, or a checksum that differs from the
            one in the card beside the file. What the file claims is held against the architecture before any tensor is
            read.
    """
    path, name = resolve(uri)
    header, card = _header(path, name)
    whole, prefix = card, ""
    if card["kind"] == "cascades" and kind in cascade.PARTS:
        card, prefix = cascade.part_card(card, kind), f"{cascade.PARTS[kind]}."
    if card["kind"] != kind:
        raise WeightsError(f"{name}: these are {card['kind']}, but {kind} are needed here", "give other weights")
    with _refusing(name):
        _check_names(header.tensors, whole)
        keys = _check_tensors(header.tensors, card, prefix)
    sha256 = file_sha256(path)
    _check_sha256(path, name, sha256)
    tensors = {
        key: tensor.float() if tensor.is_floating_point() else tensor
        for key, tensor in _tensors(path, name, keys).items()
    }
    with _refusing(name):
        for key, tensor in tensors.items():
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                raise _MisfitError(f"{key} holds NaN or infinite values")
        model = _built(card)
        model.load_state_dict({key.removeprefix(prefix): tensor for key, tensor in tensors.items()})
    return Weights(model.eval(), card, name, sha256)


class _MisfitError(Exception):
    """Tensors are not those of the model that the card describes."""


@contextmanager
def _refusing(name: str) -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        raise WeightsError(f"{name}: its card cannot be meant: {error.message}", error.hint) from None
    except (RuntimeError, _MisfitError) as error:
        what = str(error).splitlines()[0]
        raise WeightsError(f"{name}: tensors and architecture differ: {what}", "fetch the weights again") from None


def _check_names(tensors: Iterable[str], card: Mapping[str, Any]) -> None:
    """Refuse a tensor that is of no part of a cascade."""
    parts = tuple(f"{part}." for part in cascade.PARTS.values())
    for key in tensors if card["kind"] == "cascades" else ():
        if not key.startswith(parts):
            raise _MisfitError(f"the card's model has no {key}")


def _check_tensors(tensors: Mapping[str, tensor_header.Tensor], card: Mapping[str, Any], prefix: str) -> list[str]:
    """Hold what a header claims against the model that the card describes, which takes no memory here.

    Args:
        prefix: that the model's tensors have in the file.

    Returns:
        The names of these tensors in the file.

    Raises:
        ConfigError: there is no such model.
        _MisfitError: a tensor is missing, of another shape or type, or too many.
    """
    with torch.device("meta"):
        wanted = {f"{prefix}{key}": tensor for key, tensor in _built(card).state_dict().items()}
    for key, tensor in wanted.items():
        if key not in tensors:
            raise _MisfitError(f"{key} is missing")
        shape, dtype = tensors[key].shape, tensors[key].dtype
        if shape != tensor.shape:
            raise _MisfitError(f"{key} is {list(shape)}, the card's model has {list(tensor.shape)}")
        if dtype not in (tensor_header.FLOATS if tensor.is_floating_point() else _DTYPES.get(tensor.dtype, ())):
            raise _MisfitError(f"{key} is of {dtype}, the card's model has {tensor.dtype}")
    for key in tensors:
        if key.startswith(prefix) and key not in wanted:
            raise _MisfitError(f"the card's model has no {key}")
    return list(wanted)


def _built(card: Mapping[str, Any]) -> Any:
    """The model that a card describes, with random weights."""
    if card["kind"] == "cascades":
        return cascade.build(card["options"])
    return registry.build(card["kind"], card["architecture"], bounds.spec_of(card["spec"]), card["options"])


def _check_sha256(path: Path, name: str, sha256: str) -> None:
    """Refuse a file that is not the one which the card beside it describes."""
    stated = (cards.beside(path, name) or {}).get("sha256", sha256)
    if stated != sha256:
        raise WeightsError(
            f"{name}: the file's checksum is not the one in its card: {sha256[:12]}…, not {stated[:12]}…",
            "it was damaged or exchanged: fetch it again; if the card beside it is another file's, remove the card",
        )


def start_from(start: Weights, model: nn.Module, architecture: str, options: Mapping[str, Any]) -> list[str]:
    """Give a new model the tensors of weights that exist, for fine-tuning.

    The new model may have tensors that the old one lacks, and more or fewer rows in one: a head that also tells the
    levels has these outputs after the classes'. What is new keeps the random values it has.

    Args:
        model: just built, with ``spec``; changed in place.
        architecture, options: what it was built from.

    Returns:
        What was not taken over: names of tensors, as ``net.head.fc.weight[4:]`` where only rows were added.

    Raises:
        WeightsError: another architecture, other classes, other options, or tensors that do not fit.
    """
    differences = _differences(start, model, architecture, options)
    if differences:
        raise WeightsError(
            f"{start.uri} does not fit the model to be trained: {'; '.join(differences)}",
            "set the recipe to what the weights have, or train without --init",
        )
    old, new = start.model.state_dict(), model.state_dict()
    fresh = [name for name in new if name not in old]
    for name, tensor in old.items():
        rows = len(tensor) if tensor.ndim else 0
        taken = min(rows, len(new[name])) if tensor.ndim else 0
        if new[name].shape == tensor.shape:
            new[name].copy_(tensor)
        else:
            new[name][:taken].copy_(tensor[:taken])
        if tensor.ndim and len(new[name]) > rows:
            fresh.append(f"{name}[{rows}:]")
    return sorted(fresh)


def _differences(start: Weights, model: nn.Module, architecture: str, options: Mapping[str, Any]) -> list[str]:
    """Why weights cannot start a model, in words; empty where they can."""
    here = _settings(model, architecture, options)
    there = _settings(start.model, start.card["architecture"], start.card["options"])
    if here["architecture"] != there["architecture"]:
        here, there = ({"architecture": each["architecture"]} for each in (here, there))
    found = [
        f"{key} is {there.get(key)} in the weights and {here.get(key)} in the model"
        for key in here | there
        if here.get(key) != there.get(key)
    ]
    if found:
        return found
    old, new = start.model.state_dict(), model.state_dict()
    lost = [name for name in old if name not in new]
    if lost:
        found.append(f"the model has no {', '.join(lost)}")
    found += [
        f"{name} is {list(tensor.shape)} in the weights and {list(new[name].shape)} in the model"
        for name, tensor in old.items()
        if name in new and not _fits(tensor, new[name])
    ]
    return found


def _settings(model: nn.Module, architecture: str, options: Mapping[str, Any]) -> dict[str, str]:
    """What decides what a model's tensors mean, as a person reads it; options not given have their defaults."""
    spec = cast("ModelSpec", model.spec)
    settings = {
        "architecture": architecture,
        "spec.sample_rate": spec.sample_rate,
        "spec.channels": spec.channels,
        "labels": spec.labels,
    }
    for name, parameter in inspect.signature(type(model)).parameters.items():
        if parameter.default is not inspect.Parameter.empty and name not in FREE_OPTIONS:
            settings[f"options.{name}"] = options.get(name, parameter.default)
    return {key: json.dumps(value) for key, value in settings.items()}  # tuples and lists read the same


def _fits(old: torch.Tensor, new: torch.Tensor) -> bool:
    """Whether the new tensor has the old one's shape but for the number of rows."""
    return old.shape == new.shape or (0 < old.ndim == new.ndim and old.shape[1:] == new.shape[1:])
