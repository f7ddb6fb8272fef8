"""Single notes and hits, sequenced: basses, a saxophone, MuldjordKit and Hydrogen's drum kits."""

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
    """Return jobs for every bass, the saxophone and every installed drum kit."""
    files = sorted((material / "midi").glob("*/*.mid"))
    files = [path for path in files if split_of_score(path) == "train"]
    made = []
    for folder, count in (("electric_yr", 28), ("meatbass_pizz", 26), ("double_bass_pizz", 26), ("meatbass_arco", 14)):
        made += _jobs("bass", folder, count, files, material)
    made += _jobs("other", "weresax", 22, files, material)
    for kit in ["muldjordkit", *installed_kits()]:
        made += _jobs("drums", kit, 24 if kit == "muldjordkit" else 8, files, material)
    return sorted(made, key=lambda job: job.params["number"])


def render(job: Job, material: Path, rng: np.random.Generator) -> list[Stem]:
    """Return one part of one instrument or kit."""
    name, score = job.params["instrument"], material / job.params["score"]
    if job.params["label"] == "drums":
        hits = scores.written_drums(score, DURATION, rng) if rng.random() < 0.3 else []
        if len(hits) < 12:
            hits = scores.groove(str(rng.choice(sorted(scores.GROOVES))), DURATION, rng)
        audio, licence = struck(hits, kit_of(name, material), rng), _kit_licence(name)
    else:
        audio = played(_tones(job, score, rng), notes_of(job.params["label"], name, material), rng)
        licence = "CC0-1.0"
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


def installed_kits() -> list[str]:
    """Return the names of the drum kits of known licence that are installed here."""
    return [name for name in sorted(KIT_LICENCES) if (KIT_FOLDER / name / "drumkit.xml").exists()]


@lru_cache(maxsize=4)
def kit_of(name: str, material: Path) -> Kit:
    """Return a kit's samples, (samples, 2) each, by drum."""
    if name == "muldjordkit":
        files = sorted((material / "samples" / "drums" / name).glob("*.ogg"))
        chosen = {drum: [f for f in files if f.name.startswith(starts)] for drum, starts in MULDJORD.items()}
    else:
        chosen = _hydrogen_files(KIT_FOLDER / name)
    return {drum: [with_peak(load_stereo(path), 0.9) for path in paths] for drum, paths in chosen.items() if paths}


@lru_cache(maxsize=4)
def notes_of(label: str, name: str, material: Path) -> dict[int, list[np.ndarray]]:
    """Return a sampled instrument's notes, (samples, 1) each, by MIDI pitch (C4 = 60)."""
    notes: dict[int, list[np.ndarray]] = {}
    for path in sorted((material / "samples" / label / name).glob("*.ogg")):
        pitch = pitch_named(path.stem)
        if pitch is not None:
            notes.setdefault(pitch, []).append(with_peak(load_mono(path), 0.9)[:, None])
    return notes


def pitch_named(stem: str) -> int | None:
    """Return the MIDI pitch a file name states; a name without octave is the bass's lowest from E1."""
    match = NOTE_NAME.search(stem)
    if match is None:
        return None
    letter, sign, octave = match.groups()
    pitch_class = PITCH_CLASS[letter.lower()] + {"b": -1, "s": 1, "": 0}[sign.lower()]
    if octave is None:
        return 28 + (pitch_class - 4) % 12
    if letter.isupper():  # the YR bass: E2 is its second E
        return 28 + (pitch_class - 4) % 12 + 12 * (int(octave) - 1)
    return 12 * (int(octave) + 1) + pitch_class


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
    return KIT_LICENCES.get(name, "CC-BY-4.0 (DrumGizmo, Lars Muldjord)")


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
