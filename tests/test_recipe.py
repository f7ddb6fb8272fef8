"""Recipes: what is written is what is meant, and nothing else is taken."""

from __future__ import annotations

import pytest

from stemclean.errors import ConfigError
from stemclean.training.recipe import read


def test_overrides_reach_their_place():
    recipe = read(
        "small", ["loop.batch_size=8", "loss=l1", "mixing.quiet_db=[-30.0, -10.0]", "options.backbone=convnext_femto"]
    )
    assert (recipe.loop.batch_size, recipe.loss, recipe.mixing.quiet_db) == (8, "l1", (-30.0, -10.0))
    assert recipe.options["backbone"] == "convnext_femto"
    assert read("small").loop.batch_size != 8


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("loop.batchsize=8", "no setting named"),
        ("loop.batch_size=many", "should be a number"),
        ("mixing.level=3", "should be bool"),
        ("nonsense", "sets nothing"),
        ("loss.x=1", "holds no further keys"),
        ("mixing.chance=0", "no class would ever be drawn"),
        ("mixing.reuse=0", "mixing.reuse is 0"),
        ("loop.validations=0", "loop.validations is 0"),
        ("spec.channels=1", "1 channels"),
        ("spec.rate=8000", "names sample_rate, channels, segment, rate"),
    ],
)
def test_nonsense_is_refused(override, message):
    with pytest.raises(ConfigError, match=message):
        read("small", [override])


def test_unknown_recipe_names_the_known(tmp_path):
    with pytest.raises(ConfigError, match="known: atto, paper, small"):
        read("huge")
    with pytest.raises(ConfigError, match="no such recipe file"):
        read(tmp_path / "mine.toml")
    (tmp_path / "broken.toml").write_text("a = ")
    with pytest.raises(ConfigError, match=r"broken.toml"):
        read(tmp_path / "broken.toml")
