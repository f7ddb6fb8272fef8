"""Write a dataset for Music-Source-Separation-Training by R. Solovyev (ZFTurbo), type 3: one CSV ``instrum,path``.

Behaviour of its reader (``utils/dataset.py`` at commit 0c9e18d; the CSV is read with pandas), and the consequences:

- It reads files with soundfile without resampling, and a mono file has one channel where a batch needs two. So every
  row has two channels and the same sample rate.
- It draws a random row of the class, then ``chunk_size`` samples of it, and draws again while their mean absolute value
  is below ``min_mean_abs``; a file shorter than a chunk is padded with zeros. If no chunk of a class is loud enough, it
  draws forever. So a stem without such a chunk is left out.
- A class in ``training.instruments`` without rows raises an IndexError at the first batch. So an empty class is
  refused.
- If there are several CSVs, it uses only the last. So one is written.
- It resolves paths from its working directory. So they are absolute.
- It caches the length of each path between runs (``metadata_3.pkl``), and an outdated length makes it read past the
  end. So the name of a written file contains a hash of its source.
- A list in its documentation names the first column ``type``; the code reads ``instrum``.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from tqdm import tqdm

from stemclean import duplicates
from stemclean.audio import files
from stemclean.audio.headroom import gain_below_full_scale
from stemclean.audio.unchanged import Unchanged
from stemclean.data.song_levels import song_of
from stemclean.disk import replacing
from stemclean.errors import AudioError, ConfigError, of_one_file
from stemclean.layouts.base import WriteReport
from stemclean.manifest import Manifest, Skip, Stem
from stemclean.settings import WHOLE, Settings
from stemclean.units import amplitude_to_db

__all__ = ["LAYOUT", "ZFTurbo"]

LIST, AUDIO = "zfturbo.csv", "audio"

READ_RIGHT = frozenset({"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "VORBIS"})
"""libsndfile's names of the codecs that it seeks in exactly; other files are decoded once and written."""

FINE = frozenset({"PCM_24", "PCM_32", "FLOAT", "DOUBLE"})
"""Codecs that are written with 24 bits; the others have no more than 16."""

HOPS = 100
"""Steps per chunk: the loudest chunk is searched in steps of a hundredth of its length."""


@dataclass
class Loudness:
    """Loudness of a stem as the trainer reads it: at the target sample rate and with two channels.

    Args:
        peak: highest absolute value.
        loudest: mean absolute value of the loudest chunk; a lower bound, at most 1 % too low.
        loud_share: share of the chunks that are loud enough, in [0, 1]: the probability that a draw is accepted.
    """

    peak: float
    loudest: float
    loud_share: float


@dataclass(frozen=True)
class _Row:
    """A stem that is exported under a class.

    Args:
        label: the class.
        stem: the stem.
        loudness: its loudness at the target sample rate.
        reads_right: whether the trainer can read the original file.
    """

    label: str
    stem: Stem
    loudness: Loudness
    reads_right: bool


class ZFTurbo(Settings):
    """Writes the CSV, and audio for files that the trainer cannot read directly.

    Args:
        chunk_size: ``audio.chunk_size`` of the trainer's config, in samples; the default is the most common value.
        min_mean_abs: ``audio.min_mean_abs`` of the trainer's config.
        allow_empty: export even if a class has no stem; that class must then be left out of ``training.instruments``.
    """

    name: ClassVar[str] = "zfturbo"

    chunk_size: Annotated[int, Field(ge=1, le=2**31), WHOLE] = 485_100
    min_mean_abs: Annotated[float, Field(ge=0, le=1)] = 0.001
    allow_empty: bool = False

    def write(
        self, manifest: Manifest, folder: Path, destination: Path, *, sample_rate: int = 44100, quiet: bool = False
    ) -> WriteReport:
        """Write ``zfturbo.csv`` and, below ``audio/``, 16- or 24-bit FLAC files for stems that must be converted.

        If a file that must be converted exceeds full scale (as float files, lossy codecs and resampling may), all stems
        of its song are written, attenuated by the same gain.

        A stem is exported under a class only if its labels are exactly that class, it is not dropped, and it is not a
        declared validation or test stem. The reasons for leaving out others are: the reason of a verdict,
        ``several_classes``, ``no_class``, ``held_out``, ``too_quiet``, those of
        :func:`stemclean.duplicates.left_out`, or the reason code of a file that cannot be read or has changed since it
        was judged (``changed_since_scan``).

        Returns:
            The report; ``extra`` holds ``num_stems`` (class -> rows), ``num_written`` (converted files),
            ``loud_share`` (class -> probability that a draw is loud enough) and ``next``, settings for the trainer.

        Raises:
            ConfigError: a class has no stem left (unless ``allow_empty``), or the source lies inside the output.
        """
        if folder.resolve().is_relative_to(destination.resolve() / AUDIO):
            raise ConfigError(f"the source {folder} lies in the destination {destination}", "choose another folder")
        report = WriteReport(kept_seconds=dict.fromkeys(manifest.labels, 0.0))
        rows: list[_Row] = []
        sources = Unchanged()
        copies = duplicates.left_out(manifest.stems)
        for stem in tqdm(manifest.stems, "listen", unit="stem", disable=True if quiet else None):
            label, reason = _class_of(stem)
            if not reason:
                try:
                    with sources.reading(folder / stem.path, stem.sha256), of_one_file(folder / stem.path):
                        loudness = self._listen(folder / stem.path, stem.stream, sample_rate)
                        reads_right = _reads_right(folder / stem.path, stem.stream, sample_rate)
                    loud = loudness.loudest >= max(self.min_mean_abs, 1e-9)
                    reason = copies.get(stem.id, "") if loud else "too_quiet"  # silent stems are not duplicates
                except AudioError as error:
                    reason = error.reason
                    report.skipped.append(Skip(path=stem.path, reason=error.reason, detail=error.detail))
            if reason:
                _lose(report, stem, reason)
            else:
                rows.append(_Row(label, stem, loudness, reads_right))
        self._check_empty(report, rows)

        paths: list[tuple[str, Path]] = []
        shares: dict[str, list[float]] = {label: [] for label in manifest.labels}
        gains = _gains(rows)
        for row in tqdm(rows, "write", unit="stem", disable=True if quiet else None):
            stem, source = row.stem, folder / row.stem.path
            try:
                with sources.reading(source, stem.sha256), of_one_file(source):
                    placed = _placed(row, source, destination, sample_rate, gains.get(song_of(stem), 1.0))
            except AudioError as error:  # readable in the first pass, but not any more
                report.skipped.append(Skip(path=stem.path, reason=error.reason, detail=error.detail))
                _lose(report, stem, error.reason)
                continue
            if placed != source:
                report.files.append(placed)
            paths.append((row.label, placed.absolute()))
            shares[row.label].append(row.loudness.loud_share)
            report.kept_seconds[row.label] += stem.duration
            if song_of(stem) in gains:
                report.turned_down[stem.track or stem.id] = _in_db(gains[song_of(stem)])
        self._check_empty(report, [row for row in rows if shares[row.label]])
        report.files.insert(0, _write_list(destination / LIST, paths))
        usable = [label for label in manifest.labels if shares[label]]
        report.extra = {
            "num_stems": {label: len(shares[label]) for label in manifest.labels},
            "num_written": len(report.files) - 1,
            "loud_share": {label: round(float(np.mean(shares[label])), 3) for label in usable},
            "next": {
                "--dataset_type": 3,
                "--data_path": str(report.files[0].absolute()),
                "training.instruments": usable,
            },
        }
        return report

    def _listen(self, path: Path, stream: int, sample_rate: int) -> Loudness:
        return listen(
            files.blocks(path, sample_rate=sample_rate, channels=2, stream=stream), self.chunk_size, self.min_mean_abs
        )

    def _check_empty(self, report: WriteReport, rows: Iterable[_Row]) -> None:
        full = {row.label for row in rows}
        empty = [label for label in report.kept_seconds if label not in full]
        if not empty or (self.allow_empty and len(empty) < len(report.kept_seconds)):
            return
        lines = []
        for label in empty:
            reasons = report.lost_seconds.get(label, {}).items()
            lost = ", ".join(f"{timedelta(seconds=round(seconds))} {reason}" for reason, seconds in reasons)
            lines.append(f"{label}: {lost or 'no stem of it in the manifest'}")
        raise ConfigError(
            f"no stem is left for: {', '.join(empty)}; the trainer would crash on it",
            "\n".join(
                [
                    *lines,
                    "add stems of that class and refine again, or export the others with --allow-empty and",
                    "take the class out of training.instruments in the trainer's config",
                ]
            ),
        )


LAYOUT = ZFTurbo()


def listen(blocks: Iterable[NDArray[np.float32]], chunk_size: int, min_mean_abs: float) -> Loudness:
    """Measure the loudness of a stem's chunks.

    Shape:
        blocks: ``(channel, time)`` each; together they are the whole stem.
    """
    hop = max(1, chunk_size // HOPS)
    sums = np.zeros(0)  # of absolute values, averaged over channels, per hop
    num_samples, peak = 0, 0.0
    for block in blocks:
        size = np.abs(block)
        peak = max(peak, float(size.max(initial=0.0)))
        hops = np.arange(num_samples, num_samples + block.shape[1]) // hop
        num_samples += block.shape[1]
        sums = np.pad(sums, (0, -(-num_samples // hop) - len(sums)))
        sums += np.bincount(hops, weights=size.mean(0), minlength=len(sums))
    if num_samples < chunk_size:
        chunks = np.array([sums.sum()])  # the rest is padding
    else:
        whole = np.concatenate([[0.0], np.cumsum(sums[: num_samples // hop])])
        width = chunk_size // hop
        chunks = whole[width:] - whole[:-width]
    means = chunks / chunk_size
    return Loudness(peak, float(means.max()), float((means >= min_mean_abs).mean()))


def _class_of(stem: Stem) -> tuple[str, str]:
    """Return the class that a stem is exported under, and the reason if it is not exported; one of them is empty."""
    if stem.verdict and stem.dropped:
        return "", stem.verdict.reason
    if stem.held_out:
        return "", "held_out"
    if not stem.single:
        return "", "several_classes" if stem.labels else "no_class"
    return stem.labels[0], ""


def _lose(report: WriteReport, stem: Stem, reason: str) -> None:
    """Count a stem that is left out."""
    for label in stem.labels or stem.claimed:
        reasons = report.lost_seconds.setdefault(label, {})
        reasons[reason] = reasons.get(reason, 0.0) + stem.duration


def _gains(rows: Sequence[_Row]) -> dict[str, float]:
    """Return the gains of songs with a stem that would clip: song -> factor that keeps all stems below full scale."""
    peaks: dict[str, float] = {}
    for row in rows:
        if not row.reads_right:
            song = song_of(row.stem)
            peaks[song] = max(peaks.get(song, 0.0), row.loudness.peak)
    gains = {song: gain_below_full_scale(peak) for song, peak in peaks.items()}
    return {song: gain for song, gain in gains.items() if _in_db(gain)}


def _in_db(gain: float) -> float:
    return round(amplitude_to_db(gain), 3) + 0.0


def _reads_right(path: Path, stream: int, sample_rate: int) -> bool:
    """Return whether soundfile reads the file with the target sample rate, two channels and the exact samples."""
    info = files.probe(path, stream)
    shape = (info.sample_rate, info.channels, info.num_streams)
    return shape == (sample_rate, 2, 1) and info.subtype in READ_RIGHT and info.plain


def _placed(row: _Row, source: Path, destination: Path, sample_rate: int, gain: float) -> Path:
    """Return the file for the trainer: the source, or a converted copy."""
    if gain == 1.0 and row.reads_right and _reads_right(source, row.stem.stream, sample_rate):
        return source
    return _converted(row.stem, source, destination, sample_rate, gain)


def _converted(stem: Stem, source: Path, destination: Path, sample_rate: int, gain: float) -> Path:
    """Write a copy with the target sample rate and two channels; an existing file has the same content and is kept."""
    contents = f"{stem.sha256 or source.stat().st_mtime_ns} {stem.stream} {sample_rate}"
    contents += f" {_in_db(gain)} dB" if gain != 1.0 else ""
    mark = hashlib.sha256(contents.encode()).hexdigest()[:8]
    parts = [re.sub(r"[^\w #()+,=-]", "_", part).strip() or "_" for part in stem.id.split("/")]
    path = destination / AUDIO / "/".join(parts[:-1]) / f"{parts[-1]}.{mark}.flac"
    if not path.exists():
        subtype = "PCM_24" if files.probe(source, stem.stream).subtype in FINE else "PCM_16"
        with files.create(path, sample_rate, 2, subtype=subtype) as file:
            for block in files.blocks(source, sample_rate=sample_rate, channels=2, stream=stem.stream):
                file.write(block * np.float32(gain))
    return path


def _write_list(path: Path, rows: Iterable[tuple[str, Path]]) -> Path:
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(["instrum", "path"])
        lines.writerows((label, str(audio)) for label, audio in rows)
    return path
