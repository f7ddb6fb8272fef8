"""Bounds on the size of models. A card or recipe is untrusted input that decides how much memory is allocated.

Everything is checked before anything is allocated. The bounds are at least twice the values of the largest published
model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from stemclean.errors import ConfigError
from stemclean.labels import class_names
from stemclean.models.contract import ModelSpec

__all__ = ["LARGEST_MODEL", "MOST_TENSORS", "OPTIONS", "check", "spec_of"]

LARGEST_MODEL: Final = 2_000_000_000
"""Largest number of parameters; 8 GB in float32."""
MOST_TENSORS: Final = 8_192
"""Largest number of parameter tensors, several times that of the deepest published model."""
BACKBONE = r"convnext(v2)?_[a-z0-9_]+"
"""timm's names of ConvNeXt models, without a tag of pretrained weights and without a URI scheme."""
LONGEST_LIST, LONGEST_TEXT, MOST_LABELS = 64, 64, 256

OPTIONS: Final[dict[str, tuple[float, float]]] = {
    "bands": (1, 32_768),
    "bandwidth_hz": (1, 384_000),
    "blocks": (1, 16),
    "capacity": (1, 256),
    "channels": (1, 1024),
    "dconv_attn": (0, 32),
    "dconv_comp": (1, 64),
    "dconv_depth": (0, 8),
    "dconv_lstm": (0, 32),
    "depth": (1, 32),
    "drop_path": (0, 0.99),
    "dropout": (0, 0.99),
    "expansion": (1, 16),
    "fold": (1, 4096),
    "frozen_blocks": (0, 64),
    "growth": (1, 4),
    "harmonics": (1, 64),
    "heads": (1, 128),
    "hidden": (2, 8192),
    "hop": (1, 65_536),
    "hop_length": (1, 65_536),
    "inner_blocks": (1, 32),
    "layer_decay": (0.01, 1),
    "layers": (1, 16),
    "level_dbfs": (-120, 0),
    "most": (1, 8192),
    "n_fft": (16, 32_768),
    "n_mels": (0, 512),
    "norm_starts": (0, 32),
    "patch": (1, 64),
    "time_levels": (0, 32),
    "width": (2, 8192),
}
"""Smallest and largest value of each option (or of each number in its list), for all architectures of the package."""
ANY = (-65_536, 65_536)
"""Smallest and largest value of all other numeric options."""

MOST_FRAMES: Final = 1 << 16
"""Largest number of frames of a segment; about 1 000 in published models."""
MOST_SAMPLES: Final = 1 << 26
"""Largest number of samples in all frames and channels of a segment; about 4 million in published models."""

SPEC: Final[dict[str, tuple[int, int]]] = {
    "sample_rate": (1000, 384_000),
    "channels": (1, 64),
    "segment": (1, 1 << 24),
}


def check(spec: ModelSpec, options: Mapping[str, Any]) -> None:
    """Check the spec and options of a model.

    Raises:
        ConfigError: A value is out of bounds; the message names it and its bounds.
    """
    spec_of(spec.to_dict())
    for name, value in options.items():
        if name == "backbone" and not (isinstance(value, str) and re.fullmatch(BACKBONE, value)):
            raise _refused("options.backbone", value, "the name of a ConvNeXt, such as convnext_atto")
        _check(f"options.{name}", value, OPTIONS.get(name, ANY))
    _check_frames(spec, options)


def _check_frames(spec: ModelSpec, options: Mapping[str, Any]) -> None:
    """Refuse a spectrogram that does not fit into memory although each setting is within its bounds."""
    name = "hop_length" if "hop_length" in options else "hop"
    hop, n_fft = options.get(name), options.get("n_fft", 1)
    if not hop or not isinstance(hop, int | float) or not isinstance(n_fft, int | float):
        return  # a default of the architecture, or a value that it refuses itself
    frames = spec.segment / hop
    if frames > MOST_FRAMES or frames * n_fft * spec.channels > MOST_SAMPLES:
        raise ConfigError(
            f"options.{name} is {hop}: a segment of {spec.segment} samples would be {frames:,.0f} frames",
            f"at most {MOST_FRAMES:,} frames with {MOST_SAMPLES:,} samples in total are allowed: give a larger hop, "
            "or a smaller segment or n_fft",
        )


def spec_of(document: Any) -> ModelSpec:
    """Return a model's specification from JSON.

    Raises:
        ConfigError: A key is missing, has the wrong type or is out of bounds.
    """
    if not isinstance(document, Mapping):
        raise _refused("spec", document, "an object")
    for name, (low, high) in SPEC.items():
        value = document.get(name)
        if type(value) is not int or not low <= value <= high:
            raise _refused(f"spec.{name}", value, f"a whole number from {low} to {high}")
    labels = document.get("labels")
    is_list = isinstance(labels, list | tuple) and 0 < len(labels) <= MOST_LABELS
    if not is_list or not all(isinstance(label, str) for label in labels or ()):
        raise _refused("spec.labels", labels, f"a list of 1 to {MOST_LABELS} names")
    try:
        class_names.check(labels or ())
    except ConfigError as error:
        raise ConfigError(f"spec.labels: {error.message}", error.hint) from None
    if len(set(labels or ())) < len(labels or ()):
        raise _refused("spec.labels", labels, "a list of different names")
    return ModelSpec(document["sample_rate"], document["channels"], tuple(labels or ()), document["segment"])


def _check(name: str, value: Any, bounds: tuple[float, float], depth: int = 0) -> None:
    low, high = bounds
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, int | float):
        if not low <= value <= high:  # false for NaN, too; integers may be too large for a float
            raise _refused(name, value, f"from {low:g} to {high:g}")
    elif isinstance(value, str):
        if len(value) > LONGEST_TEXT:
            raise _refused(name, value, f"a text of at most {LONGEST_TEXT} characters")
    elif isinstance(value, list | tuple) and depth < 2:
        if len(value) > LONGEST_LIST:
            raise _refused(name, f"{len(value)} values", f"at most {LONGEST_LIST} values")
        for index, item in enumerate(value):
            _check(f"{name}[{index}]", item, bounds, depth + 1)
    else:
        raise _refused(name, value, "a number, a text, true, false or a list of these")


def _refused(name: str, value: Any, allowed: str) -> ConfigError:
    try:
        text = json.dumps(value, default=str)[:80]
    except (ValueError, RecursionError):  # thousands of digits, or deeply nested lists
        text = "out of bounds"
    return ConfigError(f"{name} is {text}", f"it must be {allowed}")
