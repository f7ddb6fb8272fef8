"""Complete half-labelled songs with the estimates of a model: the ``pseudo-label`` verb."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from stemclean import layouts, manifest
from stemclean.data.destination import refuse_in_source
from stemclean.labels import FOUR_STEMS, known_as
from stemclean.manifest import Manifest
from stemclean.models import addresses, devices
from stemclean.outputs import check_writable, only_writer
from stemclean.plans import MANIFEST_BYTES, Plan, Product, download_of, not_downloaded, plan_of
from stemclean.progress import waiting
from stemclean.running import Running

if TYPE_CHECKING:
    from stemclean.manifest import Created
    from stemclean.refining.half_labelled import Models
    from stemclean.refining.sidecars import Sidecars

__all__ = ["plan_pseudo_label", "pseudo_label"]


def pseudo_label(
    data: str | Path,
    output: str | Path,
    *,
    weights_uri: str,
    threshold: float | None = None,
    layout: str | None = None,
    running: Running = Running(),
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
        layout: layout of the data, such as ``class_folders``; None: detect it.
        running: how to run: the device, and whether to resume, that is, to reuse the songs that an interrupted run with
            the same data, weights and settings has completed.

    Returns:
        The manifest; its summary has the keys of :data:`stemclean.refining.half_labelled.KEYS`.

    Raises:
        ConfigError: the output would lie inside the data, or has no common parent folder with it.
        WeightsError: the weights cannot be loaded, or belong to neither a cascade nor a pitch tracker.
    """
    output = manifest.check_output(output)
    addresses.resolve(weights_uri)  # report a wrong name now, before loading torch
    devices.check(running.device)
    layouts.check(data, layout=layout)
    name = output.name.rpartition(".json")[0]
    with only_writer(output, also=[output.with_name(f"{name}.{kind}") for kind in ("f0", "vocals")]):
        models = _models(weights_uri, weights_uri, threshold, running)
        from stemclean.refining.half_labelled import complete

        source, sidecars, created = _loaded(data, output, models, layout, running)
        completed = complete(source, sidecars, output, created, models, running)
        manifest.write(completed, output)
        return completed


def plan_pseudo_label(
    data: str | Path,
    output: str | Path,
    *,
    weights_uri: str,
    threshold: float | None = None,
    layout: str | None = None,
    running: Running = Running(),
) -> Plan:
    """Return what :func:`pseudo_label` would do with the same arguments, after the same checks; nothing is written.

    Weights of the hub that are not cached are not downloaded, so that the time is unknown, and also which songs lack
    something that the weights can estimate.
    """
    output = manifest.check_output(output)
    found = addresses.look(weights_uri)
    devices.check(running.device)
    layouts.check(data, layout=layout)
    check_writable(output)
    if not isinstance(found, Path):
        source, _ = layouts.load(data, layout=layout, quiet=running.quiet)
        product = Product(output, 1, len(source.stems) * MANIFEST_BYTES)
        products = [product, download_of(found.folder, found.num_bytes)]
        return plan_of("pseudo-label", data, source, products, unknown_because=not_downloaded(found.uri))
    models = _models(found, weights_uri, threshold, running)
    from stemclean.refining.half_labelled import plan_completion

    source, sidecars, created = _loaded(data, output, models, layout, running)
    return replace(plan_completion(source, sidecars, output, created, models, running), source=Path(data))


def _models(path: str | Path, uri: str, threshold: float | None, running: Running) -> Models:
    """Load the models from a path or a URI; ``uri`` is what they are called."""
    with waiting(f"loading {uri} …", quiet=running.quiet):  # torch takes seconds
        from stemclean.models import weights
        from stemclean.models.decoding import threshold_of
        from stemclean.refining.half_labelled import Models

        is_cascade = weights.read_card(addresses.resolve(path)[0])["kind"] == "cascades"
        tracker = weights.load(path, kind="pitch")
        cascade = weights.load(path, kind="cascades") if is_cascade else None
        return Models(tracker, cascade, threshold_of(tracker.card) if threshold is None else threshold)


def _loaded(
    data: str | Path, output: Path, models: Models, layout: str | None, running: Running
) -> tuple[Manifest, Sidecars, Created]:
    """Load the dataset, and return it with the places of the files to write and the origin of the output."""
    from stemclean.refining.listening import provenance_of
    from stemclean.refining.sidecars import Sidecars

    profile = known_as(models.cascade.model.spec.labels) if models.cascade else FOUR_STEMS
    source, folder = layouts.load(data, profile=profile, layout=layout, quiet=running.quiet)
    sidecars = Sidecars(output, folder)
    if Path(data).is_dir():
        refuse_in_source(sidecars.folder("vocals"), Path(data))
    named = manifest.input_of(data, output, source)
    return source, sidecars, provenance_of("pseudo-label", {"threshold": models.threshold}, models.tracker, named)
