"""Songs of which only half is known, completed by a model: f0 of voices, and voices of mixtures whose f0 is known.

What a model says stands in the manifest with its author and its confidence, apart from what came with the dataset,
which is never changed. The labels themselves are :mod:`stemclean.refining.pseudo`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from stemclean.audio import files, stereo
from stemclean.audio.loudness import peak_dbfs
from stemclean.audio.stereo import ChannelFaults
from stemclean.audio.unchanged import Unchanged
from stemclean.audio.waveform import Waveform
from stemclean.data.journal import Journal
from stemclean.errors import AudioError, LabelError, of_one_file
from stemclean.layouts import f0_labels
from stemclean.layouts.f0_files import SUNG
from stemclean.manifest import F0, Created, Estimated, Issue, Manifest, Skip, Stem, file_sha256
from stemclean.models.weights import Weights
from stemclean.refining.config import Running
from stemclean.refining.pseudo import pseudo_f0, pseudo_vocals
from stemclean.refining.sidecars import Sidecars

__all__ = ["KEYS", "Models", "complete"]

KEYS: dict[str, str] = {
    "annotated": "number of stems whose f0 came with the dataset",
    "pseudo_f0": "vocal stems with an estimated f0: number of `stems`, `seconds`, mean `confidence` (null if none)",
    "pseudo_vocals": "voices that were estimated from mixtures with known f0: the same keys",
    "unsung": "number of vocal stems whose estimated f0 has no voiced frame; its confidence may be high all the same",
    "left": "number of mixtures with known f0 that were not separated, for lack of a cascade",
}
"""Key of the summary of ``refine --pitch`` -> what it means."""


@dataclass(frozen=True)
class Models:
    """What completes the songs.

    Args:
        tracker: weights of a pitch tracker, or of a cascade loaded as one.
        cascade: None: voices are not estimated.
        threshold: posterior from which on a frame is voiced.
    """

    tracker: Weights
    cascade: Weights | None
    threshold: float


def complete(
    data: Manifest, sidecars: Sidecars, output: Path, created: Created, models: Models, running: Running
) -> Manifest:
    """The manifest with pseudo labels; their files stand beside it.

    Declared validation and test stems are left as they are, and so are those whose verdict is ``drop``. Estimates of an
    earlier run are made anew. A voice beside another whose f0 came with the dataset gets none: that one is the song's.

    Args:
        data: the dataset.
        sidecars: where files go.
        output: the manifest that will be written.
        created: its origin.
        models: what makes the labels.
        running: ``resume`` and ``quiet`` count.
    """
    if models.cascade is not None:
        data = data.with_stems([stem for stem in data.stems if stem.estimated is None])
    data = sidecars.moved(data)
    sung = {stem.track for stem in data.stems if stem.labels == [SUNG] and stem.estimated is None}
    followed = {stem.track for stem in data.stems if stem.labels == [SUNG] and stem.f0 and stem.f0.annotated}
    taken = {stem.id for stem in data.stems}
    worker = _Worker(sidecars, models, running.device)
    settings = [created.by, created.config, models.tracker.sha256]
    stems: list[Stem] = []
    skipped = list(data.skipped)
    left = 0
    with Journal(output, settings, resume=running.resume) as done:
        for stem in tqdm(data.stems, "refine", unit="stem", disable=True if running.quiet else None):
            told: Stem | Skip = stem
            if _lacks_f0(stem) and stem.track not in followed:
                told = _known(done, stem, sidecars) or done.put(stem, worker.f0(stem))
            if isinstance(told, Skip):
                skipped.append(told)
                continue
            stems.append(told)
            if not _lacks_vocals(stem) or stem.track in sung:
                continue
            if models.cascade is None:
                left += 1
                continue
            voice = _known(done, stem, sidecars) or done.put(stem, worker.vocals(stem, taken))
            if isinstance(voice, Stem):
                stems.append(voice)
                taken.add(voice.id)
            else:
                stems.pop()
                skipped.append(voice)
    stems.sort(key=lambda stem: stem.id)
    skipped.sort(key=lambda skip: (skip.path, skip.reason))
    return data.with_stems(stems, created=created, skipped=skipped, summary=_summary(stems, sidecars, left))


def _completable(stem: Stem) -> bool:
    return not stem.held_out and not stem.dropped


def _lacks_f0(stem: Stem) -> bool:
    """Whether a stem is a voice alone, a recorded one, without an f0 that came with the dataset."""
    return (
        _completable(stem)
        and stem.labels == [SUNG]
        and stem.estimated is None
        and not (stem.f0 is not None and stem.f0.annotated)
    )


def _lacks_vocals(stem: Stem) -> bool:
    """Whether a stem holds a voice among others, and its f0 came with the dataset."""
    several = SUNG in stem.labels and not stem.single
    return _completable(stem) and several and stem.f0 is not None and stem.f0.annotated


def _known(done: Journal, stem: Stem, sidecars: Sidecars) -> Stem | None:
    """What an interrupted run made of a stem, if its file is still there."""
    found = done.get(stem)
    if found is None:
        return None
    made = found if found.estimated or found.f0 is None else found.f0
    there = sidecars.root / made.path
    return found if there.is_file() and file_sha256(there) == made.sha256 else None


@dataclass(frozen=True)
class _Worker:
    """Makes the labels of one stem; what cannot be read becomes a skip."""

    sidecars: Sidecars
    models: Models
    device: str | None
    files: Unchanged = field(default_factory=Unchanged)

    def f0(self, stem: Stem) -> Stem | Skip:
        """A voice with its estimated f0."""
        loaded = self.models.tracker
        try:
            with self._reading(stem):
                sound = self._read(stem, loaded)
                track = pseudo_f0(loaded, sound, threshold=self.models.threshold, device=self.device)
        except AudioError as error:
            return Skip(path=stem.path, reason=error.reason, detail=error.detail)
        path = f0_labels.write(track, self.sidecars.place("f0", stem.id, ".f0.csv"))
        confidence = 0.0 if track.confidence is None else float(track.confidence.mean())
        f0 = F0(
            path=self.sidecars.named(path),
            format="stemclean",
            sha256=file_sha256(path),
            by=loaded.uri,
            confidence=round(confidence, 4),
        )
        return stem.model_copy(update={"f0": f0})

    def vocals(self, stem: Stem, taken: set[str]) -> Stem | Skip:
        """The voice of a mixture, as a stem of its own."""
        loaded = self.models.cascade
        assert loaded is not None
        assert stem.f0 is not None
        try:
            beside = f0_labels.Beside(stem.duration, stem.track.rpartition("/")[2])
            known = f0_labels.read(self.sidecars.root / stem.f0.path, stem.f0.format, beside=beside)
            with self._reading(stem):
                sound = self._read(stem, loaded, ChannelFaults())  # what is left of it must be the rest
                voice, confidence = pseudo_vocals(loaded, sound, known, device=self.device)
        except AudioError as error:
            return Skip(path=stem.path, reason=error.reason, detail=error.detail)
        except LabelError as error:
            return Skip(path=stem.f0.path, reason=error.reason, detail=error.detail)
        identity = f"{stem.id}.{SUNG}"
        while identity in taken:
            identity += "~"
        peak = peak_dbfs(voice) or 0.0
        in_float = peak > 0.0  # turned down, it would be no part of its mixture any more
        path = self.sidecars.place(SUNG, identity, ".wav" if in_float else ".flac")
        files.write(path, voice, loaded.model.spec.sample_rate, subtype="FLOAT" if in_float else "PCM_24")
        return Stem(
            id=identity,
            track=stem.track,
            path=self.sidecars.named(path),
            sha256=file_sha256(path),
            sample_rate=loaded.model.spec.sample_rate,
            channels=voice.shape[0],
            num_samples=voice.shape[1],
            split=stem.split,
            claimed=[SUNG],
            labels=[SUNG],
            estimated=Estimated(by=loaded.uri, confidence=round(confidence, 4)),
            issues=[Issue(code="kept_in_float", detail=f"it reaches {peak:+.2f} dBFS")] if in_float else [],
        )

    @contextmanager
    def _reading(self, stem: Stem) -> Iterator[None]:
        path = self.sidecars.root / stem.path
        with self.files.reading(path, stem.sha256), of_one_file(path):
            yield

    def _read(self, stem: Stem, loaded: Weights, faults: ChannelFaults | None = None) -> Waveform:
        spec = loaded.model.spec
        path = self.sidecars.root / stem.path
        blocks = list(
            stereo.blocks(path, sample_rate=spec.sample_rate, channels=spec.channels, stream=stem.stream, faults=faults)
        )
        if not blocks:
            raise AudioError(path, "empty", "it holds no samples")
        return np.concatenate(blocks, axis=1)


def _summary(stems: list[Stem], sidecars: Sidecars, left: int) -> dict[str, Any]:
    f0 = [(stem.duration, stem.f0.confidence) for stem in stems if stem.f0 and not stem.f0.annotated]
    vocals = [(stem.duration, stem.estimated.confidence) for stem in stems if stem.estimated]
    guessed = [sidecars.root / stem.f0.path for stem in stems if stem.f0 and not stem.f0.annotated]
    return {
        "annotated": sum(stem.f0 is not None and stem.f0.annotated for stem in stems),
        "pseudo_f0": _many(f0),
        "pseudo_vocals": _many(vocals),
        "unsung": sum(map(_unsung, guessed)),
        "left": left,
    }


def _unsung(path: Path) -> bool:
    """Whether a file of f0 is there, and has no voiced frame."""
    try:
        return not f0_labels.read(path, "stemclean").voiced.any()
    except LabelError:
        return False


def _many(told: Sequence[tuple[float, float | None]]) -> dict[str, Any]:
    confidences = [confidence for _, confidence in told if confidence is not None]
    return {
        "stems": len(told),
        "seconds": round(sum(duration for duration, _ in told), 1),
        "confidence": round(float(np.mean(confidences)), 4) if confidences else None,
    }
