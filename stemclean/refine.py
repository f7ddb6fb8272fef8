"""Find out what every stem really holds: the ``refine`` verb.

Koo et al. 2023, "Self-refining of pseudo labels": a multi-label classifier judges windows of every stem; their scores
are averaged; a class is present above a threshold. With weights at hand that is one pass (:func:`refine`). Without any,
the dataset cleans itself (:func:`refine_self`): a classifier is trained on random mixes of the noisy stems, relabels
them, and a second one, trained on the stems that came out with exactly one class, relabels the original audio.
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
        config: how stems are judged.
        weights_uri: the classifier.
        workers: stems judged at once; default one a core. The result does not depend on it.
        device: where the model runs; default CUDA where there is one.
        resume: stems that an interrupted run of the same data, weights and settings has judged are not judged again.
        quiet: no progress bars.

    Returns:
        The manifest; its stems' ``claimed`` and audio are as they were, ``labels``, ``scores``, ``levels_db``,
        ``regions`` and ``verdict`` are new. The header holds the settings with the thresholds that were used.
    """
    output = manifest.check_output(output)
    running = Running(workers, device, resume, quiet)
    addresses.resolve(weights_uri)  # a wrong name is told now, not after the scan
    with only_writer(output):
        source, folder = _load(data, config, running)
        with waiting(f"loading {weights_uri} …", quiet=quiet):  # torch takes seconds
            from stemclean.models import weights
            from stemclean.refining import adaptive
            from stemclean.refining.jury import Jury
            from stemclean.refining.listening import provenance, relabel

            jury = Jury([weights.load(weights_uri)], device=device, calibrated=config.calibrated)
        jury.check(source, levels=config.max_bleed_db is not None)
        resolved, told = adaptive.resolve(config, adaptive.sample(source.stems), folder, jury, running, source.stems)
        return relabel(source, folder, output, resolved, jury, running, provenance(resolved, jury, data, output), told)


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
    """Let a noisy dataset clean itself; no weights are needed.

    The method in five steps, with two rounds:

    1. A classifier is trained on random mixes of the stems, with the labels as they came.
    2. It relabels every stem.
    3. A second one is trained, from scratch, on the stems that came out with exactly one class.
    4. It relabels the original audio, whatever the first one said.
    5. What comes back trains a separator; that is another verb's work.

    Each round leaves its weights and its manifest in the work folder, see
    :class:`~stemclean.refining.rounds.Rounds`. A run that was stopped, in whatever step, goes on there; one with more
    rounds goes on from one with fewer.

    Args:
        data, output, config: as for :func:`refine`; ``adaptive`` thresholds are found anew in each round, on the
            tracks that validated its classifier, with ``folds`` on all.
        rounds, folds, retrain_on, min_single_share: see :class:`~stemclean.refining.config.SelfConfig`.
        recipe: how each classifier is trained: a name, a ``.toml`` file or a recipe.
        overrides: ``key=value`` settings over the recipe.
        workdir: default ``OUTPUT`` with the ending ``.work``.
        cache: folder for decoded audio.
        workers, device, resume, quiet: as for :func:`refine`; ``resume=False`` trains and judges all anew.

    Returns:
        As :func:`refine`; ``summary["rounds"]`` tells what each round changed, see
        :func:`~stemclean.refining.rounds.bookkeeping`.

    Raises:
        ConfigError: settings that cannot be meant, or too few tracks to train on or to deal into folds.
    """
    method = SelfConfig(rounds=rounds, folds=folds, retrain_on=retrain_on, min_single_share=min_single_share)
    output = manifest.check_output(output)
    with waiting("loading what trains …", quiet=quiet):
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
        running, where = Running(workers, device, resume, quiet), Path(cache) if cache else None
        source, folder = _load(data, config, running)
        shared = Rounds(source, folder, data, work, chosen, config, method, running, where)
        refined, told = None, []
        for number in range(1, method.rounds + 1):
            sets = shared.training_sets(refined)  # the labels as they came; later, stems with exactly one class
            jury = shared.train(number, sets)
            before, refined = refined or source, shared.judge(number, sets, jury)  # always the original audio
            told.append(bookkeeping(number, before, refined, sets, jury, method))
            refined.summary["rounds"] = told
            manifest.write(refined, shared.manifest_path(number))
        assert refined is not None
        final = moved(refined, folder, data, output)
        manifest.write(final, output)
        return final


def _load(data: str | Path, config: RefineConfig, running: Running) -> tuple[Manifest, Path]:
    """The dataset, without what an earlier run measured between its stems: the files may be others now."""
    source, folder = layouts.load(data, quiet=running.quiet)
    if config.detector != "sustained":  # which is found on the way, where nobody has found it before
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
    """Complete songs of which only half is known, for the second stage of MAJL (Wei et al. 2025, arXiv 2501.03689).

    Voices without an f0 get the one that the tracker hears, with the confidence of every frame; mixtures whose f0 is
    known, and of which there are no vocals, get the voice that the cascade separates, with a confidence that says how
    well its tracker finds the known f0 in it. Both confidences are ours. What came with the dataset stays as it is.

    Args:
        data: a folder, a list or a manifest. A folder is scanned for the classes of the cascade.
        output: the manifest to write; ``OUT.f0/`` and ``OUT.vocals/`` beside it get the files. Its ``root`` is the
            deepest folder that holds these and the data.
        weights_uri: of a cascade; of a pitch tracker, with which mixtures are left as they are.
        threshold: posterior from which on a frame is voiced; None: what the weights' validation found best.
        device: where the model runs; default CUDA where there is one.
        resume: songs that an interrupted run of the same data, weights and settings has done are not done again.
        quiet: no progress bars.

    Returns:
        The manifest; its summary has the keys of :data:`stemclean.refining.half_labelled.KEYS`.

    Raises:
        ConfigError: the output would lie in the data, or has no folder in common with it.
        WeightsError: weights that cannot be had, or neither a cascade's nor a tracker's.
    """
    output = manifest.check_output(output)
    path, _ = addresses.resolve(weights_uri)
    layouts.check(data)
    called = output.name.rpartition(".json")[0]
    with only_writer(output, also=[output.with_name(f"{called}.{kind}") for kind in ("f0", "vocals")]):
        with waiting(f"loading {weights_uri} …", quiet=quiet):  # torch takes seconds
            from stemclean.models import weights
            from stemclean.models.decoding import threshold_of
            from stemclean.refining.half_labelled import Models, complete
            from stemclean.refining.listening import provenance_of
            from stemclean.refining.sidecars import Sidecars

            whole = weights.read_card(path)["kind"] == "cascades"
            tracker = weights.load(weights_uri, kind="pitch")
            cascade = weights.load(weights_uri, kind="cascades") if whole else None
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
