"""One pass over the audio of a dataset: every stem heard, labelled and given a verdict."""

from __future__ import annotations

import math
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
from stemclean.data.journal import Journal
from stemclean.data.song_levels import SongLevels
from stemclean.errors import AudioError, of_one_file
from stemclean.manifest import Created, Input, Manifest, Model, Skip, Stem
from stemclean.models.calibration import Calibration
from stemclean.models.judge import Judgement, Recording, one_thread_each
from stemclean.models.weights import Weights
from stemclean.refining.config import RefineConfig, Running
from stemclean.refining.copies import with_copies
from stemclean.refining.crosstalk import measured, with_crosstalk
from stemclean.refining.jury import Jury
from stemclean.refining.summary import summary
from stemclean.regions import labelled_regions
from stemclean.units import samples_to_seconds
from stemclean.verdicts import Evidence, Policy, decide

__all__ = ["moved", "provenance", "provenance_of", "relabel", "scores_of"]


def relabel(
    source: Manifest,
    folder: Path,
    output: Path,
    config: RefineConfig,
    jury: Jury,
    running: Running,
    created: Created,
    told: dict[str, Any] | None = None,
) -> Manifest:
    """One pass over the original audio; the manifest is written and given back.

    Args:
        source: the dataset; ``folder`` is what its paths are relative to.
        config: its thresholds are numbers, ``adaptive`` ones found already.
        created: see :func:`provenance`.
        told: more for the summary.
    """
    jury.check(source, levels=config.max_bleed_db is not None)
    songs = SongLevels(source.stems, folder, config.silence_floor_dbfs)
    files = Unchanged()
    settings = [created.by, created.config, [model.sha256 for model in jury.models()]]
    with Journal(output, settings, resume=running.resume) as done, one_thread_each(running.workers) as threads:

        def look(stem: Stem) -> Stem | Skip:
            return done.get(stem) or done.put(stem, _look(stem, folder, jury, config, songs, files))

        looked = threads.map(look, source.stems)
        bar = tqdm(looked, "refine", len(source.stems), unit="stem", disable=True if running.quiet else None)
        results = list(bar)
        stems = [result for result in results if isinstance(result, Stem)]
        skipped = [*source.skipped, *(result for result in results if isinstance(result, Skip))]
        stems = with_copies(stems, folder, threads, files, quiet=running.quiet)
        if config.crosstalk:
            stems, lost = measured(stems, folder, done, threads, files, quiet=running.quiet)
            stems = [with_crosstalk(stem, config.policy(jury.chance)) for stem in stems]
            skipped += lost
    heard = [label for label in jury.labels if label not in source.labels]
    refined = source.with_stems(
        stems,
        created=created,
        labels=[*source.labels, *heard],
        root=manifest.relative_root(folder, output),
        skipped=skipped,
        summary=summary(stems, skipped, jury.labels, jury.cards) | (told or {}),
    )
    manifest.write(refined, output)
    return refined


def provenance(
    config: RefineConfig, jury: Jury, data: str | Path, output: Path, trained: dict[str, Any] | None = None
) -> Created:
    """Where a refined manifest comes from.

    Args:
        data: as the user gave it.
        output: the manifest, which inputs are named relative to.
        trained: how :func:`stemclean.refine.refine_self` came by the weights.
    """
    models = jury.models()
    return Created(
        by=f"stemclean {stemclean.__version__}",
        command="refine",
        config=config.to_dict() | ({"self": trained} if trained else {}),
        inputs=[_input(data, output)],
        model=models[0] if len(models) == 1 else None,
        models=models if len(models) > 1 else [],
    )


def provenance_of(command: str, config: dict[str, Any], loaded: Weights, data: str | Path, output: Path) -> Created:
    """Where a manifest comes from that one model's answers stand in; see :func:`provenance`."""
    return Created(
        by=f"stemclean {stemclean.__version__}",
        command=command,
        config=config,
        inputs=[_input(data, output)],
        model=Model(uri=loaded.uri, sha256=loaded.sha256),
    )


def moved(refined: Manifest, folder: Path, data: str | Path, output: Path) -> Manifest:
    """A refined manifest as it reads from another place."""
    created = refined.created.model_copy(update={"inputs": [_input(data, output)]})
    return refined.model_copy(update={"created": created, "root": manifest.relative_root(folder, output)})


def scores_of(stem: Stem, folder: Path, jury: Jury, config: RefineConfig, songs: SongLevels) -> dict[str, float] | None:
    """What :func:`relabel` would score a stem, thresholds aside; None where nothing in it can be judged."""
    try:
        with of_one_file(folder / stem.path):
            heard, scores = _hear(stem, _recording(stem, folder, jury), jury, songs, config, plain=config.plain_windows)
    except AudioError:
        return None
    return dict(zip(jury.labels, scores.tolist(), strict=True)) if heard.weights.any() else None


def _recording(stem: Stem, folder: Path, jury: Jury) -> Recording:
    return jury.of(stem)[0].recording(folder / stem.path, stem.duration, stem.stream, mono=stem.channels == 1)


def _hear(
    stem: Stem, recording: Recording, jury: Jury, songs: SongLevels, config: RefineConfig, *, plain: bool
) -> tuple[Judgement, np.ndarray]:
    """What was heard in a stem, and its calibrated scores ``(label,)``. Raises AudioError where it cannot be read."""
    judge, calibration = jury.of(stem)
    active = stem.active if stem.source is None else None  # of a trimmed file, all is sound
    if config.joined and stem.source is not None:
        active = [(0.0, stem.duration)]
    heard = judge(recording, active=active, plain=plain, joined=config.joined, sounding=partial(songs.regions, stem))
    return heard, calibration(heard.pooled())


def _look(
    stem: Stem, folder: Path, jury: Jury, config: RefineConfig, songs: SongLevels, files: Unchanged
) -> Stem | Skip:
    """One stem, judged; or why it could not be."""
    try:
        with files.reading(folder / stem.path, stem.sha256), of_one_file(folder / stem.path):
            return _judged(stem, _recording(stem, folder, jury), jury, config, songs)
    except AudioError as error:
        return Skip(path=stem.path, reason=error.reason, detail=error.detail)


def _judged(stem: Stem, recording: Recording, jury: Jury, config: RefineConfig, songs: SongLevels) -> Stem:
    heard, scores = _hear(stem, recording, jury, songs, config, plain=config.plain_windows)
    unsure = verdicts.borderline(scores, config.limits(jury.labels, stem.claimed), config.margin)
    if unsure and not config.plain_windows and heard.weights.any():
        heard, scores = _hear(stem, recording, jury, songs, config, plain=True)
    named = dict(zip(jury.labels, scores.tolist(), strict=True))
    return _with_verdict(stem, heard, named, jury.of(stem)[1], config, config.policy(jury.chance))


def _with_verdict(
    stem: Stem,
    heard: Judgement,
    scores: dict[str, float],
    calibration: Calibration,
    config: RefineConfig,
    policy: Policy,
) -> Stem:
    """The stem with what was heard in it, and what was decided by it."""
    active = [
        (samples_to_seconds(a, heard.sample_rate), samples_to_seconds(b, heard.sample_rate)) for a, b in heard.active
    ]
    active = [(start, min(end, stem.duration)) for start, end in active if start < stem.duration]
    about: dict[str, Any] = {"loudness_lufs": heard.loudness_lufs, "peak_dbfs": heard.peak_dbfs}
    about["fingerprint"] = heard.fingerprint if heard.weights.any() else None
    stem = stem.model_copy(update={"issues": checks.after_sound(stem.issues, Sound(heard.faults))})
    if stem.source is None:
        about["active"] = active
    evidence = Evidence(stem.claimed, stem.labels, stem.held_out)
    if not heard.weights.any():
        codes = {code.name for code in copies.CHECK.codes}  # all silence is alike
        stem = stem.model_copy(update={"issues": checks.with_issues(stem.issues, (), codes)})
        return decide(evidence, policy).applied(stem, **about, scores={}, regions=[])
    levels = zip(scores, heard.stem_levels().tolist(), strict=True)
    levels_db = {label: level for label, level in levels if math.isfinite(level)}
    decision = decide(replace(evidence, scores=scores, levels_db=levels_db), policy)
    limits = config.limits(scores, stem.claimed)
    borne_out = [label for label in stem.claimed if label in decision.found]  # others are believed no earlier
    regions = labelled_regions(
        calibration.of_windows(heard.over_time()),
        list(scores),
        active,
        heard.hop / heard.sample_rate,
        on=config.limits(scores, borne_out),
        off=min(config.claimed_threshold, *limits.values()),
        levels_db=heard.levels_over_time(),
    )
    return decision.applied(stem, **about, scores=scores, regions=regions)


def _input(data: str | Path, output: Path) -> Input:
    """The input as the manifest names it: relative to the output, with a hash where it is a file."""
    path = Path(data)
    return Input(
        path=manifest.relative_root(path, output), sha256=manifest.file_sha256(path) if path.is_file() else None
    )
