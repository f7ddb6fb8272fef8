"""What does measuring bleed between the stems of a song bring, in songs that the weights were not trained on?

    python -m benchmarks.crosstalk HELDOUT OUT.json [--seeds 3] [--weights URI] [--only refine,variants,noise,speed]

``HELDOUT`` is a clean dataset (:mod:`benchmarks.heldout`). Each part is written to OUT.json as soon as it is done:

- ``refine``: faults are planted for each seed (``corrupt``), the result is refined with crosstalk and without, and both
  are compared with the ground truth (``eval labels``);
- ``variants``: one stem of each song is mixed into another (as it is, filtered, delayed, with reverberation, and so
  on), or all stems are cut out of their mixture. The part counts what :func:`stemclean.audio.crosstalk.measure` reports
  of these, and of the original songs;
- ``noise``: bleed is planted in a known share of the stems, and the share is compared with the estimate of ``refine``:
  with all stems of a song at hand, with half of the songs split into single stems, and with all of them split; and the
  same with both faults planted;
- ``speed``: how much longer refining takes with crosstalk, for the original songs and for songs with planted bleed,
  which take more work.

Intermediate results are kept in ``HELDOUT.work`` (or ``--work``), so that a stopped run can resume. Nothing is judged
or measured twice unless the weights or the code for it change. The planted audio is deleted once it has been refined.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import shutil
import tempfile
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pedalboard
import soundfile
from scipy import signal
from scipy.ndimage import uniform_filter
from tqdm import tqdm

import stemclean
from benchmarks import resumable
from benchmarks.detection import (
    CLASSIFIER_ONLY,
    KINDS,
    describe,
    describe_weights,
    judging_code,
    levels,
    planted_report,
    rounded,
)
from benchmarks.resumable import write_json
from benchmarks.speed import describe_machine, spread
from stemclean import layouts, manifest
from stemclean.audio import crosstalk, files
from stemclean.audio.crosstalk import Crosstalk
from stemclean.audio.waveform import Waveform
from stemclean.corrupt import TRUTH, CorruptConfig, corrupt
from stemclean.errors import StemcleanError
from stemclean.evaluate import evaluate_labels
from stemclean.manifest import Manifest, Stem
from stemclean.models import weights
from stemclean.models.weights import Weights
from stemclean.refine import RefineConfig, refine
from stemclean.refining.crosstalk import CHANNELS, SAMPLE_RATE
from stemclean.refining.noise import noise
from stemclean.units import amplitude_to_db, db_to_amplitude, seconds_to_samples
from stemclean.verdicts import PRESENT_DB, bleeding_classes

WAYS = {"measured": RefineConfig(), "heard": CLASSIFIER_ONLY}
"""With measured crosstalk, and with the classifier alone."""
REPORTED = ("detection/", "fault/", "levels/", "stems/", "labels/exact_match", "claims/exact_match")
"""Prefixes of the reported figures of ``eval labels``."""
PER_DRAW = ("detection/f1", "detection/average_precision", "labels/exact_match", "levels/error_db")
"""Figures reported per draw, because both ways refine the same draws."""
RATES = (0.0, 0.1, 0.2, 0.4, 0.6)
"""Shares of the stems in which bleed is planted."""
COMPARED = {"all": 1.0, "half": 0.5, "none": 0.0}
"""Share of the songs whose stems count as compared when the share of stems with bleed is estimated."""
RATES_DB = (-25.0, 0.0)
LEVELS_DB = (-35.0, 0.0)
BOTH_WAYS_DB = (-30.0, -3.0)
"""Levels of a bleed relative to the stem without it."""
BANDS = ((-35.0, -25.0), (-25.0, -15.0), (-15.0, 0.0))
"""Level bands, relative to the whole stem; softer levels count in the first."""
QUIETEST = 1e-3
"""Smallest RMS of a stem that is mixed into another one, full scale = 1; fifty times that of 16-bit dither."""

Record = dict[str, Any]
Pair = tuple[int, int]
"""Positions of the source and of the stem that it bleeds into."""


class Draws:
    """Copies of a clean dataset with planted faults, refined; the results are kept in a folder.

    Args:
        clean: the dataset.
        weights_uri: the classifier.
        work: the folder.
    """

    def __init__(self, clean: Path, weights_uri: str, work: Path) -> None:
        self.clean, self.uri, self.work = clean, weights_uri, work
        self.weights = weights.load(weights_uri)
        code = judging_code() + (Path(stemclean.__file__).parent / "regions.py").read_text()
        self.judged_by = f"{self.weights.sha256[:12]}-{digest(code)}"
        self.data, _ = layouts.load(clean, quiet=True)

    def draw(self, config: CorruptConfig, ways: Sequence[str]) -> tuple[Manifest, dict[str, Manifest]]:
        """One draw: the truth, and what each way of refining says."""
        name = f"crosstalk-{digest([contents(self.data), config.to_dict()])}"
        kept, planted = self.work / f"{name}.json", self.work / name
        outputs = {way: self.work / f"{name}-{self.judged_by}-{way}.json" for way in ways}
        missing = {way: output for way, output in outputs.items() if not output.exists()}
        if missing or not kept.exists():
            truth = (
                manifest.read(planted / TRUTH) if (planted / TRUTH).exists() else corrupt(self.clean, planted, config)
            )
            for way, output in missing.items():
                self._refine(truth, planted, output, WAYS[way])
            manifest.write(truth, kept)
            shutil.rmtree(planted)  # our own folder: only the truth and the refined manifests are needed
        return manifest.read(kept), {way: manifest.read(output) for way, output in outputs.items()}

    def _refine(self, truth: Manifest, folder: Path, output: Path, config: RefineConfig) -> None:
        """Refine the stems as they claim to be: nothing that the truth says is shown."""
        part = output.with_suffix(".part.json")
        blank: Record = {"extra": {}, "regions": [], "levels_db": {}}
        stems = [stem.model_copy(update={"labels": stem.claimed, **blank}) for stem in truth.stems]
        root = manifest.relative_root(folder, part)
        manifest.write(truth.with_stems(stems, root=root, skipped=[], summary={}), part)
        refined = refine(part, output, config, weights_uri=self.uri)
        part.unlink()
        if refined.skipped:
            output.unlink()
            raise RuntimeError(f"{refined.skipped[0].path} could not be judged: {refined.skipped[0].detail}")


def refine_section(draws: Draws, arguments: argparse.Namespace) -> Record:
    """Refine planted faults both ways: by kind of song and way, as :func:`benchmarks.detection.planted_report`."""
    configs = faulty(arguments)
    draws_ = [draws.draw(config, list(WAYS)) for config in configs]
    report: Record = {"config": described(configs)}
    for kind, prefix in KINDS.items():
        truths = [part(truth, prefix) for truth, _ in draws_]
        if not any(truth.stems for truth in truths):
            continue
        report[kind] = {}
        for way in WAYS:
            refined = [part(refined_by[way], prefix) for _, refined_by in draws_]
            report[kind][way] = found_report(refined, truths)
    return report


def faulty(arguments: argparse.Namespace) -> list[CorruptConfig]:
    """Draws with both faults."""
    return [
        CorruptConfig(mislabel=arguments.mislabel, bleed=arguments.bleed, bleed_db=arguments.bleed_db, seed=seed)
        for seed in range(arguments.seeds)
    ]


def found_report(refined: Sequence[Manifest], truths: Sequence[Manifest]) -> Record:
    """Return found faults and levels: ``mean``, ``sd`` and ``pooled`` over the draws, and some figures of each draw."""
    full = planted_report(refined, truths)
    return {
        name: {key: value for key, value in full[name].items() if key.startswith(REPORTED)}
        for name in ("mean", "sd", "pooled")
    } | {"draws": by_draw(refined, truths)}


def part(data: Manifest, prefix: str) -> Manifest:
    """Return the stems of one kind of song."""
    return data.with_stems([stem for stem in data.stems if stem.track.startswith(prefix)])


def by_draw(refined: Sequence[Manifest], truths: Sequence[Manifest]) -> list[Record]:
    """Figures of each draw by itself."""
    reports = [evaluate_labels(refined_, truth) for refined_, truth in zip(refined, truths, strict=True)]
    return [{name: rounded(report.get(name)) for name in PER_DRAW} for report in reports]


def noise_section(draws: Draws, arguments: argparse.Namespace) -> Record:
    """Return planted and reported shares of stems with bleed, and the same for both faults at once."""
    configs = [
        CorruptConfig(mislabel=0.0, bleed=rate, bleed_db=RATES_DB, seed=seed)
        for rate in RATES
        for seed in range(arguments.seeds if rate else 1)  # nothing planted is the same for all seeds
    ]
    rows = [{"rate": config.bleed, "seed": config.seed, **shares(draws, config)} for config in configs]
    both = [shares(draws, config) for config in faulty(arguments)]
    return {
        "config": {"bleed_db": RATES_DB, "seeds": arguments.seeds, "present_db": PRESENT_DB},
        "draws": rows,
        "rates": {f"{rate:g}": errors([row for row in rows if row["rate"] == rate], "bleed") for rate in RATES},
        "both": {
            "config": {"mislabel": arguments.mislabel, "bleed": arguments.bleed, "bleed_db": arguments.bleed_db},
            "draws": both,
            **{fault: errors(both, fault) for fault in ("wrong", "bleed")},
        },
    }


def shares(draws: Draws, config: CorruptConfig) -> Record:
    """Return the planted and the reported shares of a draw, see :func:`reported_shares`."""
    truth, refined = draws.draw(config, ["measured"])
    return reported_shares(refined["measured"], truth, draws.weights, config.seed)


def reported_shares(refined: Manifest, truth: Manifest, judge: Weights, seed: int = 0) -> Record:
    """Return the shares of active stems with planted faults, and the shares that ``refine`` reports.

    Args:
        judge: the weights that judged.
        seed: of the choice of songs whose stems are taken as compared, see :data:`COMPARED`.

    Returns:
        - ``stems``, ``bleeds`` planted, ``bleeds_measured`` of these, ``others_measured`` where nothing was planted.
        - ``planted``: the shares ``wrong`` and ``bleed``; ``compared``: of how many songs -> both, each with ``rate``,
          ``low`` and ``high``.
    """
    by_id = {stem.id: stem for stem in refined.stems}
    pairs = [(by_id[stem.id], stem) for stem in truth.stems if by_id[stem.id].scores]
    wrong = np.array([not set(true.claimed) & set(true.labels) for _, true in pairs])
    planted = np.array([bool(true.extra.get("bleed")) for _, true in pairs])
    measured = np.array([bool(bleeding_classes(stem, PRESENT_DB)) for stem, _ in pairs])
    songs = np.random.default_rng(seed).permutation(sorted({stem.track for stem, _ in pairs})).tolist()
    answers = {}
    for name, part_of_songs in COMPARED.items():
        compared = set(songs[: round(part_of_songs * len(songs))])
        stems = [
            stem if stem.track in compared else stem.model_copy(update={"crosstalk": None}) for stem in refined.stems
        ]
        estimate = noise(stems, judge.model.spec.labels, [judge.card]) or {}
        answers[name] = {fault: estimate[fault] for fault in ("wrong", "bleed")}
    return {
        "stems": len(pairs),
        "planted": {"wrong": rounded(wrong.mean()), "bleed": rounded(planted.mean())},
        "bleeds": int(planted.sum()),
        "bleeds_measured": int((planted & measured).sum()),
        "others_measured": int((~planted & measured).sum()),
        "compared": answers,
    }


def errors(draws: Sequence[Record], fault: str) -> Record:
    """Return the mean estimate, its mean and largest error, and the number of intervals that hold the truth, over
    draws.

    Args:
        what: ``wrong`` or ``bleed``.
    """
    report: Record = {"draws": len(draws), "planted": mean([draw["planted"][fault] for draw in draws])}
    for name in COMPARED:
        answers = [(draw["compared"][name][fault], draw["planted"][fault]) for draw in draws]
        off = [answer["rate"] - planted for answer, planted in answers]
        report[name] = {
            "rate": mean([answer["rate"] for answer, _ in answers]),
            "error": mean(off),
            "worst": rounded(max(off, key=abs)),
            "inside": sum(answer["low"] - 5e-4 <= planted <= answer["high"] + 5e-4 for answer, planted in answers),
        }
    return report


Change = Callable[[Waveform, np.random.Generator], Waveform]
"""Effect on a sound that bleeds into another stem; it keeps the start and the length."""


def later(sound: Waveform) -> Waveform:
    """11 ms: four metres."""
    num = seconds_to_samples(0.011, SAMPLE_RATE)
    return np.pad(sound, ((0, 0), (num, 0)))[:, : sound.shape[1]]


def filtered(sound: Waveform) -> Waveform:
    """Duller, and thinner: 8 dB less below 250 Hz, 10 dB less above 4 kHz."""
    return np.asarray(EQ(sound, SAMPLE_RATE))


def in_a_room(sound: Waveform) -> Waveform:
    """Three eighths of it, by amplitude, are its reverberation."""
    return np.asarray(pedalboard.Reverb(room_size=0.3, wet_level=0.3, dry_level=0.5)(sound, SAMPLE_RATE))


def comes_and_goes(sound: Waveform, rng: np.random.Generator) -> Waveform:
    """Heard in stretches of 3 to 15 s, with pauses as long, for 3 s at least."""
    while True:
        gate, at, audible = np.zeros(sound.shape[1], np.float32), 0, bool(rng.integers(2))
        while at < len(gate):
            until = at + seconds_to_samples(float(rng.uniform(3, 15)), SAMPLE_RATE)
            gate[at:until], at, audible = audible, until, not audible
        if gate.sum() >= 3 * SAMPLE_RATE:
            return sound * gate


def coded(stem: Waveform) -> Waveform:
    """Through Ogg Vorbis and back."""
    peak = max(1.0, float(np.abs(stem).max()))
    memory = io.BytesIO()
    with soundfile.SoundFile(memory, "w", SAMPLE_RATE, stem.shape[0], format="OGG", subtype="VORBIS") as file:
        for start in range(0, stem.shape[1], 8192):  # libsndfile crashes on long buffers of floats
            file.write(stem.T[start : start + 8192] / peak)
    memory.seek(0)
    return fitted(soundfile.read(memory, dtype="float32", always_2d=True)[0].T * np.float32(peak), stem.shape[1])


EQ = pedalboard.Pedalboard([pedalboard.LowShelfFilter(250, -8), pedalboard.HighShelfFilter(4000, -10)])
CHANGES: dict[str, Change] = {
    "copy": lambda sound, _: sound,
    "filtered": lambda sound, _: filtered(sound),
    "later": lambda sound, _: later(sound),
    "room": lambda sound, _: in_a_room(sound),
    "filtered_later_room": lambda sound, _: in_a_room(later(filtered(sound))),
    "coded": lambda sound, _: sound,  # the stem that it is in is coded
    "panned": lambda sound, _: sound * np.array([[1.0], [0.2]], np.float32),
    "comes_and_goes": comes_and_goes,
    "both_ways": lambda sound, _: sound,
    "chain": lambda sound, _: sound,
}
"""Variant -> effect on the sound that bleeds."""
MASKED = "masked"
"""The variant in which every stem is cut out of the mixture."""
BLUR = (11, 5)
"""Bins and frames over which a mask is averaged: 118 Hz, 116 ms."""
PAIRS: dict[str, tuple[Pair, ...]] = {"both_ways": ((0, 1), (1, 0)), "chain": ((1, 0), (2, 1))}
"""Variant -> what bleeds into what, of stems picked by chance; the others: the second into the first. What bleeds is
always the stem as it was: in a chain, the first stem holds nothing of the third."""


@dataclass(frozen=True)
class Song:
    """A song with bleed planted in it.

    Args:
        stems: ``(channel, time)`` each.
        levels_db: power of each bleed relative to the whole stem that it is in.
        through: in a chain of bleed, the pair that is connected only indirectly and must not be reported.
    """

    stems: list[Waveform]
    levels_db: dict[Pair, float]
    through: Pair | None


def plant(stems: Sequence[Waveform], variant: str, rng: np.random.Generator) -> Song:
    """Mix stems of a song into one another.

    Raises:
        ValueError: in a hundred draws, no stems were found that sound.
    """
    pairs = PAIRS.get(variant, ((1, 0),))
    for _ in range(100):
        picked = rng.choice(len(stems), 1 + max(max(pair) for pair in pairs), replace=False).tolist()
        places = [(picked[source], picked[into]) for source, into in pairs]
        sounds = [CHANGES[variant](fitted(stems[source], stems[into].shape[1]), rng) for source, into in places]
        if all(min(rms(sound), rms(stems[into])) >= QUIETEST for sound, (_, into) in zip(sounds, places, strict=True)):
            break
    else:
        raise ValueError("no two stems sound")
    planted, levels_db = list(stems), {}
    for sound, (source, into) in zip(sounds, places, strict=True):
        level_db = rng.uniform(*(BOTH_WAYS_DB if variant == "both_ways" else LEVELS_DB))
        gain = rng.choice([-1, 1]) * db_to_amplitude(level_db) * rms(stems[into]) / rms(sound)
        bleed = (gain * sound).astype(np.float32)
        whole = stems[into] + bleed
        levels_db[source, into] = amplitude_to_db(rms(bleed) / rms(whole))
        planted[into] = coded(whole) if variant == "coded" else whole
    return Song(planted, levels_db, (picked[2], picked[0]) if variant == "chain" else None)


def cut_out(stems: Sequence[Waveform]) -> Song:
    """Return the stems as a separator leaves them: the mixture times a mask between 0 and 1 per spectrogram cell.

    The masks are the stems' shares of the power, which nobody knows so well, but blurred, so that stems hold something
    of the others. What a mask lets through of another stem is known.
    """
    length = max(stem.shape[1] for stem in stems)
    spectra = [signal.stft(fitted(stem, length), SAMPLE_RATE, nperseg=4096, noverlap=3072)[2] for stem in stems]
    powers = [uniform_filter((np.abs(spectrum) ** 2).mean(0), BLUR) for spectrum in spectra]
    masks = [power / np.maximum(sum(powers), 1e-12) for power in powers]
    mixture = sum(spectra)
    cut = [mask * mixture for mask in masks]
    sounds = [signal.istft(spectrum_, SAMPLE_RATE, nperseg=4096, noverlap=3072)[1] for spectrum_ in cut]
    levels_db = {
        (source, into): amplitude_to_db(rms(np.abs(masks[into] * spectra[source])) / rms(np.abs(cut[into])))
        for source in range(len(stems))
        for into in range(len(stems))
        if source != into and min(rms(stems[source]), rms(stems[into])) >= QUIETEST
    }
    audible_db = {pair: level_db for pair, level_db in levels_db.items() if level_db >= crosstalk.LOWEST_DB}
    return Song([fitted(sound.astype(np.float32), length) for sound in sounds], audible_db, None)


def fitted(sound: Waveform, length: int) -> Waveform:
    """Cut, or padded with silence, to a number of samples."""
    return np.pad(sound[:, :length], ((0, 0), (0, max(0, length - sound.shape[1]))))


def rms(sound: Waveform) -> float:
    """Over all channels, pauses and all."""
    return float(np.sqrt(np.square(sound, dtype=np.float64).mean()))


def measured(stems: Sequence[Waveform]) -> list[Crosstalk]:
    """Return the bleed that is measured between sounds in memory."""
    length = seconds_to_samples(crosstalk.BLOCK, SAMPLE_RATE)

    def blocks(sound: Waveform) -> Iterator[Waveform]:
        yield from (sound[:, start : start + length] for start in range(0, sound.shape[1], length))

    return crosstalk.measure([partial(blocks, stem) for stem in stems], SAMPLE_RATE).bleeds


def compared_with_truth(
    song: Song, reported: Sequence[Crosstalk], known: Sequence[Pair], labels: Sequence[str]
) -> Record:
    """Compare reported bleed with the planted bleed.

    Args:
        known: pairs reported for the original song; they are not counted as new.
        labels: of the stems.

    Returns:
        ``bleeds``: with the true and the reported level (None: not reported); ``more``: reported but not planted, with
        a kind: ``wrong_way`` (the opposite direction of a planted bleed), ``through`` (indirect) or ``other``.
    """
    level_of = {(pair_.source, pair_.into): pair_.level_db for pair_ in reported}
    bleeds, more = [], []
    for pair, level_db in song.levels_db.items():
        bleeds.append(named(pair, labels) | {"level_db": rounded(level_db), "told_db": rounded(level_of.get(pair))})
    for pair, level_db in level_of.items():
        if pair not in song.levels_db and pair not in known:
            back = pair[::-1] in song.levels_db
            kind = "through" if pair == song.through else "wrong_way" if back else "other"
            more.append(named(pair, labels) | {"level_db": rounded(level_db), "kind": kind})
    return {"bleeds": bleeds, "more": more}


def named(pair: Pair, labels: Sequence[str]) -> Record:
    """Return a pair with its classes' names."""
    return {"from": labels[pair[0]], "into": labels[pair[1]]}


def tally(songs: Sequence[Record]) -> Record:
    """Counts and errors of one variant over songs, all levels together and by band."""
    bleeds = [bleed for song in songs for bleed in song["bleeds"]]
    kinds = [bleed["kind"] for song in songs for bleed in song["more"]]
    return {
        "songs": len(songs),
        "all": counted(bleeds),
        "bands": {name: counted([b for b in bleeds if band(b["level_db"]) == name]) for name in BAND_NAMES},
        **{kind: kinds.count(kind) for kind in ("wrong_way", "through", "other")},
    }


def counted(bleeds: Sequence[Record]) -> Record:
    """Return the number of bleeds, the number found, and the mean, mean absolute and largest absolute error of their
    levels.
    """
    off = np.array([bleed["told_db"] - bleed["level_db"] for bleed in bleeds if bleed["told_db"] is not None])
    return {
        "bleeds": len(bleeds),
        "found": len(off),
        "error_db": rounded(np.abs(off).mean()) if len(off) else None,
        "bias_db": rounded(off.mean()) if len(off) else None,
        "worst_db": rounded(np.abs(off).max()) if len(off) else None,
    }


BAND_NAMES = [f"{low:g}..{high:g}" for low, high in BANDS]


def band(level_db: float) -> str:
    """Name of the band that a level relative to the whole stem is in; an upper end belongs to it.

    >>> band(-35.2), band(-25.0), band(-20.0), band(-3.0)
    ('-35..-25', '-35..-25', '-25..-15', '-15..0')
    """
    return next((name for name, (_, high) in zip(BAND_NAMES, BANDS, strict=True) if level_db <= high), BAND_NAMES[-1])


def variants_section(draws: Draws, arguments: argparse.Namespace) -> Record:
    """Measure bleed that is not an exact copy, and the songs as they are."""
    code = b"".join(path.read_bytes() for path in sorted(Path(files.__file__).parent.rglob("*.py")))
    kept = (
        arguments.work / f"crosstalk-variants-{digest([contents(draws.data), hashlib.sha256(code).hexdigest()])}.json"
    )
    known: dict[str, Record] = resumable.read(kept)
    songs = by_song(draws.data)
    for track, stems in tqdm(songs.items(), "variants", unit="song", disable=None):
        if track not in known:
            known[track] = in_variants(track, stems, arguments.heldout)
            write_json(kept, known)
    by_variant: dict[str, list[Record]] = {
        variant: [of_known_level(known[track], variant) for track in songs if variant in known[track]["variants"]]
        for variant in (*CHANGES, MASKED)
    }
    return {
        "config": {"levels_db": LEVELS_DB, "both_ways_db": BOTH_WAYS_DB, "lowest_db": crosstalk.LOWEST_DB},
        "clean": {
            "songs": len(songs),
            "pairs": sum(len(stems) * (len(stems) - 1) for stems in songs.values()),
            "told": [{"song": track} | bleed for track in songs for bleed in known[track]["clean"]],
        },
        "variants": {variant: tally(songs_told) for variant, songs_told in by_variant.items()},
        "songs": {track: known[track]["variants"] for track in songs},
    }


def of_known_level(song: Record, variant: str) -> Record:
    """Return the results of a variant without bleed that the original song already had.

    Args:
        song: as :func:`in_variants` tells it.
    """
    there = {(bleed_["from"], bleed_["into"]) for bleed_ in song["clean"]}
    result: Record = song["variants"][variant]
    return {**result, "bleeds": [bleed for bleed in result["bleeds"] if (bleed["from"], bleed["into"]) not in there]}


def by_song(data: Manifest) -> dict[str, list[Stem]]:
    """Songs of two stems and more."""
    songs: dict[str, list[Stem]] = defaultdict(list)
    for stem in data.stems:
        songs[stem.track].append(stem)
    return {track: stems for track, stems in songs.items() if len(stems) > 1}


def in_variants(track: str, stems: Sequence[Stem], folder: Path) -> Record:
    """Measure one song as it is, and with each kind of bleed."""
    labels = ["+".join(stem.labels) for stem in stems]
    sounds = [files.read(folder / stem.path, sample_rate=SAMPLE_RATE, channels=CHANNELS) for stem in stems]
    clean = measured(sounds)
    pairs = [(bleed.source, bleed.into) for bleed in clean]
    variants = {}
    for number, variant in enumerate(CHANGES):
        if len(stems) > max(max(pair) for pair in PAIRS.get(variant, ((1, 0),))):
            song = plant(sounds, variant, np.random.default_rng([zlib.crc32(track.encode()), number]))
            variants[variant] = compared_with_truth(song, measured(song.stems), pairs, labels)
    song = cut_out(sounds)
    variants[MASKED] = compared_with_truth(song, measured(song.stems), pairs, labels)
    more = {
        (bleed.source, bleed.into): {"level_db": rounded(bleed.level_db), "delay": round(bleed.delay, 6)}
        for bleed in clean
    }
    return {"clean": [named(pair, labels) | about for pair, about in more.items()], "variants": variants}


def speed_section(draws: Draws, arguments: argparse.Namespace) -> Record:
    """Time some songs as they are, and with bleed; without any suspicion of bleed, little is computed."""
    songs = by_song(draws.data)
    chosen = {track: stems for track, stems in songs.items() if track.startswith(KINDS["real"])} or songs
    chosen = dict(list(chosen.items())[: arguments.songs])
    stems = [stem for song in chosen.values() for stem in song]
    config = CorruptConfig(mislabel=0.0, bleed=arguments.bleed, bleed_db=arguments.bleed_db)
    report: Record = {
        "machine": describe_machine(),
        "config": {"bleed": arguments.bleed, "bleed_db": arguments.bleed_db},
        "songs": len(chosen),
        "stems": len(stems),
        "audio_minutes": round(sum(stem.duration for stem in stems) / 60, 1),
        "workers": os.cpu_count(),
    }
    with tempfile.TemporaryDirectory(dir=arguments.work) as temporary:
        clean, planted = Path(temporary) / "clean", Path(temporary) / "bleed"
        for stem in stems:
            (clean / stem.path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(arguments.heldout / stem.path, clean / stem.path)
        corrupt(clean, planted, config, quiet=True)
        report["cases"] = {folder.name: timed(folder, draws.uri, arguments.repetitions) for folder in (clean, planted)}
    return report


def timed(folder: Path, weights_uri: str, repetitions: int) -> Record:
    """Refining with and without crosstalk in turn, on all cores; and measuring alone, on one thread, from the files."""
    data, root = layouts.load(folder, quiet=True)
    output = folder.with_suffix(".refined.json")
    runs: dict[str, Callable[[], object]] = {
        way: partial(refine, folder, output, config, weights_uri=weights_uri, resume=False, quiet=True)
        for way, config in WAYS.items()
    }
    runs["alone"] = partial(_measure_files, by_song(data), root)
    seconds: dict[str, list[float]] = {way: [] for way in runs}
    for repetition in tqdm(range(-1, repetitions), folder.name, unit="run", disable=None):  # the first one warms
        for way in list(runs)[:: -1 if repetition % 2 else 1]:
            began = time.perf_counter()
            runs[way]()
            if repetition >= 0:
                seconds[way].append(time.perf_counter() - began)
    audio = sum(stem.duration for stem in data.stems)
    return {
        "seconds": {way: spread(values) for way, values in seconds.items()},
        "times_real_time": {way: spread([audio / value for value in values]) for way, values in seconds.items()},
        "ratio": spread([a / b for a, b in zip(seconds["measured"], seconds["heard"], strict=True)]),
    }


def _measure_files(songs: Mapping[str, Sequence[Stem]], folder: Path) -> None:
    """Measure songs from their files, one after the other."""
    read = partial(files.blocks, sample_rate=SAMPLE_RATE, channels=CHANNELS, block_duration=crosstalk.BLOCK)
    for stems in songs.values():
        crosstalk.measure([partial(read, folder / stem.path) for stem in stems], SAMPLE_RATE)


def contents(data: Manifest) -> list[list[str | None]]:
    """Return what identifies the sounds of a dataset."""
    return [[stem.id, stem.sha256] for stem in data.stems]


def digest(value: Any) -> str:
    """Eight letters that stand for a JSON-able value."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:8]


def described(configs: Sequence[CorruptConfig]) -> Record:
    """Return the settings of the planted faults."""
    return {key: value for key, value in configs[0].to_dict().items() if key != "seed"} | {"seeds": len(configs)}


def mean(values: Sequence[float]) -> float:
    """Four decimals."""
    return round(float(np.mean(values)), 4)


SECTIONS: dict[str, Callable[[Draws, argparse.Namespace], Record]] = {
    "refine": refine_section,
    "variants": variants_section,
    "noise": noise_section,
    "speed": speed_section,
}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("heldout", type=Path, metavar="HELDOUT")
    parser.add_argument("output", type=Path, metavar="OUT.json")
    parser.add_argument("--weights", default=weights.DEFAULT_CLASSIFIER, metavar="URI")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="of refine and noise")
    parser.add_argument("--mislabel", type=float, default=0.2, metavar="SHARE", help="of the stems, in refine")
    parser.add_argument("--bleed", type=float, default=0.3, metavar="SHARE", help="the same, and in speed")
    parser.add_argument("--bleed-db", type=levels, default=(-30.0, 0.0), metavar="LOW:HIGH", help="in both")
    parser.add_argument("--repetitions", type=int, default=3, metavar="N", help="of speed")
    parser.add_argument("--songs", type=int, default=4, metavar="N", help="of speed, the real ones first")
    parser.add_argument("--only", default=",".join(SECTIONS), metavar="PART,…", help="parts, with commas between; all")
    parser.add_argument("--work", type=Path, metavar="DIR")
    arguments = parser.parse_args()
    chosen = resumable.chosen(parser, arguments.only, SECTIONS)
    arguments.work = arguments.work or arguments.heldout.with_name(arguments.heldout.name + ".work")
    arguments.work.mkdir(parents=True, exist_ok=True)
    try:
        draws = Draws(arguments.heldout, arguments.weights, arguments.work)
        about = {"data": describe(draws.data, arguments.heldout), "weights": describe_weights(draws.weights)}
        resumable.sections(arguments.output, chosen, lambda name: SECTIONS[name](draws, arguments) | about)
    except StemcleanError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
