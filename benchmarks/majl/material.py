"""MIR-1K as songs with splits, whole and half-labelled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stemclean import layouts
from stemclean.audio import files
from stemclean.errors import ConfigError
from stemclean.labels import KARAOKE
from stemclean.manifest import Manifest, Stem

TEST_SINGERS = ("annar", "yifen", "bug", "khair", "davidson")
VALIDATION_SINGERS = ("titon", "stool")
"""Chosen before any measurement; about a quarter and a twelfth of the clips, women and men in both."""

DJCM_TEST = """
Ani 1:2,3 2:1,5 5:2,8
Kenshin 3:1 4:2,3,4 5:1,3,4,10,11
abjones 1:1,2,4 2:5 3:2 4:5,8 5:4,7,9
amy 1:3,5 2:2 3:1,3,5,6,7 5:6,7 6:8 7:5 8:3,8 9:2,3,4,6 10:5,6,7 11:2 12:4,5 13:6 15:5,6 16:6,8
annar 1:1,2,3,6,8 2:2,8 3:1,4 4:6,9 5:1
ariel 1:1,4 2:7 3:1,7
bobon 1:1,2,3,4 2:3 3:1,3,10 4:4,10 5:4,7
bug 1:8,10 2:1,5,7 3:4 5:2,3,13
davidson 1:5 2:4 3:10 5:6,7
fdps 1:2,3,4,8,10 2:1,4,10,12 3:4,7 5:1,2
geniusturtle 1:2,5,8 3:6 4:6,11 5:1 6:6 7:7
heycat 2:2,3 3:5 4:6 5:2,3,4
jmzen 1:2 2:1,3,8,12 3:5,6 4:7,9 5:2,5
khair 1:6 2:6 4:4,5 5:2,5
leon 1:5,12 2:2 3:2,11,13 6:6,7 7:5,8,9,12 8:4,6,11,13 9:1,3
stool 2:3,5,6,8 3:2,3,8,10 4:1,4,7 5:5,6
titon 1:1,2,8 2:2,3 3:2,6,7 4:2,4 5:2,6
yifen 1:4,8,13 2:7,8,9,14,15 3:2,5,9 4:4,6,7
"""
"""The 200 test clips of the published DJCM split, by singer, song and clip: each of these singers trains too."""
SPLITS = ("singer", "clip", "djcm")
CLIP_SHARE = 0.2
"""Of the clips, for the test by clip: as many as DJCM has."""

NO_F0, NO_VOCALS = 0.5, 0.25
"""Shares of the training clips that lose a label."""


def djcm_test() -> set[str]:
    """Return the names of the clips of DJCM's test split.

    >>> sorted(djcm_test())[:2], len(djcm_test())
    (['Ani_1_02', 'Ani_1_03'], 200)
    """
    names = set()
    for line in DJCM_TEST.split("\n"):
        singer, *songs = line.split() or [""]
        for song, clips in (part.split(":") for part in songs):
            names |= {f"{singer}_{song}_{int(clip):02d}" for clip in clips.split(",")}
    return names


def songs(folder: Path, work: Path, split: str) -> tuple[Manifest, Path]:
    """Return all clips with their splits, and the folder that their paths are relative to.

    The folder holds links to the clips, so that what is made of them can lie beside them.

    Args:
        split: ``singer``: test singers are in no training clip. ``clip``: a fifth of the clips, drawn once. ``djcm``:
            the published clips.

    Raises:
        ConfigError: none of the test clips is there.
    """
    root = work / "data"
    root.mkdir(parents=True, exist_ok=True)
    for clip in sorted(folder.iterdir()):
        link = root / clip.name
        if clip.is_dir() and not link.exists():
            link.symlink_to(clip.resolve())
    manifest = layouts.scan(root, profile=KARAOKE, quiet=True)
    stems = [stem for stem in manifest.stems if (root / stem.path).parent.is_symlink()]
    splits = splits_of(sorted({stem.track for stem in stems}), split)
    if "test" not in splits.values():
        raise ConfigError(f"none of the test clips of the split {split} is in {folder}", "choose another --split")
    return manifest.with_stems([s.model_copy(update={"split": splits[s.track]}) for s in stems]), root


def splits_of(clips: Sequence[str], split: str) -> dict[str, str]:
    """Clip -> ``train``, ``validation`` or ``test``; by clip, a twelfth of what does not test validates."""
    if split == "singer":
        parts = {**dict.fromkeys(TEST_SINGERS, "test"), **dict.fromkeys(VALIDATION_SINGERS, "validation")}
        return {clip: parts.get(clip.split("_", maxsplit=1)[0], "train") for clip in clips}
    rng = np.random.default_rng(0)
    drawn = set(rng.choice(clips, round(CLIP_SHARE * len(clips)), replace=False).tolist())
    test = djcm_test() if split == "djcm" else drawn
    left = [clip for clip in clips if clip not in test]
    validation = set(rng.choice(left, round(len(left) / 12), replace=False).tolist()) if left else set()
    return {clip: "test" if clip in test else "validation" if clip in validation else "train" for clip in clips}


def stripped(manifest: Manifest, root: Path, seed: int) -> tuple[Manifest, Manifest]:
    """Return the clips with f0 removed from half of the training clips, and vocals from another quarter.

    Returns:
        (all of it, its fully labelled clips); of what has no vocals only the mixture is left, a stem of every class.
    """
    tracks = sorted({stem.track for stem in manifest.stems if stem.split == "train"})
    np.random.default_rng((seed, 7)).shuffle(tracks)
    without_f0 = set(tracks[: round(NO_F0 * len(tracks))])
    without_vocals = set(tracks[len(without_f0) : len(without_f0) + round(NO_VOCALS * len(tracks))])
    stems: list[Stem] = []
    for stem in manifest.stems:
        if stem.track in without_f0:
            stems.append(stem.model_copy(update={"f0": None}))
        elif stem.track not in without_vocals:
            stems.append(stem)
        elif stem.f0 is not None:
            stems.append(_mixture(stem, [s for s in manifest.stems if s.track == stem.track], root, manifest.labels))
    full = [stem for stem in stems if stem.track not in without_f0 | without_vocals]
    return manifest.with_stems(stems), manifest.with_stems(full)


def _mixture(voice: Stem, stems: Sequence[Stem], root: Path, labels: Sequence[str]) -> Stem:
    """Return the sum of a clip's stems as one stem, attenuated to full scale if it would clip."""
    path = root / "mixtures" / f"{voice.track}.wav"
    if not path.exists():
        sounds = [files.read(root / stem.path) for stem in stems]
        summed = np.sum([sound[:, : min(s.shape[1] for s in sounds)] for sound in sounds], axis=0)
        files.write(path, summed / max(1.0, float(np.abs(summed).max())), 16000)
    info = files.probe(path)
    changes = {
        "id": f"{voice.track}/mixture",
        "path": path.relative_to(root).as_posix(),
        "sha256": None,
        "num_samples": info.num_samples,
        "claimed": list(labels),
        "labels": list(labels),
    }
    return voice.model_copy(update=changes)
