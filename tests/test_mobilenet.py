"""The MobileNet classifier: the published trunk, Kaldi's mel bands, and windows of a long recording."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from stemclean.audio.stft import kaldi_filterbank
from stemclean.errors import ConfigError
from stemclean.models import registry
from stemclean.models.classifiers.mobilenet import SAMPLE_RATE, MobileNet, MobileNetClassifier, from_audioset
from stemclean.models.contract import ModelSpec

TRUNK = Path(__file__).resolve().parents[2] / "shared" / "weights"
SEGMENT = 40960
LABELS = ("vocals", "bass", "drums", "other")


def classifier(**options) -> MobileNetClassifier:
    torch.manual_seed(0)
    spec = ModelSpec(SAMPLE_RATE, 2, LABELS, SEGMENT)
    return registry.build("classifiers", "mobilenet", spec, options).eval()


def music(num_samples: int) -> torch.Tensor:
    """Chords with an attack each half second, in stereo."""
    time = np.arange(num_samples) / SAMPLE_RATE
    notes = [np.sin(2 * np.pi * f * time) for f in (110.0, 220.5, 331.0, 1760.0)]
    sound = np.sum(notes, axis=0) * np.exp(-6 * (time % 0.5))
    rng = np.random.default_rng(0)
    return torch.from_numpy(np.stack([sound, 0.5 * sound]) * 0.1 + 1e-3 * rng.standard_normal((2, num_samples))).float()


@pytest.mark.skipif(not (TRUNK / "mn04_as.safetensors").exists(), reason="EfficientAT's weights are not here")
def test_outputs_equal_the_published_network():
    net = MobileNet(527, frames=10_000).eval()
    net.load_state_dict(from_audioset(load_file(TRUNK / "mn04_as.safetensors")))
    check = np.load(TRUNK / "mn04_check.npz")
    cells, outputs = torch.from_numpy(check["mel"]), {}
    with torch.no_grad():
        logits = net(cells)
        for index, layer in enumerate(net.features):
            cells = layer(cells)
            outputs[index] = cells.mean((2, 3)).numpy()
    for index, name in ((5, "block5_mean"), (11, "block11_mean"), (16, "last_mean")):
        np.testing.assert_allclose(outputs[index], check[name], atol=1e-4)
    np.testing.assert_allclose(logits.numpy(), check["logits"], atol=1e-4)


def test_the_size_equals_the_published_one():
    assert sum(parameter.numel() for parameter in MobileNet(527, frames=300).parameters()) == 983_599


def test_mel_bands_equal_kaldis():
    try:
        from torchaudio.compliance import kaldi
    except (ImportError, OSError) as error:  # its native library fits few versions of torch
        pytest.skip(f"torchaudio cannot be loaded: {error}")
    theirs, _ = kaldi.get_mel_banks(128, 1024, 32000.0, 0.0, 15000.0, 100.0, -500.0, 1.0)
    torch.testing.assert_close(kaldi_filterbank(32000, 1024, 128, 0.0, 15000.0)[:, :512], theirs, atol=1e-4, rtol=0)


def test_windows_of_one_segment_are_the_segment():
    model, sound = classifier(level_head=True), music(SEGMENT)[None]
    with torch.no_grad():
        torch.testing.assert_close(model.windows(sound, SEGMENT // 4)[:, 0], model(sound), atol=1e-5, rtol=1e-4)


def test_windows_see_the_sound_at_their_position():
    """Half of a recording is silent: windows in it are as those of silence, the others as those of the sound."""
    model = classifier()
    sound = music(8 * SEGMENT)
    sound[:, : 4 * SEGMENT] = 0
    with torch.no_grad():
        windows = model.windows(sound[None], SEGMENT // 4)[0]
        alone = torch.cat([model(piece[None]) for piece in sound.unfold(1, SEGMENT, SEGMENT // 4).transpose(0, 1)])
    assert windows.shape == alone.shape == (29, 4)
    middle = [*range(10), *range(20, 29)]  # clear of the onset
    scale = alone.std()
    assert (windows - alone)[middle].abs().max() < 0.5 * scale
    assert (windows[0] - windows[9]).abs().max() < 1e-4 * scale + 1e-5


def test_norm_statistics_are_frozen_in_training():
    model = classifier()
    before = {name: value.clone() for name, value in model.net.named_buffers()}
    assert any(name.endswith("running_var") for name in before)
    model.train()(music(SEGMENT)[None]).sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in model.net.named_buffers())
    assert all(parameter.grad is not None for parameter in model.net.parameters())


def test_amplify_equals_a_gain_on_the_sound():
    model, sound = classifier(), music(SEGMENT)[None]
    louder = model.features(sound * 10 ** (7 / 20))
    torch.testing.assert_close(model.amplify(model.features(sound), torch.tensor(7.0)), louder, atol=2e-2, rtol=0)


def test_feature_rows_have_the_right_frequencies():
    model = classifier()
    time = torch.arange(SEGMENT) / SAMPLE_RATE
    for hz in (200.0, 1000.0, 9000.0):
        row = int(model.features(torch.sin(2 * np.pi * hz * time).expand(1, 2, -1)).mean(-1).argmax())
        spacing = np.diff(model.frequencies)[row]
        assert abs(model.frequencies[row] - hz) < 1.5 * spacing + SAMPLE_RATE / 1024


def test_levels_are_shares_of_the_power():
    model = classifier(level_head=True)
    outputs = model(music(SEGMENT)[None]).detach()
    shares = 10 ** (model.levels_db(outputs) / 10)
    assert outputs.shape == (1, 9) and model.logits(outputs).shape == (1, 4)
    assert 0 < float(shares.sum()) < 1
    assert classifier().levels_db(outputs) is None


def test_impossible_shapes_are_refused():
    with pytest.raises(ConfigError, match="sample_rate is 44100"):
        MobileNetClassifier(ModelSpec(44100, 2, LABELS, SEGMENT))
    with pytest.raises(ConfigError, match="segment is 50000"):
        MobileNetClassifier(ModelSpec(SAMPLE_RATE, 2, LABELS, 50000))


def test_frozen_blocks_keep_their_weights_and_lower_blocks_learn_more_slowly():
    from stemclean.training.loop import _parameter_groups

    model = classifier(frozen_blocks=4, layer_decay=0.5, level_head=True, level_dbfs=-20.0)
    groups = [group for group in _parameter_groups(model.net, 0.1) if group["params"]]
    scales = {parameter: group["scale"] for group in groups for parameter in group["params"]}
    parameters = dict(model.net.named_parameters())
    assert {name for name, parameter in parameters.items() if parameter not in scales} == {
        name for name in parameters if name.startswith(tuple(f"features.{layer}." for layer in range(5)))
    }
    assert scales[parameters["classifier.0.weight"]] == 1.0
    assert scales[parameters["features.16.0.weight"]] == 0.5
    assert scales[parameters["features.15.block.0.0.weight"]] == 0.25
    model.train()
    model(music(SEGMENT)[None]).square().mean().backward()
    assert all((parameter.grad is not None) == (parameter in scales) for parameter in parameters.values())


def test_freezing_does_not_change_what_the_network_computes():
    plain, frozen = classifier(), classifier(frozen_blocks=8)
    with torch.no_grad():
        torch.testing.assert_close(plain(music(SEGMENT)[None]), frozen(music(SEGMENT)[None]))
