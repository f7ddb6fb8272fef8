"""Single notes and hits, sequenced: basses, guitars, a saxophone, two sampled kits and Hydrogen's drum kits."""

import re
from functools import lru_cache
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
from pedalboard import Compressor, Distortion, HighpassFilter, LowpassFilter, Pedalboard, Plugin, Reverb

from . import scores
from .midi import split_of as split_of_score
from .scores import Hit, Tone
from .track import SAMPLE_RATE, Job, Stem, generator_for, load_mono, load_stereo, with_peak

DURATION = 40.0
PARTS_AT_A_TIME = 8
KIT_FOLDER = Path("/usr/share/hydrogen/data/drumkits")  # Debian: hydrogen-drumkits
# as stated in Debian's copyright file for hydrogen-drumkits and in each drumkit.xml
KIT_LICENCES = {
    "Audiophob": "CC0-1.0",
    "BJA_Pacific": "CC-BY-SA-3.0-US",
    "circAfrique v4": "CC-BY-SA-3.0",
    "rumpf_kit_z01_h2": "CC-BY-3.0",
    "ElectricEmpireKit": "GPL-2.0-or-later",
    "HardElectro1": "GPL-2.0-or-later",
    "VariBreaks": "GPL-2.0-or-later",
    "ColomboAcousticDrumkit": "GPL-2.0-or-later with composition exception",
    "ForzeeStereo": "GPL-2.0",
    "Gimme A Hand 1.0": "GPL-2.0",
    "Millo-Drums_v.1": "GPL-2.0",
    "Millo_MultiLayered2": "GPL-2.0",
    "Millo_MultiLayered3": "GPL-2.0",
    "The Black Pearl 1.0": "GPL-2.0",
}
MULDJORD = {
    "kick": ("Kdrum",), "snare": ("Snare_",), "stick": ("SnareRest",), "tom_high": ("Tom1",), "tom_mid": ("Tom2",),
    "tom_low": ("Tom3", "Tom4"), "hat_closed": ("HihatClosed",), "hat_pedal": ("HihatClosed",),
    "hat_open": ("HihatOpen",), "crash": ("Crash",), "ride": ("RideL_", "RideR_"), "china": ("China",),
    "cowbell": ("RideRBell", "RideLBell"),
}  # fmt: skip
GOGODZE = {
    "kick": ("ks",), "snare": ("sc", "se"), "stick": ("ss",), "tom_high": ("th",), "tom_mid": ("tm",),
    "tom_low": ("tl",), "hat_closed": ("hc", "ht"), "hat_pedal": ("hf",), "hat_open": ("ho", "hl", "hh"),
}  # fmt: skip
GOGODZE_ROOM = ("front", "oh", "side", "wndw", "retro")
GOGODZE_CLOSE = {"kick": "kick", "snare": "snare", "stick": "snare"}
"""Microphones of the kit that hear all of it, and those at one drum."""
OCTAVES = {"pasta_bassVI": -1, "growly_jazzbass": -1, "weresax": 1}
"""By how many octaves the names of notes are off, measured with WORLD's Harvest."""
BASSES = {
    "electric_yr": 28, "meatbass_pizz": 26, "double_bass_pizz": 26, "meatbass_arco": 14, "pasta_bassVI": 24,
    "fashion_simmony": 24, "growly_jazzbass": 24, "ergo_eub": 20, "electric_tonejs": 20,
}  # fmt: skip
"""Sampled basses and how many parts each plays."""
GUITARS = ("emily_epiphone", "shiny_archtop")
CHORDS = ((0, 4, 7), (0, 3, 7), (0, 7, 12), (0, 4, 7, 12), (0, 3, 7, 10), (0, 5, 7))
# the first words found in an instrument's name say which drum it is
DRUM_WORDS = (
    ("kick", ("kick", "bassdrum", "bass drum", "thump", "djembe.*bass", "dununba.*head")),
    ("stick", ("stick", "rim", "click")),
    ("clap", ("clap", "snap")),
    ("snare", ("snare", "slap")),
    ("hat_open", ("open hh", "hat op", "hi-hat open", "hat open", "hi hat opened", "ohh", "swish", "semi", "hat.*op")),
    ("hat_pedal", ("pedal", "choke", "hat.*pd")),
    ("hat_closed", ("hat", "closed hh", "hh")),
    ("tom_high", ("tom hi", "tom 1", "high tom", "tomhi", "bongo hi", "drum 1")),
    ("tom_low", ("tom low", "floor", "low tom", "bongo lo", "drum 2")),
    ("tom_mid", ("tom",)),
    ("china", ("china",)),
    ("crash", ("crash", "splash", "cymbal")),
    ("ride", ("ride", "paiste bell")),
    ("cowbell", ("cowbell", "agogo", "bell")),
    ("shaker", ("maraca", "shaker", "cabasa")),
    ("tambourine", ("tambourine",)),
    ("clave", ("clave", "wood", "glass")),
    ("conga_high", ("conga 1", "djembe.*tone", "kenkeni", "sangban")),
    ("conga_low", ("conga",)),
)
STAND_INS = {
    "clap": ("snare",), "stick": ("snare", "clap"), "china": ("crash",), "hat_pedal": ("hat_closed",),
    "shaker": ("hat_closed",), "tambourine": ("hat_closed",), "clave": ("stick", "cowbell"),
    "conga_high": ("tom_high", "tom_mid"), "conga_low": ("tom_low", "tom_mid"),
    "cowbell": ("ride", "stick"), "ride": ("hat_open", "hat_closed"),
    "hat_open": ("hat_closed",), "crash": ("ride",), "tom_high": ("tom_mid", "conga_high"),
    "tom_mid": ("tom_high", "tom_low"), "tom_low": ("tom_mid", "conga_low"), "snare": ("clap", "stick"),
}  # fmt: skip
NOTE_NAME = re.compile(r"(?:^|_)([a-g])([bs]?)(\d)?(?:_|$)", re.IGNORECASE)
PITCH_CLASS = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}

Kit = dict[str, list[np.ndarray]]


def jobs(material: Path) -> list[Job]:
    """Return jobs for every bass and guitar, the saxophone and every drum kit, those of Hydrogen where installed."""
    files = sorted((material / "midi").glob("*/*.mid"))
    files = [path for path in files if split_of_score(path) == "train"]
    made = []
    for folder, count in BASSES.items():
        made += _jobs("bass", folder, count, files, material)
    for folder in ("weresax", *GUITARS):
        made += _jobs("other", folder, 22, files, material)
    for kit in ["muldjordkit", "gogodze2", *installed_kits()]:
        made += _jobs("drums", kit, 8 if kit in KIT_LICENCES else 24, files, material)
    # some parts of each instrument at a time: their samples stay in memory
    return sorted(made, key=lambda job: (job.params["number"] // PARTS_AT_A_TIME, job.params["instrument"]))


def render(job: Job, material: Path, rng: np.random.Generator) -> list[Stem]:
    """Return one part of one instrument or kit."""
    name, score = job.params["instrument"], material / job.params["score"]
    if job.params["label"] == "drums":
        hits = scores.written_drums(score, DURATION, rng) if rng.random() < 0.3 else []
        if len(hits) < 12:
            hits = scores.groove(str(rng.choice(sorted(scores.GROOVES))), DURATION, rng)
        audio, licence = struck(hits, kit_of(name, material), rng), _kit_licence(name)
    else:
        tones = _tones(job, score, rng)
        if name in GUITARS and rng.random() < 0.5:
            tones = strummed(tones, rng)
        audio = played(tones, notes_of(job.params["label"], name, material), rng)
        licence = "CC-BY-3.0 (tonejs-instruments)" if name == "electric_tonejs" else "CC0-1.0"
    audio = _effects(job.params["label"], rng)(audio.T.astype(np.float32), SAMPLE_RATE).T.astype(np.float64)
    return [Stem(job.params["label"], with_peak(audio, rng.uniform(0.35, 0.95)), f"samples/{name}", licence, name)]


def struck(hits: list[Hit], kit: Kit, rng: np.random.Generator) -> np.ndarray:
    """Return the hits played on the kit, each drum with its own tuning, level and place, as (samples, 2)."""
    mix = np.zeros((int((hits[-1].time + 2.5) * SAMPLE_RATE), 2))
    seats: dict[str, tuple[float, float, float]] = {}
    for hit in hits:
        samples = _drum(kit, hit.drum)
        if not samples:
            continue
        pan, level, tuning = seats.setdefault(hit.drum, _seat(hit.drum, rng))
        sample = samples[min(len(samples) - 1, int(rng.random() * len(samples)))]
        sample = _retuned(sample, tuning)
        sides = np.array([min(1, 1 - pan), min(1, 1 + pan)])
        _add(mix, sample * sides * level * hit.velocity**1.5, hit.time)
    return mix


def played(tones: list[Tone], notes: dict[int, list[np.ndarray]], rng: np.random.Generator) -> np.ndarray:
    """Return the tones played with the nearest sampled notes, transposed, as (samples, 2)."""
    mix = np.zeros((int((max(tone.start + tone.length for tone in tones) + 1) * SAMPLE_RATE), 1))
    release = rng.uniform(0.03, 0.15)
    for tone in tones:
        pitch = min(notes, key=lambda known: abs(known - tone.pitch))
        choices = notes[pitch]
        sample = _retuned(choices[rng.integers(len(choices))], tone.pitch - pitch)
        length = min(len(sample), int((tone.length + release) * SAMPLE_RATE))
        fade = np.minimum(1, np.arange(length, 0, -1) / (release * SAMPLE_RATE))
        _add(mix, sample[:length] * fade[:, None] * tone.velocity, tone.start)
    return np.repeat(mix, 2, axis=1)


def strummed(tones: list[Tone], rng: np.random.Generator) -> list[Tone]:
    """Return a chord over each tone, its notes 5 to 40 ms apart, and seldom a single note."""
    chords = []
    for tone in tones:
        spread = rng.uniform(0.005, 0.04)
        chord = CHORDS[rng.integers(len(CHORDS))] if rng.random() < 0.8 else (0,)
        chords += [
            Tone(tone.start + spread * place, tone.length, tone.pitch + interval, tone.velocity * rng.uniform(0.6, 1.0))
            for place, interval in enumerate(chord)
        ]
    return chords


def installed_kits() -> list[str]:
    """Return the names of the drum kits of known licence that are installed here."""
    return [name for name in sorted(KIT_LICENCES) if (KIT_FOLDER / name / "drumkit.xml").exists()]


@lru_cache(maxsize=4)
def kit_of(name: str, material: Path) -> Kit:
    """Return a kit's samples, (samples, 2) each, by drum."""
    if name == "muldjordkit":
        files = sorted((material / "samples" / "drums" / name).glob("*.ogg"))
        chosen = {drum: [f for f in files if f.name.startswith(starts)] for drum, starts in MULDJORD.items()}
    elif name == "gogodze2":
        chosen = _gogodze_files(material / "samples" / "drums" / name)
    else:
        chosen = _hydrogen_files(KIT_FOLDER / name)
    return {drum: [with_peak(load_stereo(path), 0.9) for path in paths] for drum, paths in chosen.items() if paths}


@lru_cache(maxsize=4)
def notes_of(label: str, name: str, material: Path) -> dict[int, list[np.ndarray]]:
    """Return a sampled instrument's notes, (samples, 1) each, by MIDI pitch (C4 = 60)."""
    notes: dict[int, list[np.ndarray]] = {}
    for path in sorted((material / "samples" / label / name).glob("*.ogg")):
        pitch = pitch_named(path.stem, lowest_e=name == "electric_yr", octaves=OCTAVES.get(name, 0))
        if pitch is not None:
            notes.setdefault(pitch, []).append(with_peak(load_mono(path), 0.9)[:, None])
    return notes


def pitch_named(stem: str, *, lowest_e: bool = False, octaves: int = 0) -> int | None:
    """Return the MIDI pitch a file name states, `octaves` higher.

    A name without octave is the bass's lowest from E1; with `lowest_e`, octaves are counted from there as well.
    """
    match = NOTE_NAME.search(stem)
    if match is None:
        return None
    letter, sign, octave = match.groups()
    pitch_class = PITCH_CLASS[letter.lower()] + {"b": -1, "s": 1, "": 0}[sign.lower()]
    if octave is None:
        return 28 + (pitch_class - 4) % 12
    if lowest_e:  # E2 is the second E of the instrument
        return 28 + (pitch_class - 4) % 12 + 12 * (int(octave) - 1)
    return 12 * (int(octave) + 1 + octaves) + pitch_class


def _jobs(label: str, instrument: str, count: int, files: list[Path], material: Path) -> list[Job]:
    rng = generator_for(0, f"samples {instrument}")
    clean = re.sub(r"\W+", "_", instrument)
    return [
        Job(
            "samples",
            f"samples_{clean}_{number:02d}",
            "train",
            {
                "label": label,
                "instrument": instrument,
                "number": number,
                "score": str(files[rng.integers(len(files))].relative_to(material)),
            },
        )
        for number in range(count)
    ]


def _tones(job: Job, score: Path, rng: np.random.Generator) -> list[Tone]:
    label = job.params["label"]
    tones = scores.written_tones(score, label, DURATION, rng) if rng.random() < 0.4 else []
    if len(tones) >= 8:
        return [Tone(tone.start, tone.length, float(np.clip(tone.pitch, 26, 84)), tone.velocity) for tone in tones]
    if label == "other":
        return scores.melody(DURATION, rng, center=float(rng.uniform(50, 66)))
    low = int(rng.choice([24, 28, 28, 31, 40]))  # now and then a bass that plays high
    return scores.bass_line(DURATION, rng, low, low + 20)


def _gogodze_files(folder: Path) -> dict[str, list[Path]]:
    chosen = {}
    for drum, codes in GOGODZE.items():
        microphones = (*GOGODZE_ROOM, *([GOGODZE_CLOSE[drum]] if drum in GOGODZE_CLOSE else []))
        starts = tuple(f"Samples_{microphone}_mic_{code}_" for microphone in microphones for code in codes)
        chosen[drum] = [path for path in sorted(folder.glob("*.ogg")) if path.name.startswith(starts)]
    return chosen


def _hydrogen_files(folder: Path) -> dict[str, list[Path]]:
    chosen: dict[str, list[Path]] = {}
    spare = []
    text = (folder / "drumkit.xml").read_text(encoding="utf-8", errors="replace")
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text)
    text = re.sub(r"\sxsi:\w+=\"[^\"]*\"", "", text)
    for instrument in ET.fromstring(re.sub(r"^\s*<\?xml[^>]*>", "", text)).iter("instrument"):
        names = [element.text for element in instrument.iter("filename") if element.text]
        paths = [folder / name for name in names if (folder / name).exists() and "empty" not in name]
        title = (instrument.findtext("name") or "").lower()
        drum = next((drum for drum, words in DRUM_WORDS if any(re.search(word, title) for word in words)), None)
        if drum is None:
            spare += paths
        else:
            chosen.setdefault(drum, []).extend(paths)
    return chosen | ({"spare": spare} if spare else {})


def _drum(kit: Kit, drum: str) -> list[np.ndarray]:
    for name in (drum, *STAND_INS.get(drum, ()), "spare"):
        if kit.get(name):
            return kit[name]
    return next(iter(kit.values()))


def _seat(drum: str, rng: np.random.Generator) -> tuple[float, float, float]:
    width = 0.1 if drum in ("kick", "snare") else 0.6
    return rng.uniform(-width, width), rng.uniform(0.5, 1.0), rng.normal(0, 1.0)


def _retuned(sample: np.ndarray, semitones: float) -> np.ndarray:
    if abs(semitones) < 0.02:
        return sample
    position = np.arange(0, len(sample) - 1, 2 ** (semitones / 12))
    return np.stack([np.interp(position, np.arange(len(sample)), side) for side in sample.T], axis=1)


def _add(mix: np.ndarray, sound: np.ndarray, time: float) -> None:
    begin = int(time * SAMPLE_RATE)
    end = min(len(mix), begin + len(sound))
    mix[begin:end] += sound[: end - begin]


def _kit_licence(name: str) -> str:
    known = {"muldjordkit": "CC-BY-4.0 (DrumGizmo, Lars Muldjord)", "gogodze2": "CC0-1.0"}
    return known[name] if name in known else KIT_LICENCES[name]


def _effects(label: str, rng: np.random.Generator) -> Pedalboard:
    chain: list[Plugin] = []
    if rng.random() < 0.5:
        chain.append(Compressor(rng.uniform(-30, -12), rng.uniform(2, 8), rng.uniform(1, 30), rng.uniform(40, 250)))
    if rng.random() < {"bass": 0.35, "drums": 0.12, "other": 0.1}[label]:
        chain.append(Distortion(rng.uniform(4, 22)))
    if rng.random() < 0.3:
        chain.append(LowpassFilter(rng.uniform(1200, 9000) if label == "bass" else rng.uniform(5000, 14000)))
    if label != "bass" and rng.random() < 0.15:
        chain.append(HighpassFilter(rng.uniform(60, 300)))
    if rng.random() < (0.15 if label == "bass" else 0.45):
        chain.append(Reverb(rng.uniform(0.1, 0.8), rng.uniform(0.3, 0.7), rng.uniform(0.03, 0.25), 0.8))
    return Pedalboard(chain)
