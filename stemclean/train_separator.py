"""Train a source separator on the stems of a dataset, refined or not: the ``train-separator`` verb."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stemclean import layouts
from stemclean.labels import scanned_for
from stemclean.models import addresses, hub
from stemclean.outputs import only_writer
from stemclean.settings import Assignment
from stemclean.training import finished
from stemclean.training.recipe import SeparatorRecipe, read_separator
from stemclean.training.separator_run import fit_separator

__all__ = ["train_separator"]


def train_separator(
    data: str | Path,
    output: str | Path,
    *,
    recipe: str | Path | SeparatorRecipe = "xumx-small",
    overrides: Sequence[str | Assignment] = (),
    labels: Sequence[str] | None = None,
    use_claimed: bool = False,
    cache: str | Path | None = None,
    cache_limit_gb: float | None = None,
    init: str | Path | None = None,
    card: dict[str, Any] | None = None,
    resume: bool = True,
    keep_checkpoint: bool = False,
    push_to_hub: str | None = None,
    workers: int = 2,
    logs: str | Path | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Train a separator and write its weights and card.

    The examples are mixtures of stems from any songs (Koo et al. 2023, section 3.2): with a given probability one of
    the sources is a stem that holds several classes, and the sum of their estimates is compared with it. Stems are
    taken as the manifest believes them to be: region by region, or whole where the recipe's ``mixing.whole_stems``
    says so, as in the paper.

    Args:
        data: a manifest, usually what ``refine`` gave; a folder or a list is taken at its word. Stems whose verdict is
            ``drop`` and declared test stems are left out; declared validation tracks validate.
        output: the ``.safetensors`` file to write; the card stands beside it as ``.json``.
        recipe: a name (``xumx-small``, ``hdemucs-paper``, …), a ``.toml`` file or a recipe.
        overrides: ``key=value`` settings over the recipe.
        labels: the classes that are separated; None: those of the manifest that have stems. Other classes stay in the
            mixtures, in training and in validation, and are in no target.
        use_claimed: the claimed classes of whole stems, whatever was found in them: the noisy labels as they are.
        cache: folder for decoded audio; default ``$XDG_CACHE_HOME/stemclean/pools``.
        cache_limit_gb: see :meth:`stemclean.data.pool.StemPool.build`.
        init: weights to start from (``hub:``, ``file:``) instead of random ones, for fine-tuning.
        card: more to say in the card (data, licences, …).
        resume: go on from a checkpoint of the same data, recipe and start beside the output, as if the run had never
            been broken off; weights that such a run has finished are not trained again.
        keep_checkpoint: leave it there when the weights are written, so that the run can be made longer.
        push_to_hub: ``ORG/REPO`` on the Hugging Face Hub to publish the weights in, with their card and a page.
        workers: processes that mix ahead of the model; 0 mixes in this one.
        logs: folder for TensorBoard (the extra ``tensorboard``); None: no logs.
        quiet: no progress.

    Returns:
        The card, with ``output``, ``seconds``, ``wait_share`` (how much of the steps' time the model waited for
        mixtures) and ``skipped``, and ``published``, the URI on the hub, if pushed.

    Raises:
        ConfigError: a recipe that cannot be meant, or too few stems to learn from.
        WeightsError: weights to start from that cannot be had or do not fit; or the hub cannot be reached or refuses,
            which leaves the weights on disk.
    """
    addresses.check_output(output)
    if push_to_hub:
        hub.check_publishing(push_to_hub)  # before the work, not after it
    chosen = read_separator(recipe, overrides)
    with only_writer(output):
        manifest, folder = layouts.load(data, profile=scanned_for(labels), quiet=quiet)
        result = fit_separator(
            manifest,
            folder,
            Path(output),
            chosen,
            labels=labels,
            use_claimed=use_claimed,
            cache=Path(cache) if cache else None,
            cache_limit_gb=cache_limit_gb,
            init=init,
            card=card,
            resume=resume,
            keep_checkpoint=keep_checkpoint,
            workers=workers,
            logs=Path(logs) if logs else None,
            quiet=quiet,
        )
        return finished.published(result, push_to_hub, quiet=quiet)
