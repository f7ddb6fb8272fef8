"""Find out what every stem really holds: the ``refine`` verb.

Koo et al. 2023, "Self-refining of pseudo labels": a multi-label classifier judges windows of every stem; their scores
are averaged; a class is present above a threshold. With weights at hand that is one pass (:func:`refine`). Without any,
the dataset cleans itself (:func:`refine_self`): a classifier is trained on random mixes of the noisy stems, relabels
them, and a second one, trained on the stems that came out with exactly one class, relabels the original audio.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stemclean import layouts, manifest
from stemclean.errors import ConfigError
from stemclean.manifest import Manifest
from stemclean.models import weights
from stemclean.refining import rounds as between
from stemclean.refining.config import RefineConfig
from stemclean.refining.listening import relabel
from stemclean.training.classifier_run import fit_classifier
from stemclean.training.recipe import ClassifierRecipe
from stemclean.training.recipe import read as read_recipe

__all__ = ["RefineConfig", "refine", "refine_self"]


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
    return relabel(source, folder, data, Path(output), config, loaded, workers, device, resume, quiet)


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
        if not (resume and between.made_from(path, training, chosen)):
            card = {"trained_on": between.fingerprint(training, chosen), "round": number}
            fit_classifier(training, folder, path, chosen, labels=labels, card=card, resume=resume, quiet=quiet)
        target = output if number == rounds else work / f"round{number}.json"
        before = {stem.id: set(stem.labels) for stem in refined.stems}
        loaded = weights.load(path)
        labels = loaded.card["spec"]["labels"]
        refined = relabel(source, folder, data, target, config, loaded, workers, device, resume, quiet, trained)
        changed = sum(set(stem.labels) != before[stem.id] for stem in refined.stems)
        training, filled = between.single_class(refined, min_single_share)
        told.append(
            {
                "round": number,
                "labels_changed": changed,
                "single_class_stems": between.counts(training),
                "filled_up": filled,
            }
        )
        refined.summary["rounds"] = told
        manifest.write(refined, target)
    return refined
