"""The parts of a half-clean stem: each second is kept for one class, or left out once for one reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemclean.exporting.cutting import MIN_PART, good_parts
from stemclean.exporting.targets import Targets
from stemclean.manifest import Region, Stem

LABELS = ["vocals", "bass", "drums", "other"]
EACH = Targets.of(None, LABELS)
TWO = Targets.of(("vocals", "accompaniment"), LABELS)
NESTED = Targets.of({"vocals": ["vocals"], "rhythm": ["bass", "drums"], "drums": ["drums"]}, LABELS)


def stem(labels: list[str], *regions: tuple[float, float, list[str]], seconds: float = 20.0) -> Stem:
    return Stem(
        id="a", track="t", path="a.wav", sample_rate=100, channels=2, num_samples=round(seconds * 100),
        claimed=["drums"], labels=labels,
        regions=[Region(start=start, end=end, labels=held) for start, end, held in regions],
    )  # fmt: skip


def test_a_clean_stem_is_kept_whole_with_its_silence() -> None:
    assert good_parts(stem(["drums"], (1, 5, ["drums"]), (9, 12, ["drums"])), EACH).kept == {"drums": None}
    assert good_parts(stem(["drums"]), EACH).kept == {"drums": None}


def test_a_mixed_stem_without_regions_is_lost() -> None:
    parts = good_parts(stem(["bass", "drums"]), EACH)
    assert (parts.kept, parts.lost) == ({}, [(["bass", "drums"], "several_classes", 20.0)])


def test_each_part_of_a_mixed_stem_goes_to_the_class_that_it_fits() -> None:
    mixed = stem(["bass", "drums"], (0, 5, ["drums"]), (5, 8, ["bass", "drums"]), (8, 9, ["drums"]), (11, 20, ["bass"]))
    parts = good_parts(mixed, EACH)
    assert parts.kept == {"bass": ((11, 20),), "drums": ((0, 5), (8, 9))}
    assert parts.lost == [(["bass", "drums"], "several_classes", 3.0), (["bass", "drums"], "silent", 2.0)]
    assert good_parts(mixed, TWO).kept == {"accompaniment": None}


def test_silence_between_two_good_parts_is_kept_and_a_bad_part_cuts() -> None:
    bleeding = stem(["drums"], (1, 4, ["drums"]), (6, 9, ["drums"]), (9, 12, ["drums", "vocals"]), (12, 19, ["drums"]))
    parts = good_parts(bleeding, EACH)
    assert parts.kept == {"drums": ((1, 9), (12, 19))}
    assert parts.lost == [(["drums", "vocals"], "several_classes", 3.0), (["drums"], "silent", 2.0)]


def test_what_fits_a_target_as_a_whole_is_not_taken_apart() -> None:
    both = stem(["bass", "drums"], (0, 10, ["drums"]), (10, 20, ["bass", "drums"]))
    assert good_parts(both, NESTED).kept == {"rhythm": None}


def test_a_class_that_is_no_label_of_the_stem_is_not_taken_from_its_regions() -> None:
    parts = good_parts(stem(["drums"], (0, 15, ["drums"]), (15, 20, ["vocals"])), EACH)
    assert parts.kept == {"drums": ((0, 15),)}
    assert parts.lost == [(["vocals"], "other_class", 5.0)]


def test_short_parts_and_unknown_ones_are_lost() -> None:
    parts = good_parts(stem(["drums"], (0, 0.9, ["drums"]), (0.9, 5, []), (5, 20, ["drums"])), EACH)
    assert parts.kept == {"drums": ((5, 20),)}
    assert [(reason, pytest.approx(seconds)) for _, reason, seconds in parts.lost] == [
        ("too_short", 0.9), ("no_class", 4.1),
    ]  # fmt: skip


@given(
    st.sets(st.sampled_from(LABELS), min_size=1),
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 20), st.sets(st.sampled_from(LABELS))), max_size=8),
    st.sampled_from([EACH, TWO, NESTED]),
)
def test_every_second_is_kept_or_lost_once(
    labels: set[str], pieces: list[tuple[int, int, set[str]]], targets: Targets
) -> None:
    at, regions = 0.0, []
    for tenths, gap, held in pieces:
        at = round(at + gap / 10, 6)
        regions.append((at, round(at + tenths / 10, 6), sorted(held)))
        at = round(at + tenths / 10, 6)
    found = stem(sorted(labels), *regions, seconds=50.0)
    parts = good_parts(found, targets)
    kept = sum(50.0 if spans is None else sum(end - start for start, end in spans) for spans in parts.kept.values())
    assert kept + sum(seconds for _, _, seconds in parts.lost) == pytest.approx(50.0)
    for target, spans in parts.kept.items():
        for start, end in spans or [(0.0, 50.0)]:
            assert end - start >= MIN_PART
            inside = [held for a, b, held in regions if a < end and b > start]
            assert all(held and set(held) <= set(targets.members[target]) for held in inside)
