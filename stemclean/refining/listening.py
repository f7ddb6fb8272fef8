"""One pass of one classifier over the audio of a dataset: every stem heard, labelled and given a verdict."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

import stemclean
from stemclean import manifest, verdicts
from stemclean.data.journal import Journal
from stemclean.errors import AudioError, ConfigError
from stemclean.manifest import Created, Input, Manifest, Model, Skip, Stem, Verdict
from stemclean.models import weights
from stemclean.models.calibration import Calibration
from stemclean.models.judge import Judge, Judgement, one_thread_each
from stemclean.refining.config import RefineConfig
from stemclean.refining.summary import summary
from stemclean.units import samples_to_seconds

__all__ = ["relabel"]


def relabel(
    source: Manifest,
    folder: Path,
    data: str | Path,
    output: Path,
    config: RefineConfig,
    loaded: weights.Weights,
    workers: int | None,
    device: str | None,
    resume: bool,
    quiet: bool,
    trained: dict[str, Any] | None = None,
) -> Manifest:
    """One pass of one classifier over the original audio; ``trained`` says how :func:`refine_self` came by it."""
    unknown = sorted({label for stem in source.stems for label in stem.claimed} - set(loaded.card["spec"]["labels"]))
    if unknown:
        known = ", ".join(loaded.card["spec"]["labels"])
        raise ConfigError(
            f"the weights know {known}, but the dataset claims {', '.join(unknown)}",
            "use weights trained on these classes",
        )
    created = Created(
        by=f"stemclean {stemclean.__version__}",
        command="refine",
        config=asdict(config) | ({"self": trained} if trained else {}),
        inputs=[_input(data, output)],
        model=Model(uri=loaded.uri, sha256=loaded.sha256),
    )
    judge = Judge(loaded.model, device or ("cuda" if torch.cuda.is_available() else "cpu"))
    calibration = Calibration.of_card(loaded.card)
    settings = [created.by, created.config, loaded.sha256]
    with Journal(output, settings, resume=resume) as done, one_thread_each(workers) as threads:

        def look(stem: Stem) -> Stem | Skip:
            return done.get(stem) or done.put(stem, _look(stem, folder, judge, calibration, config))

        looked = threads.map(look, source.stems)
        bar = tqdm(looked, "refine", len(source.stems), unit="stem", disable=True if quiet else None)
        results = list(bar)
    stems = [result for result in results if isinstance(result, Stem)]
    skipped = [*source.skipped, *(result for result in results if isinstance(result, Skip))]
    heard = [label for label in judge.model.spec.labels if label not in source.labels]
    refined = source.with_stems(
        stems,
        created=created,
        labels=[*source.labels, *heard],
        root=manifest.relative_root(folder, output),
        skipped=skipped,
        summary=summary(stems, skipped, judge.model.spec.labels),
    )
    manifest.write(refined, output)
    return refined


def _look(stem: Stem, folder: Path, judge: Judge, calibration: Calibration, config: RefineConfig) -> Stem | Skip:
    """One stem, judged; or why it could not be."""
    recording = judge.recording(folder / stem.path, stem.duration, stem.stream, mono=stem.channels == 1)
    active = stem.active if stem.source is None else None  # of a trimmed file, all is sound
    try:
        heard = judge(recording, active=active, plain=config.plain_windows)
        scores = calibration(heard.pooled())
        limits = verdicts.limits(judge.model.spec.labels, stem.claimed, config.threshold, config.claimed_threshold)
        unsure = verdicts.borderline(scores, limits, config.margin)
        if unsure and not config.plain_windows and heard.weights.any():
            heard = judge(recording, active=active, plain=True)
            scores = calibration(heard.pooled())
    except AudioError as error:
        return Skip(path=stem.path, reason=error.reason, detail=error.detail)
    return _with_verdict(
        stem, heard, dict(zip(judge.model.spec.labels, scores.tolist(), strict=True)), calibration, config
    )


def _with_verdict(
    stem: Stem, heard: Judgement, scores: dict[str, float], calibration: Calibration, config: RefineConfig
) -> Stem:
    """The stem with what was heard in it."""
    active = [
        (samples_to_seconds(a, heard.sample_rate), samples_to_seconds(b, heard.sample_rate)) for a, b in heard.active
    ]
    active = [(start, min(end, stem.duration)) for start, end in active if start < stem.duration]
    measured: dict[str, Any] = {"loudness_lufs": heard.loudness_lufs, "peak_dbfs": heard.peak_dbfs}
    if stem.source is None:
        measured["active"] = active
    held_out = stem.split in ("test", "validation")
    if not heard.weights.any():
        nothing = Verdict(
            action="keep" if held_out else "drop", reason="held_out" if held_out else "silent", label_quality=0.0
        )
        labels = stem.labels if held_out else []
        return stem.model_copy(update={**measured, "labels": labels, "scores": {}, "regions": [], "verdict": nothing})
    found = verdicts.found_labels(scores, stem.claimed, config.threshold, config.claimed_threshold)
    quality = verdicts.label_quality(scores, stem.claimed)
    regions = verdicts.labelled_regions(
        calibration.of_windows(heard.over_time()),
        list(scores),
        active,
        heard.hop / heard.sample_rate,
        on=verdicts.limits(scores, stem.claimed, config.threshold, config.claimed_threshold),
        off=config.claimed_threshold,
        found=found,
    )
    decided = verdicts.verdict(stem.claimed, found, quality)
    labels = found
    if held_out:
        decided, labels = Verdict(action="keep", reason="held_out", label_quality=quality), stem.labels
    return stem.model_copy(
        update={**measured, "labels": labels, "scores": scores, "regions": regions, "verdict": decided}
    )


def _input(data: str | Path, output: Path) -> Input:
    """The input as the manifest names it: relative to the output, with a hash where it is a file."""
    path = Path(data)
    return Input(
        path=manifest.relative_root(path, output), sha256=manifest.file_sha256(path) if path.is_file() else None
    )
