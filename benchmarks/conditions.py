"""Faults found in held-out songs: exact bleed, bleed through rooms, lossy files, stems without siblings.

    python -m benchmarks.conditions HELDOUT OUT.json [--weights URI] [--seeds 3] [--only real__]

``HELDOUT`` is a clean dataset (:mod:`benchmarks.heldout`). For each seed it is corrupted and refined in each condition:

- ``exact``: bleed is a copy of another stem of the song;
- ``room``: it comes through a random room (``corrupt --bleed-rooms 1``);
- ``lossy``: the same, and every stem is an MP3 of 96 kbit/s;
- ``alone``: exact bleed, but stems are judged without the others of their song, as in folders of one class;
- ``one-sided``: the clean stems, on the left channel only; ``mono``: mixed to one channel; ``clean``: as they are.

The report has mean and standard deviation over the seeds, figures pooled over the draws, and intervals of 95 % by
drawing songs with replacement. Results of finished draws are kept in ``OUT.work``.
"""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.detection import describe_weights, flagged, judging_code, levels, rounded
from benchmarks.resumable import write_json
from stemclean import layouts, manifest
from stemclean.audio import files
from stemclean.corrupt import CorruptConfig, corrupt
from stemclean.errors import StemcleanError
from stemclean.evaluate import evaluate_labels
from stemclean.manifest import Manifest, Stem
from stemclean.models import weights
from stemclean.refine import RefineConfig, refine

PLANTED = {"exact": 0.0, "room": 1.0, "lossy": 1.0, "alone": 0.0}
"""Condition -> share of the bleeds that come through a room."""
FIGURES = (
    "labels/accuracy/average",
    "detection/precision",
    "detection/recall",
    "detection/average_precision",
    "fault/swapped/recall",
    "fault/bleed/recall",
    "fault/none/flagged",
    "levels/error_db",
)
LOUD_DB = -10.0
DRAWS = 500
BITRATE = "96k"

Record = dict[str, Any]
Pairs = list[tuple[Stem, Stem]]


def pairs_of(refined: Manifest, truth: Manifest) -> Pairs:
    """Return the stems of both, matched by id."""
    known = {stem.id: stem for stem in refined.stems}
    return [(known[stem.id], stem) for stem in truth.stems if stem.id in known]


def judged(
    name: str, condition: str, clean: Path, work: Path, seed: int, config: CorruptConfig, uri: str
) -> tuple[Manifest, Manifest]:
    """Corrupt, convert and refine one draw of one condition, or read what an earlier run left."""
    output = work / f"{name}.json"
    folder = work / f"planted-{seed}-{PLANTED[condition]:g}"
    settings = config.changed(seed=seed, bleed_rooms=PLANTED[condition])
    if not (folder / "truth.json").exists():
        corrupt(clean, folder, settings, quiet=True)
    truth = manifest.read(folder / "truth.json")
    if not output.exists():
        source = _encoded(folder, work / f"lossy-{seed}") if condition == "lossy" else folder
        refine(source, output, RefineConfig(crosstalk=condition != "alone"), weights_uri=uri)
    return manifest.read(output), truth


def report(draws: Sequence[Pairs], data: Manifest) -> Record:
    """Return mean, deviation and pooled figures of one condition, with intervals over songs."""
    singles = [figures(pairs, data) for pairs in draws]
    every = [pair for pairs in draws for pair in pairs]
    songs: dict[str, Pairs] = {}
    for pair in every:
        songs.setdefault(pair[1].track, []).append(pair)
    rng, names = np.random.default_rng(0), sorted(songs)
    drawn = [
        figures([pair for name in rng.choice(names, len(names)) for pair in songs[name]], data) for _ in range(DRAWS)
    ]
    pooled = figures(every, data)

    def known(values: Sequence[Record], key: str) -> list[float]:
        return [value[key] for value in values if value.get(key) is not None]

    return {
        key: {
            "pooled": rounded(pooled[key]),
            "mean": rounded(np.mean(known(singles, key))) if known(singles, key) else None,
            "sd": rounded(np.std(known(singles, key), ddof=1)) if len(known(singles, key)) > 1 else None,
            "interval": [rounded(value) for value in np.percentile(known(drawn, key), [2.5, 97.5])]
            if known(drawn, key)
            else None,
        }
        for key in pooled
    }


def figures(pairs: Pairs, data: Manifest) -> Record:
    """Return the figures of some pairs of judged and true stems; stems may occur several times."""
    numbered = [
        (a.model_copy(update={"id": f"{number}"}), b.model_copy(update={"id": f"{number}"}))
        for number, (a, b) in enumerate(pairs)
    ]
    own, truth = (data.with_stems([pair[side] for pair in numbered], skipped=[]) for side in (0, 1))
    scores = evaluate_labels(own, truth)
    loud = [a for a, b in pairs if b.extra.get("bleed") and b.extra["bleed"]["level_db"] >= LOUD_DB]
    return {key: scores.get(key) for key in FIGURES} | {
        "bleeds": sum(bool(b.extra.get("bleed")) for _, b in pairs),
        "fault/bleed/recall at -10 dB and louder": np.mean([flagged(stem) for stem in loud]) if loud else None,
    }


def changed_channels(clean: Path, destination: Path, change: Callable[[np.ndarray], np.ndarray]) -> Path:
    """Write a copy of a dataset with its channels changed."""
    data, folder = layouts.load(clean, quiet=True)
    for stem in data.stems:
        target = (destination / stem.path).with_suffix(".flac")
        if not target.exists():
            sound = change(files.read(folder / stem.path, channels=2))
            files.write(target, sound, stem.sample_rate, subtype="PCM_16")
    return destination


def _left_only(sound: np.ndarray) -> np.ndarray:
    return np.stack([sound.mean(0), np.zeros_like(sound[0])])


def _mono(sound: np.ndarray) -> np.ndarray:
    return sound.mean(0, keepdims=True)


CHANNELS: dict[str, Callable[[np.ndarray], np.ndarray] | None] = {
    "clean": None,
    "mono": _mono,
    "one-sided": _left_only,
}


def clean_flags(clean: Path, work: Path, uri: str, prefix: str) -> Iterator[tuple[str, Record]]:
    """Yield how many of the clean stems are flagged as they are, as mono, and on one side only."""
    copies: dict[str, Callable[[np.ndarray], np.ndarray] | None] = {
        "clean": None,
        "mono": _mono,
        "one-sided": _left_only,
    }
    for name, change in copies.items():
        source = clean if change is None else changed_channels(clean, work / name, change)
        output = work / f"{prefix}-{name}.json"
        if not output.exists():
            refine(source, output, weights_uri=uri)
        stems = manifest.read(output).stems
        yield name, {"stems": len(stems), "flagged": sum(map(flagged, stems))}


def _only(clean: Path, prefix: str, work: Path) -> Path:
    """Return a manifest of the songs whose names begin with a prefix."""
    data, folder = layouts.load(clean, quiet=True)
    stems = [stem for stem in data.stems if stem.track.startswith(prefix)]
    output = work / "clean.json"
    manifest.write(data.with_stems(stems, root=manifest.relative_root(folder, output)), output)
    return output


def _encoded(source: Path, destination: Path) -> Path:
    """Write every file as an MP3."""
    for path in sorted(source.rglob("*.flac")):
        target = (destination / path.relative_to(source)).with_suffix(".mp3")
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_suffix(".part.mp3")
            command = ["ffmpeg", "-v", "error", "-y", "-i", str(path), "-b:a", BITRATE, str(part)]
            subprocess.run(command, check=True)
            part.rename(target)
    return destination


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("heldout", type=Path, metavar="HELDOUT")
    parser.add_argument("output", type=Path, metavar="OUT.json")
    parser.add_argument("--weights", default=weights.DEFAULT_CLASSIFIER, metavar="URI")
    parser.add_argument("--seeds", type=int, default=3, metavar="N")
    parser.add_argument("--mislabel", type=float, default=0.2)
    parser.add_argument("--bleed", type=float, default=0.3)
    parser.add_argument("--bleed-db", type=levels, default=(-20.0, 0.0), metavar="LOW:HIGH")
    parser.add_argument("--conditions", default=",".join(PLANTED), help="some of " + ", ".join(PLANTED))
    parser.add_argument("--only", default="", metavar="PREFIX", help="songs whose names begin so")
    parser.add_argument("--channels", action="store_true", help="also the clean stems as mono and on one side")
    arguments = parser.parse_args()
    work = arguments.output.with_suffix(".work")
    work.mkdir(parents=True, exist_ok=True)
    clean = _only(arguments.heldout, arguments.only, work)
    config = CorruptConfig(mislabel=arguments.mislabel, bleed=arguments.bleed, bleed_db=arguments.bleed_db)
    try:
        loaded = weights.load(arguments.weights)
        by = f"{loaded.sha256[:8]}-{judging_code()[:8]}"
        result: Record = {"weights": describe_weights(loaded), "seeds": arguments.seeds, "config": config.to_dict()}
        for condition in arguments.conditions.split(","):
            draws = []
            for seed in range(arguments.seeds):
                name = f"{condition}-{seed}-{by}"
                refined, truth = judged(name, condition, clean, work, seed, config, arguments.weights)
                draws.append(pairs_of(refined, truth))
            result[condition] = report(draws, truth)
            print(condition, {key: value["pooled"] for key, value in result[condition].items()}, flush=True)
            write_json(arguments.output, result)
        if arguments.channels:
            result["channels"] = dict(clean_flags(clean, work, arguments.weights, by))
            print(result["channels"])
    except StemcleanError as error:
        parser.error(str(error))
    write_json(arguments.output, result)


if __name__ == "__main__":
    main()
