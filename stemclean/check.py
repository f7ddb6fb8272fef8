"""Check a dataset for technical faults, without a classifier: the ``check`` verb."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from stemclean import __version__, checks, layouts, manifest
from stemclean.audio import files, mixture_fit
from stemclean.audio.copies import Fingerprinter
from stemclean.audio.loudness import LoudnessMeter
from stemclean.audio.mixture_fit import MixtureFit
from stemclean.audio.signal_meter import measure_signal
from stemclean.audio.stereo import ChannelMeter
from stemclean.audio.unchanged import Unchanged
from stemclean.audio.waveform import Waveform
from stemclean.checks.base import SignalCheck, Song, SongCheck, Sound
from stemclean.data.journal import Journal, finished
from stemclean.errors import AudioError, SkipReason, of_one_file
from stemclean.manifest import Created, Manifest, Skip, Stem
from stemclean.outputs import check_writable, only_writer
from stemclean.plans import MANIFEST_BYTES, Plan, Product, measured, plan_of
from stemclean.refining.copies import with_copies
from stemclean.running import Running

__all__ = ["check", "plan_check"]

SETTINGS = [f"stemclean {__version__}", "check"]
"""What the measurements of a stem depend on besides the stem."""
SILENCE = "silence"
"""Key in ``extra`` of a stem in the journal: seconds of silence before and after its sound."""


def check(data: str | Path, output: str | Path, *, layout: str | None = None, running: Running = Running()) -> Manifest:
    """Check every stem of a dataset for technical faults, and write a manifest with the issues found.

    Labels and verdicts do not change, and ``refine`` keeps the issues. Every file is decoded once, at its own sample
    rate; songs with a mixture beside their stems are read a second time, to compare the stems with it.

    Args:
        data: a folder, a list or a manifest.
        output: the manifest to write (``.json``, ``.jsonl``, ``.jsonl.gz``).
        layout: layout of the data, such as ``class_folders``; None: detect it.
        running: workers, resuming and progress.

    Returns:
        The manifest. ``issues``, ``loudness_lufs``, ``peak_dbfs`` and ``fingerprint`` of its stems are new.

    Raises:
        ConfigError: the dataset cannot be read, or the output is no manifest.
    """
    output = manifest.check_output(output)
    with only_writer(output):
        source, folder = layouts.load(data, layout=layout, quiet=running.quiet)
        named = manifest.input_of(data, output, source)
        created = Created(by=f"stemclean {__version__}", command="check", inputs=[named])
        unchanged = Unchanged()
        stems = list(map(_fresh, source.stems))
        with (
            Journal(output, SETTINGS, resume=running.resume) as done,
            ThreadPoolExecutor(running.workers) as threads,
        ):

            def measure(stem: Stem) -> Stem | Skip:
                return done.get(stem) or done.put(stem, _measured_or_skipped(stem, folder, unchanged))

            measured = threads.map(measure, stems)
            results = list(tqdm(measured, "check", len(stems), unit="stem", disable=True if running.quiet else None))
            kept = [result for result in results if isinstance(result, Stem)]
            skipped = [*source.skipped, *(result for result in results if isinstance(result, Skip))]
            mixtures = _mixtures(source)
            songs = list(_songs(kept).items())
            compared = threads.map(lambda song: _of_song(song[1], folder, mixtures, unchanged), songs)
            shown = tqdm(compared, "songs", len(songs), unit="song", disable=True if running.quiet else None)
            issues = {identity: found for of_song in shown for identity, found in of_song.items()}
            kept = [_with_song_issues(stem, issues) for stem in kept]
            kept = with_copies(kept, folder, threads, unchanged, quiet=running.quiet)
        root = manifest.relative_root(folder, output)
        checked = source.with_stems(kept, created=created, root=root, skipped=skipped, summary={})
        manifest.write(checked, output)
        return checked


def plan_check(
    data: str | Path, output: str | Path, *, layout: str | None = None, running: Running = Running()
) -> Plan:
    """Return what :func:`check` would do with the same arguments, after the same checks; nothing is written.

    Stems that an interrupted run has measured take no time. The comparison of stems with the mixture of their song is
    not included.
    """
    output = manifest.check_output(output)
    check_writable(output)
    source, folder = layouts.load(data, layout=layout, quiet=running.quiet)

    def work(stem: Stem) -> float:
        with of_one_file(folder / stem.path):
            return len(_measured(stem, folder / stem.path).model_dump_json())

    workers = running.workers_or(os.cpu_count() or 1)
    speed = measured(source.stems, lambda stem: stem.duration, work, workers=workers, quiet=running.quiet)
    product = Product(output, 1, len(source.stems) * MANIFEST_BYTES)
    done = finished(output, SETTINGS, map(_fresh, source.stems)) if running.resume else {}
    return plan_of("check", data, source, [product], speed=speed, finished=done.values())


def _fresh(stem: Stem) -> Stem:
    """Return a stem without what it has in common with others."""
    return stem.model_copy(update={"fingerprint": None, "same_sound": None})


def _measured_or_skipped(stem: Stem, folder: Path, unchanged: Unchanged) -> Stem | Skip:
    path = folder / stem.path
    try:
        with unchanged.reading(path, stem.sha256), of_one_file(path):
            return _measured(stem, path)
    except AudioError as error:
        return Skip(path=stem.path, reason=error.reason, detail=error.detail)


def _measured(stem: Stem, path: Path) -> Stem:
    """Return a stem with its measurements and the issues of its sound."""
    rate = stem.sample_rate
    channels, loudness, fingerprinter = ChannelMeter(rate), LoudnessMeter(rate), Fingerprinter(max(rate, 8000))

    def metered(blocks: Iterable[Waveform]) -> Iterator[Waveform]:
        for block in blocks:
            channels.add(block)
            loudness.add(block)
            if rate >= 8000:
                fingerprinter.add(block)
            yield block

    signal = measure_signal(metered(files.blocks(path, stream=stem.stream)), rate)
    found = checks.with_issues(stem.issues, checks.of_signal(signal), checks.codes_of(SignalCheck, SongCheck))
    return stem.model_copy(
        update={
            "issues": checks.after_sound(found, Sound(channels.faults())),
            "loudness_lufs": loudness.integrated_lufs(),
            "peak_dbfs": loudness.peak_dbfs(),
            "fingerprint": fingerprinter.fingerprint() if signal.peak and rate >= 8000 else None,
            "extra": {**stem.extra, SILENCE: [signal.head, signal.tail]} if signal.peak else stem.extra,
        }
    )


def _songs(stems: Sequence[Stem]) -> dict[str, list[Stem]]:
    """Return the stems of each song; a stem without a song is one by itself."""
    songs: dict[str, list[Stem]] = defaultdict(list)
    for stem in stems:
        songs[stem.track or f"stem {stem.id}"].append(stem)
    return songs


def _mixtures(source: Manifest) -> dict[str, str]:
    """Return the mixtures that were passed over: folder -> path, for folders with exactly one."""
    found: dict[str, list[str]] = defaultdict(list)
    for skip in source.skipped:
        if skip.reason == SkipReason.MIXTURE:
            found[str(PurePosixPath(skip.path).parent)].append(skip.path)
    return {folder: paths[0] for folder, paths in found.items() if len(paths) == 1}


def _of_song(
    stems: Sequence[Stem], folder: Path, mixtures: dict[str, str], unchanged: Unchanged
) -> dict[str, list[manifest.Issue]]:
    """Return the issues of the stems of a song, by id."""
    silence = {stem.id: tuple(stem.extra[SILENCE]) for stem in stems if SILENCE in stem.extra}
    return checks.of_song(Song(stems, silence, _fit(stems, folder, mixtures, unchanged)))


def _fit(stems: Sequence[Stem], folder: Path, mixtures: dict[str, str], unchanged: Unchanged) -> MixtureFit | None:
    """Compare the stems of a song with the mixture in their folder; None if there is none, or one cannot be read."""
    parents = {str(PurePosixPath(stem.path).parent) for stem in stems}
    mixture = mixtures.get(parents.pop()) if len(parents) == 1 else None
    original = [stem for stem in stems if stem.source is None]
    if mixture is None or not 1 <= len(original) <= mixture_fit.MAX_STEMS:
        return None
    try:
        with of_one_file(folder / mixture):
            whole = _mono(folder / mixture, 0)
        sounds = {}
        for stem in original:
            with unchanged.reading(folder / stem.path, stem.sha256), of_one_file(folder / stem.path):
                sounds[stem.id] = _mono(folder / stem.path, stem.stream)
    except AudioError:  # reported where the file is measured
        return None
    return mixture_fit.fit_mixture(whole, sounds)


def _mono(path: Path, stream: int) -> NDArray[np.float32]:
    """Read a file in mono at the sample rate of the comparison; returns samples ``(time,)``."""
    blocks = files.blocks(path, sample_rate=mixture_fit.SAMPLE_RATE, channels=1, stream=stream)
    return np.concatenate([block[0] for block in blocks] or [np.zeros(0, np.float32)])


def _with_song_issues(stem: Stem, issues: dict[str, list[manifest.Issue]]) -> Stem:
    """Return a stem with the issues of its song, and without what only the journal needs."""
    extra = {key: value for key, value in stem.extra.items() if key != SILENCE}
    found = checks.with_issues(stem.issues, issues.get(stem.id, ()), checks.codes_of(SongCheck))
    return stem.model_copy(update={"issues": found, "extra": extra})
