"""Complete half-labelled songs with the estimates of a model: the ``pseudo-label`` verb."""

from __future__ import annotations

from pathlib import Path

from stemclean import layouts, manifest
from stemclean.data.destination import refuse_in_source
from stemclean.labels import FOUR_STEMS, known_as
from stemclean.manifest import Manifest
from stemclean.models import addresses, devices
from stemclean.outputs import only_writer
from stemclean.progress import waiting
from stemclean.running import Running

__all__ = ["pseudo_label"]


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
    path, _ = addresses.resolve(weights_uri)
    devices.check(running.device)
    layouts.check(data, layout=layout)
    name = output.name.rpartition(".json")[0]
    with only_writer(output, also=[output.with_name(f"{name}.{kind}") for kind in ("f0", "vocals")]):
        with waiting(f"loading {weights_uri} …", quiet=running.quiet):  # torch takes seconds
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
        source, folder = layouts.load(data, profile=profile, layout=layout, quiet=running.quiet)
        sidecars = Sidecars(output, folder)
        if Path(data).is_dir():
            refuse_in_source(sidecars.folder("vocals"), Path(data))
        named = manifest.input_of(data, output, source)
        created = provenance_of("pseudo-label", {"threshold": models.threshold}, models.tracker, named)
        completed = complete(source, sidecars, output, created, models, running)
        manifest.write(completed, output)
        return completed
