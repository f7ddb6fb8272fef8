"""What sampled and synthesised instruments play: grooves, bass lines, melodies, arpeggios, chords."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import midi

SCALES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "pentatonic": (0, 3, 5, 7, 10),
    "blues": (0, 3, 5, 6, 7, 10),
}
PROGRESSIONS = ((0, 5, 3, 4), (0, 4, 5, 3), (5, 3, 0, 4), (0, 3, 4, 4), (0, 0, 3, 4), (1, 4, 0, 0), (0, 6, 5, 4))

# sixteen steps a bar; x hit, X accent, o ghost; the swing is a share of a step
GROOVES: dict[str, tuple[tuple[int, int], float, dict[str, str]]] = {
    "rock": (
        (95, 145),
        0.0,
        {"kick": "X.......X.x.....", "snare": "....X.......X...", "hat_closed": "x.x.x.x.x.x.x.x."},
    ),
    "hard rock": (
        (110, 165),
        0.0,
        {"kick": "X..x..x.X.x...x.", "snare": "....X.......X...", "ride": "X.x.X.x.X.x.X.x."},
    ),
    "punk": (
        (160, 200),
        0.0,
        {"kick": "X...X...X...X...", "snare": "..X...X...X...X.", "hat_open": "x.x.x.x.x.x.x.x."},
    ),
    "blast": ((150, 220), 0.0, {"kick": "xxxxxxxxxxxxxxxx", "snare": "....X.......X...", "china": "x...x...x...x..."}),
    "house": (
        (118, 130),
        0.0,
        {
            "kick": "X...X...X...X...",
            "clap": "....X.......X...",
            "hat_open": "..x...x...x...x.",
            "shaker": "xoxoxoxoxoxoxoxo",
        },
    ),
    "techno": (
        (125, 145),
        0.0,
        {
            "kick": "X...X...X...X...",
            "hat_closed": "..x...x...x...xo",
            "ride": "..x...x...x...x.",
            "tom_low": "...x..x....x..x.",
        },
    ),
    "hip-hop": (
        (80, 98),
        0.25,
        {"kick": "X.....x..xx.....", "snare": "....X.......X..o", "hat_closed": "x.x.x.x.x.xxx.x."},
    ),
    "trap": ((65, 80), 0.0, {"kick": "X......x..x.....", "clap": "........X.......", "hat_closed": "x.x.xxx.x.x.x.xx"}),
    "breakbeat": (
        (125, 175),
        0.1,
        {"kick": "X.x.......xx....", "snare": "....X..o.o..X..o", "ride": "x.x.x.x.x.x.x.x."},
    ),
    "drum and bass": (
        (165, 178),
        0.0,
        {"kick": "X.........X.....", "snare": "....X.......X...", "hat_closed": "x.xxx.xxx.xxx.xx"},
    ),
    "ballad": (
        (60, 80),
        0.0,
        {"kick": "X.......x.x.....", "snare": "....X.......X...", "hat_closed": "x.x.x.x.x.x.x.x."},
    ),
    "side stick": (
        (70, 110),
        0.0,
        {"kick": "X.....x.X.......", "stick": "....X.......X...", "hat_closed": "x.o.x.o.x.o.x.o."},
    ),
    "funk": (
        (92, 115),
        0.1,
        {"kick": "X..x..x...x..x..", "snare": "....X..o.o.oX..o", "hat_closed": "XoxoXoxoXoxoXoxo"},
    ),
    "shuffle": ((85, 130), 0.33, {"kick": "X.......X.......", "snare": "....X.......X...", "ride": "x..xx..xx..xx..x"}),
    "swing": (
        (110, 190),
        0.33,
        {
            "ride": "x...x..xx...x..x",
            "hat_pedal": "....x.......x...",
            "kick": "o...o...o...o...",
            "snare": "......o....o....",
        },
    ),
    "reggae": (
        (65, 85),
        0.2,
        {"kick": "........X.......", "stick": "........X.......", "hat_closed": "..x...x...x...x."},
    ),
    "reggaeton": (
        (85, 100),
        0.0,
        {"kick": "X...X...X...X...", "snare": "...X..X....X..X.", "hat_closed": "x.x.x.x.x.x.x.x."},
    ),
    "bossa": ((110, 150), 0.0, {"kick": "X..xX..xX..xX..x", "stick": "X..x..x...x..x..", "shaker": "xoxoxoxoxoxoxoxo"}),
    "samba": (
        (95, 125),
        0.0,
        {"kick": "x..Xx..Xx..Xx..X", "tambourine": "XooxXooxXooxXoox", "conga_high": "x.xx.x.xx.xx.x.x"},
    ),
    "latin": (
        (95, 125),
        0.0,
        {
            "conga_high": "..x...xx..x...xx",
            "conga_low": "x...x...x...x...",
            "cowbell": "X.xxX.xx.xX.x.xx",
            "clave": "X..X..X...X.X...",
        },
    ),
    "percussion": (
        (85, 130),
        0.0,
        {
            "shaker": "XoxoXoxoXoxoXoxo",
            "conga_high": "..xx..x...xx..x.",
            "conga_low": "x..x....x..x....",
            "tambourine": "....X.......X...",
        },
    ),
    "march": ((90, 120), 0.0, {"snare": "XooxXoxoXooxXxxx", "kick": "X...x...X...x..."}),
    "tribal": (
        (90, 130),
        0.0,
        {"tom_low": "X..x..X.x..x..X.", "tom_mid": "..x.x...x.x...x.", "kick": "X.......X......."},
    ),
}
LEVEL = {"x": 0.75, "X": 1.0, "o": 0.35}
GENERAL_MIDI = {
    35: "kick", 36: "kick", 37: "stick", 38: "snare", 39: "clap", 40: "snare", 41: "tom_low", 42: "hat_closed",
    43: "tom_low", 44: "hat_pedal", 45: "tom_mid", 46: "hat_open", 47: "tom_mid", 48: "tom_high", 49: "crash",
    50: "tom_high", 51: "ride", 52: "china", 53: "ride", 54: "tambourine", 55: "crash", 56: "cowbell", 57: "crash",
    59: "ride", 60: "conga_high", 61: "conga_low", 62: "conga_high", 63: "conga_high", 64: "conga_low", 69: "shaker",
    70: "shaker", 75: "clave", 76: "clave", 77: "clave", 82: "shaker",
}  # fmt: skip


@dataclass(frozen=True)
class Tone:
    """A pitched note: start and length in seconds, MIDI pitch (fractional allowed), velocity 0 to 1."""

    start: float
    length: float
    pitch: float
    velocity: float


@dataclass(frozen=True)
class Hit:
    """A struck drum: time in seconds, which drum, velocity 0 to 1."""

    time: float
    drum: str
    velocity: float


def groove(name: str, duration: float, rng: np.random.Generator) -> list[Hit]:
    """Return hits of a named groove, humanised, varied bar by bar, with fills, or parts of it alone."""
    (slow, fast), swing, parts = GROOVES[name]
    step = 60 / rng.uniform(slow, fast) / 4
    parts = _some_parts(parts, rng)
    loose = rng.choice([0.0, 0.004, 0.009])
    hits = []
    for bar in range(int(duration / (16 * step))):
        fill = bar % 4 == 3 and rng.random() < 0.5 and len(parts) > 2
        for drum, pattern in parts.items():
            hits += _bar(drum, pattern, bar * 16, step, swing, loose, rng, 12 if fill else 16)
        if fill:
            hits += _fill(bar * 16 + 12, step, rng)
        if bar % 8 == 0 and "kick" in parts and len(parts) > 2 and rng.random() < 0.6:
            hits.append(Hit(bar * 16 * step, "crash", 0.9))
    return sorted(hits, key=lambda hit: hit.time)


def written_drums(score: Path, duration: float, rng: np.random.Generator) -> list[Hit]:
    """Return the hits of a busy stretch of a MIDI file's drum channel; may be empty."""
    notes: Sequence[midi.Note] = midi.read_notes(score)
    part = midi.excerpt([note for note in notes if midi.class_of(note) == "drums"], duration, rng)
    known = [note for note in part if note.pitch in GENERAL_MIDI]
    return [Hit(note.start, GENERAL_MIDI[note.pitch], note.velocity / 127) for note in known]


def written_tones(score: Path, label: str, duration: float, rng: np.random.Generator) -> list[Tone]:
    """Return the notes of a busy stretch of a MIDI file's bass, or of one of its other channels."""
    notes: Sequence[midi.Note] = midi.read_notes(score)
    notes = [note for note in notes if midi.class_of(note) == label]
    if label == "other" and notes:
        channel = rng.choice(sorted({note.channel for note in notes}))
        notes = [note for note in notes if note.channel == channel]
    part = midi.excerpt(notes, duration, rng)
    return [Tone(note.start, max(0.05, note.end - note.start), note.pitch, note.velocity / 127) for note in part]


def bass_line(duration: float, rng: np.random.Generator, low: int = 28, high: int = 48) -> list[Tone]:
    """Return a bass line over a chord progression: roots, octaves, walks, riffs or held notes."""
    style = str(rng.choice(["roots", "eighths", "octaves", "walk", "riff", "held", "offbeat", "sixteenths"]))
    step = 60 / rng.uniform(70, 150) / 4
    roots = _roots(rng)
    scale = SCALES[str(rng.choice(sorted(SCALES)))]
    riff = [(int(s), int(rng.choice(scale))) for s in np.sort(rng.choice(16, rng.integers(4, 9), replace=False))]
    tones = []
    for bar in range(int(duration / (16 * step))):
        root = roots[bar % len(roots)]
        for at, length, interval in _bass_bar(style, riff, scale, rng):
            pitch = low + (root + interval - low) % 12 + (12 if interval >= 12 else 0)
            pitch = min(pitch, high + 12)
            tones.append(
                Tone((bar * 16 + at) * step, length * step * rng.uniform(0.75, 1.0), pitch, rng.uniform(0.6, 1.0))
            )
    return tones


def melody(duration: float, rng: np.random.Generator, center: float = 69.0) -> list[Tone]:
    """Return a wandering tune in one scale, with rests and phrases, about `center`."""
    scale = SCALES[str(rng.choice(sorted(SCALES)))]
    ladder = [12 * octave + degree for octave in range(-1, 2) for degree in scale]
    beat = 60 / rng.uniform(65, 150)
    step, time, tones = len(ladder) // 2, rng.uniform(0, 1), []
    key = center + rng.integers(-4, 5)
    while time < duration:
        length = beat * rng.choice([0.25, 0.5, 0.5, 1.0, 1.0, 1.5, 2.0, 3.0])
        if rng.random() > 0.12:
            tones.append(Tone(time, length * rng.uniform(0.7, 1.0), key + ladder[step], rng.uniform(0.6, 1.0)))
        time += length
        step = int(np.clip(step + rng.choice([-3, -2, -1, -1, 0, 1, 1, 2, 3]), 0, len(ladder) - 1))
    return tones


def chords(duration: float, rng: np.random.Generator, low: int = 48) -> list[Tone]:
    """Return chords over a progression: held, stabbed or strummed, from `low` upwards."""
    step = 60 / rng.uniform(70, 135) / 4
    roots, scale = _roots(rng), SCALES[str(rng.choice(["major", "minor", "dorian"]))]
    rhythm = (
        [(0, 16)]
        if rng.random() < 0.4
        else [(int(s), int(rng.integers(1, 4))) for s in np.sort(rng.choice(16, rng.integers(2, 7), replace=False))]
    )
    size, spread = int(rng.integers(2, 6)), rng.choice([0.0, 0.012, 0.03])
    tones = []
    for bar in range(int(duration / (16 * step))):
        root = low + (roots[bar % len(roots)] - low) % 12
        for at, length in rhythm:
            for number in range(size):
                pitch = root + scale[(2 * number) % len(scale)] + 12 * (2 * number // len(scale))
                tones.append(
                    Tone((bar * 16 + at) * step + number * spread, length * step, pitch, rng.uniform(0.6, 0.9))
                )
    return tones


def arpeggio(duration: float, rng: np.random.Generator, low: int = 48) -> list[Tone]:
    """Return broken chords in even notes, up, down or at random, over one to three octaves."""
    step = 60 / rng.uniform(80, 150) / rng.choice([2, 4, 4, 6])
    roots, scale = _roots(rng), SCALES[str(rng.choice(["major", "minor"]))]
    octaves, order = int(rng.integers(1, 4)), str(rng.choice(["up", "down", "random"]))
    ladder = [12 * octave + scale[degree % len(scale)] for octave in range(octaves) for degree in (0, 2, 4)]
    tones = []
    for number in range(int(duration / step)):
        root = low + (roots[number // 16 % len(roots)] - low) % 12
        index_ = {"up": number, "down": -1 - number, "random": int(rng.integers(99))}[order] % len(ladder)
        tones.append(Tone(number * step, step * rng.uniform(0.5, 1.2), root + ladder[index_], rng.uniform(0.5, 1.0)))
    return tones


def _some_parts(parts: dict[str, str], rng: np.random.Generator) -> dict[str, str]:
    """Return all of the groove (often), or one drum alone, or all but the kick."""
    dice = rng.random()
    if dice < 0.62:
        return parts
    if dice < 0.80:
        drum = str(rng.choice(sorted(parts)))
        return {drum: parts[drum]}
    if dice < 0.90:
        return {drum: pattern for drum, pattern in parts.items() if drum != "kick"}
    kept = [drum for drum in parts if rng.random() < 0.5] or [next(iter(parts))]
    return {drum: parts[drum] for drum in kept}


def _bar(
    drum: str, pattern: str, first: int, step: float, swing: float, loose: float, rng: np.random.Generator, stop: int
) -> list[Hit]:
    hits = []
    for position, mark in enumerate(pattern[:stop]):
        if mark == "." and not (drum in ("kick", "hat_closed", "shaker") and rng.random() < 0.03):
            continue
        if mark != "." and rng.random() < 0.03:
            continue
        late = swing * step if position % 2 else 0.0
        time = (first + position) * step + late + rng.normal(0, 1) * loose
        hits.append(Hit(max(0.0, time), drum, LEVEL.get(mark, 0.5) * rng.uniform(0.85, 1.0)))
    return hits


def _fill(first: int, step: float, rng: np.random.Generator) -> list[Hit]:
    drums = ("snare", "tom_high", "tom_mid", "tom_low")
    return [
        Hit((first + position) * step, drums[min(3, position + int(rng.integers(0, 2)))], rng.uniform(0.6, 1.0))
        for position in range(4)
        if rng.random() < 0.85
    ]


def _roots(rng: np.random.Generator) -> list[int]:
    key, scale = int(rng.integers(12)), SCALES[str(rng.choice(["major", "minor"]))]
    progression = PROGRESSIONS[rng.integers(len(PROGRESSIONS))]
    return [key + scale[degree] for degree in progression]


def _bass_bar(
    style: str, riff: list[tuple[int, int]], scale: tuple[int, ...], rng: np.random.Generator
) -> list[tuple[int, float, int]]:
    """Return (step, length in steps, interval above the root) for one bar."""
    if style == "roots":
        return [(0, 7, 0), (8, 6, 0), (14, 2, int(rng.choice([0, 7])))]
    if style == "eighths":
        return [(position, 1.9, 0) for position in range(0, 16, 2)]
    if style == "octaves":
        return [(position, 1.8, 12 if position % 4 else 0) for position in range(0, 16, 2)]
    if style == "walk":
        return [(position, 3.8, int(rng.choice(scale)) if position else 0) for position in range(0, 16, 4)]
    if style == "held":
        return [(0, 15.5, 0)]
    if style == "offbeat":
        return [(position, 1.8, 0) for position in range(2, 16, 4)]
    if style == "sixteenths":
        return [(position, 0.9, int(rng.choice([0, 0, 0, 12, 7]))) for position in range(16) if rng.random() < 0.8]
    ends = [position for position, _ in riff[1:]] + [16]
    return [(position, min(4, end - position), interval) for (position, interval), end in zip(riff, ends, strict=True)]
