"""Weights by URI: they round-trip, and untrusted ones are refused in one line."""

from __future__ import annotations

import errno
import json
import shutil

import pytest
import torch
from safetensors.torch import save_file

from stemclean.errors import OutputError, WeightsError
from stemclean.models import registry, weights
from stemclean.models.contract import ModelSpec

SPEC = ModelSpec(44100, 2, ("vocals", "bass", "drums", "other"), 131072)
OPTIONS = {"backbone": "convnext_atto", "hop_length": 1024, "n_mels": 32}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    torch.manual_seed(0)
    model = registry.build("classifiers", "convnext", SPEC, OPTIONS).eval()
    card = {"kind": "classifiers", "architecture": "convnext", "spec": SPEC.to_dict(), "options": OPTIONS, "seed": 7}
    path = weights.save(tmp_path_factory.mktemp("weights") / "mine.v1.safetensors", model, card)
    return model, path


def test_weights_round_trip(saved):
    model, path = saved
    loaded = weights.load(path)
    waveform = torch.randn(1, 2, 131072, generator=torch.Generator().manual_seed(0)) * 0.1
    with torch.inference_mode():
        torch.testing.assert_close(loaded.model(waveform), model(waveform), atol=2e-2, rtol=2e-2)  # stored in float16
    assert loaded.card["seed"] == 7 and loaded.model.spec == SPEC
    assert loaded.uri == "file:mine.v1.safetensors"  # no machine's path
    assert json.loads(path.with_suffix(".json").read_text())["sha256"] == loaded.sha256
    assert weights.load(f"file:{path}").sha256 == loaded.sha256


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("bundled:atto.v999", 'no weights named "atto.v999"'),
        ("bundled:../../etc/passwd", "no weights named"),
        ("hub:just-a-name", "is not a hub address"),
        ("hub:org/repo/model.pt", "pickled"),
        ("file:model.ckpt", "pickled"),
        ("nowhere.safetensors", "no such weights file"),
    ],
)
def test_invalid_weights_are_refused(uri, message):
    with pytest.raises(WeightsError, match=message):
        weights.load(uri)


def test_unknown_bundled_names_list_the_known():
    with pytest.raises(WeightsError) as caught:
        weights.load("bundled:atto.v999")
    for name in weights.bundled():
        assert f"bundled:{name}" in caught.value.hint


def test_bundled_weights_are_small_and_have_a_licence_and_what_refine_reads():
    for name in weights.bundled():
        path, _ = weights.resolve(f"bundled:{name}")
        assert path.stat().st_size < 10_000_000
        assert weights.load(f"bundled:{name}").card["license"] == "MIT"
    for name in (weights.DEFAULT_CLASSIFIER, "bundled:atto.v4"):
        loaded = weights.load(name)
        assert set(loaded.model.spec.labels) == {"vocals", "bass", "drums", "other"}
        assert {"calibration", "level_calibration", "reference"} <= loaded.card.keys()
    assert loaded.model.tells_cells


def test_other_files_are_refused(tmp_path, saved):
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(saved[1].read_bytes()[:5000])
    with pytest.raises(WeightsError, match="not a valid safetensors"):
        weights.load(broken)
    bare = tmp_path / "bare.safetensors"
    save_file({"x": torch.zeros(1)}, bare)
    with pytest.raises(WeightsError, match="no stemclean card"):
        weights.load(bare)
    with pytest.raises(WeightsError, match="weights of a classifier"):
        weights.load(saved[1], kind="separators")


def test_tensors_of_another_architecture_are_refused(tmp_path, saved):
    model, _ = saved
    card = {
        "kind": "classifiers",
        "architecture": "convnext",
        "spec": SPEC.to_dict(),
        "options": {**OPTIONS, "backbone": "convnext_femto"},
    }
    path = weights.save(tmp_path / "odd.safetensors", model, card)
    with pytest.raises(WeightsError, match="the tensors do not match the architecture"):
        weights.load(path)


def test_starting_weights_leave_new_layers_unchanged(saved):
    """The level head's rows come after those of the classes: what the old model says, the new one says too."""
    start = weights.load(saved[1])
    options = {**OPTIONS, "level_head": True, "drop_path": 0.1}
    torch.manual_seed(1)
    model = registry.build("classifiers", "convnext", SPEC, options).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    fresh = weights.start_from(start, model, "convnext", options)
    assert fresh == ["net.head.fc.bias[4:]", "net.head.fc.weight[4:]"]
    waveform = torch.randn(1, 2, 131072, generator=torch.Generator().manual_seed(0)) * 0.1
    with torch.inference_mode():
        torch.testing.assert_close(model(waveform)[:, :4], start.model(waveform))
    assert torch.equal(model.net.head.fc.weight[4:], before["net.head.fc.weight"][4:])
    assert not torch.equal(model.net.head.fc.weight[:4], before["net.head.fc.weight"][:4])


@pytest.mark.parametrize(
    ("options", "labels", "difference"),
    [
        ({"hop_length": 512}, SPEC.labels, "options.hop_length is 1024 in the weights and 512 in the model"),
        ({"n_fft": 2048, "n_mels": 64}, SPEC.labels, "options.n_mels is 32 in the weights and 64 in the model"),
        ({"backbone": "convnext_femto"}, SPEC.labels, 'options.backbone is "convnext_atto" in the weights'),
        ({}, ("vocals", "bass"), r'labels is \["vocals", "bass", "drums", "other"\] in the weights and \["vocals'),
    ],
)
def test_starting_weights_must_have_the_same_meaning(saved, options, labels, difference):
    spec = ModelSpec(44100, 2, labels, 131072)
    model = registry.build("classifiers", "convnext", spec, {**OPTIONS, **options})
    with pytest.raises(WeightsError, match=difference):
        weights.start_from(weights.load(saved[1]), model, "convnext", {**OPTIONS, **options})


def test_a_model_without_level_rows_starts_from_one_with_them(tmp_path):
    """The decoder of cells needs no level rows beside the classes': what the old model says of these, it says too."""
    options = {**OPTIONS, "level_head": True}
    torch.manual_seed(2)
    old = registry.build("classifiers", "convnext", SPEC, options).eval()
    card = {"kind": "classifiers", "architecture": "convnext", "spec": SPEC.to_dict(), "options": options}
    path = weights.save(tmp_path / "levels.safetensors", old, card)
    options = {**OPTIONS, "level_head": "cells"}
    new = registry.build("classifiers", "convnext", SPEC, options).eval()
    fresh = weights.start_from(weights.load(path), new, "convnext", options)
    assert fresh and all(name.startswith("net.cells.") for name in fresh)
    waveform = torch.randn(1, 2, 131072 + 3 * 32768, generator=torch.Generator().manual_seed(0)) * 0.1
    with torch.inference_mode():
        outputs = weights.load(path).model.windows(waveform, 32768)
        assert torch.equal(new.windows(waveform, 32768)[..., :4], outputs[..., :4])


def test_starting_weights_must_fit_the_model(saved):
    torch.nn.Module.register_parameter(
        larger := weights.load(saved[1]).model, "extra", torch.nn.Parameter(torch.ones(2))
    )
    start = weights.Weights(larger, weights.load(saved[1]).card, "file:x.safetensors", "0")
    with pytest.raises(WeightsError, match="the model has no extra"):
        weights.start_from(start, saved[0], "convnext", OPTIONS)


def test_a_file_that_does_not_match_its_card_is_refused(tmp_path, saved):
    path = tmp_path / "mine.safetensors"
    path.write_bytes(saved[1].read_bytes())
    weights.load(path)  # no card beside it: nothing to compare with
    card = json.loads(saved[1].with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps({**card, "sha256": "0" * 64}))
    with pytest.raises(WeightsError, match=f"the file has {card['sha256'][:12]}…, its card says 000000000000…"):
        weights.load(path)
    path.with_suffix(".json").write_text("[1, 2]")  # another program's
    weights.load(path)


def test_rewriting_a_card_keeps_the_tensors(tmp_path, saved):
    path = tmp_path / "mine.safetensors"
    path.write_bytes(saved[1].read_bytes())
    weights.write_card(path, {**weights.read_card(path), "license": "MIT"})
    loaded = weights.load(path)
    assert loaded.card["license"] == "MIT" and loaded.card["seed"] == 7
    for name, tensor in weights.load(saved[1]).model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], tensor)


def test_a_full_disk_while_writing_a_card_keeps_the_weights(tmp_path, saved, monkeypatch):
    path = shutil.copy(saved[1], tmp_path / "w.safetensors")
    beside = shutil.copy(saved[1].with_suffix(".json"), tmp_path / "w.json")
    before = path.read_bytes(), beside.read_bytes()

    def full(*_args, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(path), "write_text", full)
    with pytest.raises(OutputError, match=r"w\.safetensors: the disk is full"):
        weights.write_card(path, {**weights.read_card(path), "seed": 8})
    assert (path.read_bytes(), beside.read_bytes()) == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["w.json", "w.safetensors"]
