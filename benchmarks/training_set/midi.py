"""General MIDI songs, split by class and rendered with several sound fonts."""

import shutil
import subprocess
import tempfile
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import mido
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

from .track import SAMPLE_RATE, Job, Stem, load_stereo, share, with_peak

DRUM_CHANNEL = 9
BASS_PROGRAMS = range(32, 40)
# voices; sound effects; contrabass, "bass + lead"; percussion that is no drum channel; timpani
LEFT_OUT = {52, 53, 54, 85, 91, 43, 87, 47, 113, *range(115, 128)}
OTHER_PROGRAMS = [program for program in range(112) if program not in LEFT_OUT and program not in BASS_PROGRAMS]
DRUM_KITS = (0, 8, 16, 24, 25, 32, 40)
GUITARS = range(24, 32)
LOUDNESS = {"bass": 0.8, "drums": 0.8, "other": 0.6}
LICENCES = {"freedoom": "BSD-3-Clause", "openmsx": "GPL-2.0"}
SOUND_FONTS = {
    "FluidR3_GM": "sf2/FluidR3_GM.sf2",
    "TimGM6mb": "sf2/TimGM6mb.sf2",
    "MuseScore_General": "sf3/MuseScore_General.sf3",
}
SOUND_FONT_LICENCES = {"FluidR3_GM": "MIT", "TimGM6mb": "GPL-2.0", "MuseScore_General": "MIT"}
SOUND_FOLDER = Path("/usr/share/sounds")  # where Debian's sound font packages put them


@dataclass(frozen=True)
class Note:
    """One note: start and end in seconds, channel, MIDI pitch, velocity, program."""

    start: float
    end: float
    channel: int
    pitch: int
    velocity: int
    program: int


def jobs(material: Path) -> list[Job]:
    """Return three jobs a MIDI file: as written, with other programs, and one instrument alone."""
    made = []
    for path in sorted((material / "midi").glob("*/*.mid")):
        name = f"{path.parent.name}_{path.stem.removeprefix('musics_d_').removeprefix('src_')}"
        params = {"path": str(path.relative_to(material)), "collection": path.parent.name}
        for version in ("written", "recast", "solo"):
            made.append(Job("midi", f"midi_{name}_{version}", split_of(path), params | {"version": version}))
    # every file's first version before any file's second: a stopped run has seen all songs
    return sorted(made, key=lambda job: ("written", "recast", "solo").index(job.params["version"]))


def split_of(path: Path) -> str:
    """Return test for about a tenth of the files, validation for 8 %, by the hash of the name."""
    position = share(path.stem)
    if position < 0.10:
        return "test"
    return "validation" if position < 0.18 else "train"


def render(job: Job, material: Path, rng: np.random.Generator) -> list[Stem]:
    """Return bass, drums and other of one file, each on a sound font of its own."""
    notes = read_notes(material / job.params["path"])
    version = job.params["version"]
    if version == "solo":
        return _solo(job, notes, rng)
    stems = []
    for label in ("bass", "drums", "other"):
        part = [note for note in notes if class_of(note) == label]
        if version == "recast":
            part = _recast(part, rng)
        stems.append(_stem(job, label, part, rng, duration=40.0))
    return [stem for stem in stems if stem is not None]


@lru_cache(maxsize=256)
def read_notes(path: Path) -> tuple[Note, ...]:
    """Return all notes of a file by start, with the program that sounds; controllers are left out."""
    programs, notes = [0] * 16, []
    open_notes: dict[tuple[int, int], list[tuple[float, int, int]]] = {}
    time = 0.0
    for message in mido.MidiFile(path, clip=True):
        time += message.time
        if message.type == "program_change":
            programs[message.channel] = message.program
        elif message.type == "note_on" and message.velocity > 0:
            begun = (time, message.velocity, programs[message.channel])
            open_notes.setdefault((message.channel, message.note), []).append(begun)
        elif message.type in ("note_on", "note_off"):
            for start, velocity, program in open_notes.pop((message.channel, message.note), []):
                notes.append(Note(start, max(time, start + 0.02), message.channel, message.note, velocity, program))
    return tuple(sorted(notes, key=lambda note: note.start))


def class_of(note: Note) -> str:
    """Return bass, drums, other, or an empty string for what no class is sure of."""
    if note.channel == DRUM_CHANNEL:
        return "drums"
    if note.program in BASS_PROGRAMS:
        return "bass"
    return "" if note.program in LEFT_OUT else "other"


def excerpt(notes: list[Note], duration: float, rng: np.random.Generator) -> list[Note]:
    """Return the notes of a random busy stretch, its start moved to zero; may be empty."""
    if not notes:
        return []
    starts = np.array([note.start for note in notes])
    begins = rng.choice(starts, min(8, len(starts)))
    begin = max(begins, key=lambda at: np.count_nonzero((starts >= at) & (starts < at + duration)))
    return [
        replace(note, start=note.start - begin, end=min(note.end - begin, duration))
        for note in notes
        if begin <= note.start < begin + duration
    ]


def _recast(notes: list[Note], rng: np.random.Generator) -> list[Note]:
    tempo, shift = rng.uniform(0.87, 1.15), int(rng.integers(-3, 4))
    cast: dict[tuple[int, int], int] = {}
    changed = []
    for note in notes:
        program, pitch = note.program, note.pitch
        key = (note.channel, note.program)
        if note.channel == DRUM_CHANNEL:
            program = cast.setdefault(key, int(rng.choice(DRUM_KITS)))
        else:
            choices = BASS_PROGRAMS if program in BASS_PROGRAMS else OTHER_PROGRAMS
            program = cast.setdefault(key, int(rng.choice(choices)))
            pitch = int(np.clip(pitch + shift, 0, 127))
        changed.append(replace(note, start=note.start * tempo, end=note.end * tempo, program=program, pitch=pitch))
    return changed


def _solo(job: Job, notes: tuple[Note, ...], rng: np.random.Generator) -> list[Stem]:
    """Return one `other` instrument alone, and one bass line moved up into the register of a lead."""
    stems = []
    others = [note for note in notes if class_of(note) == "other"]
    channels = [c for c in sorted({n.channel for n in others}) if sum(n.channel == c for n in others) >= 24]
    if channels:
        channel = rng.choice(channels)
        part = _recast([note for note in others if note.channel == channel], rng)
        if rng.random() < 0.25:  # low registers belong to other, too
            part = [replace(note, pitch=max(24, note.pitch - 12)) for note in part]
        stems.append(_stem(job, "other", part, rng, duration=30.0))
    basses = [note for note in notes if class_of(note) == "bass"]
    if basses and rng.random() < 0.6:
        high = [replace(note, pitch=note.pitch + 12) for note in _recast(basses, rng)]
        stems.append(_stem(job, "bass", high, rng, duration=25.0))
    return [stem for stem in stems if stem is not None]


def _stem(job: Job, label: str, notes: list[Note], rng: np.random.Generator, duration: float) -> Stem | None:
    part = excerpt(notes, duration, rng)
    if len(part) < 6 or part[-1].start < 5:
        return None
    font = str(rng.choice(sorted(available_fonts())))
    audio = synthesise(part, font, rng)
    if np.max(np.abs(audio)) < 1e-3:
        return None
    audio = _effects(label, {note.program for note in part}, rng)(audio.T.astype(np.float32), SAMPLE_RATE).T
    collection = job.params["collection"]
    licence = f"{LICENCES[collection]}; {font} {SOUND_FONT_LICENCES[font]}"
    peak = LOUDNESS[label] * rng.uniform(0.6, 1.15)
    source = f"midi/{collection}/{Path(job.params['path']).stem}"
    return Stem(label, with_peak(audio.astype(np.float64), peak), source, licence, font)


@lru_cache(maxsize=1)
def available_fonts() -> dict[str, Path]:
    """Return the sound fonts that are installed here, by name."""
    fonts = {name: SOUND_FOLDER / path for name, path in SOUND_FONTS.items() if (SOUND_FOLDER / path).exists()}
    if not fonts or shutil.which("fluidsynth") is None:
        raise FileNotFoundError("install fluidsynth and the sound fonts that README.md names")
    return fonts


def synthesise(notes: list[Note], font: str, rng: np.random.Generator) -> np.ndarray:
    """Return the notes played by fluidsynth, as (samples, 2) at 44.1 kHz."""
    room, chorus = int(rng.random() < 0.5), int(rng.random() < 0.3)
    with tempfile.TemporaryDirectory() as folder:
        score, sound = Path(folder, "part.mid"), Path(folder, "part.wav")
        _as_file(notes).save(score)
        command = ["fluidsynth", "-ni", "-q", "-r", str(SAMPLE_RATE), "-R", str(room), "-C", str(chorus)]
        command += ["-o", "synth.dynamic-sample-loading=1", "-g", "0.5", "-O", "float"]
        command += ["-F", str(sound), str(available_fonts()[font]), str(score)]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        return load_stereo(sound)


def _as_file(notes: list[Note]) -> mido.MidiFile:
    """Return a MIDI file of these notes; a channel whose program changes says so before each note."""
    timed: list[tuple[float, int, mido.Message]] = []
    programs: dict[int, int] = {}
    for note in notes:
        if programs.get(note.channel) != note.program:
            timed.append((note.start, 1, mido.Message("program_change", channel=note.channel, program=note.program)))
            programs[note.channel] = note.program
        begin = mido.Message("note_on", channel=note.channel, note=note.pitch, velocity=note.velocity)
        timed.append((note.start, 2, begin))
        timed.append((note.end, 0, mido.Message("note_off", channel=note.channel, note=note.pitch)))
    ticks_per_second = 1920
    track, last = mido.MidiTrack(), 0
    for time, _, message in sorted(timed, key=lambda item: item[:2]):
        tick = round(time * ticks_per_second)
        track.append(message.copy(time=max(0, tick - last)))
        last = max(last, tick)
    return mido.MidiFile(tracks=[track], ticks_per_beat=ticks_per_second // 2)


def _effects(label: str, programs: set[int], rng: np.random.Generator) -> Pedalboard:
    chain: list[Plugin] = []
    if label == "other" and programs & set(GUITARS) and rng.random() < 0.4:
        chain += [Distortion(rng.uniform(10, 35)), LowpassFilter(rng.uniform(4000, 9000))]
    if label == "bass" and rng.random() < 0.25:
        chain += [Distortion(rng.uniform(5, 25)), LowpassFilter(rng.uniform(1500, 7000))]
    if label == "drums" and rng.random() < 0.1:
        chain.append(Distortion(rng.uniform(3, 15)))
    if rng.random() < 0.3:
        chain.append(Compressor(rng.uniform(-30, -15), rng.uniform(2, 6), rng.uniform(1, 20), rng.uniform(50, 200)))
    if label == "other" and rng.random() < 0.35:
        effect = rng.choice(3)
        phaser, delay = Phaser(rng.uniform(0.1, 2)), Delay(rng.uniform(0.1, 0.5), 0.3, rng.uniform(0.1, 0.4))
        chain.append((Chorus(), phaser, delay)[effect])
    if rng.random() < 0.2:
        chain.append(LowpassFilter(rng.uniform(3000, 12000)))
    if label == "other" and rng.random() < 0.15:
        chain.append(HighpassFilter(rng.uniform(80, 400)))
    if rng.random() < 0.2:
        chain.append(Reverb(rng.uniform(0.1, 0.7), 0.5, rng.uniform(0.05, 0.25), 0.8))
    return Pedalboard(chain)
