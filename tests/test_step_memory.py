"""The memory of a training step: measured for every paper recipe in the package, and documented."""

from __future__ import annotations

import sys
from importlib.resources import files

import pytest

from benchmarks import step_memory
from benchmarks.pages import results
from benchmarks.pages import training_memory as page
from stemclean.training import recipe

RECIPES = results.read(page.RESULT)["recipes"]


def test_every_recipe_of_a_paper_was_measured():
    """A new one wants `python -m benchmarks.step_memory benchmarks/results/step_memory.json`."""
    shipped = [path.name.removesuffix(".toml") for path in (files("stemclean") / "recipes").iterdir()]
    papers = {name for name in shipped if name.endswith("paper")}
    assert set(RECIPES) == papers | {"unet-vocals-paper+rmvpe-paper"} == set(step_memory.names())


@pytest.mark.parametrize("name", RECIPES)
def test_measurements_match_the_current_recipes(name):
    about = {key: value for key, value in RECIPES[name].items() if key != "configurations"}
    assert about == step_memory.described(name)
    expected = {step_memory.key_of(configuration) for configuration in step_memory.configurations(name)}
    assert {step_memory.key_of(configuration) for configuration in RECIPES[name]["configurations"]} == expected
    for configuration in RECIPES[name]["configurations"]:
        # weights, their mean, gradients and two states of Adam, in single precision
        assert configuration["fixed_gb"] > 0.9 * 20 * about["parameters"] / 1e9
        assert configuration["example_gb"] > 0


@pytest.mark.parametrize("name", [name for name in RECIPES if "+" not in name])
def test_the_recipe_file_states_the_memory(name):
    assert page.comment(RECIPES[name]) in (files("stemclean") / "recipes" / f"{name}.toml").read_text(encoding="utf-8")


def test_the_training_page_states_the_memory():
    page_text = (results.ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    assert page.summary(RECIPES) in page_text


def test_the_papers_hybrid_demucs_fits_a_card_of_12_gb():
    """Its batch of 160 at once would not fit any."""
    demucs = RECIPES["hdemucs-paper"]
    assert recipe.read_separator("hdemucs-paper").loop.micro_batch_size == 8
    assert page.step(demucs, "no").card in {"8 GB", "12 GB"}
    (plain,) = [
        configuration
        for configuration in demucs["configurations"]
        if step_memory.key_of(configuration) == ("no", False)
    ]
    assert plain["fixed_gb"] + 160 * plain["example_gb"] > 141


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_step_is_measured_in_its_own_process():
    single, four = (step_memory.measure("crepe-small", number, "no", [], 3.0) for number in (1, 4))
    parameters = step_memory.described("crepe-small")["parameters"]
    assert 20 * parameters / 1e9 < single < four < 2.0
    assert step_memory.measure("crepe-small", 4, "no", [], 0.6 * four) is None  # more than it may take


def description(**changes):
    about = {"depth": None, "micro_batch_size": 0, "batch_size": 8, "checkpoint_activations": None, "seconds": 2.0}
    return {**about, **changes}


PLAIN = {"precision": "no", "checkpoint_activations": None}


def test_batch_sizes_are_measured_while_they_may_fit(monkeypatch):
    requests = []

    def measured(name, number, precision, settings, limit_gb):
        requests.append(number)
        return None if number > 3 else 1.0 + number

    monkeypatch.setattr(step_memory, "measure", measured)
    result = step_memory.Measured("x", description(), PLAIN, {"measured": {"1": 2.0}}, 9.0).run()
    assert requests == [2, 4]  # 1 is known; where 4 did not fit, 8 need not be tried
    assert (result["fixed_gb"], result["example_gb"]) == (1.0, 1.0)
    requests.clear()
    step_memory.Measured("x", description(), PLAIN, {}, 4.0).run()
    assert requests == [1, 2]  # by the line, 4 take 5 GB


def test_memory_is_linear_in_depth(monkeypatch):
    """2 GB and 1 a pair are fixed; a second takes 0.5 GB and 0.1 a pair."""

    def measured(name, number, precision, settings, limit_gb):
        depth = int(settings[-1].partition("=")[2])
        return 2.0 + depth + number * (0.5 + 0.1 * depth)

    monkeypatch.setattr(step_memory, "measure", measured)
    result = step_memory.Measured("band-split-paper", description(depth=12), PLAIN, {}, 9.0).run()
    assert result["fixed_gb"] == pytest.approx(14.0)
    assert result["example_gb"] == pytest.approx(2 * 1.7)


def test_a_step_is_measured_or_extrapolated():
    about = description(
        divisible=True,
        configurations=[{**PLAIN, "fixed_gb": 1.0, "example_gb": 0.5, "measured": {"1": 1.52, "2": None}}],
    )
    assert page.step(about, "no", 1) == (1.52, True)
    assert page.step(about, "no") == (5.0, False)  # of eight
    assert (page.step(about, "no").card, page.Step(1.52, True).card, page.Step(200.0, False).card) == (
        "8 GB",
        "8 GB",
        "none",
    )
