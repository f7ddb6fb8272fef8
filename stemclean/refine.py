"""Find out what every stem really holds: the ``refine`` verb.

Koo et al. 2023, "Self-refining of pseudo labels": a multi-label classifier judges windows of every stem; their scores are
averaged; a class is present above a threshold. With weights at hand that is one pass (:func:`refine`). Without any, the
dataset cleans itself (:func:`refine_self`): a classifier is trained on random mixes of the noisy stems, relabels them, and a second
one, trained on the stems that came out with exactly one class, relabels the original audio.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

import stemclean
from stemclean import layouts, manifest, verdicts
from stemclean.errors import AudioError, ConfigError
from stemclean.manifest import Created, Input, Manifest, Model, Skip, Stem, Verdict
from stemclean.models import weights
from stemclean.models.calibration import Calibration
from stemclean.models.judge import Judge, Judgement
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
        claimed_threshold: the same for the class that the dataset claims, see :func:`stemclean.verdicts.found_labels`.
        plain_windows: judge every window by itself, as the paper does, instead of running the trunk once.
        margin: stems with a score this close to a threshold are judged again by plain windows, so that both ways decide alike.
    """

    threshold: float = 0.9
    claimed_threshold: float = 0.5
    plain_windows: bool = False
    margin: float = 0.07

    def __post_init__(self) -> None:
        for name in ("threshold", "claimed_threshold"):
            if not 0 < getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name):g}, but scores lie between 0 and 1", "the paper's threshold is 0.9")


def refine(
    data: str | Path,
    output: str | Path,
    config: RefineConfig = RefineConfig(),  # noqa: B008: frozen
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
        The manifest; its stems' ``claimed`` and audio are as they were, ``labels``, ``scores``, ``regions``, ``verdict`` are new.
    """
    loaded = weights.load(weights_uri)
    source, folder = layouts.load(data)
    return _relabel(source, folder, data, Path(output), config, loaded, workers, device, resume, quiet)


def refine_self(
    data: str | Path,
    output: str | Path,
    config: RefineConfig = RefineConfig(),  # noqa: B008: frozen
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
    output = Path(output)
    work = Path(workdir) if workdir else output.with_suffix(".work")
    chosen = recipe if isinstance(recipe, ClassifierRecipe) else read_recipe(recipe, overrides)
    source, folder = layouts.load(data)
    training, refined, told = source, source, []
    for number in range(1, rounds + 1):
        path = work / f"round{number}.safetensors"
        if not (resume and _made_from(path, training, chosen)):
            card = {"trained_on": _fingerprint(training, chosen), "round": number}
            fit_classifier(training, folder, path, chosen, card=card, resume=resume, quiet=quiet)
        target = output if number == rounds else work / f"round{number}.json"
        before = {stem.id: set(stem.labels) for stem in refined.stems}
        loaded = weights.load(path)
        refined = _relabel(source, folder, data, target, config, loaded, workers, device, resume, quiet)
        changed = sum(set(stem.labels) != before[stem.id] for stem in refined.stems)
        training, filled = _single_class(refined, min_single_share)
        told.append({"round": number, "labels_changed": changed, "single_class_stems": _counts(training), "filled_up": filled})
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
) -> Manifest:
    """One pass of one classifier over the original audio."""
    unknown = sorted({label for stem in source.stems for label in stem.claimed} - set(loaded.card["spec"]["labels"]))
    if unknown:
        known = ", ".join(loaded.card["spec"]["labels"])
        raise ConfigError(f"the weights know {known}, but the dataset claims {', '.join(unknown)}", "use weights trained on these classes")
    created = Created(
        by=f"stemclean {stemclean.__version__}",
        command="refine",
        config=asdict(config),
        inputs=[_input(data, output)],
        model=Model(uri=loaded.uri, sha256=loaded.sha256),
    )
    judge = Judge(loaded.model, device or ("cuda" if torch.cuda.is_available() else "cpu"))
    calibration = Calibration.of_card(loaded.card)
    done = _Journal(output, [created.config, loaded.sha256], resume)
    stems: list[Stem] = []
    skipped = list(source.skipped)

    def look(stem: Stem) -> Stem | Skip:
        return done.get(stem) or done.put(stem, _look(stem, folder, judge, calibration, config))

    with _one_thread_each(workers) as threads:
        bar = tqdm(total=len(source.stems), desc="refine", unit="stem", disable=True if quiet else None)
        for result in threads.map(look, source.stems):
            bar.update()
            (stems if isinstance(result, Stem) else skipped).append(result)  # type: ignore[arg-type]
        bar.close()
    refined = Manifest(
        created=created,
        labels=source.labels,
        root=manifest.relative_root(folder, output),
        stems=stems,
        skipped=skipped,
        summary=_summary(stems, skipped, judge),
    )
    manifest.write(refined, output)
    done.close()
    return refined


def _look(stem: Stem, folder: Path, judge: Judge, calibration: Calibration, config: RefineConfig) -> Stem | Skip:
    """One stem, judged; or why it could not be."""
    recording = judge.recording(folder / stem.path, stem.duration, stem.stream)
    try:
        heard = judge(recording, plain=config.plain_windows)
        scores = calibration(heard.mean())
        near = min(abs(float(score) - limit) for score in scores for limit in (config.threshold, config.claimed_threshold))
        if near < config.margin and not config.plain_windows and heard.weights.any():
            heard = judge(recording, plain=True)
            scores = calibration(heard.mean())
    except AudioError as error:
        return Skip(path=stem.path, reason=error.reason, detail=error.detail)
    return _with_verdict(stem, heard, dict(zip(judge.model.spec.labels, scores.tolist(), strict=True)), calibration, config)


def _with_verdict(stem: Stem, heard: Judgement, scores: dict[str, float], calibration: Calibration, config: RefineConfig) -> Stem:
    """The stem with what was heard in it."""
    active = [(samples_to_seconds(a, heard.sample_rate), samples_to_seconds(b, heard.sample_rate)) for a, b in heard.active]
    active = [(start, min(end, stem.duration)) for start, end in active if start < stem.duration]
    measured: dict[str, Any] = {"loudness_lufs": heard.loudness_lufs, "peak_dbfs": heard.peak_dbfs}
    if stem.source is None:
        measured["active"] = active
    if not heard.weights.any():
        silent = Verdict(action="drop", reason="silent", label_quality=0.0)
        return stem.model_copy(update={**measured, "labels": [], "scores": {}, "regions": [], "verdict": silent})
    found = verdicts.found_labels(scores, stem.claimed, config.threshold, config.claimed_threshold)
    quality = verdicts.label_quality(scores, stem.claimed)
    regions = verdicts.labelled_regions(
        calibration(heard.over_time()),
        list(scores),
        active,
        heard.hop / heard.sample_rate,
        on=config.threshold,
        off=config.claimed_threshold,
        found=found,
    )
    decided = verdicts.verdict(stem.claimed, found, quality)
    labels = found
    if stem.split in ("test", "validation"):
        decided, labels = Verdict(action="keep", reason="held_out", label_quality=quality), stem.labels
    return stem.model_copy(update={**measured, "labels": labels, "scores": scores, "regions": regions, "verdict": decided})


def _single_class(refined: Manifest, min_share: float) -> tuple[Manifest, dict[str, int]]:
    """The stems to train the next round on: those with exactly one class, and per class at least a share of its claims.

    Returns:
        (their manifest, class -> how many claimed stems were added because too few were left)
    """
    single = [stem for stem in refined.stems if len(stem.labels) == 1]
    chosen = {stem.id for stem in single}
    filled: dict[str, int] = {}
    for label in refined.labels:
        claims = [stem for stem in refined.stems if stem.claimed == [label] and stem.verdict and stem.verdict.reason != "silent"]
        missing = int(-(-min_share * len(claims) // 1)) - sum(stem.labels == [label] for stem in single)
        if missing <= 0:
            continue
        spare = sorted((s for s in claims if s.id not in chosen), key=lambda s: (-(s.verdict.label_quality or 0.0), s.id))  # type: ignore[union-attr]
        taken = spare[:missing]
        single += [stem.model_copy(update={"labels": [label], "verdict": None}) for stem in taken]
        chosen.update(stem.id for stem in taken)
        filled[label] = len(taken)
    return refined.with_stems(sorted(single, key=lambda stem: stem.id)), filled


def _summary(stems: Sequence[Stem], skipped: Sequence[Skip], judge: Judge) -> dict[str, Any]:
    """Counts per verdict and reason, seconds per class claimed and kept."""
    actions = {action: 0 for action in ("keep", "relabel", "mixed", "drop")}
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


class _Journal:
    """Judged stems of an unfinished run, one JSON line each, beside the output; gone when the output stands."""

    def __init__(self, output: Path, settings: list[Any], resume: bool) -> None:
        self.path = output.with_name(output.name + ".partial.jsonl")
        self.settings = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
        self.known: dict[str, dict[str, Any]] = {}
        if resume and self.path.exists():
            self.known = {entry["key"]: entry for entry in self._lines()}
        output.parent.mkdir(parents=True, exist_ok=True)
        self.file = open(self.path, "a" if resume else "w", encoding="utf-8")  # noqa: SIM115: closed by close()

    def _lines(self) -> Iterator[dict[str, Any]]:
        with open(self.path, encoding="utf-8") as lines:
            for line in lines:
                if line.endswith("\n"):  # a killed run may leave half a line
                    yield json.loads(line)

    def _key(self, stem: Stem) -> str:
        what = stem.model_dump(mode="json")
        return hashlib.sha256(json.dumps([self.settings, what], sort_keys=True).encode()).hexdigest()

    def get(self, stem: Stem) -> Stem | Skip | None:
        """The result of an earlier run."""
        entry = self.known.get(self._key(stem))
        if entry is None:
            return None
        return Stem.model_validate(entry["stem"]) if "stem" in entry else Skip.model_validate(entry["skip"])

    def put(self, stem: Stem, result: Stem | Skip) -> Stem | Skip:
        """Remember a result at once."""
        kind = "stem" if isinstance(result, Stem) else "skip"
        line = json.dumps({"key": self._key(stem), kind: result.model_dump(mode="json")}) + "\n"
        self.file.write(line)
        self.file.flush()
        return result

    def close(self) -> None:
        """The output stands; the journal has done its work."""
        self.file.close()
        self.path.unlink(missing_ok=True)


class _one_thread_each:  # noqa: N801: used as a function
    """A thread pool whose threads run torch on one core each, which is faster than one stem on all cores."""

    def __init__(self, workers: int | None) -> None:
        self.workers = workers or os.cpu_count() or 1

    def __enter__(self) -> ThreadPoolExecutor:
        self.before = torch.get_num_threads()
        torch.set_num_threads(1)
        self.pool = ThreadPoolExecutor(self.workers)
        return self.pool

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)
        torch.set_num_threads(self.before)


def _input(data: str | Path, output: Path) -> Input:
    """The input as the manifest names it: relative to the output, with a hash where it is a file."""
    path = Path(data)
    return Input(path=manifest.relative_root(path, output), sha256=manifest.file_sha256(path) if path.is_file() else None)


def _counts(chosen: Manifest) -> dict[str, int]:
    return {label: sum(stem.labels == [label] for stem in chosen.stems) for label in chosen.labels}


def _fingerprint(training: Manifest, recipe: ClassifierRecipe) -> str:
    what = [recipe.to_dict(), [[stem.id, stem.sha256, stem.labels] for stem in training.stems]]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def _made_from(path: Path, training: Manifest, recipe: ClassifierRecipe) -> bool:
    """Whether weights of an earlier run were trained on just these stems by just this recipe."""
    card = path.with_suffix(".json")
    return path.exists() and card.exists() and json.loads(card.read_text()).get("trained_on") == _fingerprint(training, recipe)
