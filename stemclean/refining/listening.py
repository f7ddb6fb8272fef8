"""One pass over the audio of a dataset that scores, labels and gives a verdict on every stem."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import stemclean
from stemclean import checks, manifest, verdicts
from stemclean.audio.unchanged import Unchanged
from stemclean.checks import Sound, copies
from stemclean.data.journal import Journal, finished
from stemclean.data.song_levels import SongLevels, song_of
from stemclean.errors import AudioError, of_one_file
from stemclean.manifest import Created, Input, Manifest, Model, Skip, Stem
from stemclean.models.calibration import Calibration
from stemclean.models.judge import Judgement, Recording, one_thread_each
from stemclean.models.weights import Weights
from stemclean.plans import Speed
from stemclean.plans import measured as speed_of
from stemclean.refining import THRESHOLD
from stemclean.refining.config import RefineConfig
from stemclean.refining.copies import with_copies
from stemclean.refining.crosstalk import MOST, measured, with_bleed, with_crosstalk
from stemclean.refining.jury import Jury
from stemclean.refining.summary import summary
from stemclean.regions import labelled_regions
from stemclean.running import Running
from stemclean.units import samples_to_seconds
from stemclean.verdicts import Evidence, Policy, decide

__all__ = [
    "judged_before",
    "judgement_of",
    "judging_speed",
    "moved",
    "provenance",
    "provenance_of",
    "relabel",
    "scores_of",
]

MEASURED_SECONDS = 600.0
"""Audio of a song that is judged to measure the speed, at most."""


def relabel(
    source: Manifest,
    folder: Path,
    output: Path,
    config: RefineConfig,
    jury: Jury,
    running: Running,
    created: Created,
    extra_summary: dict[str, Any] | None = None,
) -> Manifest:
    """Judge every stem from its original audio, and write the refined manifest.

    Args:
        source: the dataset.
        folder: folder that its paths are relative to.
        output: the manifest to write.
        config: settings of judging; ``adaptive`` thresholds must be resolved to numbers.
        jury: the classifiers.
        running: settings of the run.
        created: see :func:`provenance`.
        extra_summary: further entries for the summary.

    Returns:
        The refined manifest.
    """
    jury.check(source, levels=config.max_bleed_db is not None)
    songs = SongLevels(source.stems, folder, config.silence_floor_dbfs)
    files = Unchanged()
    with (
        Journal(output, _settings(created, jury), resume=running.resume) as done,
        one_thread_each(running.workers) as threads,
    ):

        def judge(stem: Stem) -> Stem | Skip:
            return done.get(stem) or done.put(stem, _judged_or_skipped(stem, folder, jury, config, songs, files))

        judged = threads.map(judge, source.stems)
        bar = tqdm(judged, "refine", len(source.stems), unit="stem", disable=True if running.quiet else None)
        results = list(bar)
        stems = [result for result in results if isinstance(result, Stem)]
        skipped = [*source.skipped, *(result for result in results if isinstance(result, Skip))]
        stems = with_copies(stems, folder, threads, files, quiet=running.quiet)
        if config.crosstalk:
            stems, lost = measured(stems, folder, done, threads, files, quiet=running.quiet)
            stems = [with_crosstalk(stem, config.policy(jury.chance)) for stem in stems]
            skipped += lost
    new_labels = [label for label in jury.labels if label not in source.labels]
    refined = source.with_stems(
        stems,
        created=created,
        labels=[*source.labels, *new_labels],
        root=manifest.relative_root(folder, output),
        skipped=skipped,
        summary=summary(stems, skipped, jury.labels, jury.cards) | (extra_summary or {}),
    )
    manifest.write(refined, output)
    return refined


def judged_before(source: Manifest, output: Path, config: RefineConfig, jury: Jury) -> list[Stem]:
    """Return the stems that an interrupted :func:`relabel` has judged, as it would reuse them; nothing is written.

    With ``adaptive`` thresholds, which are part of the settings and only known to the run, there are none.
    """
    if config.threshold == "adaptive":
        return []
    return list(finished(output, _settings(provenance(config, jury, Input(path=".")), jury), source.stems).values())


def _settings(created: Created, jury: Jury) -> list[Any]:
    """Return what the judgement of a stem depends on besides the stem."""
    return [created.by, created.config, [model.sha256 for model in jury.models()]]


def judging_speed(source: Manifest, folder: Path, config: RefineConfig, jury: Jury, running: Running) -> Speed | None:
    """Measure the speed of :func:`relabel` on a few songs, or on parts of them; None if nothing can be read.

    Args:
        source: the dataset.
        folder: folder that its paths are relative to.
        config: settings of judging.
        jury: the classifiers.
        running: settings of the run.
    """
    if config.threshold == "adaptive":  # chosen by the run; any threshold takes as long
        config = config.changed(threshold=THRESHOLD)
    levels, files = SongLevels(source.stems, folder, config.silence_floor_dbfs), Unchanged()
    workers = running.workers_or(os.cpu_count() or 1)
    most = min(MEASURED_SECONDS, sum(stem.duration for stem in source.stems) / 10 / workers)
    songs: dict[str, list[Stem]] = {}
    for stem in source.stems:
        part = songs.setdefault(song_of(stem), [])
        if len(part) < 2 or sum(other.duration for other in part) + stem.duration < most:  # two, for the bleed
            part.append(stem)

    def work(song: Sequence[Stem]) -> float:
        judged = [_judged_or_skipped(stem, folder, jury, config, levels, files) for stem in song]
        results = [result for result in judged if isinstance(result, Stem)]
        sounding = [stem for stem in results if stem.scores]
        if config.crosstalk and 1 < len(sounding) <= MOST:
            with_bleed(sounding, folder, files)
        return 0.0

    def seconds(song: Sequence[Stem]) -> float:
        return sum(stem.duration for stem in song)

    with one_thread_each(workers):
        return speed_of(list(songs.values()), seconds, work, workers=workers, quiet=running.quiet)


def provenance(config: RefineConfig, jury: Jury, source: Input, trained: dict[str, Any] | None = None) -> Created:
    """Describe the origin of a refined manifest.

    Args:
        config: settings of judging.
        jury: the classifiers.
        source: the dataset, see :func:`stemclean.manifest.input_of`.
        trained: how :func:`stemclean.refine.refine_self` trained the weights.
    """
    models = jury.models()
    return Created(
        by=f"stemclean {stemclean.__version__}",
        command="refine",
        config=config.to_dict() | ({"self": trained} if trained else {}),
        inputs=[source],
        model=models[0] if len(models) == 1 else None,
        models=models if len(models) > 1 else [],
    )


def provenance_of(command: str, config: dict[str, Any], loaded: Weights, source: Input) -> Created:
    """Describe the origin of a manifest that holds the estimates of one model; see :func:`provenance`."""
    return Created(
        by=f"stemclean {stemclean.__version__}",
        command=command,
        config=config,
        inputs=[source],
        model=Model(uri=loaded.uri, sha256=loaded.sha256),
    )


def moved(refined: Manifest, folder: Path, source: Input, output: Path) -> Manifest:
    """Return a refined manifest with its paths, and that of the dataset, relative to another output file."""
    root = manifest.relative_root(folder, output)
    return refined.model_copy(update={"created": refined.created.of(source), "root": root})


def scores_of(stem: Stem, folder: Path, jury: Jury, config: RefineConfig, songs: SongLevels) -> dict[str, float] | None:
    """Return the scores that :func:`relabel` gives a stem; None if the stem is silent or cannot be read."""
    try:
        with of_one_file(folder / stem.path):
            recording = _recording(stem, folder, jury)
            judgement, scores = _score(stem, recording, jury, songs, config, plain=config.plain_windows)
    except AudioError:
        return None
    return dict(zip(jury.labels, scores.tolist(), strict=True)) if judgement.weights.any() else None


def judgement_of(stem: Stem, folder: Path, jury: Jury, config: RefineConfig, songs: SongLevels) -> Judgement:
    """Return the scores and levels over time on which :func:`relabel` bases its verdict. Raises AudioError."""
    with of_one_file(folder / stem.path):
        recording = _recording(stem, folder, jury)
        return _score(stem, recording, jury, songs, config, plain=config.plain_windows)[0]


def _recording(stem: Stem, folder: Path, jury: Jury) -> Recording:
    return jury.of(stem)[0].recording(folder / stem.path, stem.duration, stem.stream, mono=stem.channels == 1)


def _score(
    stem: Stem, recording: Recording, jury: Jury, songs: SongLevels, config: RefineConfig, *, plain: bool
) -> tuple[Judgement, np.ndarray]:
    """Return the judgement on a stem and its calibrated scores ``(label,)``. Raises AudioError."""
    judge, calibration = jury.of(stem)
    active = stem.active if stem.source is None else None  # a trimmed file is active throughout
    if config.joined and stem.source is not None:
        active = [(0.0, stem.duration)]
    sounding = partial(songs.regions, stem)
    judgement = judge(recording, active=active, plain=plain, joined=config.joined, sounding=sounding)
    return judgement, calibration(judgement.pooled())


def _judged_or_skipped(
    stem: Stem, folder: Path, jury: Jury, config: RefineConfig, songs: SongLevels, files: Unchanged
) -> Stem | Skip:
    """Judge one stem; return a skip with the reason if it cannot be read."""
    try:
        with files.reading(folder / stem.path, stem.sha256), of_one_file(folder / stem.path):
            return _judged(stem, _recording(stem, folder, jury), jury, config, songs)
    except AudioError as error:
        return Skip(path=stem.path, reason=error.reason, detail=error.detail)


def _judged(stem: Stem, recording: Recording, jury: Jury, config: RefineConfig, songs: SongLevels) -> Stem:
    judgement, scores = _score(stem, recording, jury, songs, config, plain=config.plain_windows)
    unsure = verdicts.borderline(scores, config.limits(jury.labels, stem.claimed), config.margin)
    if unsure and not config.plain_windows and judgement.weights.any():
        judgement, scores = _score(stem, recording, jury, songs, config, plain=True)
    by_label = dict(zip(jury.labels, scores.tolist(), strict=True))
    return _with_verdict(stem, judgement, by_label, jury.of(stem)[1], config, config.policy(jury.chance))


def _with_verdict(
    stem: Stem,
    judgement: Judgement,
    scores: dict[str, float],
    calibration: Calibration,
    config: RefineConfig,
    policy: Policy,
) -> Stem:
    """Return the stem with its measurements and the decision based on them."""
    rate = judgement.sample_rate
    active = [(samples_to_seconds(start, rate), samples_to_seconds(end, rate)) for start, end in judgement.active]
    active = [(start, min(end, stem.duration)) for start, end in active if start < stem.duration]
    measurements: dict[str, Any] = {"loudness_lufs": judgement.loudness_lufs, "peak_dbfs": judgement.peak_dbfs}
    measurements["fingerprint"] = judgement.fingerprint if judgement.weights.any() else None
    stem = stem.model_copy(update={"issues": checks.after_sound(stem.issues, Sound(judgement.faults))})
    if stem.source is None:
        measurements["active"] = active
    evidence = Evidence(stem.claimed, stem.labels, stem.held_out, decision=stem.decision)
    if not judgement.weights.any():
        codes = {code.name for code in copies.CHECK.codes}  # silent files are no copies of each other
        stem = stem.model_copy(update={"issues": checks.with_issues(stem.issues, (), codes)})
        return decide(evidence, policy).applied(stem, **measurements, scores={}, regions=[])
    levels = zip(scores, judgement.stem_levels().tolist(), strict=True)
    levels_db = {label: level for label, level in levels if math.isfinite(level)}
    decision = decide(replace(evidence, scores=scores, levels_db=levels_db), policy)
    limits = config.limits(scores, stem.claimed)
    confirmed = [label for label in stem.claimed if label in decision.found]  # only these get the lower threshold
    regions = labelled_regions(
        calibration.of_windows(judgement.over_time()),
        list(scores),
        active,
        judgement.hop / rate,
        on=config.limits(scores, confirmed),
        off=min(config.claimed_threshold, *limits.values()),
        levels_db=judgement.levels_over_time(),
    )
    return decision.applied(stem, **measurements, scores=scores, regions=regions)
