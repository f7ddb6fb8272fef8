"""The small training set of the benchmarks: the same part of the full one on every machine."""

from __future__ import annotations

from collections import Counter

from benchmarks.training_set.fewer import fewer
from benchmarks.training_set.track import Job


def jobs():
    midi = [
        Job("midi", f"midi_{number}_{version}", "test" if number < 3 else "train", {"version": version})
        for version in ("written", "recast", "solo")
        for number in range(20)
    ]
    voices = [
        Job("voices", f"voice_{kind}_{split}_{number}", split, {"kind": kind})
        for kind in ("singing", "speech")
        for split in ("train", "validation", "test")
        for number in range(5)
    ]
    return [*midi, *voices, *(Job("singing", f"pjs_{number}", "train", {"path": "x.ogg"}) for number in range(9))]


def test_a_few_training_songs_and_all_held_out_songs():
    by_kind = {kind: [job for job in jobs() if job.kind == kind] for kind in ("midi", "voices", "singing")}
    kept = {kind: fewer(same, 4) for kind, same in by_kind.items()}
    splits = {kind: dict(Counter(job.split for job in same)) for kind, same in kept.items()}
    assert splits == {"midi": {"test": 3, "train": 4}, "voices": {"train": 4, "test": 5}, "singing": {"train": 4}}
    every = [job for same in kept.values() for job in same]
    assert all(job.params["as_recorded"] for job in every)
    assert {job.params["version"] for job in kept["midi"]} == {"written"}
    assert {job.params["kind"] for job in kept["voices"]} == {"singing"}


def test_selection_is_independent_of_order_and_nested():
    first = [job.track for job in fewer(jobs(), 3)]
    assert sorted(first) == sorted(job.track for job in fewer(jobs()[::-1], 3))
    assert set(first) < {job.track for job in fewer(jobs(), 5)}
    sung = [job for job in jobs() if job.kind == "singing"]
    assert [job.track for job in fewer(sung, 3)] == ["pjs_2", "pjs_3", "pjs_6"]
