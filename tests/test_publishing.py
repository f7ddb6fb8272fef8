"""Weights of every kind, trained and pushed in one run; downloaded ones work as their page says."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from unittest.mock import Mock

import aligned_songs
import fake_hub
import pytest
import soundfile
import torch
from safetensors.torch import load
from test_joint import QUICK as JOINT
from test_joint import QUICK_TRACKER
from test_two_processes import CLASSIFIER, SEPARATOR
from typer.testing import CliRunner

from stemclean.cli import app
from stemclean.models import model_card
from stemclean.models.model_kinds import KINDS

JOBS = {
    "classifiers": ["train-classifier", *CLASSIFIER, "mixing.chance=0.5"],
    "separators": ["train-separator", *SEPARATOR],
    "pitch": ["train-tracker", *QUICK_TRACKER],
    "cascades": ["train-joint", "--tracker=rmvpe", *JOINT],
}
SCRIPT = """
import json, shlex, shutil, sys
from pathlib import Path
from stemclean.cli import main

for step in json.loads(sys.argv[1]):
    print("doing", step, file=sys.stderr)
    if step.startswith("stemclean "):
        sys.argv = shlex.split(step)
        try:
            main()
        except SystemExit as stopped:
            if stopped.code:
                raise
    elif step.startswith("take "):
        path = Path(step.removeprefix("take "))
        assert path.exists(), path
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    else:
        exec(step, {})
"""
WRITTEN = {
    "classifiers": ["refined.json"],
    "separators": ["separated"],
    "pitch": ["vocals.f0.csv"],
    "cascades": ["separated", "song.f0.csv"],
}
"""What both the commands and the Python of a page write."""


def line(kind, *more, output=None):
    command, *settings = JOBS[kind]
    options = [text if text.startswith("--") else f"--set={text}" for text in [*settings, "loop.examples=8"]]
    every = ["stemclean", command, "songs.json", f"--output={output or kind}.safetensors", "--workers=0", "--quiet"]
    return shlex.join([*every, *options, *more])


def used(page):
    """The commands of a page, and its Python."""
    lines, code = re.findall(r"```\n(.+?)```\n\n```python\n(.+?)```", page, re.DOTALL)[0]
    return lines.splitlines(), code


def page_of(hub, kind):
    return hub.repos[f"org/{kind}"]["main"]["README.md"].decode()


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The folder in which all kinds were trained, pushed, trained on and used as their pages say; and the hub."""
    folder = tmp_path_factory.mktemp("work")
    manifest = aligned_songs.write(folder / "my_stems", ("full",) * 3 + ("only_stems",), {0: "validation"})
    document = json.loads(manifest.read_text())
    (folder / "songs.json").write_text(json.dumps({**document, "root": "my_stems"}))
    shutil.copytree(folder / "my_stems", folder / "songs")
    sound, rate = soundfile.read(folder / "my_stems" / "song1" / "vocals.wav")
    for name in ("vocals.wav", "song.mp3"):
        soundfile.write(folder / name, sound, rate)
    with fake_hub.serving() as hub:
        more = {"XDG_CACHE_HOME": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
        settings = fake_hub.environment(hub.endpoint, folder / "home", **more)

        def run(steps):
            command = [sys.executable, "-c", SCRIPT, json.dumps(steps)]
            result = subprocess.run(
                command, cwd=folder, env=settings, capture_output=True, text=True, timeout=600, check=False
            )
            assert result.returncode == 0, result.stderr

        run([line(kind, f"--push-to-hub=org/{kind}", "--license=CC-BY-4.0") for kind in JOBS])
        steps = [line(kind, f"--init=hub:org/{kind}", output=f"on_{kind}") for kind in JOBS]
        steps += [line(kind, f"--push-to-hub=second/{kind}", "--license=MIT") for kind in JOBS]
        for kind in KINDS:
            commands, code = used(page_of(hub, kind))
            taken = [f"take {name}" for name in WRITTEN[kind]]
            steps += [*commands, *taken, code, *taken]
        run(steps)
    return folder, hub


@pytest.mark.parametrize("kind", JOBS)
def test_training_starts_from_published_weights(published, kind):
    folder, hub = published
    card = json.loads((folder / f"on_{kind}.json").read_text())
    first = json.loads(hub.repos[f"org/{kind}"]["main"]["model.json"])
    starts = [value for name, value in card.items() if name.startswith("init")]
    assert {start["uri"] for start in starts} == {f"hub:org/{kind}"}
    assert {start["sha256"] for start in starts} == {first["sha256"]}
    assert len(starts) == (2 if kind == "cascades" else 1)


@pytest.mark.parametrize("kind", JOBS)
def test_a_finished_run_is_pushed_with_another_licence_and_not_trained_again(published, kind):
    folder, hub = published
    first, second = (json.loads(hub.repos[f"{org}/{kind}"]["main"]["model.json"]) for org in ("org", "second"))
    assert (first["license"], second["license"]) == ("CC-BY-4.0", "MIT")
    assert first["history"] == second["history"] and not list(folder.glob(f"{kind}.*.checkpoint"))
    pushed, pushed_again = (hub.repos[f"{org}/{kind}"]["main"]["model.safetensors"] for org in ("org", "second"))
    assert all(torch.equal(tensor, load(pushed_again)[name]) for name, tensor in load(pushed).items())


FACTS = {
    "classifiers": [
        "pipeline_tag: audio-classification", "| network | convnext convnext_atto |", "| licence | CC-BY-4.0 |",
        "arxiv.org/abs/2307.12576", "arxiv.org/abs/2201.03545", "macro F1", "| hours of vocals |",
    ],
    "separators": [
        "pipeline_tag: audio-to-audio", "| network | xumx |", "| classes | vocals, other |",
        "arxiv.org/abs/2010.04228", "| input | 0.51 s at 8000 Hz, 1 channel(s) |",
        "| recipe | xumx-small, loss l1, seed 0 |", "sdr db/vocals", "| input loudness | -14 LUFS |",
        "stemclean eval separation", "| hours of vocals alone |",
    ],
    "pitch": [
        "- pitch-estimation", "| network | rmvpe |", "arxiv.org/abs/2306.15412", "validation: rpa",
        "stemclean eval pitch", "| classes | vocals |", "| songs: stems and f0 | 3 |", "| hours of vocals |",
    ],
    "cascades": [
        "pipeline_tag: audio-to-audio", "| separator: network | unet |", "| tracker: network | rmvpe |",
        "| separator: recipe | unet-vocals-small, loss l1, seed 0 |", "| tracker: recipe | rmvpe-small",
        "| loss weights of separation, pitch | 1, 1 |", "arxiv.org/abs/2501.03689", "arxiv.org/abs/2401.03856",
        "validation: sdr db", "validation: rpa", "| songs: stems without f0 | 1 |",
    ],
}  # fmt: skip
FALSE = {
    "classifiers": ["SDR", "rpa", "separates"],
    "separators": ["macro F1", "classifier", "rpa", "f0", "2307.12576"],  # no stem held several classes
    "pitch": ["macro F1", "classifier", "SDR", "pipeline_tag", "alone |"],
    "cascades": ["macro F1", "classifier", "1803.10704"],
}
"""What is true of other kinds alone."""


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_matches_the_kind_of_model(published, kind):
    _, hub = published
    page = page_of(hub, kind)
    text = " ".join(page.split())
    header, body = page.removeprefix("---\n").split("\n---\n")
    assert "license: cc-by-4.0" in header and "library_name: stemclean" in header
    for fact in FACTS[kind]:
        assert fact in text, fact
    for word in FALSE[kind]:
        assert word not in text, word
    card = json.loads(hub.repos[f"org/{kind}"]["main"]["model.json"])
    assert f"| parameters | {card['parameters']:,} |" in body.splitlines()
    assert f"| tracks: train | {card['data']['tracks']['train']} |" in body.splitlines()


def test_used_methods_are_cited():
    card = {"kind": "separators", "architecture": "hdemucs", "options": {}, "metrics": {}}
    card["spec"] = {"labels": ["vocals", "drums"], "sample_rate": 44100, "segment": 44100, "channels": 2}
    card["recipe"] = {"mixing": {"multi_label_probability": 0.4}}
    several = model_card.render({**card, "data": {"hours_of_several": 0.5}}, "hub:org/mine")
    assert "2307.12576" in several and "| hours of several classes at once | 0.50 |" in several
    assert "2307.12576" not in model_card.render(card, "hub:org/mine")
    card |= {"kind": "cascades", "joint": {"weighting": "dwa", "sep_weight": 0.4}}
    part = {"architecture": "crepe", "spec": card["spec"], "options": {}}
    card["options"] = {"separator": {**part, "architecture": "somebodys"}, "tracker": part}
    joint = model_card.render(card, "hub:org/mine")
    assert (
        "1803.10704" in joint and "1802.06182" in joint and "| loss weights of separation, pitch | 0.4, 1.6 |" in joint
    )
    card = {**card, "kind": "classifiers", "architecture": "convnext", "options": {"backbone": "convnextv2_atto"}}
    assert "2301.00808" in model_card.render({**card, "recipe": {"name": "x", "loss": "gce"}}, "hub:org/mine")


@pytest.mark.parametrize("kind", JOBS)
@pytest.mark.parametrize(("repo", "token"), [("mine", "hf_good"), ("org/mine", None)])
def test_push_problems_are_found_before_reading_data(kind, repo, token, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: token)
    monkeypatch.setattr("stemclean.layouts.load", Mock(side_effect=AssertionError("data were read")))
    aligned_songs.write(tmp_path, ("full",))
    words = shlex.split(line(kind, f"--push-to-hub={repo}"))[1:]
    words[1:3] = [str(tmp_path), f"--output={tmp_path / 'w.safetensors'}"]
    result = CliRunner().invoke(app, words, prog_name="stemclean")
    why = "you are not logged in to the hub" if token is None else '"mine" is not a hub repository'
    assert result.exit_code == 2 and why in result.stderr
    assert not (tmp_path / "w.safetensors").exists()
