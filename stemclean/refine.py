"""Find out what every stem really holds: the ``refine`` verb.

Koo et al. 2023, "Self-refining of pseudo labels": a multi-label classifier judges windows of every stem; their scores
are averaged; a class is present above a threshold. With weights at hand that is one pass (:func:`refine`). Without any,
the dataset cleans itself (:func:`refine_self`): a classifier is trained on random mixes of the noisy stems, relabels
them, and a second one, trained on the stems that came out with exactly one class, relabels the original audio.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

import stemclean
from stemclean import layouts, manifest, verdicts
from stemclean.data.journal import Journal
from stemclean.errors import AudioError, ConfigError
from stemclean.manifest import Created, Input, Manifest, Model, Skip, Stem, Verdict
from stemclean.models import weights
from stemclean.models.calibration import Calibration
from stemclean.models.judge import Judge, Judgement, one_thread_each
from stemclean.training.classifier_run import fit_classifier
from stemclean.training.recipe import ClassifierRecipe
from stemclean.training.recipe import read as read_recipe
from stemclean.units import samples_to_seconds

__all__ = ["RefineConfig", "refine", "refine_self"]


@dataclass(frozen=True)
class RefineConfig:
    """How stems are judged.

    Args:
        threshold: a class is present above it, in (0, 1); the paper's 0.9.
        claimed_threshold: the same for the class that the dataset claims, see :func:`stemclean.verdicts.found_labels`;
            from 0.2 to 0.5 right and swapped claims of the bundled weights' validation stems part about equally well.
        plain_windows: judge every window by itself, as the paper does, instead of running the trunk once.
        margin: stems with a score this close to its threshold, in logits, are judged again by plain windows, so that
            both ways decide alike (docs/benchmarks.md counts the decisions that differ).
    """

    threshold: float = 0.9
    claimed_threshold: float = 0.3
    plain_windows: bool = False
    margin: float = 1.0

    def __post_init__(self) -> None:
        for name in ("threshold", "claimed_threshold"):
            if not 0 < getattr(self, name) < 1:
                raise ConfigError(
                    f"{name} is {getattr(self, name):g}, but scores lie between 0 and 1", "the paper's threshold is 0.9"
                )
        if self.claimed_threshold > self.threshold:
            raise ConfigError(
                f"claimed_threshold {self.claimed_threshold:g} is above threshold {self.threshold:g}: "
                "a claim would count against its class",
                f"lower it too: --threshold {self.threshold:g} --claimed-threshold {self.threshold:g}",
            )


def refine(
    data: str | Path,
    output: str | Path,
    config: RefineConfig = RefineConfig(),
    *,
    weights_uri: str = weights.DEFAULT_CLASSIFIER,
    workers: int | None = None,
    device: str | None = None,
    resume: bool = True,
    quiet: bool = False,
) -> Manifest:
    """Judge every stem of a dataset and write the refined manifest.

    Args:
        data: a folder, a list or a manifest.
        output: the manifest to write (``.json``, ``.jsonl``, ``.jsonl.gz``).
        weights_uri: the classifier.
        workers: stems judged at once; default one a core. The result does not depend on it.
        device: where the model runs; default CUDA where there is one.
        resume: stems that an interrupted run of the same data, weights and settings has judged are not judged again.

    Returns:
        The manifest; its stems' ``claimed`` and audio are as they were, ``labels``, ``scores``, ``regions`` and
        ``verdict`` are new.
    """
    manifest.check_output(output)
    source, folder = layouts.load(data, quiet=quiet)
    loaded = weights.load(weights_uri)
    return _relabel(source, folder, data, Path(output), config, loaded, workers, device, resume, quiet)


def refine_self(
    data: str | Path,
    output: str | Path,
    config: RefineConfig = RefineConfig(),
    *,
    rounds: int = 2,
    recipe: str | ClassifierRecipe = "small",
    overrides: Sequence[str] = (),
    workdir: str | Path | None = None,
    min_single_share: float = 0.2,
    workers: int | None = None,
    device: str | None = None,
    resume: bool = True,
    quiet: bool = False,
) -> Manifest:
    """Let a noisy dataset clean itself; no weights are needed.

    Round 1 trains on the claims as they are and relabels everything. Every further round trains on the stems
    that came out with exactly one class and relabels the original audio. Each round leaves ``roundN.safetensors``,
    its card and ``roundN.json`` in the work folder.

    Args:
        rounds: the paper found that more than two do not help.
        recipe, overrides: how each classifier is trained.
        workdir: default ``OUTPUT`` with the ending ``.work``.
        min_single_share: a class that keeps fewer single-class stems than this share of its claims is filled up
            with the claimed stems whose label quality is best (ours; the paper leaves it open).

    Returns:
        As :func:`refine`; ``summary["rounds"]`` tells what each round changed.
    """
    if rounds < 1:
        raise ConfigError(f"{rounds} rounds are none", "the paper's answer is --rounds 2")
    output = manifest.check_output(output)
    work = Path(workdir) if workdir else output.with_suffix(".work")
    chosen = recipe if isinstance(recipe, ClassifierRecipe) else read_recipe(recipe, overrides)
    source, folder = layouts.load(data, quiet=quiet)
    trained = {"rounds": rounds, "min_single_share": min_single_share, "recipe": chosen.to_dict()}
    training, refined, told = source, source, []
    labels: list[str] | None = None  # every round knows the classes of the first
    for number in range(1, rounds + 1):
        path = work / f"round{number}.safetensors"
        if not (resume and _made_from(path, training, chosen)):
            card = {"trained_on": _fingerprint(training, chosen), "round": number}
            fit_classifier(training, folder, path, chosen, labels=labels, card=card, resume=resume, quiet=quiet)
        target = output if number == rounds else work / f"round{number}.json"
        before = {stem.id: set(stem.labels) for stem in refined.stems}
        loaded = weights.load(path)
        labels = loaded.card["spec"]["labels"]
        refined = _relabel(source, folder, data, target, config, loaded, workers, device, resume, quiet, trained)
        changed = sum(set(stem.labels) != before[stem.id] for stem in refined.stems)
        training, filled = _single_class(refined, min_single_share)
        told.append(
            {"round": number, "labels_changed": changed, "single_class_stems": _counts(training), "filled_up": filled}
        )
        refined.summary["rounds"] = told
        manifest.write(refined, target)
    return refined


def _relabel(
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
        summary=_summary(stems, skipped, judge),
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


def _single_class(refined: Manifest, min_share: float) -> tuple[Manifest, dict[str, int]]:
    """The stems to train the next round on: those with exactly one class, and per class at least a share of its claims.

    Returns:
        (their manifest, class -> how many claimed stems were added because too few were left)
    """
    single = [stem for stem in refined.stems if len(stem.labels) == 1]
    chosen = {stem.id for stem in single}
    filled: dict[str, int] = {}
    for label in refined.labels:
        claims = [
            stem
            for stem in refined.stems
            if stem.claimed == [label] and stem.verdict and stem.verdict.reason != "silent"
        ]
        missing = int(-(-min_share * len(claims) // 1)) - sum(stem.labels == [label] for stem in single)
        if missing <= 0:
            continue
        spare = sorted((stem for stem in claims if stem.id not in chosen), key=_best_first)
        taken = spare[:missing]
        single += [stem.model_copy(update={"labels": [label], "verdict": None}) for stem in taken]
        chosen.update(stem.id for stem in taken)
        filled[label] = len(taken)
    return refined.with_stems(sorted(single, key=lambda stem: stem.id)), filled


def _best_first(stem: Stem) -> tuple[float, str]:
    quality = stem.verdict.label_quality if stem.verdict else None
    return -(quality or 0.0), stem.id


def _summary(stems: Sequence[Stem], skipped: Sequence[Skip], judge: Judge) -> dict[str, Any]:
    """Counts per verdict and reason, seconds per class claimed and kept."""
    actions = dict.fromkeys(("keep", "relabel", "mixed", "drop"), 0)
    reasons: dict[str, int] = {}
    seconds = {label: {"claimed": 0.0, "kept": 0.0} for label in judge.model.spec.labels}
    for stem in stems:
        if stem.verdict is None:
            continue
        actions[stem.verdict.action] += 1
        reasons[stem.verdict.reason] = reasons.get(stem.verdict.reason, 0) + 1
        for label in stem.claimed:
            seconds[label]["claimed"] += stem.duration
        if len(stem.labels) == 1 and stem.verdict.action != "drop":
            seconds[stem.labels[0]]["kept"] += stem.duration
    rounded = {label: {key: round(value, 1) for key, value in values.items()} for label, values in seconds.items()}
    return {"stems": len(stems), "skipped": len(skipped), "verdicts": actions, "reasons": reasons, "seconds": rounded}


def _input(data: str | Path, output: Path) -> Input:
    """The input as the manifest names it: relative to the output, with a hash where it is a file."""
    path = Path(data)
    return Input(
        path=manifest.relative_root(path, output), sha256=manifest.file_sha256(path) if path.is_file() else None
    )


def _counts(chosen: Manifest) -> dict[str, int]:
    return {label: sum(stem.labels == [label] for stem in chosen.stems) for label in chosen.labels}


def _fingerprint(training: Manifest, recipe: ClassifierRecipe) -> str:
    what = [recipe.to_dict(), [[stem.id, stem.sha256, stem.labels] for stem in training.stems]]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def _made_from(path: Path, training: Manifest, recipe: ClassifierRecipe) -> bool:
    """Whether weights of an earlier run were trained on just these stems by just this recipe."""
    card = path.with_suffix(".json")
    return (
        path.exists()
        and card.exists()
        and json.loads(card.read_text()).get("trained_on") == _fingerprint(training, recipe)
    )
