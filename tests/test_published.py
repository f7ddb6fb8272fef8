"""``--as-published``: the paper's refining exactly, from trimming to the second round."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import nn
from typer.testing import CliRunner

from stemclean import layouts, manifest, training
from stemclean.audio.activity import active_regions
from stemclean.cli import app
from stemclean.errors import ConfigError
from stemclean.models import registry
from stemclean.refine import refine
from stemclean.refining.published import PUBLISHED, PUBLISHED_SELF, published_recipe
from stemclean.refining.rounds import Rounds
from stemclean.running import Running
from stemclean.training import classifier_run
from stemclean.training.classify import ClassifyTask
from stemclean.training.recipe import read

QUIET = Running(quiet=True)

RATE, SEGMENT = 44100, 131072
SHORT = ["loop.examples=16", "loop.batch_size=8", "loop.validations=1", "validation_share=0.2"]
"""A training in a blink, with keys that the paper leaves open."""
HZ = {"vocals": 2000.0, "bass": 100.0, "drums": 6000.0}


class Tones(nn.Module):
    """Knows the three tones by heart; stands for ConvNeXt-Tiny, which wants a GPU."""

    level_dbfs, tells_cells = None, False
    frequencies = np.arange(1025) * RATE / 2048

    def __init__(self, spec):
        super().__init__()
        self.spec, self.net = spec, Bins()
        self.shapes = []

    def features(self, waveform):
        window = torch.hann_window(2048)
        spectra = torch.stft(waveform.flatten(0, 1), 2048, 512, window=window, return_complex=True)
        return spectra.abs().unflatten(0, waveform.shape[:2])  # (batch, channel, freq, frame)

    def amplify(self, features, gains_db):
        return features

    def forward(self, waveform):
        self.shapes.append(tuple(waveform.shape))
        return self.net(self.features(waveform))

    def logits(self, outputs):
        return outputs

    def levels_db(self, outputs):
        return None

    def windows(self, waveform, hop):
        raise AssertionError("the trunk is not to be run once")


class Bins(nn.Module):
    """The share of each tone in the power, as a logit; it has a weight to train, which changes nothing."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, features):
        power = features.square().mean((1, 3))
        bins = [slice(int((hz - 60) / RATE * 2048), int((hz + 90) / RATE * 2048) + 1) for hz in HZ.values()]
        shares = torch.stack([power[:, bins_].sum(-1) for bins_ in bins], -1) / power.sum(-1, keepdim=True).clamp_min(
            1e-9
        )
        return 40 * (shares - 0.2).clamp(-0.2, 0.2) + 0 * self.weight


@pytest.fixture(autouse=True, scope="module")
def toy():
    """The classifiers that were built instead of the paper's; they validate on few mixtures, made in this process."""
    build, made = registry.build, []

    def with_tones(kind, name, spec, options):
        if options.get("backbone") != "convnext_tiny":
            return build(kind, name, spec, options)
        made.append(Tones(spec))
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "build", with_tones)
        patch.setattr(classifier_run, "ClassifyTask", partial(ClassifyTask, validation_examples=32))
        patch.setattr(training, "CLASSIFIER_WORKERS", 0)
        yield made


@pytest.fixture(scope="module")
def stems(tmp_path_factory):
    """Five songs of three tones; in the last, bass and drums are swapped. Four seconds, two of silence, four more.

    Before a click in the vocals of the first song, most of them are silence to who goes by the largest sample.
    """
    folder = tmp_path_factory.mktemp("published") / "stems"
    time = np.arange(10 * RATE) / RATE
    sounding = (time < 4) | (time >= 6)
    for number in range(5):
        for label, hz in HZ.items():
            actual_hz = HZ[{"bass": "drums", "drums": "bass"}.get(label, label)] if number == 4 else hz
            sound = 0.1 * np.sin(2 * np.pi * (actual_hz + number) * time) * sounding
            if (number, label) == (0, "vocals"):
                sound *= 0.2
                sound[RATE // 2] = 1.0
            (folder / f"song{number}").mkdir(parents=True, exist_ok=True)
            soundfile.write(folder / f"song{number}" / f"{label}.wav", np.stack([sound, sound], 1), RATE)
    return folder


def run(*words):
    return CliRunner().invoke(app, list(map(str, words)), env={"NO_COLOR": "1"})


@pytest.fixture(scope="module")
def refined(stems, toy):
    """What the command makes of them."""
    folder = stems.parent
    words = ["refine", stems, "-o", folder / "out.json", "--self", "--as-published", "-q"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        result = run(*words, *(word for setting in SHORT for word in ("--set", setting)))
    assert result.exit_code == 0, result.stderr
    return manifest.read(folder / "out.json")


def test_the_header_matches_the_paper(refined):
    header = refined.created.config
    judged = {key: value for key, value in header.items() if key != "self"}
    assert judged == {
        "threshold": 0.9,
        "claimed_threshold": 0.9,
        "max_bleed_db": None,
        "crosstalk": False,
        "silence_floor_dbfs": -130.0,  # with the peak detector there is none
        "plain_windows": True,
        "margin": 0.0,
        "detector": "peak",
        "joined": True,
        "calibrated": False,
    }
    settings = header["self"]
    assert {key: settings[key] for key in ("rounds", "folds", "retrain_on", "min_single_share")} == {
        "rounds": 2, "folds": 1, "retrain_on": "single", "min_single_share": 0.0,
    }  # fmt: skip
    recipe, paper = settings["recipe"], json.loads(json.dumps(read("paper").to_dict()))
    opened = {"loop", "validation_share", "validation_examples"}
    assert {k: v for k, v in recipe.items() if k not in opened} == {k: v for k, v in paper.items() if k not in opened}
    assert recipe["loop"]["examples"] == 16


def test_a_dataset_refines_itself(refined, toy):
    wrong = {stem.id: stem.labels for stem in refined.stems if stem.labels != stem.claimed}
    assert wrong == {"song4/bass": ["drums"], "song4/drums": ["bass"]}
    assert all(stem.crosstalk is None for stem in refined.stems)
    for round_ in refined.summary["rounds"]:
        assert {(counts["stems"], counts["filled_up"]) for counts in round_["trains_next"].values()} == {(5, 0)}
    assert {shape[1:] for model in toy for shape in model.shapes} == {(2, SEGMENT)}  # nothing but whole windows


def test_a_score_is_the_mean_of_whole_active_windows(stems, refined):
    for name in ("song1/bass", "song0/vocals"):
        stem = next(stem for stem in refined.stems if stem.id == name)
        sound = soundfile.read(stems / f"{name}.wav", dtype="float32", always_2d=True)[0].T
        regions = active_regions(sound, RATE, detector="peak")
        assert stem.active == [pytest.approx((start / RATE, end / RATE), abs=1e-5) for start, end in regions]
        joined = torch.from_numpy(np.concatenate([sound[:, start:end] for start, end in regions], 1))
        joined = nn.functional.pad(joined, (0, max(0, SEGMENT - joined.shape[1])))  # shorter than a window: one window
        windows = joined.unfold(-1, SEGMENT, SEGMENT // 4).transpose(0, 1)
        spec = read("paper").spec
        expected = dict(zip(HZ, torch.sigmoid(Tones(spec)(windows)).mean(0).tolist(), strict=True))
        assert stem.scores == pytest.approx(expected, abs=1e-4)  # four decimals


def test_existing_weights_are_used_like_the_papers(tmp_path):
    """Their calibration is left aside, and with it what their card knows of calibrated scores."""
    example = Path(__file__).resolve().parents[1] / "examples" / "noisy_band"
    published = refine(example, tmp_path / "out.json", PUBLISHED, running=QUIET)
    assert published.created.config == PUBLISHED.to_dict()
    assert published.summary["noise"]["method"] == "prior_shift"
    usual = refine(example, tmp_path / "usual.json", running=QUIET)
    lithium, other = (next(s for s in data.stems if s.id == "lithium/drums") for data in (published, usual))
    assert set(lithium.labels) <= set(other.labels) and lithium.scores != other.scores


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--threshold 0.5", "--threshold: it contradicts --as-published, which has 0.9"),
        ("--threshold adaptive", "--threshold: it contradicts --as-published, which has 0.9"),
        ("--claimed-threshold 0.3", "--claimed-threshold: it contradicts --as-published, which has 0.9"),
        ("--max-bleed-db=-25", "--max-bleed-db: it contradicts --as-published, which has none"),
        ("--crosstalk", "--crosstalk: it contradicts --as-published, which has it off"),
        ("--self --rounds 3", "--rounds: it contradicts --as-published, which has 2"),
        ("--self --folds 2", "--folds: it contradicts --as-published, which has 1"),
        ("--self --retrain-on all", "--retrain-on: it contradicts --as-published, which has single"),
        ("--self --min-single-share 0.1", "--min-single-share: it contradicts --as-published, which has 0.0"),
        ("--self --recipe small", "--recipe: it contradicts --as-published, which has paper"),
        ("--self --set loss=bce", "--set loss=bce contradicts --as-published, which has l1"),
        ("--self --set options.n_fft=4096", "--set options.n_fft=4096 contradicts --as-published, which has 2048"),
        ("--self --set calibration.excerpts=8", "calibration.excerpts=8 contradicts --as-published, which has 0"),
    ],
)
def test_options_that_contradict_the_paper_are_refused(stems, tmp_path, options, message):
    result = run("refine", stems, "-o", tmp_path / "out.json", "--as-published", *options.split())
    assert (result.exit_code, result.stdout) == (2, ""), result.stderr
    assert message in result.stderr.splitlines()[0]
    assert not (tmp_path / "out.json").exists()


def test_options_that_agree_with_the_paper_are_accepted(stems, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "stemclean.refine.refine_self", lambda *given, **more: (_ for _ in ()).throw(ConfigError(str(more)))
    )
    agreeing = "--threshold 0.9 --claimed-threshold 0.9 --no-crosstalk --rounds 2 --retrain-on single "
    agreeing += "--min-single-share 0 --recipe paper --set loop.learning_rate=1e-3 --set loss=l1 --set seed=3"
    result = run("refine", stems, "-o", tmp_path / "out.json", "--self", "--as-published", *agreeing.split())
    assert "'rounds': 2" in result.stderr and "seed=3" in result.stderr, result.stderr


def test_options_the_paper_leaves_open_can_be_set():
    assert published_recipe(["loop.examples=64", "seed=2"]).loop.examples == 64
    assert published_recipe() == read("paper")
    with pytest.raises(ConfigError, match=r"mixing\.chance=0\.7 contradicts --as-published, which has 0\.5"):
        published_recipe(["mixing.chance=0.7"])


def test_a_round_without_training_data_is_reported(refined, stems):
    source, folder = layouts.load(stems, quiet=True)
    shared = Rounds(source, folder, stems, stems, published_recipe(), PUBLISHED, PUBLISHED_SELF, Running())
    nothing = refined.with_stems([stem.model_copy(update={"labels": []}) for stem in refined.stems])
    with pytest.raises(ConfigError, match="round 1 left no stems of a single class to train the next round on"):
        shared.train(2, shared.training_sets(nothing))


def test_trim_uses_the_papers_detector(stems, tmp_path):
    result = run("trim", stems, tmp_path / "trimmed", "--detector", "peak", "--regions-only", "-q")
    assert result.exit_code == 0, result.stderr
    trimmed = manifest.read(tmp_path / "trimmed" / "manifest.json")
    assert trimmed.created.config["detector"] == "peak"
    (clicked,) = [stem for stem in trimmed.stems if stem.id == "song0/vocals"]
    assert clicked.active == [(0.4, 0.65)]  # the frame of the click, and 0.1 s on either side
