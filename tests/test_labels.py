"""What names say, and what they do not."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemclean.errors import ConfigError
from stemclean.labels import FOUR_STEMS, MIXTURE, PROFILES, profile


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("vocals", "vocals"),
        ("Lead Vox 2", "vocals"),
        ("BGVs_L", "vocals"),
        ("AdLibs", "vocals"),
        ("bass", "bass"),
        ("Bass DI", "bass"),
        ("03-SynthBass", "bass"),
        ("Kick_In", "drums"),
        ("bass drum", "drums"),
        ("HiHat", "drums"),
        ("OH L", "drums"),
        ("drum mix", "drums"),
        ("EGtr-R", "other"),
        ("Rhodes", "other"),
        ("bass clarinet", "other"),
        ("mixture", MIXTURE),
        ("Song - Full Mix", MIXTURE),
        ("MASTER", MIXTURE),
    ],
)
def test_words_that_tell(name: str, label: str) -> None:
    assert FOUR_STEMS.find(name) == label


@pytest.mark.parametrize(
    "name", ["", "01", "stem 4", "take three", "song 1", "bassoonist?", "drums and bass", "vox+gtr"]
)
def test_none_or_two_are_not_guessed(name: str) -> None:
    assert FOUR_STEMS.find(name) is None


@pytest.mark.parametrize(
    ("name", "label"), [("808", None), ("TR-808", "drums"), ("808 Bass", "bass"), ("bass_808", "bass")]
)
def test_numbers_are_words(name: str, label: str | None) -> None:
    assert FOUR_STEMS.find(name) == label


def test_a_folder_must_be_a_class_and_nothing_else() -> None:
    assert [FOUR_STEMS.exact(name) for name in ("Drums", "01_drum_loops", "Bass Stems", "vox (clean)", "mixture")] == [
        "drums", "drums", "bass", "vocals", MIXTURE,
    ]  # fmt: skip
    assert [FOUR_STEMS.exact(name) for name in ("Piano Man", "song", "drums and bass", "2024", "stems")] == [None] * 5


def test_the_song_stands_before_the_class() -> None:
    assert FOUR_STEMS.before("My Song_Lead Vox 2") == "My Song"
    assert FOUR_STEMS.before("01 - Artist - Title (Drums)") == "01 - Artist - Title"
    assert FOUR_STEMS.before("kick") == ""
    assert FOUR_STEMS.before("nothing here") == "nothing here"


def test_decomposed_names_are_the_same_names() -> None:
    """macOS writes é as e and an accent of its own."""
    name = "Café_vocals"
    assert FOUR_STEMS.before(unicodedata.normalize("NFD", name)) == "Café"
    assert FOUR_STEMS.find(unicodedata.normalize("NFD", name)) == "vocals"


@given(st.text(max_size=40))
def test_any_text_is_a_name(name: str) -> None:
    assert FOUR_STEMS.find(name) in {*FOUR_STEMS.labels, MIXTURE, None}
    assert FOUR_STEMS.exact(name) in {FOUR_STEMS.find(name), None}
    FOUR_STEMS.before(name)


@pytest.mark.parametrize("name", list(PROFILES))
def test_no_word_means_two_classes(name: str) -> None:
    chosen = profile(name)
    seen: dict[str, str] = {}
    for label, words in chosen.aliases.items():
        for word in (label, *words):
            assert seen.setdefault(word, label) == label, f'"{word}" is both {seen[word]} and {label}'
            assert chosen.find(word) == label
            assert chosen.find(word.title()) == label


def test_an_unknown_profile_names_the_known() -> None:
    with pytest.raises(ConfigError, match='no class profile named "five"') as caught:
        profile("five")
    assert "4stems" in caught.value.hint
