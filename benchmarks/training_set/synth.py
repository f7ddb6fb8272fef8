"""Own synthesis in numpy: synth basses, electronic drums, leads, pads, plucks, bells and risers."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pedalboard import (
    Chorus,
    Compressor,
    Delay,
    Distortion,
    HighpassFilter,
    LowpassFilter,
    Pedalboard,
    Phaser,
    Plugin,
    Reverb,
)
from scipy.signal import butter, sosfilt

from . import samples, scores
from .midi import split_of as split_of_score
from .scores import Tone
from .track import SAMPLE_RATE, Job, Stem, generator_for, with_peak

DURATION = 40.0
COUNTS = {"bass": 110, "drums": 110, "other": 130}
BASSES = ("saw", "square", "fm", "sub", "reese", "808", "acid", "pluck", "growl")
OTHERS = (
    "supersaw",
    "lead",
    "theremin",
    "pad",
    "pluck",
    "bells",
    "organ",
    "chiptune",
    "low chords",
    "strings",
    "string machine",
    "riser",
    "guitar",
)


@dataclass(frozen=True)
class Patch:
    """A synthesiser's settings: wave, envelope in seconds, filter as multiples of the pitch, spread."""

    wave: str
    attack: float
    decay: float
    sustain: float
    release: float
    dark: float
    bright: float
    sweep: float
    voices: int
    detune: float
    vibrato: float
    index: float
    glide: float


def jobs(material: Path) -> list[Job]:
    """Return jobs in turns of the classes; each names a sound and a MIDI file it may play from."""
    files = sorted((material / "midi").glob("*/*.mid"))
    files = [path for path in files if split_of_score(path) == "train"]
    made = []
    for label, count in COUNTS.items():
        for number in range(count):
            score = files[int(generator_for(number, label).integers(len(files)))]
            params = {"label": label, "number": number, "score": str(score.relative_to(material))}
            made.append(Job("synth", f"synth_{label}_{number:03d}", "train", params))
    return sorted(made, key=lambda job: job.params["number"])


def render(job: Job, material: Path, rng: np.random.Generator) -> list[Stem]:
    """Return one synthesised part."""
    label, number = job.params["label"], job.params["number"]
    score = material / job.params["score"]
    if label == "drums":
        sound, audio = "drum machine", _drums(score, rng)
    elif label == "bass":
        sound = BASSES[number % len(BASSES)]
        audio = bass(sound, score, rng)
    else:
        sound = OTHERS[number % len(OTHERS)]
        audio = risers(DURATION, rng) if sound == "riser" else other(sound, score, rng)
    audio = _effects(label, sound, rng)(audio.T.astype(np.float32), SAMPLE_RATE).T.astype(np.float64)
    return [
        Stem(label, with_peak(audio, rng.uniform(0.35, 0.95)), f"synth/{sound}", "CC0-1.0", f"synth_{label}_{number}")
    ]


def bass(sound: str, score: Path, rng: np.random.Generator) -> np.ndarray:
    """Return a bass part of one sound, mono in (samples, 2)."""
    tones = scores.written_tones(score, "bass", DURATION, rng) if rng.random() < 0.35 else []
    if len(tones) < 8:
        low = int(rng.choice([24, 26, 28, 28, 33, 40]))
        tones = scores.bass_line(DURATION, rng, low, low + 20)
    if sound == "808":
        return np.repeat(_long_kicks(tones, rng)[:, None], 2, axis=1)
    return play(tones, bass_patch(sound, rng), rng)


def other(sound: str, score: Path, rng: np.random.Generator) -> np.ndarray:
    """Return a lead, pad or the like of one sound, (samples, 2)."""
    solo = sound in ("lead", "theremin", "chiptune", "strings")
    tones = scores.written_tones(score, "other", DURATION, rng) if rng.random() < 0.35 else []
    if len(tones) < 10 or sound in ("low chords", "pad"):
        if solo:
            tones = scores.melody(DURATION, rng, float(rng.uniform(57, 78)))
        elif sound in ("pluck", "bells") or (sound == "supersaw" and rng.random() < 0.4):
            tones = scores.arpeggio(DURATION, rng, int(rng.integers(40, 66)))
        else:
            low = int(rng.integers(33, 41)) if sound in ("low chords", "guitar") else int(rng.integers(45, 58))
            tones = scores.chords(DURATION, rng, low)
    return play(tones, other_patch(sound, rng), rng)


def bass_patch(sound: str, rng: np.random.Generator) -> Patch:
    """Return random settings of one of BASSES."""
    wave = {"saw": "saw", "acid": "saw", "reese": "saw", "growl": "fm", "pluck": "saw"}.get(sound, sound)
    short = sound in ("pluck", "acid")
    return Patch(
        wave=wave,
        attack=rng.uniform(0.001, 0.02),
        decay=rng.uniform(0.08, 0.3) if short else rng.uniform(0.2, 1.5),
        sustain=rng.uniform(0.0, 0.3) if short else rng.uniform(0.4, 1.0),
        release=rng.uniform(0.02, 0.15),
        dark=rng.uniform(1.5, 6),
        bright=rng.uniform(6, 50),
        sweep=rng.uniform(0.05, 0.4),
        voices=int(rng.integers(2, 5)) if sound == "reese" else 1,
        detune=rng.uniform(0.1, 0.35),
        vibrato=0.0,
        index=rng.uniform(3, 8) if sound == "growl" else rng.uniform(0.8, 4),
        glide=float(rng.choice([0.0, 0.0, 0.05])),
    )


def other_patch(sound: str, rng: np.random.Generator) -> Patch:
    """Return random settings of one of OTHERS."""
    waves = {
        "theremin": "sine",
        "bells": "fm",
        "organ": "organ",
        "chiptune": "square",
        "strings": "bowed",
        "string machine": "saw",
        "guitar": "string",
    }
    slow = sound in ("pad", "strings", "string machine", "theremin")
    short = sound in ("pluck", "bells", "guitar")
    wave = waves.get(sound) or str(rng.choice(["saw", "saw", "square", "triangle"]))
    return Patch(
        wave="saw" if sound == "supersaw" else wave,
        attack=rng.uniform(0.08, 0.6) if slow else rng.uniform(0.001, 0.03),
        decay=rng.uniform(0.1, 1.0) if short else rng.uniform(0.3, 2.0),
        sustain=rng.uniform(0, 0.15) if short else rng.uniform(0.5, 1.0),
        release=rng.uniform(0.3, 1.2) if slow else rng.uniform(0.05, 0.4),
        dark=rng.uniform(1, 4),
        bright=rng.uniform(4, 40),
        sweep=rng.uniform(0.1, 1.5),
        voices=int(rng.integers(5, 8)) if sound == "supersaw" else int(rng.integers(1, 4)),
        detune=rng.uniform(0.08, 0.25),
        vibrato=rng.uniform(0.15, 0.6) if sound in ("theremin", "lead", "strings") else 0.0,
        index=rng.uniform(0.8, 6),
        glide=rng.uniform(0.04, 0.12) if sound in ("theremin", "lead") else 0.0,
    )


def play(tones: list[Tone], patch: Patch, rng: np.random.Generator) -> np.ndarray:
    """Return the tones on this patch, (samples, 2) at 44.1 kHz."""
    end = max(tone.start + min(tone.length, 6.0) for tone in tones) + patch.release
    mix = np.zeros((int((end + 0.1) * SAMPLE_RATE), 2))
    previous, filters = None, {}
    for tone in tones:
        sound = _tone(tone, previous, patch, filters, rng) * tone.velocity
        begin = int(tone.start * SAMPLE_RATE)
        mix[begin : begin + len(sound)] += sound[: len(mix) - begin]
        previous = tone.pitch
    return mix


def risers(duration: float, rng: np.random.Generator) -> np.ndarray:
    """Return noise sweeps and falls one after another, (samples, 2)."""
    parts = []
    while sum(map(len, parts)) < duration * SAMPLE_RATE:
        length = int(rng.uniform(2, 8) * SAMPLE_RATE)
        noise = rng.standard_normal((length, 2))
        mask = np.linspace(0, 1, length)[:, None] ** rng.uniform(1, 3)
        low = sosfilt(butter(2, rng.uniform(200, 800), fs=SAMPLE_RATE, output="sos"), noise, axis=0) * 3
        high = sosfilt(
            butter(2, [rng.uniform(1500, 3000), rng.uniform(5000, 14000)], "band", fs=SAMPLE_RATE, output="sos"),
            noise,
            axis=0,
        )
        sweep = (low * (1 - mask) + high * mask) * (0.1 + mask)
        tone = np.sin(2 * np.pi * np.cumsum(np.geomspace(110, rng.uniform(400, 3000), length)) / SAMPLE_RATE)
        sweep += rng.choice([0.0, 0.7]) * mask * tone[:, None]
        parts.append(sweep if rng.random() < 0.7 else sweep[::-1])
        parts.append(np.zeros((int(rng.uniform(0, 0.6) * SAMPLE_RATE), 2)))
    return np.concatenate(parts)


def drum_machine(rng: np.random.Generator) -> samples.Kit:
    """Return a kit of synthesised drums: 808, 909 and stranger."""
    kit: samples.Kit = {}
    frequency, length, click = rng.uniform(38, 62), float(rng.choice([0.15, 0.3, 0.6, 1.2])), rng.uniform(0, 0.6)
    kit["kick"] = [_wide(_kick(frequency, length, click, rng))]
    kit["snare"] = [_wide(_snare(rng))]
    kit["clap"] = [_wide(_clap(rng))]
    kit["stick"] = [_wide(_blip(rng.uniform(800, 1800), 0.03, rng) + 0.3 * _noise(0.05, 0.01, 2000, 9000, rng))]
    hat = _metal(rng)
    for drum, decay in (
        ("hat_closed", rng.uniform(0.02, 0.06)),
        ("hat_pedal", 0.03),
        ("hat_open", rng.uniform(0.15, 0.4)),
        ("ride", 0.7),
        ("crash", 1.2),
        ("china", 0.8),
    ):
        kit[drum] = [_wide(hat[: int(6 * decay * SAMPLE_RATE)] * _fall(6 * decay, decay)[: len(hat)])]
    for drum, pitch in (("tom_high", 220), ("tom_mid", 150), ("tom_low", 95), ("conga_high", 330), ("conga_low", 220)):
        kit[drum] = [_wide(_tom(pitch * rng.uniform(0.85, 1.2), 0.1 if "conga" in drum else 0.25, rng))]
    kit["shaker"] = [_wide(_shake(rng.uniform(0.04, 0.1), rng)) for _ in range(3)]
    kit["tambourine"] = [_wide(_noise(0.3, 0.08, 6000, 15000, rng))]
    kit["cowbell"] = [_wide(_cowbell(rng))]
    kit["clave"] = [_wide(_blip(rng.uniform(2000, 2600), 0.04, rng))]
    return {drum: [with_peak(take, 0.9) for take in takes] for drum, takes in kit.items()}


def _drums(score: Path, rng: np.random.Generator) -> np.ndarray:
    hits = scores.written_drums(score, DURATION, rng) if rng.random() < 0.25 else []
    if len(hits) < 12:
        hits = scores.groove(str(rng.choice(sorted(scores.GROOVES))), DURATION, rng)
    return samples.struck(hits, drum_machine(rng), rng)


def _tone(tone: Tone, previous: float | None, patch: Patch, filters: dict, rng: np.random.Generator) -> np.ndarray:
    length = int((min(tone.length, 6.0) + patch.release) * SAMPLE_RATE)
    seconds = np.arange(length) / SAMPLE_RATE
    pitch = np.full(length, float(tone.pitch))
    if patch.glide and previous is not None:
        pitch += (previous - tone.pitch) * np.exp(-seconds / patch.glide)
    if patch.vibrato:
        pitch += (
            patch.vibrato * np.clip(seconds / 0.4 - 0.5, 0, 1) * np.sin(2 * np.pi * rng.uniform(4.8, 6.3) * seconds)
        )
    sides = np.zeros((length, 2))
    for voice in range(patch.voices):
        offset = patch.detune * (voice - (patch.voices - 1) / 2) / max(1, patch.voices - 1)
        frequency = 440 * 2 ** ((pitch + offset - 69) / 12)
        pan = 0.0 if patch.voices == 1 else 0.8 * (2 * voice / (patch.voices - 1) - 1)
        sides += _wave(frequency, patch, seconds, rng)[:, None] * np.array([1 - max(0, pan), 1 + min(0, pan)])
    if patch.wave not in ("fm", "sub", "sine", "organ", "string"):
        sides = _swept(sides, float(tone.pitch), patch, seconds, filters)
    return sides * _envelope(seconds, tone.length, patch)[:, None] / patch.voices


def _wave(frequency: np.ndarray, patch: Patch, seconds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    phase = np.cumsum(frequency) / SAMPLE_RATE + rng.random()
    turn = 2 * np.pi * phase
    if patch.wave == "saw":
        return _saw(phase, frequency)
    if patch.wave == "square":
        width = 0.5 + 0.4 * np.sin(patch.index)  # pulse widths from 10 to 90 %
        return 0.7 * (_saw(phase, frequency) - _saw(phase + width, frequency))
    if patch.wave == "fm":
        ratio = (1.0, 2.0, 3.0, 0.5, 1.41, 3.5, 7.0)[int(patch.index * 10) % 7]
        return np.sin(turn + patch.index * np.exp(-seconds / patch.sweep) * np.sin(ratio * turn))
    if patch.wave == "organ":
        return sum(level * np.sin(turn * ratio) for ratio, level in _drawbars(patch)) / 3
    if patch.wave == "triangle":
        return 2 / np.pi * np.arcsin(np.sin(turn))
    if patch.wave == "bowed":
        rough = np.interp(
            seconds,
            np.arange(0, seconds[-1] + 0.02, 0.01),
            rng.normal(0, 0.01, len(np.arange(0, seconds[-1] + 0.02, 0.01))),
        )
        return _saw(phase + rough * 0.3, frequency) + 0.02 * rng.standard_normal(len(phase))
    if patch.wave == "string":
        return _plucked(float(frequency[-1]), len(phase), rng)
    if patch.wave == "sub":
        return np.tanh(patch.index * np.sin(turn)) / np.tanh(patch.index)
    return np.sin(turn) + 0.15 * np.sin(2 * turn) + 0.05 * np.sin(3 * turn)


def _saw(phase: np.ndarray, frequency: np.ndarray) -> np.ndarray:
    """Return a sawtooth with its steps rounded (PolyBLEP, Valimaki and Huovilainen 2007)."""
    step, phase_ = frequency / SAMPLE_RATE, phase % 1
    saw = 2 * phase_ - 1
    after, before = phase_ < step, phase_ > 1 - step
    ratio = phase_[after] / step[after]
    saw[after] -= 2 * ratio - ratio**2 - 1
    ratio = (phase_[before] - 1) / step[before]
    saw[before] -= ratio**2 + 2 * ratio + 1
    return saw


def _plucked(frequency: float, length: int, rng: np.random.Generator) -> np.ndarray:
    """Return a plucked string as a sum of decaying partials, high ones faster."""
    seconds = np.arange(length) / SAMPLE_RATE
    sound, pluck_at = np.zeros(length), rng.uniform(0.1, 0.4)
    for partial in range(1, min(30, int(16000 / frequency)) + 1):
        level = abs(np.sin(np.pi * partial * pluck_at)) / partial
        stretched = partial * np.sqrt(1 + 1e-4 * partial**2)
        sound += (
            level
            * np.sin(2 * np.pi * stretched * frequency * seconds + rng.uniform(0, 6))
            * np.exp(-seconds * (0.8 + 0.35 * partial))
        )
    return sound


def _drawbars(patch: Patch) -> list[tuple[float, float]]:
    levels = 0.5 + 0.5 * np.sin(patch.index * np.arange(1, 9) * 2.3)
    return list(zip((0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0), levels, strict=True))


def _swept(sides: np.ndarray, pitch: float, patch: Patch, seconds: np.ndarray, filters: dict) -> np.ndarray:
    """Return the sound through a low-pass that closes: a bright copy fades into a dark one."""
    key = round(pitch)
    if key not in filters:
        base = 440 * 2 ** ((pitch - 69) / 12)
        filters[key] = [
            butter(2, float(np.clip(base * times, 80, 19000)), fs=SAMPLE_RATE, output="sos")
            for times in (patch.dark, patch.bright)
        ]
    dark, bright = (sosfilt(design, sides, axis=0) for design in filters[key])
    share = np.exp(-seconds / patch.sweep)[:, None]
    return dark * (1 - share) + bright * share


def _envelope(seconds: np.ndarray, length: float, patch: Patch) -> np.ndarray:
    level = patch.sustain + (1 - patch.sustain) * np.exp(-seconds / patch.decay)
    level *= np.minimum(1, seconds / patch.attack)
    over = np.maximum(0, seconds - min(length, 6.0))
    return level * np.exp(-5 * over / patch.release) * np.minimum(1, (seconds[-1] - seconds) / 0.005)


def _long_kicks(tones: list[Tone], rng: np.random.Generator) -> np.ndarray:
    """Return an 808 bass: a decaying sine that drops into its pitch, driven, with glides."""
    decay, drive, drop = rng.uniform(0.3, 1.2), rng.uniform(0.5, 5), rng.uniform(5, 24)
    mix = np.zeros(int((max(tone.start + tone.length for tone in tones) + 2) * SAMPLE_RATE))
    for tone, following in zip(tones, [*tones[1:], None], strict=True):
        length = min(tone.length * 2, 2.5) if following is None else min(2.5, max(0.1, following.start - tone.start))
        seconds = np.arange(int(length * SAMPLE_RATE)) / SAMPLE_RATE
        pitch = min(tone.pitch, 45) + drop * np.exp(-seconds / 0.015)
        if rng.random() < 0.15:
            pitch = pitch + float(rng.choice([-12, 12, 7])) * np.clip(seconds / length * 2 - 1, 0, 1)
        phase = 2 * np.pi * np.cumsum(440 * 2 ** ((pitch - 69) / 12)) / SAMPLE_RATE
        sound = np.tanh(drive * np.sin(phase)) * np.exp(-seconds / decay) * np.minimum(1, (length - seconds) / 0.01)
        begin = int(tone.start * SAMPLE_RATE)
        mix[begin : begin + len(sound)] += sound[: len(mix) - begin] * tone.velocity
    return mix


def _wide(sound: np.ndarray) -> np.ndarray:
    return np.repeat(sound[:, None], 2, axis=1)


def _fall(length: float, decay: float) -> np.ndarray:
    return np.exp(-np.arange(int(length * SAMPLE_RATE)) / SAMPLE_RATE / decay)


def _noise(length: float, decay: float, low: float, high: float, rng: np.random.Generator) -> np.ndarray:
    noise = rng.standard_normal(int(length * SAMPLE_RATE))
    return sosfilt(butter(2, [low, high], "band", fs=SAMPLE_RATE, output="sos"), noise) * _fall(length, decay)


def _kick(frequency: float, decay: float, click: float, rng: np.random.Generator) -> np.ndarray:
    length = 4 * decay
    seconds = np.arange(int(length * SAMPLE_RATE)) / SAMPLE_RATE
    sweep = frequency * (1 + rng.uniform(1, 7) * np.exp(-seconds / rng.uniform(0.008, 0.05)))
    body = np.sin(2 * np.pi * np.cumsum(sweep) / SAMPLE_RATE) * np.exp(-seconds / decay)
    noise = _noise(0.02, 0.004, 1000, 12000, rng)
    body[: len(noise)] += click * noise
    return np.tanh(rng.uniform(1, 4) * body)


def _snare(rng: np.random.Generator) -> np.ndarray:
    length = 0.6
    seconds = np.arange(int(length * SAMPLE_RATE)) / SAMPLE_RATE
    pitch = rng.uniform(150, 260) * (1 + 0.5 * np.exp(-seconds / 0.01))
    shell = np.sin(2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE) * np.exp(-seconds / rng.uniform(0.04, 0.15))
    return shell + rng.uniform(0.5, 2) * _noise(
        length, rng.uniform(0.05, 0.2), rng.uniform(400, 1500), rng.uniform(7000, 16000), rng
    )


def _clap(rng: np.random.Generator) -> np.ndarray:
    sound = _noise(0.5, rng.uniform(0.06, 0.18), 700, 5000, rng)
    for late in (0.0, 0.011, 0.023):
        begin = int(late * SAMPLE_RATE)
        burst = 2 * _noise(0.03, 0.005, 800, 6000, rng)
        sound[begin : begin + len(burst)] += burst
    return sound


def _metal(rng: np.random.Generator) -> np.ndarray:
    """Return eight seconds of cymbal: six square waves out of tune (as in the TR-808), and noise."""
    seconds = np.arange(8 * SAMPLE_RATE) / SAMPLE_RATE
    squares = sum(np.sign(np.sin(2 * np.pi * f * seconds)) for f in rng.uniform(200, 900, 6))
    sound = rng.uniform(0, 1) * squares + rng.uniform(0.5, 3) * rng.standard_normal(len(seconds))
    return sosfilt(butter(3, rng.uniform(4000, 8000), "high", fs=SAMPLE_RATE, output="sos"), sound)


def _tom(frequency: float, decay: float, rng: np.random.Generator) -> np.ndarray:
    seconds = np.arange(int(5 * decay * SAMPLE_RATE)) / SAMPLE_RATE
    pitch = frequency * (1 + rng.uniform(0.1, 0.8) * np.exp(-seconds / 0.03))
    sound = np.sin(2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE) * np.exp(-seconds / decay)
    noise = 0.3 * _noise(0.05, 0.01, 500, 8000, rng)
    sound[: len(noise)] += noise[: len(sound)]
    return sound


def _shake(length: float, rng: np.random.Generator) -> np.ndarray:
    rise = np.hanning(2 * int(length * SAMPLE_RATE))
    noise = rng.standard_normal(len(rise)) * rise ** rng.uniform(1, 3)
    return sosfilt(butter(2, rng.uniform(3000, 7000), "high", fs=SAMPLE_RATE, output="sos"), noise)


def _cowbell(rng: np.random.Generator) -> np.ndarray:
    seconds = np.arange(int(0.5 * SAMPLE_RATE)) / SAMPLE_RATE
    base = rng.uniform(480, 600)
    squares = np.sign(np.sin(2 * np.pi * base * seconds)) + np.sign(np.sin(2 * np.pi * base * 1.48 * seconds))
    return sosfilt(butter(2, [500, 5000], "band", fs=SAMPLE_RATE, output="sos"), squares) * np.exp(-seconds / 0.1)


def _blip(frequency: float, decay: float, rng: np.random.Generator) -> np.ndarray:
    seconds = np.arange(int(0.05 * SAMPLE_RATE)) / SAMPLE_RATE
    return np.sin(2 * np.pi * frequency * seconds + rng.uniform(0, 6)) * np.exp(-seconds / decay * 3)


def _effects(label: str, sound: str, rng: np.random.Generator) -> Pedalboard:
    chain: list[Plugin] = []
    if sound == "guitar" and rng.random() < 0.7:
        chain += [HighpassFilter(90), Distortion(rng.uniform(15, 40)), LowpassFilter(rng.uniform(3500, 7000))]
    elif rng.random() < {"bass": 0.35, "drums": 0.2, "other": 0.15}[label]:
        chain.append(Distortion(rng.uniform(3, 20)))
    if rng.random() < 0.3:
        chain.append(Compressor(rng.uniform(-30, -12), rng.uniform(2, 8), rng.uniform(1, 30), rng.uniform(40, 250)))
    if label == "other" and rng.random() < 0.4:
        effect = rng.integers(3)
        chain.append(
            (Chorus(), Phaser(rng.uniform(0.1, 2)), Delay(rng.uniform(0.1, 0.5), 0.35, rng.uniform(0.1, 0.4)))[effect]
        )
    if rng.random() < 0.25:
        chain.append(LowpassFilter(rng.uniform(600, 6000) if label == "bass" else rng.uniform(3000, 12000)))
    if rng.random() < {"bass": 0.08, "drums": 0.3, "other": 0.5}[label]:
        chain.append(Reverb(rng.uniform(0.1, 0.9), 0.5, rng.uniform(0.05, 0.35), 0.8))
    return Pedalboard(chain)
