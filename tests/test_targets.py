"""The rule that assigns audio to target classes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemclean.errors import ConfigError
from stemclean.exporting.targets import Targets, parse_classes

LABELS = ["vocals", "bass", "drums", "other"]


def test_by_default_each_class_is_a_target() -> None:
    assert Targets.of(None, LABELS).members == {label: (label,) for label in LABELS}


def test_accompaniment_is_every_class_that_is_not_named() -> None:
    targets = Targets.of(("vocals", "accompaniment"), LABELS)
    assert targets.members == {"vocals": ("vocals",), "accompaniment": ("bass", "drums", "other")}
    assert targets.holding(["drums", "bass"]) == "accompaniment"
    assert targets.holding(["drums", "vocals"]) is None


def test_a_class_of_the_manifest_called_accompaniment_is_itself() -> None:
    targets = Targets.of(("vocals", "accompaniment"), ["vocals", "accompaniment", "noise"])
    assert targets.members["accompaniment"] == ("accompaniment",)


@given(st.sets(st.sampled_from(LABELS)))
def test_audio_goes_to_the_smallest_target_that_holds_all_of_it(labels: set[str]) -> None:
    targets = Targets.of({"all": LABELS, "rhythm": ["drums", "bass"], "drums": ["drums"]}, LABELS)
    target = targets.holding(labels)
    if not labels:
        assert target is None
        return
    assert target is not None
    held = targets.members[target]
    assert labels <= set(held)
    assert all(len(members) >= len(held) for members in targets.members.values() if labels <= set(members))
    assert (target in targets.touching(labels)) is True


@pytest.mark.parametrize("ending", [".toml", ".json"])
def test_a_file_lists_the_classes_of_each_target_in_order(ending: str, tmp_path: Path) -> None:
    text = {
        ".toml": 'rhythm = ["drums", "bass"]\nvocals = ["vocals"]\n',
        ".json": '{"rhythm": ["drums", "bass"], "vocals": ["vocals"]}',
    }
    path = tmp_path / f"classes{ending}"
    path.write_text(text[ending])
    classes = parse_classes(str(path))
    assert classes == {"rhythm": ("drums", "bass"), "vocals": ("vocals",)}
    assert Targets.of(classes, LABELS).members == {"rhythm": ("bass", "drums"), "vocals": ("vocals",)}


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (("vocals", "acompaniment"), 'the manifest has no class "acompaniment"'),
        (("vocals", "vocals"), '"vocals" is named twice'),
        (("vocals", "rest", "instrumental"), "rest and instrumental both mean all other classes"),
        ((*LABELS, "accompaniment"), "no class is left for accompaniment"),
        ((), "no class is named"),
        ({"rhythm": ("drum",)}, '"rhythm" holds "drum", which is not a class of the manifest'),
        ({"rhythm": ()}, '"rhythm" holds no class'),
        ({"a/b": ("drums",)}, "path separator"),
        ({"a": ("drums",), "b": ("drums",)}, '"b" and "a" hold the same classes'),
    ],
)
def test_what_cannot_be_meant_is_refused(classes: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        Targets.of(classes, LABELS)  # type: ignore[arg-type]
    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "text"), [("c.toml", "a ="), ("c.json", "[1]"), ("c.json", '{"a": "drums"}'), ("c.toml", "a = [1]")]
)
def test_a_file_that_is_no_such_table_is_refused_by_name(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=name) as caught:
        parse_classes(str(tmp_path / name))
    assert "accompaniment" in caught.value.hint


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"c\.toml: No such file"):
        parse_classes(str(tmp_path / "c.toml"))
