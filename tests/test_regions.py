"""Regions from scores, without flicker and within the active parts, and from known spans."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemclean.regions import labelled_regions, overlay

LABELS = ["vocals", "bass", "drums", "other"]


def test_regions_follow_a_class_that_comes_and_goes() -> None:
    scores = np.zeros((12, 4))
    scores[:, 2] = 0.99
    scores[3:6, 0] = [0.6, 0.95, 0.6]  # reaches back and forth by hysteresis
    scores[9, 0] = 0.6  # never reaches the threshold
    regions = labelled_regions(scores, LABELS, [(0.0, 12.0)], 1.0, on=0.9, off=0.5)
    assert [(r.start, r.end, r.labels) for r in regions] == [
        (0.0, 3.0, ["drums"]),
        (3.0, 6.0, ["vocals", "drums"]),
        (6.0, 12.0, ["drums"]),
    ]


def test_short_confident_sound_gets_a_region_and_uncertain_does_not() -> None:
    scores = np.zeros((240, 4))
    scores[:, 2], scores[:, 3] = 0.99, np.linspace(0.3, 0.89, 240)
    scores[100:110, 0] = 0.95  # the mean over the stem is 0.04
    regions = labelled_regions(scores, LABELS, [(0.0, 240.0)], 1.0, on=0.9, off=0.3)
    assert [(r.start, r.end, r.labels) for r in regions] == [
        (0.0, 100.0, ["drums"]),
        (100.0, 110.0, ["vocals", "drums"]),
        (110.0, 240.0, ["drums"]),
    ]


def test_a_claimed_class_has_a_lower_region_threshold() -> None:
    scores = np.full((4, 4), [0.7, 0.0, 0.7, 0.0])
    on = {"vocals": 0.9, "bass": 0.9, "drums": 0.5, "other": 0.9}  # it claims drums
    (region,) = labelled_regions(scores, LABELS, [(0.0, 4.0)], 1.0, on=on, off=0.5)
    assert region.labels == ["drums"]


def test_levels_are_mean_powers_of_active_classes() -> None:
    scores = np.tile([0.0, 0.95, 0.95, 0.0], (4, 1))
    levels_db = np.tile([-40.0, -1.0, -10.0, -40.0], (4, 1))
    levels_db[:, 2] = [-10.0, -20.0, np.nan, -10.0]
    (region,) = labelled_regions(scores, LABELS, [(0.0, 4.0)], 1.0, on=0.9, off=0.5, levels_db=levels_db)
    assert region.levels_db == {"bass": -1.0, "drums": round(10 * np.log10((0.1 + 0.01 + 0.1) / 3), 1)}
    unknown = np.full((4, 4), np.nan)
    (region,) = labelled_regions(scores, LABELS, [(0.0, 4.0)], 1.0, on=0.9, off=0.5, levels_db=unknown)
    assert region.levels_db == {}


@settings(deadline=None)  # a busy machine is no error
@given(
    st.lists(st.lists(st.floats(0, 1), min_size=2, max_size=2), min_size=1, max_size=30),
    st.lists(st.floats(0, 20), min_size=2, max_size=8, unique=True),
)
def test_regions_cover_the_active_parts_without_overlap(scores: list[list[float]], cuts: list[float]) -> None:
    cuts = sorted(round(cut, 3) for cut in cuts)
    duration = 0.7 * len(scores)
    active = [(a, min(b, duration)) for a, b in zip(cuts[::2], cuts[1::2], strict=False) if a < min(b, duration) - 1e-3]
    regions = labelled_regions(np.array(scores), ["x", "y"], active, 0.7, on=0.9, off=0.5)
    assert sum(r.end - r.start for r in regions) == pytest.approx(sum(b - a for a, b in active), abs=1e-4)
    for before, after in itertools.pairwise(regions):
        assert before.end <= after.start + 1e-9


_spans = st.lists(
    st.tuples(st.integers(0, 900), st.integers(1, 300)).map(lambda s: (s[0] / 10, (s[0] + s[1]) / 10)), max_size=5
)


@settings(deadline=None)  # a busy machine is no error
@given(_spans, _spans)
def test_an_overlay_follows_its_spans_at_every_moment(
    bass: list[tuple[float, float]], drums: list[tuple[float, float]]
) -> None:
    regions = overlay({"bass": bass, "drums": drums})
    for moment in np.arange(0.05, 125, 0.1):  # between the tenths that spans begin and end at
        labels_there = [region.labels for region in regions if region.start < moment < region.end]
        held = [name for name, spans in (("bass", bass), ("drums", drums)) if any(a < moment < b for a, b in spans)]
        assert labels_there == ([held] if held else [])
    for before, after in itertools.pairwise(regions):
        assert before.end < after.start or before.labels != after.labels
