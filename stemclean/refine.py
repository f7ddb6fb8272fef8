"""Find out which classes every stem really contains: the ``refine`` verb.

Koo et al. 2023, "Self-refining of pseudo labels": a multi-label classifier judges windows of every stem, their scores
are averaged, and a class is present above a threshold. With given weights this takes one pass (:func:`refine`).
Without weights, the dataset cleans itself (:func:`refine_self`): a classifier is trained on random mixes of the noisy
stems and relabels them; a second one, trained on the stems in which exactly one class was found, relabels the original
audio.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stemclean import decisions as decided
from stemclean import layouts, manifest
from stemclean.errors import ConfigError
from stemclean.manifest import Manifest
from stemclean.models import addresses, devices
from stemclean.outputs import check_writable, only_writer
from stemclean.plans import MANIFEST_BYTES, Plan, Product, download_of, not_downloaded, plan_of
from stemclean.progress import waiting
from stemclean.refining import FOLDS, MIN_SINGLE_SHARE, RETRAIN_ON, ROUNDS
from stemclean.refining.config import RefineConfig, SelfConfig
from stemclean.refining.sounding import sounding
from stemclean.running import Running
from stemclean.training import CLASSIFIER_RECIPE

if TYPE_CHECKING:
    from stemclean.settings import Assignment
    from stemclean.training.recipe import ClassifierRecipe

__all__ = ["RefineConfig", "plan_refine", "plan_refine_self", "refine", "refine_self"]


def refine(
    data: str | Path,
    output: str | Path,
    config: RefineConfig = RefineConfig(),
    *,
    weights_uri: str = addresses.DEFAULT_CLASSIFIER,
    decisions: str | Path | None = None,
    layout: str | None = None,
    running: Running = Running(),
) -> Manifest:
    """Judge every stem of a dataset and write the refined manifest.

    Args:
        data: a folder, a list or a manifest.
        output: the manifest to write (``.json``, ``.jsonl``, ``.jsonl.gz``).
        config: settings of judging.
        weights_uri: the classifier.
        decisions: a file of people's decisions, see :mod:`stemclean.decisions`, which overrule the measurements. The
            manifest keeps those that fit with their stems; ``summary["decisions"]`` lists the others.
        layout: layout of the data, such as ``class_folders``; None: detect it.
        running: how to run: the device, the number of stems judged in parallel (default: one per core; the result does
            not depend on it), and whether to resume, that is, to reuse the judged stems of an interrupted run with the
            same data, weights and settings.

    Returns:
        The manifest. ``claimed`` and the audio of its stems are unchanged; ``labels``, ``scores``, ``levels_db``,
        ``regions`` and ``verdict`` are new. The header holds the settings and the thresholds that were used.
    """
    output = manifest.check_output(output)
    addresses.resolve(weights_uri)  # report a wrong name now, not after the scan
    devices.check(running.device)
    with only_writer(output):
        source, folder, judged_by_people = _load(data, config, layout, running, decisions)
        with waiting(f"loading {weights_uri} …", quiet=running.quiet):  # torch takes seconds
            from stemclean.models import weights
            from stemclean.refining import adaptive
            from stemclean.refining.jury import Jury
            from stemclean.refining.listening import provenance, relabel

            jury = Jury([weights.load(weights_uri)], device=running.device, calibrated=config.calibrated)
        jury.check(source, levels=config.max_bleed_db is not None)
        sample = adaptive.sample(source.stems)
        resolved, thresholds = adaptive.resolve(config, sample, folder, jury, running, source.stems)
        created = provenance(resolved, jury, manifest.input_of(data, output, source))
        also = thresholds | judged_by_people
        return relabel(source, folder, output, resolved, jury, running, created, also)


def plan_refine(
    data: str | Path,
    output: str | Path,
    config: RefineConfig = RefineConfig(),
    *,
    weights_uri: str = addresses.DEFAULT_CLASSIFIER,
    decisions: str | Path | None = None,
    layout: str | None = None,
    running: Running = Running(),
) -> Plan:
    """Return what :func:`refine` would do with the same arguments, after the same checks; nothing is written.

    Weights of the hub that are not cached are not downloaded, so that the time is unknown. Stems that an interrupted
    run has judged take no time, unless thresholds are ``adaptive``, which only the run finds.
    """
    output = manifest.check_output(output)
    found = addresses.look(weights_uri)
    devices.check(running.device)
    check_writable(output)
    source, folder, _ = _load(data, config.changed(detector="sustained"), layout, running, decisions)
    product = Product(output, 1, len(source.stems) * MANIFEST_BYTES)
    if not isinstance(found, Path):
        products = [product, download_of(found.folder, found.num_bytes)]
        return plan_of("refine", data, source, products, unknown_because=not_downloaded(found.uri))
    with waiting(f"loading {weights_uri} …", quiet=running.quiet):
        from stemclean.models import weights
        from stemclean.refining.jury import Jury
        from stemclean.refining.listening import judged_before, judging_speed

        jury = Jury([weights.load(found)], device=running.device, calibrated=config.calibrated)
    jury.check(source, levels=config.max_bleed_db is not None)
    speed = judging_speed(source, folder, config, jury, running)
    finished = judged_before(source, output, config, jury) if running.resume else []
    return plan_of("refine", data, source, [product], speed=speed, finished=finished)


def refine_self(
    data: str | Path,
    output: str | Path,
    config: RefineConfig = RefineConfig(),
    *,
    rounds: int = ROUNDS,
    folds: int = FOLDS,
    retrain_on: Literal["single", "all"] = RETRAIN_ON,
    min_single_share: float = MIN_SINGLE_SHARE,
    recipe: str | Path | ClassifierRecipe = CLASSIFIER_RECIPE,
    overrides: Sequence[str | Assignment] = (),
    workdir: str | Path | None = None,
    decisions: str | Path | None = None,
    layout: str | None = None,
    running: Running = Running(),
) -> Manifest:
    """Refine a noisy dataset with classifiers trained on the dataset itself; no weights are needed.

    With two rounds, the method has five steps:

    1. Train a classifier on random mixes of the stems, with their original labels.
    2. Relabel every stem with it.
    3. Train a second classifier from scratch on the stems in which exactly one class was found.
    4. Relabel the original audio with it, regardless of the first result.
    5. Train a separator on the result; other verbs do this.

    Each round leaves its weights and its manifest in the work folder, see
    :class:`~stemclean.refining.rounds.Rounds`. An interrupted run continues at the step where it stopped; a run with
    more rounds continues one with fewer.

    Args:
        data, output, config: as for :func:`refine`. ``adaptive`` thresholds are chosen in each round, on the validation
            tracks of its classifier; with ``folds``, on all tracks.
        rounds, folds, retrain_on, min_single_share: see :class:`~stemclean.refining.config.SelfConfig`.
        recipe: recipe of each classifier: a name, a ``.toml`` file or a recipe object.
        overrides: ``key=value`` settings that override the recipe.
        workdir: work folder; default: ``OUTPUT`` with the ending ``.work``.
        decisions: as for :func:`refine`; the first round is trained with the labels that people decided on.
        layout: layout of the data, such as ``class_folders``; None: detect it.
        running: as for :func:`refine`, also for the training: device, cache, checkpoints and logs. ``resume=False``
            starts from scratch.

    Returns:
        As for :func:`refine`; ``summary["rounds"]`` lists the changes of each round, see
        :func:`~stemclean.refining.rounds.bookkeeping`.

    Raises:
        ConfigError: invalid settings, or too few tracks to train on or to divide into folds.
    """
    method = SelfConfig(rounds=rounds, folds=folds, retrain_on=retrain_on, min_single_share=min_single_share)
    output = manifest.check_output(output)
    devices.check(running.device)
    with waiting("loading the training code …", quiet=running.quiet):
        from stemclean.refining.listening import moved
        from stemclean.refining.rounds import Rounds, bookkeeping
        from stemclean.training.recipe import read as read_recipe

    chosen = read_recipe(recipe, overrides)
    _check_levels(config, chosen)
    work = Path(workdir) if workdir else output.with_suffix(".work")
    with only_writer(output, also=[work]):
        source, folder, judged_by_people = _load(data, config, layout, running, decisions)
        shared = Rounds(source, folder, data, work, chosen, config, method, running)
        refined, history = None, []
        for number in range(1, method.rounds + 1):
            sets = shared.training_sets(refined)  # original labels; from round 2 on, stems with exactly one class
            jury = shared.train(number, sets)
            before, refined = refined or source, shared.judge(number, sets, jury)  # always the original audio
            history.append(bookkeeping(number, before, refined, sets, jury, method))
            refined.summary["rounds"] = history
            manifest.write(refined, shared.manifest_path(number))
        assert refined is not None
        final = moved(refined, folder, manifest.input_of(data, output, source), output)
        final.summary.update(judged_by_people)
        manifest.write(final, output)
        return final


def plan_refine_self(
    data: str | Path,
    output: str | Path,
    config: RefineConfig = RefineConfig(),
    *,
    rounds: int = ROUNDS,
    folds: int = FOLDS,
    retrain_on: Literal["single", "all"] = RETRAIN_ON,
    min_single_share: float = MIN_SINGLE_SHARE,
    recipe: str | Path | ClassifierRecipe = CLASSIFIER_RECIPE,
    overrides: Sequence[str | Assignment] = (),
    workdir: str | Path | None = None,
    decisions: str | Path | None = None,
    layout: str | None = None,
    running: Running = Running(),
) -> Plan:
    """Return what :func:`refine_self` would do with the same arguments, after the same checks; nothing is written.

    The duration of the training is left open.
    """
    method = SelfConfig(rounds=rounds, folds=folds, retrain_on=retrain_on, min_single_share=min_single_share)
    output = manifest.check_output(output)
    devices.check(running.device)
    with waiting("loading the training code …", quiet=running.quiet):
        from stemclean.training.planned import LEFT_OPEN, cache_of, length_of
        from stemclean.training.recipe import read as read_recipe

    chosen = read_recipe(recipe, overrides)
    _check_levels(config, chosen)
    check_writable(output)
    source, _, _ = _load(data, config.changed(detector="sustained"), layout, running, decisions)
    size = len(source.stems) * MANIFEST_BYTES
    seconds = sum(stem.duration for stem in source.stems)
    products = [
        Product(output, 1, size),
        Product(Path(workdir) if workdir else output.with_suffix(".work"), method.rounds * (1 + 2 * method.folds)),
        cache_of(seconds, chosen.spec, running),
    ]
    figures = {"rounds": method.rounds, "classifiers": method.rounds * method.folds, **length_of(chosen.loop)}
    return plan_of("refine", data, source, products, figures=figures, unknown_because=LEFT_OPEN)


def _check_levels(config: RefineConfig, recipe: ClassifierRecipe) -> None:
    """Refuse a recipe without a level head if levels are needed."""
    if config.max_bleed_db is not None and not recipe.options.get("level_head"):
        raise ConfigError(
            f"the recipe {recipe.name} trains no level head, which max_bleed_db needs",
            "add it to the recipe: --set options.level_head=true",
        )


def _load(
    data: str | Path, config: RefineConfig, layout: str | None, running: Running, decisions: str | Path | None
) -> tuple[Manifest, Path, dict[str, Any]]:
    """Load the dataset without earlier measurements between its stems, because the files may have changed.

    Returns:
        (the manifest with people's decisions, the folder of its stems, what the summary says about the decisions)
    """
    filed = None if decisions is None else decided.read(decisions)  # report a broken file now, not after the scan
    source, folder = layouts.load(data, layout=layout, quiet=running.quiet)
    if config.detector != "sustained":  # the sustained detector runs while stems are judged
        source = sounding(source, folder, config.detector, workers=running.workers, quiet=running.quiet)
    stems = [
        stem.model_copy(update={"crosstalk": None, "fingerprint": None, "same_sound": None}) for stem in source.stems
    ]
    source, report = source.with_stems(stems), {}
    if filed is not None:
        source, report["decisions"] = decided.applied(source, filed)
    return source, folder, report
