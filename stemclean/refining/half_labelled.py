"""Complete half-labelled songs with a model: estimate the f0 of vocals, and the vocals of mixtures with a known f0.

The manifest stores estimates with their author and confidence, apart from the dataset's own annotations, which are
never changed. :mod:`stemclean.refining.pseudo` computes the estimates.
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
from stemclean.audio.f0 import F0Track
from stemclean.audio.loudness import peak_dbfs
from stemclean.audio.stereo import ChannelFaults
from stemclean.audio.unchanged import Unchanged
from stemclean.audio.waveform import Waveform
from stemclean.data.journal import Journal, finished
from stemclean.errors import AudioError, LabelError, SkipReason, of_one_file
from stemclean.layouts import f0_labels
from stemclean.layouts.f0_files import SUNG
from stemclean.manifest import F0, Created, Estimated, Issue, Manifest, Skip, Stem, file_sha256
from stemclean.models.weights import Weights
from stemclean.plans import MANIFEST_BYTES, Plan, Product, measured, plan_of
from stemclean.refining.pseudo import pseudo_f0, pseudo_vocals
from stemclean.refining.sidecars import Sidecars
from stemclean.running import Running

__all__ = ["KEYS", "Models", "complete", "plan_completion"]

MEASURED_SECONDS = 40.0
"""Audio of a stem that is used to measure the speed, at most."""
LINE_BYTES, FRAMES_PER_SECOND = 30, 100
"""Approximate size of a frame in a file of f0, and number of frames in a second."""
VOICE_BYTES_PER_SECOND = 120_000
"""Approximate size of a second of an estimated voice: FLAC of 24 bits."""

KEYS: dict[str, str] = {
    "annotated": "number of stems whose f0 came with the dataset",
    "pseudo_f0": "vocal stems with an estimated f0: number of `stems`, `seconds`, mean `confidence` (null if none)",
    "pseudo_vocals": "voices that were estimated from mixtures with known f0: the same keys",
    "unsung": "number of vocal stems whose estimated f0 has no voiced frame; its confidence may be high all the same",
    "left": "number of mixtures with known f0 that were not separated, for lack of a cascade",
}
"""Key of the summary of ``pseudo-label`` -> what it means."""


@dataclass(frozen=True)
class Models:
    """The models that estimate missing labels.

    Args:
        tracker: weights of a pitch tracker, or of a cascade loaded as one.
        cascade: weights of a cascade; None: vocals are not estimated.
        threshold: minimum posterior of a voiced frame.
    """

    tracker: Weights
    cascade: Weights | None
    threshold: float


def complete(
    data: Manifest, sidecars: Sidecars, output: Path, created: Created, models: Models, running: Running
) -> Manifest:
    """Add pseudo labels to a dataset and write their files beside the manifest.

    Declared validation and test stems, and stems with the verdict ``drop``, are left unchanged. Estimates of an earlier
    run are replaced. No f0 is estimated in a song that has vocals with an annotated f0.

    Args:
        data: the dataset.
        sidecars: where the files go.
        output: the manifest that will be written.
        created: its origin.
        models: the models that estimate the labels.
        running: its ``device``, ``resume`` and ``quiet``.

    Returns:
        The manifest with the pseudo labels.
    """
    if models.cascade is not None:
        data = data.with_stems([stem for stem in data.stems if stem.estimated is None])
    data = sidecars.moved(data)
    wanted = wanted_of(data)
    taken = {stem.id for stem in data.stems}
    worker = _Worker(sidecars, models, running.device)
    settings = settings_of(created, models)
    stems: list[Stem] = []
    skipped = list(data.skipped)
    left = 0
    with Journal(output, settings, resume=running.resume) as done:
        for stem in tqdm(data.stems, "pseudo-label", unit="stem", disable=True if running.quiet else None):
            result: Stem | Skip = stem
            if stem.id in wanted.f0:
                result = _stored(done, stem, sidecars) or done.put(stem, worker.f0(stem))
            if isinstance(result, Skip):
                skipped.append(result)
                continue
            stems.append(result)
            if stem.id not in wanted.vocals:
                continue
            if models.cascade is None:
                left += 1
                continue
            vocals = _stored(done, stem, sidecars) or done.put(stem, worker.vocals(stem, taken))
            if isinstance(vocals, Stem):
                stems.append(vocals)
                taken.add(vocals.id)
            else:
                stems.pop()
                skipped.append(vocals)
    stems.sort(key=lambda stem: stem.id)
    skipped.sort(key=lambda skip: (skip.path, skip.reason))
    return data.with_stems(stems, created=created, skipped=skipped, summary=_summary(stems, sidecars, left))


@dataclass(frozen=True)
class Wanted:
    """What songs lack.

    Args:
        f0: ids of the vocal stems whose f0 is to be estimated.
        vocals: ids of the mixtures whose vocals are to be separated.
    """

    f0: set[str]
    vocals: set[str]


def wanted_of(data: Manifest) -> Wanted:
    """Return what the songs of a dataset lack."""
    with_vocals = {stem.track for stem in data.stems if stem.labels == [SUNG] and stem.estimated is None}
    with_f0 = {stem.track for stem in data.stems if stem.labels == [SUNG] and stem.f0 and stem.f0.annotated}
    return Wanted(
        {stem.id for stem in data.stems if _lacks_f0(stem) and stem.track not in with_f0},
        {stem.id for stem in data.stems if _lacks_vocals(stem) and stem.track not in with_vocals},
    )


def settings_of(created: Created, models: Models) -> list[Any]:
    """Return what an estimate depends on besides the stem."""
    return [created.by, created.config, models.tracker.sha256]


def plan_completion(
    data: Manifest, sidecars: Sidecars, output: Path, created: Created, models: Models, running: Running
) -> Plan:
    """Return what :func:`complete` would do with the same arguments; nothing is written."""
    if models.cascade is not None:
        data = data.with_stems([stem for stem in data.stems if stem.estimated is None])
    moved = sidecars.moved(data)
    wanted = wanted_of(moved)
    cascade = models.cascade
    items = [(stem, False) for stem in moved.stems if stem.id in wanted.f0]
    items += [(stem, True) for stem in moved.stems if stem.id in wanted.vocals and cascade is not None]
    worker = _Worker(sidecars, models, running.device)
    speed = measured(
        items, lambda item: min(item[0].duration, MEASURED_SECONDS), worker.trial, least=1, quiet=running.quiet
    )
    earlier = finished(output, settings_of(created, models), moved.stems) if running.resume else {}
    products = [Product(output, 1, len(moved.stems) * MANIFEST_BYTES)]
    for kind, estimates_vocals, bytes_per_second in (
        ("f0", False, LINE_BYTES * FRAMES_PER_SECOND), (SUNG, True, VOICE_BYTES_PER_SECOND),
    ):  # fmt: skip
        seconds = [stem.duration for stem, separates in items if separates is estimates_vocals]
        if seconds:
            products.append(Product(sidecars.folder(kind), len(seconds), round(sum(seconds) * bytes_per_second)))
    return plan_of(
        "pseudo-label",
        sidecars.root,
        data,
        products,
        speed=speed,
        seconds=sum(stem.duration for stem, _ in items),
        figures={"voices_without_f0": len(wanted.f0), "mixtures_without_voice": len(wanted.vocals)},
        finished=[stem for stem, _ in items if stem.id in earlier],
    )


def _completable(stem: Stem) -> bool:
    return not stem.held_out and not stem.dropped


def _lacks_f0(stem: Stem) -> bool:
    """Return whether a stem holds recorded vocals, and nothing else, without an annotated f0."""
    return (
        _completable(stem)
        and stem.labels == [SUNG]
        and stem.estimated is None
        and not (stem.f0 is not None and stem.f0.annotated)
    )


def _lacks_vocals(stem: Stem) -> bool:
    """Return whether a stem is a mixture that contains vocals and has an annotated f0."""
    several = SUNG in stem.labels and not stem.single
    return _completable(stem) and several and stem.f0 is not None and stem.f0.annotated


def _stored(done: Journal, stem: Stem, sidecars: Sidecars) -> Stem | None:
    """Return the result of an interrupted run, if its file is still there and unchanged."""
    result = done.get(stem)
    if result is None:
        return None
    estimate = result if result.estimated or result.f0 is None else result.f0
    path = sidecars.root / estimate.path
    return result if path.is_file() and file_sha256(path) == estimate.sha256 else None


@dataclass(frozen=True)
class _Worker:
    """Estimates the labels of one stem; a file that cannot be read becomes a skip."""

    sidecars: Sidecars
    models: Models
    device: str | None
    files: Unchanged = field(default_factory=Unchanged)

    def f0(self, stem: Stem) -> Stem | Skip:
        """Return a vocal stem with its estimated f0."""
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
        """Separate the vocals of a mixture and return them as a new stem."""
        loaded = self.models.cascade
        assert loaded is not None
        assert stem.f0 is not None
        try:
            beside = f0_labels.Beside(stem.duration, stem.track.rpartition("/")[2])
            annotated = f0_labels.read(self.sidecars.root / stem.f0.path, stem.f0.format, beside=beside)
            with self._reading(stem):
                sound = self._read(stem, loaded, ChannelFaults())  # mixture minus vocals must be the accompaniment
                vocals, confidence = pseudo_vocals(loaded, sound, annotated, device=self.device)
        except AudioError as error:
            return Skip(path=stem.path, reason=error.reason, detail=error.detail)
        except LabelError as error:
            return Skip(path=stem.f0.path, reason=error.reason, detail=error.detail)
        identity = f"{stem.id}.{SUNG}"
        while identity in taken:
            identity += "~"
        peak = peak_dbfs(vocals) or 0.0
        in_float = peak > 0.0  # attenuated, the vocals would no longer match the mixture
        path = self.sidecars.place(SUNG, identity, ".wav" if in_float else ".flac")
        files.write(path, vocals, loaded.model.spec.sample_rate, subtype="FLOAT" if in_float else "PCM_24")
        return Stem(
            id=identity,
            track=stem.track,
            path=self.sidecars.named(path),
            sha256=file_sha256(path),
            sample_rate=loaded.model.spec.sample_rate,
            channels=vocals.shape[0],
            num_samples=vocals.shape[1],
            split=stem.split,
            claimed=[SUNG],
            labels=[SUNG],
            estimated=Estimated(by=loaded.uri, confidence=round(confidence, 4)),
            issues=[Issue(code="kept_in_float", detail=f"it reaches {peak:+.2f} dBFS")] if in_float else [],
        )

    def trial(self, item: tuple[Stem, bool]) -> float:
        """Estimate the labels of the beginning of a stem without writing.

        Args:
            item: the stem, and whether its vocals are to be separated rather than its f0 estimated.
        """
        stem, separates = item
        loaded = self.models.cascade if separates else self.models.tracker
        assert loaded is not None
        with self._reading(stem):
            sound = self._read(stem, loaded, ChannelFaults())[
                :, : round(MEASURED_SECONDS * loaded.model.spec.sample_rate)
            ]
            if separates:
                silence = F0Track(np.zeros(2, np.float32), np.zeros(2, np.float32), 1.0)
                pseudo_vocals(loaded, sound, silence, device=self.device)
            else:
                pseudo_f0(loaded, sound, threshold=self.models.threshold, device=self.device)
        return 0.0

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
            raise AudioError(path, SkipReason.EMPTY, "the file has no samples")
        return np.concatenate(blocks, axis=1)


def _summary(stems: list[Stem], sidecars: Sidecars, left: int) -> dict[str, Any]:
    f0 = [(stem.duration, stem.f0.confidence) for stem in stems if stem.f0 and not stem.f0.annotated]
    vocals = [(stem.duration, stem.estimated.confidence) for stem in stems if stem.estimated]
    estimated = [sidecars.root / stem.f0.path for stem in stems if stem.f0 and not stem.f0.annotated]
    return {
        "annotated": sum(stem.f0 is not None and stem.f0.annotated for stem in stems),
        "pseudo_f0": _totals(f0),
        "pseudo_vocals": _totals(vocals),
        "unsung": sum(map(_unsung, estimated)),
        "left": left,
    }


def _unsung(path: Path) -> bool:
    """Return whether an f0 file is readable and has no voiced frame."""
    try:
        return not f0_labels.read(path, "stemclean").voiced.any()
    except LabelError:
        return False


def _totals(estimates: Sequence[tuple[float, float | None]]) -> dict[str, Any]:
    """Return the number, total duration and mean confidence of estimates, given as (duration, confidence)."""
    confidences = [confidence for _, confidence in estimates if confidence is not None]
    return {
        "stems": len(estimates),
        "seconds": round(sum(duration for duration, _ in estimates), 1),
        "confidence": round(float(np.mean(confidences)), 4) if confidences else None,
    }
