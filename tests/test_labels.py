"""Classes in names of files and folders."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemclean.errors import ConfigError
from stemclean.labels import FOUR_STEMS, KARAOKE, MIXTURE, PROFILES, known_as, profile


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
        ("Vcl 2", "other"),
        ("Lead Vcl", "vocals"),
        ("BD_Sub", "drums"),
        ("OHs", "drums"),
        ("Splash", "drums"),
        ("MusicMan Bass", "bass"),
        ("Mando", "other"),
        ("Fl 1", "other"),
        ("Fl Tom", "drums"),
        ("bones", "drums"),
        ("chimes", "drums"),
        ("beatboxing", "vocals"),
        ("male screamer", "vocals"),
        ("tsuzumi", "drums"),
        ("djun djun", "drums"),
        ("bata", "drums"),
        ("theorbo", "other"),
        ("sackbut", "other"),
        ("hang drum", "drums"),
        ("My Ex_vocals", "vocals"),
    ],
)
def test_words_give_a_class(name: str, label: str) -> None:
    assert FOUR_STEMS.find(name) == label


@pytest.mark.parametrize(
    "name", ["", "01", "stem 4", "take three", "song 1", "bassoonist?", "drums and bass", "vox+gtr"]
)
def test_ambiguous_names_are_not_guessed(name: str) -> None:
    assert FOUR_STEMS.find(name) is None


@pytest.mark.parametrize(
    ("name", "label"), [("808", None), ("TR-808", "drums"), ("808 Bass", "bass"), ("bass_808", "bass")]
)
def test_numbers_are_separate_words(name: str, label: str | None) -> None:
    assert FOUR_STEMS.find(name) == label


def test_a_folder_name_must_be_exactly_a_class() -> None:
    assert [FOUR_STEMS.exact(name) for name in ("Drums", "01_drum_loops", "Bass Stems", "vox (clean)", "mixture")] == [
        "drums", "drums", "bass", "vocals", MIXTURE,
    ]  # fmt: skip
    assert [FOUR_STEMS.exact(name) for name in ("Piano Man", "song", "drums and bass", "2024", "stems")] == [None] * 5


def test_the_song_comes_before_the_class() -> None:
    assert FOUR_STEMS.before("My Song_Lead Vox 2") == "My Song"
    assert FOUR_STEMS.before("01 - Artist - Title (Drums)") == "01 - Artist - Title"
    assert FOUR_STEMS.before("kick") == ""
    assert FOUR_STEMS.before("nothing here") == "nothing here"


def test_decomposed_names_are_equivalent() -> None:
    """macOS writes é as e and an accent of its own."""
    name = "Café_vocals"
    assert FOUR_STEMS.before(unicodedata.normalize("NFD", name)) == "Café"
    assert FOUR_STEMS.find(unicodedata.normalize("NFD", name)) == "vocals"


@given(st.text(max_size=40))
def test_any_text_is_accepted(name: str) -> None:
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


SHORT = {"vocals": "v", "bass": "b", "drums": "d", "other": "o", MIXTURE: "m", None: "?"}


def judged(name: str) -> tuple[int, list[str], list[str]]:
    """Return the number of names in a list, those classified wrongly, and those missed."""
    lines = (Path(__file__).parent / "names" / name).read_text(encoding="utf-8").splitlines()
    results = [
        (stem, expected.split("|"), SHORT[FOUR_STEMS.find(stem)])
        for stem, expected in (line.split("\t") for line in lines if not line.startswith("#"))
    ]
    wrong = [stem for stem, expected, label in results if label not in expected and label in "vbdo"]
    missed = [stem for stem, expected, label in results if label not in expected and label not in "vbdo"]
    return len(results), wrong, missed


@pytest.mark.parametrize("name", ["known.tsv", "held_out.tsv", "multitracks.tsv"])
def test_names_of_known_datasets_are_recognised(name: str) -> None:
    """MedleyDB, MoisesDB, Cambridge-MT, DAWs, separators and other languages: 97 % are recognised, and none wrongly."""
    num, wrong, missed = judged(name)
    assert num >= 200
    assert wrong == []
    assert len(missed) <= 0.03 * num, missed


@pytest.mark.parametrize(
    "name",
    [
        "no_vocals", "Song (Without Drums)", "minus bass", "Mix w/o Vox", "Vocals Off", "drums removed", "bass muted",
        "all but the vocals", "everything except drums", "NOVOX", "drumless", "drum-free", "ohne Gesang", "sin voz",
        "sans batterie", "senza voce", "sem vocal", "без вокала", "ボーカル抜き", "ドラムなし", "no drums or bass",
        "Piano Man (No Vocals)", "Drum Song_no_drums", "song_no_vocals_htdemucs",
        "exVox", "ex vocals", "(-Drums) Song", "Song [-Vocals]",
    ],
)  # fmt: skip
def test_a_negated_class_is_not_claimed(name: str) -> None:
    reading = FOUR_STEMS.read(name)
    assert (reading.label, reading.partial) == (None, True)
    assert reading.absent


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("Drums (no bleed)", "drums"), ("Vocals No Reverb", "vocals"), ("Guitar No 2", "other"),
        ("Muted Trumpet", "other"), ("Drums without kick", "drums"), ("Free Drum Loop", "drums"), ("Kick Out", "drums"),
        ("Gtr w/o FX", "other"),
    ],
)  # fmt: skip
def test_a_negated_word_need_not_be_a_class(name: str, label: str) -> None:
    assert FOUR_STEMS.find(name) == label


def test_no_vocals_is_the_accompaniment() -> None:
    assert [KARAOKE.find(name) for name in ("no_vocals", "Song_(Instrumental)_UVR-MDX-NET-Voc_FT", "music")] == [
        "accompaniment"
    ] * 3
    assert KARAOKE.find("no accompaniment") == "vocals"
    assert [KARAOKE.find(name) for name in ("no drums", "drums", "vocals and drums")] == [None] * 3
    assert known_as(["vocals", "other"]).find("instrumental") == "other"


@pytest.mark.parametrize("name", ["UVR-MDX-NET-Voc_FT", "mel_band_roformer", "Kim_Vocal_2", "6_HP-Karaoke-UVR"])
def test_model_names_are_not_classes(name: str) -> None:
    reading = FOUR_STEMS.read(name)
    assert not reading.tells
    assert FOUR_STEMS.find(f"Piano Song_(Drums)_{name}") == "drums"
    assert FOUR_STEMS.before(f"My Song_(Drums)_{name}") == "My Song"


def test_mix_outranks_a_title_but_not_a_class() -> None:
    names = ("Piano Man_mixture", "Bass Nation MIX", "Drum Song - Master v2", "drum mix", "GTR MIX 2", "Vocal Bus Mix")
    assert [FOUR_STEMS.find(name) for name in names] == [MIXTURE] * 3 + ["drums", "other", "vocals"]
    assert FOUR_STEMS.find("Song_Vocal Mix") is None  # it may be the song, for the vocals


def test_a_title_before_the_class() -> None:
    assert FOUR_STEMS.find("Piano Man - Drums") == "drums"
    assert FOUR_STEMS.find("Bass Nation_STEM_02") is None
    assert FOUR_STEMS.find("instrumental_with_backing_vocals") is None


def test_titles_are_removed() -> None:
    name = "Piano Man drums"
    assert FOUR_STEMS.find(name) is None
    assert FOUR_STEMS.read(name, without={0, 6}).label == "drums"


def test_an_unknown_profile_names_the_known() -> None:
    with pytest.raises(ConfigError, match='no class profile named "five"') as caught:
        profile("five")
    assert "4stems" in caught.value.hint
