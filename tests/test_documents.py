"""Any text is read, or refused at once with the position of the error."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import stemclean
from stemclean.documents import FlawError, json_of, toml_of, yaml_of

RECIPES = sorted((Path(stemclean.__file__).parent / "recipes").glob("*.toml"))

values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text() | st.integers(-(10**300), 10**300),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(values)
def test_json_is_read_like_the_standard_library(value: object) -> None:
    assert json_of(json.dumps(value)) == value


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_toml_is_read_like_the_standard_library(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert toml_of(text) == tomllib.loads(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{\n "a": 1,\n "b": {"c": 1, "d": 2, "c": 3}\n}', 'line 3, column 24: duplicate key "c" in an object'),
        ('[{"a": {"b": 1}, "x": "a: {["}, {"a": 1, "a": 2}]', 'line 1, column 42: duplicate key "a"'),
        ('{"k\\u0041": 1,\n"kA": 2}', 'line 2, column 1: duplicate key "kA"'),
        (
            '{"a": "' + "1" * 400 + '",\n "b": [1, -' + "1" * 400 + "]}",
            "line 2, column 11: a whole number of more than 308",
        ),
        ("9" * 5000, "line 1, column 1: a whole number of more than 308 digits"),
        ('{"a":\n' + "[" * 100_000, "line 2, column 64: nested too deeply"),
        ('{"a": ' * 5000 + "1" + "}" * 5000, "line 1, column 385: nested too deeply"),
        ("[" * 65 + "]" * 65, "line 1, column 65: nested too deeply"),
        ('{"a": 1\n "b": 2}', "line 2, column 2: not JSON: Expecting ',' delimiter"),
        ("", "line 1, column 1: not JSON: Expecting value"),
    ],
)
def test_a_json_error_has_a_position(text: str, message: str) -> None:
    with pytest.raises(FlawError) as caught:
        json_of(text)
    assert str(caught.value).startswith(message)


def test_an_error_in_a_line_has_its_number() -> None:
    with pytest.raises(FlawError, match=r'^line 412, column 9: duplicate key "a" in an object$'):
        json_of('{"a": 1,"a": 2}', line=412)


@pytest.mark.parametrize(("text", "cut"), [('{"a": [1,', True), ('{"a": "b', True), ('{"a" 1}', False)])
def test_truncated_json_is_reported_as_truncated(text: str, cut: bool) -> None:
    with pytest.raises(FlawError) as caught:
        json_of(text)
    assert caught.value.cut is cut


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = 1\nb = 2\na = 3\n", "line 3, column 6: not TOML: duplicate key"),
        ("[a.b]\nc = 1\n[a.b]\n", "line 3, column 5: not TOML: duplicate table [a.b]"),
        ("a = {b = 1}\n[a]\n", "line 2, column 3: not TOML: duplicate table [a]"),
        ('a = """\n' + "1" * 5000 + '"""\nb = ' + "2" * 5000, "line 3, column 5: a whole number of more than 64 bits"),
        ("[loop]\nsteps = 0x" + "f" * 6000, "loop.steps: a whole number of more than 64 bits"),
        ("a = [1, [2, 9223372036854775808]]", "a[1][1]: a whole number of more than 64 bits"),
        ("a = 1\nb = " + "[" * 3000, "line 2, column 69: nested too deeply"),
        ("a = " + "{b=" * 100 + "1" + "}" * 100, "line 1, column 197: nested too deeply"),
        (".".join("a" * 50_000) + " = 1", "line 1, column 1: nested too deeply"),
        ('"a".' * 50_000 + "a = 1", "line 1, column 260: nested too deeply"),
        ("a = ", "line 1: not TOML: Invalid value"),
    ],
)
def test_a_toml_error_has_a_position(text: str, message: str) -> None:
    with pytest.raises(FlawError) as caught:
        toml_of(text)
    assert str(caught.value) == message


def test_brackets_and_digits_in_strings_are_not_counted() -> None:
    text = "a = '''" + "[" * 500 + "'''\nb = \"" + "1" * 500 + '"\n# ' + "[" * 500 + "\n" + "9" * 400 + " = 1\n"
    assert toml_of(text + "c = [" + ", ".join(["1.5"] * 500) + "]") == {
        "a": "[" * 500,
        "b": "1" * 500,
        "9" * 400: 1,
        "c": [1.5] * 500,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1, 2\nb: 3", "line 2, column 2: not YAML"),
        ("a: !!python/object/apply:os.system [ls]", "line 1, column 4: not YAML"),
        ("a: 2020-13-45", "not YAML"),
        ("a: " + "[" * 20_000, "not YAML"),
        ("a: " + "9" * 10_000, "not YAML"),
        ("a\0b", "not YAML"),
        ("{[1]: 2}", "not YAML"),
    ],
    ids=["bracket", "tag", "date", "deep", "long", "NUL", "key"],
)
def test_yaml_is_refused_with_its_position(text: str, message: str) -> None:
    with pytest.raises(FlawError, match=message):
        yaml_of(text)


def test_yaml_may_say_yes_in_any_form() -> None:
    assert yaml_of("a: &x [yes, 'no']\nb: *x") == {"a": [True, "no"], "b": [True, "no"]}
