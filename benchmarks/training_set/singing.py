"""PJS (one male singer, 98 songs): unchanged, as six virtual singers, as choirs and as whispers."""

from pathlib import Path

import numpy as np

from .track import SAMPLE_RATE, Job, Stem, load_mono, with_peak
from .voice import Voice, analyse, in_stereo, vibrato

# name: semitones, formant ratio, breath, vibrato depth in semitones
SINGERS = {
    "soprano": (12.0, 1.24, 0.15, 0.5),
    "mezzo": (8.0, 1.18, 0.0, 0.3),
    "girl": (10.0, 1.32, 0.3, 0.15),
    "alto": (5.0, 1.12, 0.35, 0.35),
    "baritone": (-4.0, 0.92, 0.1, 0.25),
    "deep": (-7.0, 0.85, 0.2, 0.2),
}
HARMONIES = ((0, 0, 12), (0, 4, 7), (0, 3, 7), (0, -5, 12), (0, 0), (0, 7), (12, 16, 19), (0, -12, 12), (0, 0, 0, 0))
LICENCE = "CC-BY-SA-4.0"


def jobs(material: Path) -> list[Job]:
    """Return one job a song."""
    return [
        Job("singing", f"pjs_{path.stem}", "train", {"path": str(path.relative_to(material))})
        for path in sorted((material / "singing" / "PJS").glob("*.ogg"))
    ]


def render(job: Job, material: Path, rng: np.random.Generator) -> list[Stem]:
    """Return the song as sung, by three virtual singers, by a choir, and in one of four songs whispered."""
    audio = load_mono(material / job.params["path"])
    stems = [_stem(in_stereo([with_peak(audio, 0.9)], rng, room=0.3), "pjs")]
    if job.params.get("as_recorded"):
        return stems
    voice = analyse(audio, SAMPLE_RATE)
    for name in rng.choice(sorted(SINGERS), 3, replace=False):
        stems.append(_stem(in_stereo([_virtual(voice, name, rng).audio()], rng), f"pjs_{name}"))
    stems.append(_stem(_choir(voice, rng), "pjs_choir"))
    if rng.random() < 0.25:
        whisper = voice.with_throat(rng.uniform(0.9, 1.25)).breathy(1.0)
        stems.append(_stem(in_stereo([whisper.audio()], rng), "pjs_whisper"))
    return stems


def _stem(audio: np.ndarray, performer: str) -> Stem:
    return Stem("vocals", audio, "PJS", LICENCE, performer)


def _virtual(voice: Voice, name: str, rng: np.random.Generator, shift: float = 0.0) -> Voice:
    semitones, ratio, breath, depth = SINGERS[name]
    moved = semitones + shift + rng.normal(0, 0.4) + vibrato(len(voice.f0), rng, depth)
    return voice.transposed(moved).with_throat(ratio * rng.uniform(0.97, 1.03)).breathy(breath)


def _choir(voice: Voice, rng: np.random.Generator) -> np.ndarray:
    base = str(rng.choice(sorted(SINGERS)))
    parts = []
    for interval in HARMONIES[rng.integers(len(HARMONIES))]:
        singer = base if rng.random() < 0.6 else str(rng.choice(sorted(SINGERS)))
        shift = SINGERS[base][0] - SINGERS[singer][0] + interval
        loose = voice.at(np.arange(len(voice.f0)) + 4 * vibrato(len(voice.f0), rng, 1.0))
        parts.append(_virtual(loose, singer, rng, shift).audio() * rng.uniform(0.5, 1.0))
    return in_stereo(parts, rng, room=0.7)
