"""Recipes: what is written is what is meant, and nothing else is taken."""

from __future__ import annotations

from importlib.resources import files

import pytest

from stemclean.errors import ConfigError
from stemclean.training import ranges
from stemclean.training.recipe import names, read, read_separator, read_tracker


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
        ("mixing.chance=0", "mixing.chance is 0"),
        ("mixing.reuse=0", "mixing.reuse is 0"),
        ("loop.validations=0", "loop.validations is 0"),
        ("spec.channels=1", "1 channels"),
        ("loop.clip=-1", "loop.clip is -1"),
        ("loop.clip=nan", "loop.clip is nan"),
        ("loop.batch_size=2.5", "loop.batch_size is 2.5"),
        ("loop.betas=[0.9, 1.0]", r"loop.betas is \[0.9, 1.0\]"),
        ("loop.precision=fp8", "loop.precision is 'fp8'"),
        ("loop.ema=1.0", "loop.ema is 1.0"),
        ("mixing.noise_chance=2", "mixing.noise_chance is 2"),
        ("mixing.quiet_db=[0.0, -6.0]", "mixing.quiet_db is"),
        ("spec.sample_rate=-1", "spec.sample_rate is -1"),
        ("seed=-1", "seed is -1"),
        ("validation_share=1.0", "validation_share is 1.0"),
        ("calibration.segments=0", "calibration.segments is 0"),
        ("spec.rate=8000", "names sample_rate, channels, segment, rate"),
    ],
)
def test_nonsense_is_refused(override, message):
    with pytest.raises(ConfigError, match=message):
        read("small", [override])


def test_unknown_recipe_names_the_known(tmp_path):
    with pytest.raises(ConfigError, match="known: atto, mobilenet, paper, small"):
        read("huge")
    with pytest.raises(ConfigError, match="no such recipe file"):
        read(tmp_path / "mine.toml")
    (tmp_path / "broken.toml").write_text("a = ")
    with pytest.raises(ConfigError, match=r"broken.toml"):
        read(tmp_path / "broken.toml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("kind = 'classifiers'\nname = 'Bässe'".encode("latin-1"), "line 2 is not UTF-8"),
        ("kind = 'classifiers'".encode("utf-16"), "line 1 is not UTF-8"),
        (b"seed = " + b"[" * 5000 + b"]" * 5000, "nested too deeply"),
        (b"seed = 1\nname = " + b"9" * 5000, "line 2, column 8: a whole number of more than 64 bits"),
        (b"seed = 1\nseed = 2\n", "line 2, column 9: no TOML: a key stands twice"),
        (b"[loop]\nsteps = 0x" + b"f" * 5000, "loop.steps: a whole number of more than 64 bits"),
        (b"seed = 1\0", "mine.toml"),
    ],
)
def test_files_that_are_no_recipes_are_refused_by_name(content, message, tmp_path):
    (tmp_path / "mine.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        read(tmp_path / "mine.toml")
    assert "mine.toml" in caught.value.message


def test_a_recipe_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "mine.toml").write_bytes(b"\xef\xbb\xbf" + (files("stemclean") / "recipes" / "small.toml").read_bytes())
    assert read(tmp_path / "mine.toml").spec == read("small").spec


def test_every_number_of_every_recipe_has_a_range():
    """Declared for each, so that a new setting is not forgotten; names of ``options`` are their architecture's."""
    readers = {"classifiers": read, "separators": read_separator, "pitch": read_tracker}
    for kind, reader in readers.items():
        for name in names(kind):
            for key, value in reader(name).to_dict().items():
                settings = value.items() if isinstance(value, dict) else [("", value)]
                for part, number in settings if key != "options" else ():
                    full = f"{key}.{part}" if part else key
                    numeric = isinstance(number, int | float | tuple) and not isinstance(number, bool)
                    assert not numeric or full in {*ranges.RANGES, "loss.keep"}, full


def test_clip_0_clips_nothing():
    assert read("small", ["loop.clip=0"]).loop.clip == 0
    assert (read("small").loop.betas, read_separator("hdemucs-paper").loop.betas) == ((0.9, 0.98), (0.9, 0.999))
