"""Load and save weights: safetensors files with a card, never pickles.

URIs are ``bundled:NAME.TAG`` for weights of the package, ``file:PATH`` (or a path) for local files, and
``hub:ORG/REPO[@REVISION][/FILE]`` for the Hugging Face Hub, which are cached. The card is stored in the header of the
safetensors file, and beside the file as JSON for people to read.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
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
"""Options in which a model may differ from its initial weights, because they do not change what any tensor means."""
_DTYPES = {
    torch.bool: ("BOOL",), torch.uint8: ("U8",), torch.int8: ("I8",), torch.int16: ("I16",), torch.int32: ("I32",),
    torch.int64: ("I64",),
}  # fmt: skip
"""Data type of a tensor -> data types allowed in the file; floating-point tensors may have any floating-point type."""


@dataclass(frozen=True)
class Weights:
    """A loaded model.

    Args:
        model: The model, on the CPU in float32, in evaluation mode.
        card: Its card: kind, architecture, spec, options, recipe, data, metrics, calibration.
        uri: URI of the weights; ``file:NAME`` for a path, so that manifests hold no local paths.
        sha256: SHA-256 of the file.
    """

    model: Any
    card: dict[str, Any]
    uri: str
    sha256: str

    def named(self, uri: str | Path) -> Weights:
        """Return the same model as :func:`load` would return it for another URI of its file."""
        text = str(uri)
        return replace(self, uri=text) if text.partition(":")[0] in ("bundled", "hub") else self


def save(path: str | Path, model: nn.Module, card: dict[str, Any], *, dtype: torch.dtype = torch.float16) -> Path:
    """Write a model and its card; the card is also written to ``path`` with the suffix ``.json``.

    Args:
        path: The ``.safetensors`` file.
        model: The model.
        card: The card, of JSON types. It must have ``kind``, ``architecture``, ``spec`` and ``options``, so that
            :func:`load` can build the model.
        dtype: Data type of the floating-point tensors on disk.

    Returns:
        The path.
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
    """Read the card of a file of weights.

    Raises:
        WeightsError: The file is not a valid safetensors file, or has no card.
    """
    return _header(Path(path), str(path))[1]


def write_card(path: str | Path, card: dict[str, Any]) -> None:
    """Replace the card of weights on disk."""
    path = Path(path)
    header, _ = _header(path, str(path))
    _write(path, _tensors(path, str(path), header.tensors), {"format": FORMAT, **card})


def push(path: str | Path, repo: str, *, quiet: bool = False) -> str:
    """Publish weights on the Hugging Face Hub, with their card and a model card page.

    Args:
        path: The ``.safetensors`` file, uploaded as ``model.safetensors``.
        repo: ``ORG/REPO``. It is created if it does not exist; earlier weights stay in its history.
        quiet: Show no progress bars.

    Returns:
        ``hub:ORG/REPO@COMMIT``, which always refers to exactly these weights.

    Raises:
        ConfigError: ``repo`` is not of the form ``ORG/REPO``.
        WeightsError: The weights are invalid, there is no token, or the hub cannot be reached or refuses the upload.
    """
    path = Path(path)
    card = read_card(path)
    sha256 = file_sha256(path)
    _check_sha256(path, str(path), sha256)
    card = cards.checked(
        {**card, **(cards.read_sidecar(path, str(path)) or {})}, str(path)
    )  # people may have added entries
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
    with replacing(card_path) as new_card, replacing(path) as temporary:  # if the disk is full, both old files stay
        save_file(tensors, temporary, metadata={"card": json.dumps(card, sort_keys=True)})
        temporary.chmod(0o644)  # safetensors files are readable by their owner only
        new_card.write_text(_card_text(card, file_sha256(temporary)), encoding="utf-8")
        card_path.unlink(missing_ok=True)  # new weights beside an old card would look damaged


def _header(path: Path, name: str) -> tuple[tensor_header.Header, dict[str, Any]]:
    """Return the header of a file and its card; ``name`` is the name of the file in error messages."""
    header = tensor_header.read(path, name)
    return header, cards.read(header.metadata.get("card", "null"), name)


def _tensors(path: Path, name: str, keys: Iterable[str]) -> dict[str, torch.Tensor]:
    """Read tensors from a file whose header has been validated."""
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in keys}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{name}: not a valid safetensors file: {error}", "fetch it again") from None


def load(uri: str | Path, *, kind: str = "classifiers") -> Weights:
    """Load a model by URI.

    The header of the file is checked against the architecture before any tensor is read.

    Args:
        uri: URI of the weights.
        kind: ``classifiers``, ``separators``, ``pitch`` or ``cascades``. From the weights of a cascade, its separator
            or its pitch tracker can be loaded alone, with the card of that part.

    Raises:
        WeightsError: The weights are not found, not safetensors, have no valid card, are of another kind, or their
            checksum differs from the one in the card beside the file.
    """
    path, name = resolve(uri)
    header, card = _header(path, name)
    file_card, prefix = card, ""
    if card["kind"] == "cascades" and kind in cascade.PARTS:
        card, prefix = cascade.part_card(card, kind), f"{cascade.PARTS[kind]}."
    if card["kind"] != kind:
        found, needed = registry.called(card["kind"]), registry.called(kind)
        raise WeightsError(
            f"{name}: these are the weights of a {found}; those of a {needed} are needed", "give other weights"
        )
    with _refusing(name):
        _check_names(header.tensors, file_card)
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
    """The tensors do not match the model that the card describes."""


@contextmanager
def _refusing(name: str) -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        raise WeightsError(f"{name}: its card is invalid: {error.message}", error.hint) from None
    except (RuntimeError, _MisfitError) as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(
            f"{name}: the tensors do not match the architecture: {reason}", "fetch the weights again"
        ) from None


def _check_names(tensors: Iterable[str], card: Mapping[str, Any]) -> None:
    """Refuse tensors that belong to no part of a cascade."""
    parts = tuple(f"{part}." for part in cascade.PARTS.values())
    for key in tensors if card["kind"] == "cascades" else ():
        if not key.startswith(parts):
            raise _MisfitError(f"the card's model has no {key}")


def _check_tensors(tensors: Mapping[str, tensor_header.Tensor], card: Mapping[str, Any], prefix: str) -> list[str]:
    """Check the tensors of a header against the model that the card describes, without allocating memory.

    Args:
        tensors: Tensors of the header.
        card: The card.
        prefix: Prefix of the model's tensors in the file.

    Returns:
        The names of the model's tensors in the file.

    Raises:
        ConfigError: The model cannot be built.
        _MisfitError: A tensor is missing, unexpected, or has the wrong shape or data type.
    """
    with torch.device("meta"):
        expected = {f"{prefix}{key}": tensor for key, tensor in _built(card).state_dict().items()}
    for key, tensor in expected.items():
        if key not in tensors:
            raise _MisfitError(f"{key} is missing")
        shape, dtype = tensors[key].shape, tensors[key].dtype
        if shape != tensor.shape:
            raise _MisfitError(f"{key} is {list(shape)}, but the card's model has {list(tensor.shape)}")
        if dtype not in (tensor_header.FLOATS if tensor.is_floating_point() else _DTYPES.get(tensor.dtype, ())):
            raise _MisfitError(f"{key} is {dtype}, but the card's model has {tensor.dtype}")
    for key in tensors:
        if key.startswith(prefix) and key not in expected:
            raise _MisfitError(f"the card's model has no {key}")
    return list(expected)


def _built(card: Mapping[str, Any]) -> Any:
    """Build the model that a card describes, with random weights."""
    if card["kind"] == "cascades":
        return cascade.build(card["options"])
    return registry.build(card["kind"], card["architecture"], bounds.spec_of(card["spec"]), card["options"])


def _check_sha256(path: Path, name: str, sha256: str) -> None:
    """Check the checksum of a file against the card beside it."""
    stated = (cards.read_sidecar(path, name) or {}).get("sha256", sha256)
    if stated != sha256:
        raise WeightsError(
            f"{name}: checksum mismatch: the file has {sha256[:12]}…, its card says {stated[:12]}…",
            "the file is damaged or was replaced: fetch it again; "
            "if the card beside it belongs to another file, remove the card",
        )


def start_from(start: Weights, model: nn.Module, architecture: str, options: Mapping[str, Any]) -> list[str]:
    """Copy existing weights into a new model, for fine-tuning.

    The new model may have additional tensors, and tensors with more or fewer rows: a head that also predicts levels has
    these outputs after those of the classes. New values stay random.

    Args:
        start: The existing weights.
        model: The new model; changed in place.
        architecture, options: Architecture and options of the new model.

    Returns:
        Names of the tensors that stay random, such as ``net.head.fc.weight[4:]`` if only some rows do.

    Raises:
        WeightsError: The architecture, classes or options differ, or tensors do not fit.
    """
    differences = _differences(start, model, architecture, options)
    if differences:
        raise WeightsError(
            f"{start.uri} does not fit the model to be trained: {'; '.join(differences)}",
            "change the recipe to match the weights, or train without --init",
        )
    old, new = start.model.state_dict(), model.state_dict()
    fresh = [name for name in new if name not in old]
    for name, tensor in old.items():
        rows = len(tensor) if tensor.ndim else 0
        shared = min(rows, len(new[name])) if tensor.ndim else 0
        if new[name].shape == tensor.shape:
            new[name].copy_(tensor)
        else:
            new[name][:shared].copy_(tensor[:shared])
        if tensor.ndim and len(new[name]) > rows:
            fresh.append(f"{name}[{rows}:]")
    return sorted(fresh)


def _differences(start: Weights, model: nn.Module, architecture: str, options: Mapping[str, Any]) -> list[str]:
    """Return the reasons why weights cannot initialise a model; empty if they can."""
    needed = _settings(model, architecture, options)
    stored = _settings(start.model, start.card["architecture"], start.card["options"])
    if needed["architecture"] != stored["architecture"]:
        needed, stored = ({"architecture": settings["architecture"]} for settings in (needed, stored))
    differences = [
        f"{key} is {stored.get(key)} in the weights and {needed.get(key)} in the model"
        for key in needed | stored
        if needed.get(key) != stored.get(key)
    ]
    if differences:
        return differences
    old, new = start.model.state_dict(), model.state_dict()
    lost = [name for name in old if name not in new]
    if lost:
        differences.append(f"the model has no {', '.join(lost)}")
    differences += [
        f"{name} is {list(tensor.shape)} in the weights and {list(new[name].shape)} in the model"
        for name, tensor in old.items()
        if name in new and not _fits(tensor, new[name])
    ]
    return differences


def _settings(model: nn.Module, architecture: str, options: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings that determine what a model's tensors mean, as text, with defaults for missing options."""
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
    return {key: json.dumps(value) for key, value in settings.items()}  # the same for tuples and lists


def _fits(old: torch.Tensor, new: torch.Tensor) -> bool:
    """Return whether two tensors have the same shape, except for the number of rows."""
    return old.shape == new.shape or (0 < old.ndim == new.ndim and old.shape[1:] == new.shape[1:])
