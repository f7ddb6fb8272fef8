"""The classifier: sizes of the paper, one trunk against plain windows, features."""

from __future__ import annotations

import math

import pytest
import torch

from stemclean.errors import ConfigError
from stemclean.models import registry
from stemclean.models.contract import Classifier, ModelSpec
from stemclean.training.recipe import names, read

SPEC = ModelSpec(44100, 2, ("vocals", "bass", "drums", "other"), 131072)


def small(**options):
    torch.manual_seed(0)
    return registry.build(
        "classifiers", "convnext", SPEC, {"backbone": "convnext_atto", "hop_length": 1024, "n_mels": 64, **options}
    ).eval()


def test_the_paper_recipe_builds_the_papers_network():
    recipe = read("paper")
    spec = ModelSpec(**recipe.spec, labels=SPEC.labels)
    model = registry.build("classifiers", recipe.architecture, spec, dict(recipe.options))
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(27.8e6, rel=0.002)
    assert model.features(torch.zeros(1, 2, 131072)).shape == (1, 2, 1025, 256)
    assert (recipe.loss, recipe.mixing.chance, recipe.mixing.effects, recipe.mixing.reuse) == ("l1", 0.5, "paper", 1)


@pytest.mark.parametrize("name", names())
def test_every_recipe_builds_a_classifier(name):
    recipe = read(name)
    model = registry.build(
        "classifiers", recipe.architecture, ModelSpec(**recipe.spec, labels=SPEC.labels), dict(recipe.options)
    ).eval()
    assert isinstance(model, Classifier)
    with torch.inference_mode():
        outputs = model(torch.randn(1, 2, model.spec.segment))
        assert model.logits(outputs).shape == (1, 4)
        levels_db = model.levels_db(outputs)
        assert (levels_db is not None) == bool(recipe.options.get("level_head"))


def test_windows_of_one_segment_are_the_segment():
    model, waveform = small(), torch.randn(1, 2, 131072, generator=torch.Generator().manual_seed(1)) * 0.1
    with torch.inference_mode():
        torch.testing.assert_close(model.windows(waveform, 32768)[:, 0], model(waveform), atol=1e-4, rtol=1e-4)


def test_windows_see_the_sound_at_their_position():
    """A trained-free check of alignment: a loud stretch changes only the windows near it."""
    model = small()
    waveform = torch.randn(1, 2, 131072 + 11 * 32768, generator=torch.Generator().manual_seed(1)) * 0.01
    louder = waveform.clone()
    louder[..., -32768:] *= 100
    with torch.inference_mode():
        change = (model.windows(louder, 32768) - model.windows(waveform, 32768)).abs().amax(-1)[0]
    assert change.shape == (12,)
    assert change[-1] > 10 * change[:6].max()


def test_levels_are_shares_of_the_power():
    model = small(level_head=True)
    with torch.inference_mode():
        outputs = model.windows(torch.randn(1, 2, 131072 + 32768) * 0.1, 32768)
    assert outputs.shape == (1, 2, 9) and model.logits(outputs).shape == (1, 2, 4)
    shares = 10 ** (model.levels_db(outputs) / 10)
    assert shares.shape == (1, 2, 4) and (shares > 0).all() and (shares.sum(-1) < 1).all()  # the rest is no class's
    assert small().levels_db(torch.zeros(1, 4)) is None


def test_cell_levels_add_up_and_windows_equal_segments():
    model = small(level_head="cells")
    waveform = torch.randn(1, 2, 131072 + 32768, generator=torch.Generator().manual_seed(1)) * 0.1
    with torch.inference_mode():
        outputs = model.windows(waveform, 32768)
        torch.testing.assert_close(
            model.windows(waveform[..., :131072], 32768)[:, 0], model(waveform[..., :131072]), atol=1e-4, rtol=1e-4
        )
        silent = model(torch.zeros(1, 2, 131072))
    assert outputs.shape == (1, 2, 8) and model.logits(outputs).shape == (1, 2, 4)
    shares = 10 ** (model.levels_db(outputs) / 10)
    assert (shares > 0).all() and (shares.sum(-1) < 1).all()  # the rest is no class's
    assert silent.isfinite().all()


def test_assigning_cells_to_classes_gives_their_levels():
    """Tones at 110 Hz and 3.5 kHz, 6 dB apart; all cells below 1 kHz are one class's, the others another's."""
    model = small(level_head="cells")
    time = torch.arange(131072) / 44100
    waveform = (torch.sin(2 * torch.pi * 110 * time) + 0.5 * torch.sin(2 * torch.pi * 3500 * time)) * 0.1
    features = model.features(waveform.expand(1, 2, -1))
    power = model.cell_power(features)
    cells = torch.full((1, 5, *power.shape[1:]), -20.0)
    middle = int((model.frequencies < 1000).sum()) // model.patch[0]
    cells[:, 1, :middle] = cells[:, 2, middle:] = 20.0
    model.net.cells.forward = lambda maps: cells
    with torch.inference_mode():
        levels_db = model.levels_db(model(waveform.expand(1, 2, -1)))[0].numpy()
    assert levels_db[1] == pytest.approx(10 * math.log10(1 / 1.25), abs=0.3)
    assert levels_db[2] == pytest.approx(10 * math.log10(0.25 / 1.25), abs=0.6)
    assert levels_db[0] < -50 and levels_db[3] < -50


def test_amplify_equals_a_gain_on_the_sound():
    waveform = torch.randn(1, 2, 131072, generator=torch.Generator().manual_seed(2)) * 0.1
    for model in (small(), small(n_mels=None)):
        gains = torch.full((1, 1, len(model.frequencies), 1), -6.0)
        by_ear = model.features(waveform * 10 ** (-6 / 20))
        torch.testing.assert_close(model.amplify(model.features(waveform), gains), by_ear, atol=2e-3, rtol=2e-3)
        assert len(model.frequencies) == by_ear.shape[2]


def test_impossible_shapes_and_names_are_refused():
    with pytest.raises(ConfigError, match="stride"):
        small(hop_length=1000)
    with pytest.raises(ConfigError, match="level_head is false, true or cells"):
        small(level_head="rows")
    with pytest.raises(ConfigError, match="known: convnext"):
        registry.build("classifiers", "resnet", SPEC, {})
    with pytest.raises(ConfigError, match="cannot be built"):
        registry.build("classifiers", "convnext", SPEC, {"colour": "red"})
