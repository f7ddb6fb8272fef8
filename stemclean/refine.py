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
from stemclean.errors import ConfigError
from stemclean.manifest import Manifest
from stemclean.models import addresses
from stemclean.progress import waiting
from stemclean.refining.config import RefineConfig, Running, SelfConfig

if TYPE_CHECKING:
    from stemclean.training.recipe import ClassifierRecipe

__all__ = ["RefineConfig", "refine", "refine_self"]


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
    source, folder = layouts.load(data, quiet=quiet)
    with waiting(f"loading {weights_uri} …", quiet=quiet):  # torch takes seconds
        from stemclean.models import weights
        from stemclean.refining import adaptive
        from stemclean.refining.jury import Jury
        from stemclean.refining.listening import provenance, relabel

        jury = Jury([weights.load(weights_uri)], device=device)
    jury.check(source, levels=config.max_bleed_db is not None)
    resolved, told = adaptive.resolve(config, adaptive.sample(source.stems), folder, jury, running)
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
    overrides: Sequence[str] = (),
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
    method = SelfConfig(rounds, folds, retrain_on, min_single_share)
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
    source, folder = layouts.load(data, quiet=quiet)
    running, where = Running(workers, device, resume, quiet), Path(cache) if cache else None
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
