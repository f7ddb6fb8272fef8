"""Mutated documents: manifests, lists, files of f0, recipes, cards of weights, journals; and the command for each.

A case is drawn by the seed and its number alone, from documents that :func:`prepare` writes; its files lie in a folder
of their own beside ``base/``, which is also the working directory of what is run.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from benchmarks.robustness.text_faults import (
    json_text,
    json_with_faults,
    table_with_faults,
    text_damaged,
    toml_with_faults,
)

__all__ = ["KINDS", "Case", "case", "kind_of", "prepare", "write"]

BAND = Path(__file__).resolve().parents[2] / "examples" / "noisy_band"
STEMS = ("lithium/drums.ogg", "lithium/other.ogg", "lithium/vocals.ogg", "potassium/bass.ogg", "potassium/drums.ogg")
SECONDS = 1.0

KINDS = {
    "manifest": 0.30, "lines": 0.12, "packed lines": 0.04, "list": 0.22, "f0": 0.12, "recipe": 0.12, "card": 0.04,
    "journal": 0.04,
}  # fmt: skip
"""Kind of document -> its share of the cases."""

RECIPES = (
    "small",
    "paper",
    "xumx-small",
    "hdemucs-small",
    "band-split-small",
    "unet-vocals-small",
    "crepe-small",
    "rmvpe-small",
)


@dataclass
class Case:
    """A faulty document, and the command that is run on it.

    Args:
        kind: of :data:`KINDS`.
        faults: what was done to it.
        name: of the file that has them.
        files: name -> bytes of all files of the case's folder.
        command: the words behind ``stemclean``; empty where ``call`` is used.
        call: a function of :mod:`benchmarks.robustness.library`, which is given the path of the file.
        beside: folders and files of ``base/`` that are copied into the case's folder -> as what.
    """

    kind: str
    faults: list[str]
    name: str
    files: dict[str, bytes]
    command: list[str] = field(default_factory=list)
    call: str = ""
    beside: dict[str, str] = field(default_factory=dict)


Draw = Callable[[random.Random, Path], Case]


def case(seed: int, number: int, base: Path) -> Case:
    """Return the case with a number."""
    rng = random.Random(f"documents {seed} {number}")
    return _DRAWS[_kind(rng)](rng, base)


def kind_of(seed: int, number: int) -> str:
    """Return the kind of :data:`KINDS` for a number."""
    return _kind(random.Random(f"documents {seed} {number}"))


def _kind(rng: random.Random) -> str:
    return rng.choices(list(KINDS), list(KINDS.values()))[0]


def _manifest(rng: random.Random, base: Path) -> Case:
    name, indent = ("m.json", 1)
    which = rng.choice(("refined", "refined", "trimmed", "scanned"))
    document = json_with_faults(rng, _json(base / f"{which}.json"))
    faults = ["values"]
    data = json_text(document, indent=indent).encode("utf-8", "surrogatepass")
    if rng.random() < 0.4:
        data, more = text_damaged(rng, data)
        faults += more
    return _read_as_manifest(rng, Case("manifest", faults, name, {name: data}))


def _lines(rng: random.Random, base: Path, ending: str = "jsonl") -> Case:
    document = _json(base / "refined.json")
    header = {key: value for key, value in document.items() if key != "stems"}
    lines = [header, *document["stems"]]
    at = rng.randrange(len(lines))
    lines[at] = json_with_faults(rng, lines[at])
    data = "".join(json_text(line) + "\n" for line in lines).encode("utf-8", "surrogatepass")
    faults = ["values"]
    if rng.random() < 0.5:
        data, more = text_damaged(rng, data)
        faults += more
    name = f"m.{ending}"
    return _read_as_manifest(rng, Case("lines", faults, name, {name: data}))


def _packed_lines(rng: random.Random, base: Path) -> Case:
    drawn = _lines(rng, base, "jsonl.gz")
    data = gzip.compress(drawn.files[drawn.name], mtime=0)
    faults = drawn.faults
    if rng.random() < 0.7:
        data, more = text_damaged(rng, data)
        faults = [*faults, "packed", *more]
    drawn.kind, drawn.faults, drawn.files = "packed lines", faults, {drawn.name: data}
    return drawn


def _read_as_manifest(rng: random.Random, drawn: Case) -> Case:
    name, draw = drawn.name, rng.random()
    if draw < 0.08:
        drawn.call = "iter_stems"
        return drawn
    ways: tuple[tuple[float, list[str]], ...] = (
        (0.72, ["trim", name, "out", "--regions-only"]),
        (0.86, ["export", name, "out", "--to", "zfturbo", "--allow-empty"]),
        (0.89, ["corrupt", name, "out"]),
        (0.92, ["refine", name, "-o", "out.json", "--workers", "1"]),
        (0.96, ["eval", "labels", name, "--truth", "../base/refined.json"]),
        (1.00, ["eval", "labels", "../base/refined.json", "--truth", name]),
    )
    drawn.command = next([*words, "--json"] for below, words in ways if draw < below)
    return drawn


def _list(rng: random.Random, base: Path) -> Case:
    ending = rng.choice(("csv", "csv", "tsv"))
    delimiter = "\t" if ending == "tsv" else rng.choice((",", ",", ";", "|"))
    columns = rng.choice((["instrum", "path"], ["path", "label"], ["instrum", "path", "track", "split"]))
    rows = [columns]
    for stem in sorted((base / "data").rglob("*.wav")):
        path = stem.relative_to(base / "data").as_posix()
        cells = {
            "instrum": stem.stem,
            "label": stem.stem,
            "path": f"../base/data/{path}",
            "split": rng.choice(("train", "test", "")),
        }
        rows.append([cells.get(column, stem.parent.name) for column in columns])
    data, faults = table_with_faults(rng, rows, delimiter).encode("utf-8", "surrogatepass"), ["cells"]
    if rng.random() < 0.4:
        data, more = text_damaged(rng, data)
        faults += more
    name = f"l.{ending}"
    verb = (
        ["refine", name, "-o", "out.json", "--workers", "1"]
        if rng.random() < 0.01
        else ["trim", name, "out", "--regions-only"]
    )
    return Case("list", faults, name, {name: data}, [*verb, "--json"])


def _f0(rng: random.Random, base: Path) -> Case:
    original = rng.choice(sorted((base / "f0").iterdir()))
    data = original.read_bytes()
    separator = "," if b"," in data else "\t" if b"\t" in data else " "
    faults = []
    if original.suffix == ".json":
        data = json_text(json_with_faults(rng, json.loads(data))).encode("utf-8", "surrogatepass")
        faults.append("values")
    elif rng.random() < 0.7:
        rows = [line.split(separator) for line in data.decode().splitlines()]
        data = table_with_faults(rng, rows, separator).encode("utf-8", "surrogatepass")
        faults.append("cells")
    if not faults or rng.random() < 0.4:
        data, more = text_damaged(rng, data)
        faults += more
    name = f"song/vocals.f0{original.suffix}"
    drawn = Case("f0", faults, name, {name: data})
    draw = rng.random()
    if draw < 0.4:
        drawn.call = "read_f0"
    elif draw < 0.75:
        drawn.beside = {"data/lithium/vocals.wav": "song/vocals.wav"}
        drawn.command = ["trim", "song", "out", "--regions-only", "--json"]
    else:
        drawn.command = ["eval", "pitch", name, f"../base/f0/{original.name}", "--json"]
        if draw < 0.87:
            drawn.command[2:4] = drawn.command[3:1:-1]
    return drawn


def _recipe(rng: random.Random, _: Path) -> Case:
    import stemclean

    recipe = rng.choice(RECIPES)
    text = (Path(stemclean.__file__).parent / "recipes" / f"{recipe}.toml").read_text(encoding="utf-8")
    data, faults = toml_with_faults(rng, text).encode("utf-8", "surrogatepass"), ["values"]
    if rng.random() < 0.3:
        data, more = text_damaged(rng, data)
        faults += more
    drawn = Case("recipe", faults, "r.toml", {"r.toml": data})
    if recipe == "small" and rng.random() < 0.2:
        few = ["--examples", "2", "--set", "loop.batch_size=2", "--workers", "0", "--no-resume", "--json"]
        drawn.command = ["train-classifier", "../base/data", "-o", "w.safetensors", "--recipe", "r.toml", *few]
    else:
        drawn.call = "read_recipe"
    return drawn


def _card(rng: random.Random, base: Path) -> Case:
    original = rng.choice(sorted((base / "weights").glob("*.safetensors")))
    packed = original.read_bytes()
    (length,) = struct.unpack("<Q", packed[:8])
    header, tensors = json.loads(packed[8 : 8 + length]), packed[8 + length :]
    faults = []
    draw = rng.random()
    if draw < 0.7:
        card = json_text(json_with_faults(rng, json.loads(header["__metadata__"]["card"])))
        header["__metadata__"]["card"] = card
        faults.append("card")
    elif draw < 0.85:
        header = json_with_faults(rng, header)
        faults.append("header")
    text = json_text(header).encode("utf-8", "surrogatepass")
    data = struct.pack("<Q", len(text)) + text + tensors
    if not faults or rng.random() < 0.15:
        data, more = text_damaged(rng, data)
        faults += more
    name = original.name
    drawn = Case("card", faults, name, {name: data})
    if original.name.startswith("classifiers") and rng.random() < 0.2:
        drawn.command = [
            "refine",
            "../base/data",
            "-o",
            "out.json",
            "--weights",
            f"file:{name}",
            "--workers",
            "1",
            "--json",
        ]
    else:
        drawn.call = "load_weights"
    return drawn


def _journal(rng: random.Random, base: Path) -> Case:
    verb = "refine" if rng.random() < 0.15 else "trim"
    journal = base / f"{verb}.partial.jsonl"
    lines = journal.read_text(encoding="utf-8").splitlines()
    faults = []
    if lines and rng.random() < 0.7:
        at = rng.randrange(len(lines))
        lines[at] = json_text(json_with_faults(rng, json.loads(lines[at])))
        faults.append("values")
    data = "".join(line + "\n" for line in lines).encode("utf-8", "surrogatepass")
    if not faults or rng.random() < 0.4:
        data, more = text_damaged(rng, data)
        faults += more
    if verb == "refine":
        name, words = "out.json.partial.jsonl", ["refine", "../base/data", "-o", "out.json", "--workers", "1", "--json"]
        return Case("journal", faults, name, {name: data}, words)
    name = f"out/{_json(base / 'names.json')['trim journal']}"
    return Case(
        "journal", faults, name, {name: data}, ["trim", "../base/data", "out", "--json"], beside={"trimmed part": "out"}
    )


_DRAWS: dict[str, Draw] = {
    "manifest": _manifest,
    "lines": _lines,
    "packed lines": _packed_lines,
    "list": _list,
    "f0": _f0,
    "recipe": _recipe,
    "card": _card,
    "journal": _journal,
}


@cache
def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def prepare(base: Path, *, journals: bool = True) -> None:
    """Write the intact documents: those of every command, on five stems of a second each.

    Args:
        base: the folder; nothing is done where it is complete.
        journals: also those of runs under way, which take a process each.
    """
    if (base / "names.json").exists():
        return
    shutil.rmtree(base, ignore_errors=True)
    for stem in STEMS:
        sound, rate = soundfile.read(BAND / stem, stop=10 * 44100, always_2d=True)
        loudest = int(np.argmax(np.abs(sound).sum(axis=1)[: -int(SECONDS * rate)]))
        path = (base / "data" / stem).with_suffix(".wav")
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, sound[loudest : loudest + int(SECONDS * rate)], rate, subtype="PCM_16")
    _write_manifests(base)
    _write_f0(base / "f0")
    _write_weights(base / "weights")
    names = {}
    if journals:
        names["trim journal"] = _caught(base, "trim", ["trim", "../base/data", "out"]).name
        _caught(base, "refine", ["refine", "../base/data", "-o", "out.json"])
    (base / "names.json").write_text(json.dumps(names), encoding="utf-8")


def _write_manifests(base: Path) -> None:
    from stemclean import layouts
    from stemclean import manifest as manifests

    scanned = layouts.scan(base / "data", quiet=True)
    manifests.write(scanned.model_copy(update={"root": "../base/data"}), base / "scanned.json")
    with contextlib.chdir(base):
        _stemclean("refine", "data", "-o", "refined.json")
        _stemclean("trim", "data", "trimmed")
    shutil.copy(base / "trimmed" / "manifest.json", base / "trimmed.json")
    for name, folder in (("refined", "data"), ("trimmed", "trimmed")):
        document = json.loads((base / f"{name}.json").read_text(encoding="utf-8"))
        (base / f"{name}.json").write_text(json.dumps({**document, "root": f"../base/{folder}"}), encoding="utf-8")


def _write_f0(folder: Path) -> None:
    from stemclean.audio.f0 import F0Track
    from stemclean.layouts import f0_labels

    frames = np.arange(50)
    f0_hz = np.where(frames % 25 < 20, 220 * 2 ** (np.sin(frames / 7) / 12), 0.0)
    track = F0Track(f0_hz, (f0_hz > 0).astype(float), 0.02)
    folder.mkdir()
    for name, known in f0_labels.formats().items():
        f0_labels.write(track, folder / f"{name}{known.ending}", name)


def _write_weights(folder: Path) -> None:
    """Small models with random weights, and the smallest of those that come with the package."""
    import torch

    from stemclean.models import registry, weights
    from stemclean.models.contract import ModelSpec

    folder.mkdir()
    torch.manual_seed(0)
    bundled, _ = weights.resolve(weights.DEFAULT_CLASSIFIER)
    shutil.copy(bundled, folder / "classifiers.safetensors")
    four = ("vocals", "bass", "drums", "other")
    models: tuple[tuple[str, str, ModelSpec, dict[str, Any]], ...] = (
        (
            "separators",
            "xumx",
            ModelSpec(44100, 2, four, 16384),
            {"hidden": 8, "layers": 1, "n_fft": 1024, "hop_length": 512},
        ),
        ("pitch", "crepe", ModelSpec(16000, 1, ("vocals",), 3200), {"capacity": 1}),
    )
    for kind, architecture, spec, options in models:
        model = registry.build(kind, architecture, spec, options)
        about = {
            "sample_rate": spec.sample_rate,
            "channels": spec.channels,
            "labels": list(spec.labels),
            "segment": spec.segment,
        }
        card = {"kind": kind, "architecture": architecture, "spec": about, "options": options}
        weights.save(folder / f"{kind}.safetensors", model, card)


def _stemclean(*words: str) -> None:
    from typer.testing import CliRunner

    from stemclean.cli import app

    process = CliRunner().invoke(app, [*words, "--quiet"], prog_name="stemclean")
    if process.exit_code:
        raise RuntimeError(f"stemclean {' '.join(words)}: {process.stderr}")


def _caught(base: Path, verb: str, words: Sequence[str]) -> Path:
    """Return the last state of a run's journal, as ``VERB.partial.jsonl``, and its path."""
    folder = base.parent / "journals"  # whose neighbour is base, as it is a case's
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "stemclean", *words, "--quiet"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    last, path_ = b"", Path("manifest.json.partial.jsonl")
    while process.poll() is None:
        for path in folder.rglob("*partial*"):
            try:
                text = path.read_bytes()
            except OSError:
                continue
            if len(text) > len(last):
                last, path_ = text, path
        time.sleep(0.002)
    (base / f"{verb}.partial.jsonl").write_bytes(last)
    if verb == "trim":
        shutil.copytree(folder / "out", base / "trimmed part")
        (base / "trimmed part" / "manifest.json").unlink(missing_ok=True)
    shutil.rmtree(folder)
    return path_


def write(drawn: Case, folder: Path, base: Path) -> None:
    """Write the files of a case into a new folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for source, name in drawn.beside.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if (base / source).is_dir():
            shutil.copytree(base / source, folder / name)
        else:
            os.link(base / source, folder / name)
    for name, data in drawn.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
