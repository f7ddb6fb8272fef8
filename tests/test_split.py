"""Validation tracks: whole, disjoint, of every class, and with declared splits respected."""

from __future__ import annotations

from stemclean.manifest import Stem
from stemclean.training.split import split_tracks


def stem(track: str, label: str, split: str | None = None) -> Stem:
    return Stem(
        id=f"{track}/{label}",
        track=track,
        path=f"{track}/{label}.wav",
        sample_rate=44100,
        channels=2,
        num_samples=100,
        claimed=[label],
        labels=[label],
        split=split,
    )


def test_every_class_is_in_training_and_validation():
    stems = [stem(f"song{n}", label) for n in range(20) for label in ("vocals", "drums")] + [
        stem(f"rare{n}", "bass") for n in range(2)
    ]
    train, validation = split_tracks(stems, share=0.1, seed=0)
    assert not train & validation
    assert train | validation == {s.track for s in stems}
    for label in ("vocals", "drums", "bass"):
        tracks_of_class = {s.track for s in stems if label in s.labels}
        assert tracks_of_class & train and tracks_of_class & validation
    assert len(validation) <= 5


def test_a_class_with_one_track_stays_in_training():
    train, validation = split_tracks(
        [stem("only", "vocals"), stem("a", "drums"), stem("b", "drums")], share=0.5, seed=0
    )
    assert "only" in train and len(validation) == 1


def test_declared_splits_are_obeyed():
    stems = [
        stem("a", "vocals", "train"),
        stem("b", "vocals", "validation"),
        stem("c", "vocals", "test"),
        stem("d", "vocals"),
    ]
    assert split_tracks(stems, share=0.1, seed=0) == ({"a", "d"}, {"b"})
