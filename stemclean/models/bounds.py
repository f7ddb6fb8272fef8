"""What a model may be made of: a card or a recipe comes from somewhere else, and decides how much memory is taken.

All is checked before anything is allocated. The bounds are at least twice what the largest published model has.
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
"""Parameters; 8 GB in float32."""
MOST_TENSORS: Final = 8_192
"""Of parameters; several times what the deepest published model has."""
BACKBONE = r"convnext(v2)?_[a-z0-9_]+"
"""timm's names of the family, without weights of its own and without a scheme that leads elsewhere."""
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
    "growth": (1, 4),
    "harmonics": (1, 64),
    "heads": (1, 128),
    "hidden": (2, 8192),
    "hop": (1, 65_536),
    "hop_length": (1, 65_536),
    "inner_blocks": (1, 32),
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
"""Option -> least and largest value, of the number or of each in the list; for all architectures of ours."""
ANY = (-65_536, 65_536)
"""The same of any other number."""

MOST_FRAMES: Final = 1 << 16
"""Of a segment; the longest published ones have some 1 000."""
MOST_SAMPLES: Final = 1 << 26
"""In all frames of a segment, those of all channels; the largest published spectrograms are of some 4 million."""

SPEC: Final[dict[str, tuple[int, int]]] = {
    "sample_rate": (1000, 384_000),
    "channels": (1, 64),
    "segment": (1, 1 << 24),
}


def check(spec: ModelSpec, options: Mapping[str, Any]) -> None:
    """Refuse what no model is made of.

    Raises:
        ConfigError: with the name of the setting and its bounds.
    """
    spec_of(spec.to_dict())
    for name, value in options.items():
        if name == "backbone" and not (isinstance(value, str) and re.fullmatch(BACKBONE, value)):
            raise _refused("options.backbone", value, "the name of a ConvNeXt, as convnext_atto")
        _check(f"options.{name}", value, OPTIONS.get(name, ANY))
    _check_frames(spec, options)


def _check_frames(spec: ModelSpec, options: Mapping[str, Any]) -> None:
    """Refuse a spectrogram of a segment that is beyond all memory, as its settings may be within their own bounds."""
    name = "hop_length" if "hop_length" in options else "hop"
    hop, n_fft = options.get(name), options.get("n_fft", 1)
    if not hop or not isinstance(hop, int | float) or not isinstance(n_fft, int | float):
        return  # the architecture's own, or what it refuses
    frames = spec.segment / hop
    if frames > MOST_FRAMES or frames * n_fft * spec.channels > MOST_SAMPLES:
        raise ConfigError(
            f"options.{name} is {hop}: a segment of {spec.segment} samples would be {frames:,.0f} frames",
            f"{MOST_FRAMES:,} are the most, and {MOST_SAMPLES:,} samples in all of them: give a larger hop, "
            "or a smaller segment or n_fft",
        )


def spec_of(told: Any) -> ModelSpec:
    """A model's specification from JSON.

    Raises:
        ConfigError: a key is missing, of another type, or out of bounds.
    """
    if not isinstance(told, Mapping):
        raise _refused("spec", told, "an object")
    for name, (low, high) in SPEC.items():
        value = told.get(name)
        if type(value) is not int or not low <= value <= high:
            raise _refused(f"spec.{name}", value, f"a whole number from {low} to {high}")
    labels = told.get("labels")
    right = isinstance(labels, list | tuple) and 0 < len(labels) <= MOST_LABELS
    if not right or not all(isinstance(label, str) for label in labels or ()):
        raise _refused("spec.labels", labels, f"a list of 1 to {MOST_LABELS} names")
    try:
        class_names.check(labels or ())
    except ConfigError as error:
        raise ConfigError(f"spec.labels: {error.message}", error.hint) from None
    if len(set(labels or ())) < len(labels or ()):
        raise _refused("spec.labels", labels, "a list of different names")
    return ModelSpec(told["sample_rate"], told["channels"], tuple(labels or ()), told["segment"])


def _check(name: str, value: Any, bounds: tuple[float, float], depth: int = 0) -> None:
    low, high = bounds
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, int | float):
        if not low <= value <= high:  # nor is NaN; a whole number may be more than a float can be
            raise _refused(name, value, f"from {low:g} to {high:g}")
    elif isinstance(value, str):
        if len(value) > LONGEST_TEXT:
            raise _refused(name, value, f"a text of {LONGEST_TEXT} letters at most")
    elif isinstance(value, list | tuple) and depth < 2:
        if len(value) > LONGEST_LIST:
            raise _refused(name, f"{len(value)} values", f"{LONGEST_LIST} values at most")
        for index, item in enumerate(value):
            _check(f"{name}[{index}]", item, bounds, depth + 1)
    else:
        raise _refused(name, value, "a number, a text, true, false or a list of these")


def _refused(name: str, value: Any, wanted: str) -> ConfigError:
    try:
        told = json.dumps(value, default=str)[:80]
    except (ValueError, RecursionError):  # thousands of digits, or lists in one another
        told = "beyond all bounds"
    return ConfigError(f"{name} is {told}", f"it must be {wanted}")
