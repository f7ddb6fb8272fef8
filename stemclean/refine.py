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
from typing import TYPE_CHECKING, Literal

from stemclean import layouts, manifest
from stemclean.data.destination import refuse_in_source
from stemclean.errors import ConfigError
from stemclean.labels import FOUR_STEMS, known_as
from stemclean.manifest import Manifest
from stemclean.models import addresses
from stemclean.outputs import only_writer
from stemclean.progress import waiting
from stemclean.refining.config import RefineConfig, Running, SelfConfig
from stemclean.refining.sounding import sounding

if TYPE_CHECKING:
    from stemclean.settings import Assignment
    from stemclean.training.recipe import ClassifierRecipe

__all__ = ["RefineConfig", "refine", "refine_pitch", "refine_self"]


def refine(
    data: str | Path,
    output: str | Path,
    config: RefineConfig = RefineConfig(),
    *,
    weights_uri: str = addresses.DEFAULT_CLASSIFIER,
    workers: int | None = None,
    device: str | None = None,
    resume: bool = True,
    quiet: bool = False,
) -> Manifest:
    """Judge every stem of a dataset and write the refined manifest.

    Args:
        data: a folder, a list or a manifest.
        output: the manifest to write (``.json``, ``.jsonl``, ``.jsonl.gz``).
        config: settings of judging.
        weights_uri: the classifier.
        workers: number of stems judged in parallel; default: one per core. The result does not depend on it.
        device: device that the model runs on; default: CUDA if available.
        resume: reuse the judged stems of an interrupted run with the same data, weights and settings.
        quiet: show no progress bars.

    Returns:
        The manifest. ``claimed`` and the audio of its stems are unchanged; ``labels``, ``scores``, ``levels_db``,
        ``regions`` and ``verdict`` are new. The header holds the settings and the thresholds that were used.
    """
    output = manifest.check_output(output)
    running = Running(workers, device, resume, quiet)
    addresses.resolve(weights_uri)  # report a wrong name now, not after the scan
    with only_writer(output):
        source, folder = _load(data, config, running)
        with waiting(f"loading {weights_uri} …", quiet=quiet):  # torch takes seconds
            from stemclean.models import weights
            from stemclean.refining import adaptive
            from stemclean.refining.jury import Jury
            from stemclean.refining.listening import provenance, relabel

            jury = Jury([weights.load(weights_uri)], device=device, calibrated=config.calibrated)
        jury.check(source, levels=config.max_bleed_db is not None)
        sample = adaptive.sample(source.stems)
        resolved, thresholds = adaptive.resolve(config, sample, folder, jury, running, source.stems)
        created = provenance(resolved, jury, data, output)
        return relabel(source, folder, output, resolved, jury, running, created, thresholds)


def refine_self(
    data: str | Path,
    output: str | Path,
    config: RefineConfig = RefineConfig(),
    *,
    rounds: int = 2,
    folds: int = 1,
    retrain_on: Literal["single", "all"] = "single",
    min_single_share: float = 0.2,
    recipe: str | Path | ClassifierRecipe = "small",
    overrides: Sequence[str | Assignment] = (),
    workdir: str | Path | None = None,
    cache: str | Path | None = None,
    workers: int | None = None,
    device: str | None = None,
    resume: bool = True,
    quiet: bool = False,
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
        cache: folder for decoded audio.
        workers, device, resume, quiet: as for :func:`refine`; ``resume=False`` starts from scratch.

    Returns:
        As for :func:`refine`; ``summary["rounds"]`` lists the changes of each round, see
        :func:`~stemclean.refining.rounds.bookkeeping`.

    Raises:
        ConfigError: invalid settings, or too few tracks to train on or to divide into folds.
    """
    method = SelfConfig(rounds=rounds, folds=folds, retrain_on=retrain_on, min_single_share=min_single_share)
    output = manifest.check_output(output)
    with waiting("loading the training code …", quiet=quiet):
        from stemclean.refining.listening import moved
        from stemclean.refining.rounds import Rounds, bookkeeping
        from stemclean.training.recipe import read as read_recipe

    chosen = read_recipe(recipe, overrides)
    if config.max_bleed_db is not None and not chosen.options.get("level_head"):
        raise ConfigError(
            f"the recipe {chosen.name} trains no level head, which max_bleed_db needs",
            "add it to the recipe: --set options.level_head=true",
        )
    work = Path(workdir) if workdir else output.with_suffix(".work")
    with only_writer(output, also=[work]):
        running, cache_folder = Running(workers, device, resume, quiet), Path(cache) if cache else None
        source, folder = _load(data, config, running)
        shared = Rounds(source, folder, data, work, chosen, config, method, running, cache_folder)
        refined, history = None, []
        for number in range(1, method.rounds + 1):
            sets = shared.training_sets(refined)  # original labels; from round 2 on, stems with exactly one class
            jury = shared.train(number, sets)
            before, refined = refined or source, shared.judge(number, sets, jury)  # always the original audio
            history.append(bookkeeping(number, before, refined, sets, jury, method))
            refined.summary["rounds"] = history
            manifest.write(refined, shared.manifest_path(number))
        assert refined is not None
        final = moved(refined, folder, data, output)
        manifest.write(final, output)
        return final


def _load(data: str | Path, config: RefineConfig, running: Running) -> tuple[Manifest, Path]:
    """Load the dataset without earlier measurements between its stems, because the files may have changed."""
    source, folder = layouts.load(data, quiet=running.quiet)
    if config.detector != "sustained":  # the sustained detector runs while stems are judged
        source = sounding(source, folder, config.detector, workers=running.workers, quiet=running.quiet)
    stems = [
        stem.model_copy(update={"crosstalk": None, "fingerprint": None, "same_sound": None}) for stem in source.stems
    ]
    return source.with_stems(stems), folder


def refine_pitch(
    data: str | Path,
    output: str | Path,
    *,
    weights_uri: str,
    threshold: float | None = None,
    device: str | None = None,
    resume: bool = True,
    quiet: bool = False,
) -> Manifest:
    """Complete half-labelled songs for the second stage of MAJL (Wei et al. 2025, arXiv 2501.03689).

    Vocals without an f0 get an estimate by the pitch tracker, with a confidence for every frame. Mixtures that have a
    known f0 but no vocals get vocals separated by the cascade, with a confidence that says how well its tracker
    recovers the known f0 from them. Both confidences are ours. The dataset's own annotations are never changed.

    Args:
        data: a folder, a list or a manifest. A folder is scanned for the classes of the cascade.
        output: the manifest to write; the files go to ``OUT.f0/`` and ``OUT.vocals/`` beside it. Its ``root`` is the
            deepest folder that contains these files and the data.
        weights_uri: weights of a cascade, or of a pitch tracker, which leaves mixtures unchanged.
        threshold: minimum posterior of a voiced frame; None: the best one on the weights' validation data.
        device: device that the model runs on; default: CUDA if available.
        resume: reuse the songs that an interrupted run with the same data, weights and settings has completed.
        quiet: show no progress bars.

    Returns:
        The manifest; its summary has the keys of :data:`stemclean.refining.half_labelled.KEYS`.

    Raises:
        ConfigError: the output would lie inside the data, or has no common folder with it.
        WeightsError: the weights cannot be loaded, or belong to neither a cascade nor a pitch tracker.
    """
    output = manifest.check_output(output)
    path, _ = addresses.resolve(weights_uri)
    layouts.check(data)
    name = output.name.rpartition(".json")[0]
    with only_writer(output, also=[output.with_name(f"{name}.{kind}") for kind in ("f0", "vocals")]):
        with waiting(f"loading {weights_uri} …", quiet=quiet):  # torch takes seconds
            from stemclean.models import weights
            from stemclean.models.decoding import threshold_of
            from stemclean.refining.half_labelled import Models, complete
            from stemclean.refining.listening import provenance_of
            from stemclean.refining.sidecars import Sidecars

            is_cascade = weights.read_card(path)["kind"] == "cascades"
            tracker = weights.load(weights_uri, kind="pitch")
            cascade = weights.load(weights_uri, kind="cascades") if is_cascade else None
            models = Models(tracker, cascade, threshold_of(tracker.card) if threshold is None else threshold)
        profile = known_as(models.cascade.model.spec.labels) if models.cascade else FOUR_STEMS
        source, folder = layouts.load(data, profile=profile, quiet=quiet)
        sidecars = Sidecars(output, folder)
        if Path(data).is_dir():
            refuse_in_source(sidecars.folder("vocals"), Path(data))
        created = provenance_of("refine", {"pitch": {"threshold": models.threshold}}, models.tracker, data, output)
        completed = complete(source, sidecars, output, created, models, Running(None, device, resume, quiet))
        manifest.write(completed, output)
        return completed
