"""Explain the verdict on one stem: what ``refine --explain`` prints and draws."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from stemclean import layouts, plots
from stemclean.errors import ConfigError
from stemclean.manifest import Created, Manifest, input_of
from stemclean.models import addresses, devices
from stemclean.progress import waiting
from stemclean.refining.config import RefineConfig
from stemclean.refining.explaining import Explanation, curves, stem_named
from stemclean.refining.explaining import explain as explained
from stemclean.running import Running

__all__ = ["explain"]


def explain(
    data: str | Path,
    name: str,
    config: RefineConfig | None = None,
    *,
    weights_uri: str | None = None,
    plot: str | Path | None = None,
    layout: str | None = None,
    running: Running = Running(),
) -> Explanation:
    """Judge the song of a stem, and explain the verdict on the stem. No manifest is written.

    Args:
        data: a folder, a list or a manifest.
        name: id of the stem, or its path in the dataset.
        config: settings of judging; None: those of the run of ``refine`` that wrote the manifest, or else the default.
        weights_uri: the classifier; None: as for ``config``.
        plot: image file (``.png``, ``.svg``, ``.pdf``) to write; needs matplotlib.
        layout: layout of the data, such as ``class_folders``; None: detect it.
        running: as for :func:`stemclean.refine.refine`; nothing is resumed.

    Raises:
        ConfigError: there is no such stem, it cannot be read, the settings do not fit a single song, or the plot cannot
            be written.
    """
    if plot:
        plots.check(Path(plot))
    source, folder = layouts.load(data, layout=layout, quiet=running.quiet)
    stem = stem_named(source.stems, name)
    recorded = source.created if source.created.command == "refine" else None
    config = config or _config_of(recorded)
    _check_single_song(config, data)
    weights_uri = weights_uri or _weights_of(recorded)
    addresses.resolve(weights_uri)
    devices.check(running.device)
    song = _song(source, stem.track, stem.id)
    with waiting(f"loading {weights_uri} …", quiet=running.quiet):  # torch takes seconds
        from stemclean.data.song_levels import SongLevels
        from stemclean.models import weights
        from stemclean.refining.jury import Jury
        from stemclean.refining.listening import judgement_of, provenance, relabel

        jury = Jury([weights.load(weights_uri)], device=running.device, calibrated=config.calibrated)
    with tempfile.TemporaryDirectory() as work:
        output = Path(work) / "explained.json"
        created = provenance(config, jury, input_of(data, output, source))
        refined = relabel(song, folder, output, config, jury, replace(running, resume=False), created)
        judged = next((other for other in refined.stems if other.id == stem.id), None)
        if judged is None:
            failed = next(skip for skip in refined.skipped if skip.path == stem.path)
            raise ConfigError(f"{folder / stem.path} cannot be judged: {failed.detail}", f"reason: {failed.reason}")
        judgement = judgement_of(stem, folder, jury, config, SongLevels(song.stems, folder, config.silence_floor_dbfs))
        calibration = jury.of(stem)[1]
        limits = config.limits(jury.labels, stem.claimed)
        explanation = explained(judged, refined.stems, judgement, calibration, limits, config.max_bleed_db)
        if plot:
            from stemclean.refining import verdict_plot

            over_time = curves(judgement, calibration, jury.labels)
            verdict_plot.draw(Path(plot), explanation, judged, folder / stem.path, over_time)
        return explanation


def _song(source: Manifest, track: str, identity: str) -> Manifest:
    """Return the stems of a song, without earlier measurements between them, because the files may have changed."""
    return source.with_stems(
        [
            stem.model_copy(update={"crosstalk": None, "fingerprint": None, "same_sound": None})
            for stem in source.stems
            if stem.id == identity or (track and stem.track == track)
        ]
    )


def _config_of(recorded: Created | None) -> RefineConfig:
    """Return the settings of a run of ``refine``."""
    return RefineConfig(**{key: value for key, value in recorded.config.items() if key != "self"} if recorded else {})


def _weights_of(recorded: Created | None) -> str:
    """Return the weights of a run of ``refine``.

    Raises:
        ConfigError: there are several, one for each fold.
    """
    if recorded and recorded.models:
        uris = ", ".join(model.uri for model in recorded.models)
        raise ConfigError("each fold of this run had weights of its own", f"name one of them with --weights: {uris}")
    return recorded.model.uri if recorded and recorded.model else addresses.DEFAULT_CLASSIFIER


def _check_single_song(config: RefineConfig, data: str | Path) -> None:
    """Refuse settings for which one song says too little, or windows that are not on the time line of the file."""
    if config.threshold == "adaptive":
        raise ConfigError(
            "adaptive thresholds depend on the whole dataset, but only one song is judged",
            "refine the dataset first, and explain a stem of the refined manifest",
        )
    if config.joined:
        raise ConfigError(
            "the published method judges the stems without their pauses, so its windows have no place in the file",
            f"explain a verdict of the default settings: stemclean refine {data} --explain STEM",
        )
