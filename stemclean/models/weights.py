"""Weights by URI: safetensors and a card, never a pickle.

``bundled:NAME.TAG`` comes with the package, ``file:PATH`` (or a bare path) from disk, and
``hub:ORG/REPO[@REVISION][/FILE]`` from the Hugging Face Hub, through its own cache. The card travels inside the file,
in the safetensors header, and stands beside it as JSON for people to read.
"""

from __future__ import annotations

import inspect
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from stemclean.errors import WeightsError
from stemclean.manifest import file_sha256
from stemclean.models import registry
from stemclean.models.contract import ModelSpec

__all__ = ["DEFAULT_CLASSIFIER", "FORMAT", "Weights", "bundled", "load", "resolve", "save", "start_from"]

FORMAT = "stemclean.weights/1"
DEFAULT_CLASSIFIER = "bundled:atto.v1"
FREE_OPTIONS = frozenset({"drop_path", "level_head"})
"""Options in which a model may differ from the weights that it starts from: no tensor means another thing by them."""
_PICKLES = {".pt", ".pth", ".ckpt", ".bin", ".pkl", ".th"}


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
    card = {"format": FORMAT, **card}
    tensors = {
        name: (tensor.detach().to("cpu", dtype) if tensor.is_floating_point() else tensor.detach().cpu()).contiguous()
        for name, tensor in model.state_dict().items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    save_file(tensors, temporary, metadata={"card": json.dumps(card, sort_keys=True)})
    temporary.chmod(0o644)  # safetensors writes for the owner alone
    os.replace(temporary, path)
    card_path = path.with_suffix(".json")
    card_path.write_text(json.dumps({**card, "sha256": file_sha256(path)}, indent=1, sort_keys=True) + "\n")
    return path


def load(uri: str | Path, *, kind: str = "classifiers") -> Weights:
    """A model by URI, ready to judge.

    Raises:
        WeightsError: not found, no safetensors, no card, another kind of model, or a hash that differs from the
            card beside a bundled file.
    """
    path, name = resolve(uri)
    try:
        with safe_open(path, framework="pt") as file:
            card = json.loads((file.metadata() or {}).get("card", "null"))
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - safe_open is no mapping
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise WeightsError(
            f"{name}: no readable safetensors file: {error}", "was the download cut off? fetch it again"
        ) from None
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise WeightsError(
            f"{name}: the file holds no stemclean card", "use weights that `stemclean train-classifier` wrote"
        )
    if card["kind"] != kind:
        raise WeightsError(f"{name}: these are {card['kind']}, but {kind} are needed here")
    spec = ModelSpec(**{**card["spec"], "labels": tuple(card["spec"]["labels"])})
    model = registry.build(kind, card["architecture"], spec, card["options"])
    try:
        model.load_state_dict({key: t.float() if t.is_floating_point() else t for key, t in tensors.items()})
    except RuntimeError as error:
        raise WeightsError(f"{name}: tensors and architecture differ: {str(error).splitlines()[0]}") from None
    return Weights(model.eval(), card, name, file_sha256(path))


def start_from(start: Weights, model: nn.Module, architecture: str, options: Mapping[str, Any]) -> list[str]:
    """Give a new model the tensors of weights that exist, for fine-tuning.

    The new model may have tensors that the old one lacks, and may have more rows in one: a head that also tells the
    levels has its new outputs after the old ones. They keep the random values they have.

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
        if new[name].shape == tensor.shape:
            new[name].copy_(tensor)
        else:
            new[name][:rows].copy_(tensor)
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
        if name in new and not _grown(tensor, new[name])
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


def _grown(old: torch.Tensor, new: torch.Tensor) -> bool:
    """Whether the new tensor has the old one's shape, or more rows."""
    return old.shape == new.shape or (
        0 < old.ndim == new.ndim and old.shape[1:] == new.shape[1:] and len(old) < len(new)
    )


def bundled() -> list[str]:
    """Names of the weights that come with the package."""
    return sorted(
        p.name.removesuffix(".safetensors")
        for p in (files("stemclean") / "weights").iterdir()
        if p.name.endswith(".safetensors")
    )


def resolve(uri: str | Path) -> tuple[Path, str]:
    """Where weights lie on this disk, and the URI that a manifest may hold.

    Raises:
        WeightsError: with what is known and what to try.
    """
    text = str(uri)
    scheme, _, rest = text.partition(":")
    if scheme == "bundled":
        with as_file(files("stemclean") / "weights" / f"{rest}.safetensors") as path:
            if not re.fullmatch(r"[\w.-]+", rest) or not path.exists():
                known = ", ".join(f"bundled:{name}" for name in bundled()) or "none"
                raise WeightsError(
                    f'no weights named "{rest}"', f"known: {known}\nfrom the hub: --weights hub:ORG/REPO"
                )
            return path, text
    if scheme == "hub":
        return _from_hub(rest), text
    path = Path(rest if scheme == "file" else text)
    if path.suffix in _PICKLES:
        raise WeightsError(
            f"{path}: pickled weights are not loaded: they can run any code", "convert them to safetensors"
        )
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file", "give bundled:NAME, hub:ORG/REPO or a .safetensors file")
    return path, f"file:{path.name}"


def _from_hub(rest: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    match = re.fullmatch(r"(?P<repo>[^/@]+/[^/@]+)(@(?P<revision>[^/]+))?(/(?P<file>.+))?", rest)
    if not match:
        raise WeightsError(
            f'"hub:{rest}" is no hub address', "write hub:ORG/REPO, hub:ORG/REPO@REVISION or hub:ORG/REPO/FILE"
        )
    file = match["file"] or "model.safetensors"
    if Path(file).suffix in _PICKLES:
        raise WeightsError(
            f"hub:{rest}: pickled weights are not loaded: they can run any code", "ask for a .safetensors file"
        )
    try:
        return Path(hf_hub_download(match["repo"], file, revision=match["revision"]))
    except LocalEntryNotFoundError:
        raise WeightsError(
            f"hub:{rest}: the hub cannot be reached and the file is not in the cache", "download it once while online"
        ) from None
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        first = str(error).strip().splitlines()[0]
        raise WeightsError(f"hub:{rest}: {first}", "check organisation, repository, revision and file") from None
