"""Speech made to sing: recorded and synthetic speakers, stretched and laid on a melody by WORLD.

The voiced, loud, steady frames (the vowels) are stretched, the consonants kept;
then the f0 follows a sung contour (PJS), a MIDI melody or a wandering tune, with
portamento and vibrato.
"""

import shutil
import subprocess
import tempfile
from collections import defaultdict
from functools import lru_cache
from pathlib import Path

import mido
import numpy as np
from scipy.ndimage import gaussian_filter1d

from . import scores, voices
from .track import Job, Stem, load_mono, with_peak
from .voice import FRAME, Voice, analyse, in_stereo, vibrato, with_air

LEAST_SPEECH = 2.5  # seconds; less makes no line worth singing
LONGEST = 28.0  # seconds of one rendition
RENDITIONS = 3
LYRICS = {
    "en": (
        "I walked along the river when the morning light was low, "
        "and every stone remembered where the water used to go. "
        "Oh, carry me over, carry me home, under the silver sky we roam. Yeah, hold on, hold on tonight."
    ),
    "de": (
        "Der Wind geht ueber Felder, die Nacht ist lang und weit, ich singe meine Lieder, ich habe noch viel Zeit. "
        "O komm mit mir nach Hause, der Mond steht ueber dem See."
    ),
    "fr": (
        "Le vent se leve sur la mer et la lune est dans tes yeux, "
        "je marche seul sous la pluie en chantant des airs heureux. "
        "Reste encore, reste avec moi, la nuit ne fait que commencer."
    ),
    "es": (
        "La noche cae sobre la ciudad y yo camino sin parar, llevo en la boca una cancion que no me deja descansar. "
        "Ay, ven conmigo, corazon, vamos a bailar hasta el sol."
    ),
    "it": (
        "La luna sale piano sopra il mare e canta una canzone per chi non sa dormire, "
        "amore mio, vieni con me, balliamo ancora fino al mattino."
    ),
    "pt": "A noite cai sobre o mar e eu fico aqui a cantar, saudade minha, vem comigo, vamos dancar ate o sol nascer.",
    "sv": "Natten kommer over havet och jag sjunger hela dan, kom med mig, min van, vi dansar genom stan.",
    "pl": "Noc zapada nad miastem, a ja ide sam, spiewam moja piosenke, ktora dobrze znam.",
}
ESPEAK = (
    ("en-us", "f2"), ("en-us", "m3"), ("en-gb", "f4"), ("en-gb", "m7"), ("en-gb-scotland", "m1"), ("en-us", "croak"),
    ("en-us", "Annie"), ("en-us", "klatt2"), ("en-gb", "klatt4"), ("de", "f3"), ("de", "m5"), ("fr", "f5"),
    ("fr", "m2"), ("es", "f1"), ("es", "m4"), ("it", "f2"), ("it", "m6"), ("pt", "f3"), ("sv", "m8"), ("pl", "f4"),
)  # fmt: skip
FLITE = ("awb", "rms", "slt", "kal16")
FESTIVAL = {"cmu_us_slt_arctic_hts": "en", "kal_diphone": "en", "lp_diphone": "it", "pc_diphone": "it"}
TTS_LICENCES = {
    "espeak": "output of espeak-ng (GPL-3.0-or-later program)",
    "flite": "flite voice, BSD-style (Carnegie Mellon University)",
    "festival": (
        "festival voice (festvox-kallpc16k, festvox-us-slt-hts: BSD-style; "
        "festvox-italp16k, festvox-itapc16k: GPL-2.0-or-later)"
    ),
}


def jobs(material: Path) -> list[Job]:
    """Return jobs for each speaker with enough speech and each installed synthetic voice."""
    by_speaker: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in voices.catalogue(material):
        if row["kind"] == "speech":
            by_speaker[row["speaker"]].append(row)
    made = []
    for speaker, rows in sorted(by_speaker.items()):
        if sum(float(row["seconds"]) for row in rows) >= LEAST_SPEECH:
            params = {"speaker": speaker, "rows": rows}
            made.append(Job("sung_speech", f"sung_{speaker}", voices.split_of(rows[0]), params))
    for engine, voice, language in _synthetic_voices():
        name = f"{engine}_{voice}".replace("+", "_")
        params = {"speaker": name, "engine": engine, "voice": voice, "language": language}
        made.append(Job("sung_speech", f"sung_{name}", "train", params))
    return made


def render(job: Job, material: Path, rng: np.random.Generator) -> list[Stem]:
    """Return renditions of one speaker: each its own melody, the second also moved to another throat."""
    audio, sample_rate, source, licence = _speech(job.params, material)
    speaker = analyse(audio, sample_rate)
    stems = []
    for number in range(RENDITIONS):
        voice = speaker.with_throat(rng.uniform(0.85, 1.2)) if number else speaker
        parts = _rendition(voice, job.split, material, rng, harmony=rng.random() < 0.3)
        if sample_rate < 30000 and rng.random() < 0.65:
            parts = [with_air(part, sample_rate / 2, rng) for part in parts]
        stems.append(Stem("vocals", in_stereo(parts, rng), source, licence, job.params["speaker"]))
    return stems


def sing(voice: Voice, melody: np.ndarray, stretch: float) -> Voice:
    """Return the voice with its vowels `stretch` times as long, on this f0 in MIDI pitch a frame.

    The melody is laid on the voiced frames only, one after another, and starts over where it ends.
    """
    stretched = voice.at(_stretched(voice, stretch))
    stretched = stretched.at(np.arange(min(len(stretched.f0), int(LONGEST / FRAME))))
    voiced = stretched.f0 > 0
    order = np.cumsum(voiced) % len(melody)
    pitch = gaussian_filter1d(melody[order], 5)
    return stretched.sung(440 * 2 ** ((pitch - 69) / 12))


def _rendition(voice: Voice, split: str, material: Path, rng: np.random.Generator, harmony: bool) -> list[np.ndarray]:
    frames = int(LONGEST / FRAME)
    melody = _melody(split, material, frames, rng)
    spoken = 69 + 12 * np.log2(np.median(voice.f0[voice.f0 > 0]) / 440)
    melody = melody - np.median(melody) + spoken + rng.uniform(-3, 10)
    breath = float(rng.choice([0.0, 0.0, 0.3, 0.6]))
    stretch = rng.uniform(1.8, 4.0)
    shifts = [0.0, float(rng.choice([3, 4, 7, -5, 12, 0.1]))] if harmony else [0.0]
    parts = []
    for shift in shifts:
        swung = melody + shift + vibrato(len(melody), rng, rng.uniform(0.1, 0.7))
        parts.append(sing(voice, swung, stretch).breathy(breath).audio() * (1.0 if not parts else 0.7))
    return parts


def _stretched(voice: Voice, stretch: float) -> np.ndarray:
    """Return frame positions that dwell on voiced, loud and steady frames."""
    spectrum = np.log(voice.envelope[:, ::8] + 1e-12)
    change = gaussian_filter1d(np.abs(np.gradient(spectrum, axis=0)).mean(axis=1), 3)
    loudness = gaussian_filter1d(np.log(voice.envelope.sum(axis=1) + 1e-12), 3)
    voiced = voice.f0 > 0
    if not voiced.any():
        raise ValueError("no voiced frame")
    steady = voiced & (change < np.median(change[voiced]) * 1.2) & (loudness > np.percentile(loudness[voiced], 15))
    silent = loudness < np.percentile(loudness[voiced], 50) - 9
    pace = np.where(steady, stretch, np.where(silent, 0.35, 1.1))
    passed = np.cumsum(gaussian_filter1d(pace, 4))
    return np.interp(np.arange(int(passed[-1])), passed, np.arange(len(passed)))


def _melody(split: str, material: Path, frames: int, rng: np.random.Generator) -> np.ndarray:
    """Return a pitch a frame: a sung contour or a song's written tune (train only), or an own tune."""
    songs = sorted((material / "singing" / "PJS").glob("*.mid"))
    dice = rng.random() if split == "train" and songs else 1.0
    if dice < 0.65:
        song = songs[rng.integers(len(songs))]
        sung = song.with_suffix(".ogg")  # two songs have a score and no recording
        if dice < 0.4 and sung.exists():
            return np.resize(_sung_contour(sung), frames)
        return _steps(_written(song), frames)
    own = scores.melody(LONGEST, rng)
    return _steps([(tone.length, tone.pitch) for tone in own], frames)


def _steps(notes: list[tuple[float, float]], frames: int) -> np.ndarray:
    pitches = [np.full(max(8, int(length / FRAME)), float(pitch)) for length, pitch in notes]
    return np.resize(np.concatenate(pitches), frames)


@lru_cache(maxsize=32)
def _sung_contour(path: Path) -> np.ndarray:
    f0 = analyse(load_mono(path, 16000), 16000).f0
    return 69 + 12 * np.log2(f0[f0 > 0] / 440)


def _written(path: Path) -> list[tuple[float, float]]:
    time, begun, notes = 0.0, {}, []
    for message in mido.MidiFile(path, clip=True):
        time += message.time
        if message.type == "note_on" and message.velocity > 0:
            begun[message.note] = time
        elif message.type in ("note_on", "note_off") and message.note in begun:
            notes.append((time - begun.pop(message.note), float(message.note)))
    return notes


def _speech(params: dict, material: Path) -> tuple[np.ndarray, int, str, str]:
    """Return speech as one channel, its rate, its source and its licence."""
    if "engine" in params:
        audio = _synthetic(params["engine"], params["voice"], LYRICS[params["language"]])
        return audio, 16000, f"tts/{params['speaker']}", TTS_LICENCES[params["engine"]]
    rows = params["rows"]
    sample_rate = min(24000, max([16000, *(int(row["sample_rate"]) for row in rows)]))
    parts = [with_peak(load_mono(material / "voices" / row["path"], sample_rate), 0.9) for row in rows]
    return np.concatenate(parts)[: 20 * sample_rate], sample_rate, rows[0]["source repo"], rows[0]["licence"]


def _synthetic_voices() -> list[tuple[str, str, str]]:
    """Return (engine, voice, language) of the programs that are installed here."""
    voices = []
    if shutil.which("espeak-ng"):
        voices += [("espeak", f"{language}+{variant}", language[:2]) for language, variant in ESPEAK]
    if shutil.which("flite"):
        voices += [("flite", voice, "en") for voice in FLITE]
    if shutil.which("text2wave"):
        voices += [("festival", voice, language) for voice, language in FESTIVAL.items()]
    return voices


def _synthetic(engine: str, voice: str, text: str) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder, "speech.wav")
        commands = {
            "espeak": ["espeak-ng", "-v", voice, "-s", "140", "-w", str(sound), text],
            "flite": ["flite", "-voice", voice, "-t", text, "-o", str(sound)],
            "festival": ["text2wave", "-o", str(sound), "-eval", f"(voice_{voice})"],
        }
        subprocess.run(commands[engine], input=text.encode(), check=True, capture_output=True, timeout=60)
        return load_mono(sound, 16000)
