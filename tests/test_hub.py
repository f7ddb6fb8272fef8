"""``hub:`` weights with a local server that speaks the hub's protocol: published, downloaded, pinned, refused."""

from __future__ import annotations

import hashlib
import json
import pickle
import re
import socket
import subprocess
import sys
from types import SimpleNamespace

import fake_hub
import pytest
import torch

from stemclean.errors import ConfigError, WeightsError
from stemclean.models import hub as hub_client
from stemclean.models import model_card, registry, weights
from stemclean.models.contract import ModelSpec

OPTIONS = {"backbone": "convnext_atto", "hop_length": 1024, "n_mels": 32}
DRIVER = """
import json, os, sys, time
from stemclean.errors import StemcleanError
from stemclean.models import weights
for verb, *words in json.loads(sys.argv[1]):
    began = time.monotonic()
    try:
        if verb == "load":
            loaded = weights.load(*words)
            answer = {"uri": loaded.uri, "sha256": loaded.sha256, "labels": loaded.model.spec.labels}
        elif verb == "push":
            answer = {"uri": weights.push(*words)}
        else:
            os.environ[words[0]] = words[1]
            answer = {}
    except StemcleanError as error:
        answer = {"refused": error.message, "hint": error.hint}
    print(json.dumps({**answer, "seconds": time.monotonic() - began}))
"""


def run(jobs, endpoint, home, **environment):
    """Do things in a process of their own, as the hub's library reads its settings at import; what each came to."""
    command = [sys.executable, "-c", DRIVER, json.dumps(jobs)]
    result = subprocess.run(
        command,
        env=fake_hub.environment(endpoint, home, **environment),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert not result.stderr  # no word of the library's own
    return [SimpleNamespace(**json.loads(line)) for line in result.stdout.splitlines()]


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """Weights on this disk; beside them a card that says more than the one inside."""
    torch.manual_seed(0)
    spec = ModelSpec(44100, 2, ("vocals", "drums"), 131072)
    model = registry.build("classifiers", "convnext", spec, OPTIONS)
    card = {"kind": "classifiers", "architecture": "convnext", "spec": spec.to_dict(), "options": OPTIONS}
    data = {"hours": {"vocals": 1.5, "drums": 0.25}, "tracks": {"train": 8, "validation": 2}}
    metrics = {"validation": {"score": 0.875, "step": 40.0}}
    card |= {"license": "CC-BY-4.0", "data": data, "metrics": metrics, "parameters": 7}
    path = weights.save(tmp_path_factory.mktemp("mine") / "mine.safetensors", model, card)
    beside = path.with_suffix(".json")
    beside.write_text(json.dumps({**json.loads(beside.read_text()), "notes": ["Nobody | listened."]}))
    return path


@pytest.fixture(scope="module")
def hub(mine):
    content = mine.read_bytes()
    card = json.loads(mine.with_suffix(".json").read_text())
    exchanged = json.dumps({**card, "sha256": "0" * 64}).encode()
    with fake_hub.serving() as server:
        server.add("org/good", model__safetensors=content)
        server.add("org/exchanged", model__safetensors=content, model__json=exchanged)
        server.add("org/pickled", model__safetensors=pickle.dumps({"weights": [1.0]}), model__bin=b"")
        yield server


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The hub's cache, which all processes share."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def online(hub, home, mine):
    """What a process with a network and a token came to."""
    jobs = {
        "first": ["load", "hub:org/good@v1"],
        "again": ["load", "hub:org/good@v1/model.safetensors"],
        "exchanged": ["load", "hub:org/exchanged"],
        "pickle": ["load", "hub:org/pickled/model.bin"],
        "pickle by another name": ["load", "hub:org/pickled"],
        "no repository": ["load", "hub:org/none"],
        "no revision": ["load", "hub:org/good@v9"],
        "no file": ["load", "hub:org/good/x.safetensors"],
        "pushed": ["push", str(mine), "org/mine"],
        "back": ["load", "hub:org/mine"],
        "pushed again": ["push", str(mine), "org/mine"],
        "no right": ["push", str(mine), "closed/mine"],
        "other token": ["set", "HF_TOKEN", "hf_bad"],
        "not logged in": ["push", str(mine), "org/mine"],
    }
    return dict(zip(jobs, run(list(jobs.values()), hub.endpoint, home), strict=True))


def test_weights_are_downloaded_once_and_then_cached(hub, online, mine):
    first = online["first"]
    assert (first.uri, first.labels) == ("hub:org/good@v1", ["vocals", "drums"])
    assert first.sha256 == online["again"].sha256 == hashlib.sha256(mine.read_bytes()).hexdigest()
    assert hub.asked.count("GET /org/good/resolve/v1/model.safetensors") == 1  # the cache had it


@pytest.mark.parametrize(
    ("job", "refused"),
    [
        ("exchanged", "hub:org/exchanged: checksum mismatch"),
        ("pickle", "hub:org/pickled/model.bin: pickled weights are not loaded, because they can run any code"),
        ("pickle by another name", "hub:org/pickled: not a valid safetensors file"),
        ("no repository", "hub:org/none: no such repository, or a private one"),
        ("no revision", "hub:org/good@v9: no such revision"),
        ("no file", "hub:org/good/x.safetensors: no such file in it"),
        ("no right", "hub:closed/mine: the hub refuses (403): "),
        ("not logged in", "hub:org/mine: the hub refuses (401): "),
    ],
)
def test_hub_failures_are_one_line_errors(online, job, refused):
    error = online[job]
    assert error.refused.startswith(refused) and "\n" not in error.refused
    if job in ("no right", "not logged in"):
        assert "hf auth login" in error.hint and "HF_TOKEN" in error.hint


def test_published_weights_round_trip(hub, online, mine):
    commit = re.fullmatch(r"hub:org/mine@([0-9a-f]{40})", online["pushed"].uri)[1]
    assert online["back"].sha256 == hashlib.sha256(mine.read_bytes()).hexdigest()
    files = hub.repos["org/mine"][commit]
    assert sorted(files) == ["README.md", "model.json", "model.safetensors"]
    assert files["model.safetensors"] == mine.read_bytes()
    card = json.loads(files["model.json"])
    assert card["sha256"] == online["back"].sha256 and card["notes"] == ["Nobody | listened."]
    assert hub.summaries[0] == f"stemclean weights {card['sha256'][:12]}"
    assert online["pushed again"].uri.startswith("hub:org/mine@")  # into the repository that is there now


def test_without_a_network_the_cache_is_used_or_an_error_raised(hub, online, home, mine):
    with socket.socket() as probe:  # a port where nobody listens
        probe.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{probe.getsockname()[1]}"
        jobs = [["load", "hub:org/good@v1"], ["load", "hub:org/mine"], ["load", "hub:org/cold"]]
        warm, moving, cold, push = run([*jobs, ["push", str(mine), "org/mine"]], nowhere, home)
    assert warm.sha256 == moving.sha256 == online["first"].sha256
    assert cold.refused.startswith("hub:org/cold: the hub cannot be reached: ") and "network" in cold.hint
    assert push.refused.startswith("hub:org/mine: the hub cannot be reached: ")


def test_offline_mode_makes_no_request(hub, online, home, mine):
    num_requests = len(hub.asked)
    jobs = [["load", online["pushed"].uri], ["load", "hub:org/mine"], ["load", "hub:org/cold"]]
    jobs += [["load", "hub:org/exchanged"], ["push", str(mine), "org/mine"]]
    pinned, moving, cold, exchanged, push = run(jobs, hub.endpoint, home, HF_HUB_OFFLINE="1")
    assert pinned.sha256 == moving.sha256 == online["first"].sha256
    assert cold.refused == "hub:org/cold: offline, and the file is not in the cache"
    assert "checksum mismatch" in exchanged.refused  # its card was cached with it
    assert push.refused == "hub:org/mine: HF_HUB_OFFLINE is set"
    assert len(hub.asked) == num_requests


def test_push_problems_are_found_before_training(monkeypatch, tmp_path):
    wrong = ("mine", "a/b/c", "org/mine@v1", "org/", "org/mine.git", "org/a--b", "-org/mine", "org/mine.", "org/é")
    for name in (*wrong, "org/" + 93 * "a"):
        with pytest.raises(ConfigError, match="is not a hub repository"):
            hub_client.check_publishing(name)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(WeightsError, match="hub:org/mine: you are not logged in to the hub"):
        hub_client.check_publishing("org/mine")


def test_the_page_agrees_with_the_card(mine):
    page = model_card.render(json.loads(mine.with_suffix(".json").read_text()), "hub:org/mine")
    header, body = page.removeprefix("---\n").split("\n---\n")
    assert "license: cc-by-4.0" in header.splitlines() and "library_name: stemclean" in header.splitlines()
    lines = body.splitlines()
    for line in (
        "# mine",
        "stemclean refine my_stems --weights hub:org/mine",
        "| classes | vocals, drums |",
        "| licence | CC-BY-4.0 |",
        "| hours of vocals | 1.50 |",
        "| tracks: validation | 2 |",
        "| validation: score | 0.875 |",
        "The card does not state the licences of the training data.",
        "- Nobody \\| listened.",
    ):
        assert line in lines


def test_an_unknown_license_is_published_as_other(mine):
    card = json.loads(mine.with_suffix(".json").read_text())
    page = model_card.render({**card, "license": "My: own"}, "hub:org/mine").splitlines()
    assert "license: other" in page and 'license_name: "My: own"' in page
    card.pop("license")
    page = model_card.render(card, "hub:org/mine").splitlines()
    assert not any(line.startswith("license") for line in page) and "| licence | not stated |" in page
