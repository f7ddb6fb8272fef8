"""Settings: every value is checked, every error names its setting, and settings without effect are refused."""

from __future__ import annotations

import math
import pickle
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

import stemclean
from stemclean.cli import app
from stemclean.data.aligned import AlignedMixing
from stemclean.data.mixing import MixingConfig
from stemclean.data.planting import CorruptConfig
from stemclean.data.sources import SourceMixing
from stemclean.errors import ConfigError
from stemclean.f0 import F0Config
from stemclean.layouts import base
from stemclean.models import options, registry
from stemclean.refining.config import RefineConfig, SelfConfig
from stemclean.separate import SeparateConfig
from stemclean.settings import SettingError, Settings, assignment, shown
from stemclean.training.calibrate import CalibrationConfig
from stemclean.training.joint import JointConfig
from stemclean.training.loop import LoopConfig
from stemclean.training.recipe import (
    ClassifierRecipe,
    SeparatorRecipe,
    TrackerRecipe,
    read,
    read_joint,
    read_separator,
    read_tracker,
)
from stemclean.training.separate import LossConfig
from stemclean.trim import TrimConfig

BAND = Path(__file__).parents[1] / "examples" / "noisy_band"

NONSENSE = (
    "banana", '""', "-1", "0", "1.5", "nan", "1e400", "9223372036854775807", "1" + "0" * 400, "true", "[]", "[1]",
    '[1, "a"]', "[" * 60 + "]" * 60, "[" * 900 + "]" * 900, "{a = 1}", '"\\u0000\\u001b[31m"', "x\ny = 1", "a" * 5000,
)  # fmt: skip
"""TOML values and words, of which a few may be meant by a few settings."""

RECIPES = {
    "small": read, "xumx-small": read_separator, "rmvpe-small": read_tracker, "hdemucs-small": read_separator,
    "band-split-small": read_separator, "unet-vocals-small": read_separator, "crepe-small": read_tracker,
    "harmof0-small": read_tracker,
}  # fmt: skip
VERBS = (RefineConfig, SelfConfig, TrimConfig, CorruptConfig, F0Config, SeparateConfig, JointConfig)
WRITERS = [name for name, layout in base.layouts().items() if isinstance(layout, base.Writer)]


def keys_of(name):
    """Full names of all that a recipe may set: the options of its architecture, and what all of its kind have."""
    recipe = RECIPES[name](name)
    model = options.settings_of(recipe.kind, recipe.architecture)
    yield from (model.key(option) for option in model.model_fields)
    if list(RECIPES.values()).index(RECIPES[name]) == list(RECIPES).index(name):  # the first of its kind
        for key, value in recipe:
            yield key
            if isinstance(value, Settings):
                yield from (value.key(part) for part in type(value).model_fields)


def refused(act):
    """The line with which something is refused; None: it was not."""
    try:
        act()
    except ConfigError as error:
        return error.message if error.exit_code == 2 else f"exit {error.exit_code}"
    return None


def at(document, key):
    for part in key.split("."):
        document = document[part]
    return document


def is_taken(value, raw):
    """Whether what stands in a recipe is what was given: lists as tuples, whole numbers as they are."""
    if isinstance(raw, list):
        return tuple(value) == tuple(raw)
    return value == raw and isinstance(value, bool) == isinstance(raw, bool)


@pytest.mark.parametrize("name", RECIPES)
def test_invalid_recipe_values_are_refused_in_one_line(name, monkeypatch):
    """Or taken as it is, where it may be meant; nothing else ever happens."""
    monkeypatch.setattr(registry, "check", lambda *_: None)  # what it says of options that do not go together
    for key in keys_of(name):
        for text in NONSENSE:
            override = f"{key}={text}"
            line = refused(lambda override=override: RECIPES[name](name, [override]))
            if line is None:
                recipe, value = RECIPES[name](name, [override]), assignment(override).value
                assert isinstance(value, dict) or is_taken(at(recipe.to_dict(), key), value), override
            else:
                assert re.match(rf"--set: .*{key.partition('.')[0]}.*", line) and "\n" not in line, (override, line)
                assert len(line) < 400, (override, line)


@pytest.mark.parametrize("kind", VERBS)
def test_invalid_settings_of_a_verb_are_refused_by_name(kind):
    values = [assignment(f"x={text}").value for text in NONSENSE if not re.match(r"1000|\[{900}", text)]
    for name in kind.model_fields:
        for value in [*values, 10**400, -(10**5000), None, object()]:
            line = refused(lambda name=name, value=value: kind(**{name: value}))
            if line is None:
                assert getattr(kind(**{name: value}), name) == value
            else:
                assert "\n" not in line and (name in line or "the shares add up to" in line or "min_gap" in line), line


@pytest.mark.parametrize("name", WRITERS)
def test_invalid_format_options_are_refused_by_name(name):
    names = list(type(base.writer(name)).model_fields) if isinstance(base.writer(name), Settings) else []
    values = [assignment(f"x={text}").value for text in NONSENSE if not re.match(r"1000|\[{900}", text)]
    for key in (*names, "quiet", "sample_rate", "name", "self", "to", "section", "layout"):
        for value in values:
            line = refused(lambda key=key, value=value: base.writer(name, {key: value}))
            if line is None:
                assert key in names and getattr(base.writer(name, {key: value}), key) == value
            else:
                assert key in line and "\n" not in line, line


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize(
    "text", ["x", "=", "quiet=true", "sample_rate=8000", "destination=x", "a.b=3", "x=" + "9" * 99]
)
def test_unknown_format_options_exit_with_2(name, text, tmp_path):
    result = CliRunner().invoke(app, ["export", str(BAND), str(tmp_path / "o"), "--to", name, "--set", text])
    assert (result.exit_code, result.stderr.splitlines()[0][:12]) == (2, "error: --set"), result.stderr


def test_the_error_names_the_allowed_values(tmp_path):
    words = ["export", str(BAND), str(tmp_path / "out"), "--to", "zfturbo", "--set", "chunk_size=abc"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    message = 'error: --set: chunk_size is "abc"; it must be a whole number from 1 to 2 147 483 648'
    assert " ".join(result.stderr.split()) == message


@pytest.mark.parametrize(
    ("verb", "more", "message"),
    [
        ("train-classifier", ["--loss", "banana"], '--loss: loss is "banana"; it must be "l1", "bce" or "gce"'),
        ("train-classifier", ["--seed", "-1"], "--seed: seed is -1; it must be a whole number of at least 0 and below"),
        ("train-separator", ["--set", "spec.segment=abc"], '--set: spec.segment is "abc"; it must be a whole number'),
        ("train-separator", ["--robust", "x"], '--robust: loss.robust is "x"; it must be "none", "masked" or'),
        (
            "train-separator",
            ["--whole-stems", "--multi-label-probability", "0"],
            "--whole-stems: mixing.whole_stems is",
        ),
        (
            "train-joint",
            ["--set", "joint.sep_weight=9"],
            "--set: joint.sep_weight is 9; it must",
        ),
        ("train-separator", ["--set", "joint.sep_weight=1"], "--set: settings of joint are for joint training"),
        ("train-separator", ["--set", "tracker.blur=true"], "--set: settings of tracker are for joint training"),
        ("train-tracker", ["--set", "calibration.excerpts=3"], '--set: no setting named "calibration"'),
        (
            "refine",
            ["--self", "--set", "loop.precision=banana"],
            '--set: loop.precision is "banana"; it must be "auto",',
        ),
    ],
)
def test_command_errors_name_the_option(verb, more, message, tmp_path):
    output = tmp_path / ("out.json" if verb == "refine" else "out.safetensors")
    result = CliRunner().invoke(app, [verb, str(BAND), "-o", str(output), *more])
    assert result.exit_code == 2 and f"error: {message}" in " ".join(result.stderr.split()), result.stderr


SOURCE = Path(stemclean.__file__).parent
READERS = {
    MixingConfig: ["data/mixing.py"],
    SourceMixing: ["data/sources.py"],
    AlignedMixing: ["data/aligned.py"],
    LoopConfig: ["training/loop.py"],
    CalibrationConfig: ["training/calibrate.py"],
    LossConfig: ["training/separate.py"],
    JointConfig: ["training/joint.py", "training/joint_run.py"],
    ClassifierRecipe: ["training/classifier_run.py", "training/recipe.py", "training/layers.py"],
    SeparatorRecipe: ["training/separator_run.py", "training/recipe.py", "training/layers.py"],
    TrackerRecipe: ["training/tracker_run.py", "training/recipe.py", "training/layers.py"],
}
"""Settings -> the files that act on them."""


@pytest.mark.parametrize("kind", READERS)
def test_every_setting_is_used(kind):
    text = "".join((SOURCE / name).read_text(encoding="utf-8") for name in READERS[kind])
    fields = "".join(re.findall(rf"class {kind.__name__}\(Settings\):.*?\n\n\n", text, re.DOTALL))
    text = text.replace(fields, re.sub(r'""".*?"""', "", fields, flags=re.DOTALL))
    holder = r"\b(?:config|loss|mixing|recipe|self|given)\."
    unread = [name for name in kind.model_fields if not re.search(rf"{holder}{name}\b", text)]
    assert unread in ([], ["name"])  # of a recipe, for its card


IDLE = [
    (read, "small", ["mixing.level=false", "mixing.quiet_chance=0.4"], "mixing.quiet_chance"),
    (read, "small", ["mixing.level=false", "mixing.quiet_db=[-9, -3]"], "mixing.quiet_db"),
    (read, "small", ["mixing.quiet_chance=0", "mixing.quiet_db=[-9, -3]"], "mixing.quiet_db"),
    (read, "paper", ["mixing.peak_db=[-3, 3]"], "mixing.peak_db"),
    (read, "small", ["disguised=0", "equalizer_db=3"], "equalizer_db"),
    (read, "small", ["disguised=0", "masks=3"], "masks"),
    (read, "paper", ["disguised=0.3"], "disguised"),
    (read, "small", ["calibration.segments=3"], "calibration.segments"),
    (read, "small", ["calibration.bleed_chance=0.3"], "calibration.bleed_chance"),
    (read, "small", ["calibration={bleed_db = [-9, -3]}"], "calibration.bleed_db"),
    (read, "atto", ["calibration.bleed_chance=0", "calibration.bleed_db=[-9, -3]"], "calibration.bleed_db"),
    (read, "small", ["loop.micro_batch_size=65"], "loop.micro_batch_size"),
    (read_separator, "xumx-small", ["loss.n_fft=2048"], "loss.n_fft"),
    (read_separator, "xumx-small", ["loss.kind=mse", "loss.hop_length=512"], "loss.hop_length"),
    (read_separator, "xumx-small", ["loss.keep=[[0, 0.9]]", "loss.robust=masked"], "loss.robust"),
    (read_separator, "unet-vocals-small", ["mixing.swap_chance=0.5"], "mixing.swap_chance"),
    (read_separator, "unet-vocals-small", ["mixing.whole_stems=true"], "mixing.whole_stems"),
    (read_separator, "unet-vocals-small", ["mixing.min_piece=2"], "mixing.min_piece"),
    (read_separator, "xumx-paper", ["mixing.min_piece=2"], "mixing.min_piece"),
    (read_separator, "xumx-small", ["options.layers=1", "options.dropout=0.2"], "options.dropout"),
    (read_separator, "hdemucs-small", ["options.dconv_depth=0", "options.dconv_lstm=2"], "options.dconv_lstm"),
    (read_tracker, "rmvpe", ["mixing.swap_chance=0.5"], "mixing.swap_chance"),
]  # fmt: skip


@pytest.mark.parametrize(("reader", "name", "overrides", "key"), IDLE)
def test_a_setting_without_effect_is_refused(reader, name, overrides, key):
    with pytest.raises(SettingError, match=rf"^--set: {key} is .*, but does nothing \w+") as caught:
        reader(name, overrides)
    assert (caught.value.key, caught.value.hint) == (key, "leave it out")


@pytest.mark.parametrize(
    ("reader", "name", "overrides"),
    [
        (read, "atto", ["calibration.excerpts=0"]),  # what its file says of it is moot
        (read, "small", ["mixing.level=false", "mixing.quiet_chance=0"]),  # off, as said
        (read, "small", ["mixing.level=false"]),
        (read_separator, "hdemucs-paper", ["loop.batch_size=4"]),
        (read_separator, "xumx-paper", ["loss.kind=l1"]),
        (read_separator, "xumx-small", ["loss.kind=magnitude", "loss.n_fft=2048"]),
    ],
)
def test_an_option_may_disable_settings_of_the_file(reader, name, overrides):
    read_so = reader(name, overrides)
    for override in map(assignment, overrides):
        assert at(read_so.to_dict(), override.key) == override.value


def small(folder, name, **changes):
    """A copy of a recipe of the package, changed by text."""
    text = (SOURCE / "recipes" / f"{name}.toml").read_text(encoding="utf-8")
    for before, after in changes.values():
        assert before in text
        text = text.replace(before, after)
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_with_a_setting_without_effect_is_refused(tmp_path):
    mine = small(tmp_path, "small", loss=('effects = "mild"', 'effects = "mild"\nlevel = false\nquiet_chance = 0.4'))
    with pytest.raises(
        SettingError, match=rf"^{mine}: mixing.quiet_chance is 0.4, but does nothing where mixing.level"
    ):
        read(mine)
    assert read(mine, ["mixing.level=true"]).mixing.quiet_chance == 0.4
    mine = small(tmp_path, "xumx-small", loss=('kind = "l1"', 'kind = "l1"\nhop_length = 512'))
    with pytest.raises(SettingError, match=rf"^{mine}: loss.hop_length is 512, but does nothing"):
        read_separator(mine)


def test_a_joint_file_with_a_setting_without_effect_is_refused(tmp_path):
    """The package's own recipes serve both kinds of training, and what they say of the other one is passed over."""
    assert read_joint("xumx-paper", "rmvpe").separator.mixing.multi_label_probability == 0.4
    tracker = small(tmp_path, "rmvpe-small")
    with pytest.raises(SettingError, match=rf"^{tracker}: .* is .*, but does nothing in joint training"):
        read_joint("unet-vocals-small", tracker)
    head = tracker.read_text(encoding="utf-8").partition("[mixing]")[0].replace("validation_", "# validation_")
    tracker.write_text(head, encoding="utf-8")
    assert read_joint("unet-vocals-small", tracker).tracker.options["n_mels"] == 96
    separator = tmp_path / "separator.toml"
    small(tmp_path, "unet-vocals-small", chance=("multi_label_probability = 0.0", "multi_label_probability = 0.2"))
    (tmp_path / "mine.toml").rename(separator)
    with pytest.raises(SettingError, match=rf"^{separator}: mixing.multi_label_probability is 0.2, but does nothing"):
        read_joint(separator, "rmvpe")
    assert read_joint(small(tmp_path, "unet-vocals-small"), "rmvpe").separator.options["n_fft"] == 1024


@pytest.mark.parametrize(
    ("reader", "name", "override", "message"),
    [
        (read, "small", "options.hop_length=1000", "stride"),
        (read, "small", "options.backbone=convnext_none", "cannot be built"),
        (read_separator, "band-split-small", "options.heads=7", "width 48 with 7 heads"),
        (read_separator, "unet-vocals-small", "options.fold=3", "cannot be folded by 3"),
        (read_separator, "band-split-paper", "options.width=8192", "parameters or more"),
    ],
)
def test_conflicting_options_are_refused_before_reading_data(reader, name, override, message, tmp_path):
    with pytest.raises(ConfigError, match=rf"^--set: .*{message}"):
        reader(name, [override])
    key, _, value = override.partition("=")
    mine = tmp_path / "mine.toml"
    text = (SOURCE / "recipes" / f"{name}.toml").read_text(encoding="utf-8")
    table = re.sub(rf"\n{key.rpartition('.')[2]} = .*", "", text)
    toml = value if value.isdigit() else f'"{value}"'
    mine.write_text(table.replace("[options]", f"[options]\n{key.rpartition('.')[2]} = {toml}"), encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"^{mine}: .*{message}"):
        reader(mine)


def test_options_are_those_of_the_model():
    """Names, types and defaults are its own arguments'; every architecture of the package is checked at reading."""
    for kind in ("classifiers", "separators", "pitch"):
        for architecture in registry.names(kind):
            settings = options.settings_of(kind, architecture)
            defaults = {name: field.default for name, field in settings.model_fields.items()}
            assert defaults and settings(**{k: v for k, v in defaults.items() if v is not None}), architecture


def test_settings_are_frozen_comparable_and_picklable():
    loop = LoopConfig(clip=3, examples=1e3)
    assert (loop.clip, loop.examples, type(loop.examples)) == (3.0, 1000, int)
    assert pickle.loads(pickle.dumps(loop)) == loop == LoopConfig(clip=3.0, examples=1000)
    assert loop.changed(clip=1.0).to_dict(given=True) == {"examples": 1000, "clip": 1.0}
    with pytest.raises(SettingError, match=r"^loop\.clip is -1; it must be"):
        loop.changed(clip=-1)
    with pytest.raises(ValueError, match="frozen"):
        loop.clip = 1.0


def test_values_are_shown_as_toml():
    texts = {shown(value) for value in (True, None, "a\nb", [1, (2.5,)], {"a": 1}, math.nan, 10**400, -(10**5000))}
    assert texts == {
        "true", "none", '"a\\nb"', "[1, [2.5]]", "{a = 1}", "nan", "a number of 401 digits", "a number of 5001 digits",
    }  # fmt: skip
    assert len(shown("x" * 1000)) == len(shown([1] * 1000)) == 80
