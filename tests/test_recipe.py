"""Recipes: values are read as written, and invalid ones are refused."""

from __future__ import annotations

from importlib.resources import files

import pytest

from stemclean.errors import ConfigError
from stemclean.settings import Assignment
from stemclean.training.joint import JointConfig
from stemclean.training.recipe import (
    ClassifierRecipe,
    SeparatorRecipe,
    TrackerRecipe,
    read,
    read_separator,
)

SPEC = "[spec]\nsample_rate = 44100\nchannels = 2\nsegment = 131072\n"


def written(folder, text, *, before="", kind="classifiers", architecture="convnext", spec=SPEC):
    """A recipe of one's own."""
    path = folder / "mine.toml"
    head = f'kind = "{kind}"\narchitecture = "{architecture}"\n{before}\n'
    path.write_text(f"{head}{spec}" + ("[options]\n" if "[options]" not in text else "") + text)
    return path


def test_overrides_are_applied():
    recipe = read(
        "small", ["loop.batch_size=8", "loss=l1", "mixing.quiet_db=[-30.0, -10.0]", "options.backbone=convnext_femto"]
    )
    assert (recipe.loop.batch_size, recipe.loss, recipe.mixing.quiet_db) == (8, "l1", (-30.0, -10.0))
    assert recipe.options["backbone"] == "convnext_femto"
    assert read("small").loop.batch_size != 8


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("loop.batchsize=8", 'no setting named "loop.batchsize"\ndid you mean "loop.batch_size"?'),
        ("loop.batch_size=many", 'loop.batch_size is "many"; it must be a whole number from 1 to 1 000 000'),
        ("loop.batch_size=1.5", "loop.batch_size is 1.5; it must be a whole number from 1 to 1 000 000"),
        ("loop.batch_size=true", "loop.batch_size is true; it must be a whole number from 1 to 1 000 000"),
        ("loop.warmup=-1", "loop.warmup is -1; it must be a number from 0 to 1"),
        ("loop.learning_rate=-1", "loop.learning_rate is -1; it must be a number above 0 and at most 10"),
        ("loop.learning_rate=1e400", "loop.learning_rate is inf; it must be a number above 0 and at most 10"),
        ("loop.clip=nan", "loop.clip is nan; it must be a number from 0 to 1 000 000 000"),
        ("loop.betas=[0.9, 1.0]", "loop.betas is [0.9, 1.0]; it must be two numbers of at least 0 and below 1"),
        ("loop.precision=fp8", 'loop.precision is "fp8"; it must be "auto", "bf16" or "no"'),
        ("loop.ema=1.0", "loop.ema is 1.0; it must be a number of at least 0 and below 1"),
        ("loop=3", "loop is 3; it must be a table of settings, each set as KEY.NAME=VALUE"),
        ("mixing.level=3", "mixing.level is 3; it must be true or false"),
        ("mixing.chance=0", "mixing.chance is 0; it must be a number above 0 and at most 1"),
        (
            "mixing.quiet_db=[0, -6]",
            "mixing.quiet_db is [0, -6]; it must be two numbers from -120 to 60, in ascending order",
        ),
        ("loss.x=1", 'no setting named "loss.x": loss is a value'),
        ("nonsense", '"nonsense" is not KEY=VALUE\nwrite --set KEY=VALUE, as in --set loop.batch_size=32'),
        ("spec.channels=1", "spec.channels is 1; it must be 2, because the mixtures are stereo"),
        ("spec.sample_rate=-1", "spec.sample_rate is -1; it must be a whole number from 1 000 to 384 000"),
        ("spec.segment=abc", 'spec.segment is "abc"; it must be a whole number from 256 to 16 777 216'),
        ("spec.rate=8000", 'no setting named "spec.rate"\nknown: spec.sample_rate, spec.channels, spec.segment'),
        ("seed=-1", "seed is -1; it must be a whole number of at least 0 and below 8 388 608"),
        ("seed=" + "9" * 30, f"seed is {'9' * 30}: a whole number of more than 64 bits"),
        ("validation_share=7", "validation_share is 7; it must be a number above 0 and below 1"),
        ("architecture=transformer", 'architecture is "transformer"; it must be one of convnext, mobilenet'),
        ("kind=pitch", 'kind is "pitch"; it must be "classifiers"\nknown: atto, mobilenet, paper, small'),
        ("options.hoplength=1", 'no setting named "options.hoplength"\ndid you mean "options.hop_length"?'),
        ("options.n_fft=8.5", "options.n_fft is 8.5; it must be a whole number from 16 to 32 768"),
        ("options.patch=[4, 4, 4]", "options.patch is [4, 4, 4]; it must be two whole numbers from 1 to 64"),
        ("options.level_head=loud", 'options.level_head is "loud"; it must be true or false or "cells"'),
        (
            "options.backbone=hf-hub:x",
            'options.backbone is "hf-hub:x"; it must be the name of a ConvNeXt, such as convnext_atto',
        ),
    ],
)
def test_invalid_values_are_refused_with_name_value_and_range(override, message):
    with pytest.raises(ConfigError) as caught:
        read("small", [override])
    assert str(caught.value) == f"--set: {message}"


def test_errors_in_a_file_name_the_file(tmp_path):
    """And the option where it is."""
    mine = written(tmp_path, "[loop]\nwarmup = -1")
    with pytest.raises(ConfigError, match=rf"^{mine}: loop\.warmup is -1; it must be a number from 0 to 1$"):
        read(mine, ["loop.clip=2"])
    assert read(mine, ["loop.warmup=0"]).loop.warmup == 0
    with pytest.raises(ConfigError, match=r"^--weights: loop\.warmup is 3; it must be"):
        read(mine, [Assignment("loop.warmup", 3, "--weights")])
    with pytest.raises(ConfigError, match=rf"^{mine}: spec is missing; it must be a table of settings"):
        read(written(tmp_path, "", spec=""))


def test_floats_without_a_fraction_are_integers():
    assert read("small", ["loop.examples=1e6"]).loop.examples == 1_000_000
    assert str(read("small", ["loop.examples=1e6"]).loop.examples) == "1000000"


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
        (b"seed = 1\nseed = 2\n", "line 2, column 9: not TOML: duplicate key"),
        (b"[loop]\nsteps = 0x" + b"f" * 5000, "loop.steps: a whole number of more than 64 bits"),
        (b"seed = 1\0", "mine.toml"),
    ],
)
def test_other_files_are_refused_by_name(content, message, tmp_path):
    (tmp_path / "mine.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        read(tmp_path / "mine.toml")
    assert "mine.toml" in caught.value.message


def test_a_recipe_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "mine.toml").write_bytes(b"\xef\xbb\xbf" + (files("stemclean") / "recipes" / "small.toml").read_bytes())
    assert read(tmp_path / "mine.toml").spec == read("small").spec


def test_every_number_has_bounds():
    """So that none reaches a model, a mixer or a loop that it would break."""
    for kind in (ClassifierRecipe, SeparatorRecipe, TrackerRecipe, JointConfig):
        for name, schema in numbers(kind.model_json_schema()):
            low, high = ({"minimum", "exclusiveMinimum"} & set(schema), {"maximum", "exclusiveMaximum"} & set(schema))
            assert (bool(low), bool(high)) == (True, True), f"{kind.__name__}: {name}"


def numbers(schema, name=""):
    """Name and schema of every number in a schema."""
    if isinstance(schema, dict):
        if schema.get("type") in ("number", "integer"):
            yield name, schema
        for key, value in schema.items():
            yield from numbers(value, key if key != "items" else name)
    elif isinstance(schema, list):
        for value in schema:
            yield from numbers(value, name)


def test_clip_0_disables_clipping():
    assert read("small", ["loop.clip=0"]).loop.clip == 0
    assert (read("small").loop.betas, read_separator("hdemucs-paper").loop.betas) == ((0.9, 0.98), (0.9, 0.999))
