"""Cards and recipes are untrusted: they cannot make a model download, read or allocate more than it needs."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from stemclean.errors import ConfigError, WeightsError
from stemclean.models import bounds, registry, weights
from stemclean.models.contract import ModelSpec

SPEC = ModelSpec(16000, 1, ("vocals",), 16000)
OPTIONS = {"hop": 160, "capacity": 1}


@pytest.fixture(scope="module")
def tensors() -> dict[str, torch.Tensor]:
    return dict(registry.build("pitch", "crepe", SPEC, OPTIONS).state_dict())


def put(path: Path, tensors: dict[str, torch.Tensor], **changes: Any) -> Path:
    """A file of weights with a card of which some keys are other."""
    card = {"format": weights.FORMAT, "kind": "pitch", "architecture": "crepe", "spec": SPEC.to_dict()}
    card |= {"options": OPTIONS} | changes
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path, {"card": json.dumps(card)})
    return path


def test_valid_weights_are_loaded(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    loaded = weights.load(put(tmp_path / "w.safetensors", tensors), kind="pitch")
    assert all(torch.equal(tensor, tensors[key]) for key, tensor in loaded.model.state_dict().items())


@pytest.mark.parametrize(
    "backbone",
    ["hf-hub:somebody/model", "hf_hub:somebody/model", "local-dir:/etc", "timm/convnext_atto", "resnet50", "../x", 3],
)
def test_a_backbone_is_a_name_of_the_family(backbone: object) -> None:
    spec = ModelSpec(44100, 2, ("bass", "drums"), 131072)
    with pytest.raises(ConfigError, match=r"options\.backbone is "):
        registry.build("classifiers", "convnext", spec, {"backbone": backbone})


@pytest.mark.parametrize(
    ("kind", "name", "options", "message"),
    [
        ("classifiers", "convnext", {"n_fft": 1 << 30}, r"options\.n_fft is 1073741824"),
        ("classifiers", "convnext", {"patch": [4, 10**12]}, r"options\.patch\[1\] is 1000000000000"),
        ("separators", "band_split", {"bands": [[10**9, 1]]}, r"options\.bands\[0\]\[0\]"),
        ("separators", "band_split", {"width": 8192, "depth": 32, "heads": 8}, "would have .* parameters"),
        ("separators", "unet", {"growth": float("nan")}, r"options\.growth is NaN"),
        ("separators", "xumx", {"hidden": 10**400}, r"options\.hidden is 10000"),
        ("separators", "xumx", {"hidden": -(10**5000)}, r"options\.hidden is out of bounds"),
        ("separators", "xumx", {"hidden": -1}, r"options\.hidden is -1"),
        ("separators", "hdemucs", {"channels": 1024, "growth": 4}, "would have .* parameters"),
        ("pitch", "crepe", {"capacity": 10**6}, r"options\.capacity is 1000000"),
        ("pitch", "harmof0", {"channels": [1] * 1000}, r"options\.channels is "),
        ("pitch", "rmvpe", {"n_mels": 10**9}, r"options\.n_mels is 1000000000"),
        ("pitch", "rmvpe", {"hidden": {"a": 1}}, r"options\.hidden is "),
    ],
)
def test_options_are_checked_before_memory_is_allocated(
    kind: str, name: str, options: dict[str, Any], message: str
) -> None:
    spec = SPEC if kind == "pitch" else ModelSpec(44100, 2, ("bass", "drums"), 131072)
    with pytest.raises(ConfigError, match=message):
        registry.build(kind, name, spec, options)


@pytest.mark.parametrize(
    "change",
    [
        {"sample_rate": 0}, {"sample_rate": "44100"}, {"sample_rate": True}, {"segment": 1 << 40}, {"channels": 1000},
        {"labels": []}, {"labels": ["a", "a"]}, {"labels": [1]}, {"labels": None}, {"labels": "vocals"},
    ],
)  # fmt: skip
def test_the_specification_is_checked_before_memory_is_allocated(
    tmp_path: Path, tensors: dict[str, torch.Tensor], change: dict[str, Any]
) -> None:
    path = put(tmp_path / "w.safetensors", tensors, spec={**SPEC.to_dict(), **change})
    with pytest.raises(WeightsError, match=rf"its card is invalid: spec\.{next(iter(change))} is "):
        weights.load(path, kind="pitch")


@pytest.mark.parametrize("key", ["kind", "architecture", "spec", "options"])
@pytest.mark.parametrize("value", [None, 1, [], [1]])
def test_a_card_of_other_types_is_refused(
    tmp_path: Path, tensors: dict[str, torch.Tensor], key: str, value: object
) -> None:
    with pytest.raises(WeightsError, match=f"its card is invalid: {key}: must be "):
        weights.load(put(tmp_path / "w.safetensors", tensors, **{key: value}), kind="pitch")


class TestTensors:
    """What is in the file is held against the model before that is made."""

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_numbers_are_finite(self, tmp_path: Path, tensors: dict[str, torch.Tensor], value: float) -> None:
        broken = {**tensors, "classes.bias": torch.full_like(tensors["classes.bias"], value)}
        with pytest.raises(WeightsError, match=r"classes\.bias holds NaN or infinite values"):
            weights.load(put(tmp_path / "w.safetensors", broken), kind="pitch")

    def test_missing_and_extra_tensors_are_refused(self, tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
        fewer = {key: tensor for key, tensor in tensors.items() if key != "classes.bias"}
        with pytest.raises(WeightsError, match=r"classes\.bias is missing"):
            weights.load(put(tmp_path / "w.safetensors", fewer), kind="pitch")
        with pytest.raises(WeightsError, match="the card's model has no more"):
            weights.load(put(tmp_path / "w.safetensors", {**tensors, "more": torch.zeros(1)}), kind="pitch")

    def test_a_large_model_in_a_small_file_is_refused(self, tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
        path = put(tmp_path / "w.safetensors", tensors, options={"hop": 160, "capacity": 64})  # 89 M parameters
        with pytest.raises(WeightsError, match="the card's model has"):
            weights.load(path, kind="pitch")

    def test_an_oversized_header_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "w.safetensors"
        with path.open("wb") as file:
            file.write((bounds.LARGEST_MODEL).to_bytes(8, "little"))
            file.truncate(bounds.LARGEST_MODEL)  # sparse
        tracemalloc.start()
        with pytest.raises(WeightsError, match="its header claims 2000000000 bytes"):
            weights.read_card(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
        tracemalloc.stop()


def test_building_stops_at_too_many_tensors() -> None:
    """256 classes of some 60 bands each would be 61 000 tensors, and take minutes to be counted."""
    spec = ModelSpec(44100, 2, tuple(f"class {number}" for number in range(256)), 131072)
    with pytest.raises(ConfigError, match=r"would have .* parameters or more, in 8,193 tensors"):
        registry.build("separators", "band_split", spec, {"depth": 1, "width": 8, "heads": 2})


@pytest.mark.parametrize(
    ("name", "options"),
    [("rmvpe", {"n_fft": 32_768, "n_mels": 512}), ("harmof0", {"n_fft": 32_768, "harmonics": 64})],
)
def test_filters_at_the_bounds_need_little_memory(name: str, options: dict[str, int]) -> None:
    """47 MB at most come back; in double precision and all rows at once it took 380."""
    tracemalloc.start()
    with torch.device("meta"):
        registry.build("pitch", name, SPEC, options)
    assert tracemalloc.get_traced_memory()[1] < 64 << 20
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("kind", "name", "segment", "options"),
    [
        ("separators", "xumx", 1 << 24, {"hop_length": 1, "n_fft": 4096}),
        ("separators", "xumx", 1 << 20, {"hop_length": 64, "n_fft": 32_768}),
        ("classifiers", "convnext", 131_072, {"hop_length": 1}),
        ("pitch", "crepe", 1 << 20, {"hop": 2}),
    ],
)
def test_the_number_of_frames_per_segment_is_bounded(
    kind: str, name: str, segment: int, options: dict[str, Any]
) -> None:
    """Each setting is within its bounds, and together they would take terabytes when the model is used."""
    spec = ModelSpec(16000, 1 if kind == "pitch" else 2, ("vocals",), segment)
    with pytest.raises(ConfigError, match=rf"options\.hop\w* is \d+: a segment of {segment} samples would be"):
        registry.build(kind, name, spec, options)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("xumx", {"hop_length": "a"}, "hop_length must be a whole number"),
        ("xumx", {"hop_length": [512]}, "hop_length must be a whole number"),
        ("xumx", {"hop_length": None}, "hop_length must be a whole number"),
        ("xumx", {"hop_length": True}, "hop_length must be a whole number"),
        ("xumx", {"dropout": "0"}, "dropout must be a number"),
        ("xumx", {"crossing": "yes"}, "crossing must be true or false"),
        ("unet", {"time_levels": "x"}, "time_levels"),
    ],
)
def test_options_have_the_declared_types(name: str, options: dict[str, Any], message: str) -> None:
    """Otherwise the model would be built, and fail on its first input with an error of another library."""
    spec = ModelSpec(16000, 2, ("vocals", "drums"), 16000)
    with pytest.raises(ConfigError, match=rf"^options\.{message}|cannot be built"):
        registry.build("separators", name, spec, options)
