"""Self-refining from end to end, with a classifier that trains in seconds: rounds, folds, kills, resuming."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

from stemclean import layouts, manifest, training
from stemclean.errors import ConfigError
from stemclean.models import registry, weights
from stemclean.refine import RefineConfig, refine, refine_self
from stemclean.refining import listening, rounds
from stemclean.report import describe_refined
from stemclean.running import Running
from stemclean.training import run as training_run
from stemclean.training.recipe import ClassifierRecipe
from stemclean.training.recipe import read as read_recipe

QUIET = Running(quiet=True)

RATE, FRAME, BANDS = 8000, 512, 32
CONFIG = RefineConfig(threshold=0.7, claimed_threshold=0.3)  # a linear model is timid


class Bands(nn.Module):
    """A linear judge of the mean energy in 32 bands."""

    level_dbfs = -20.0
    tells_cells = False
    frequencies = np.arange(BANDS) * RATE / 2 / BANDS

    def __init__(self, spec):
        super().__init__()
        self.spec, self.net = spec, nn.Sequential(Mean(), nn.Linear(BANDS, len(spec.labels)))
        nn.init.zeros_(self.net[1].weight)

    def features(self, waveform):
        power = torch.fft.rfft(waveform.unfold(-1, FRAME, FRAME))[..., : FRAME // 2].abs().square()
        energy = power.reshape(*power.shape[:-1], BANDS, -1).mean(-1)
        return torch.log10(energy + 1e-3).transpose(-1, -2)  # (batch, channel, freq, frame)

    def amplify(self, features, gains_db):
        return features

    def forward(self, waveform):
        return self.net(self.features(waveform))

    def logits(self, outputs):
        return outputs

    def levels_db(self, outputs):
        return None

    def windows(self, waveform, hop):
        pieces = self.features(waveform).unfold(-1, self.spec.segment // FRAME, hop // FRAME)
        return self.net[1](pieces.mean((1, -1)).transpose(1, 2))  # (batch, channel, freq, window, frame) -> window


class Mean(nn.Module):
    """Over channels and frames."""

    def forward(self, features):
        return features.mean((1, 3))


TINY = ClassifierRecipe(
    name="tiny",
    kind="classifiers",
    architecture="bands",
    spec={"sample_rate": RATE, "channels": 2, "segment": 8192},
    options={},
    loss="l1",
    validation_share=0.25,
)
TINY = read_recipe(
    TINY,
    [
        "mixing.effects=none",
        "mixing.quiet_chance=0.0",
        "mixing.noise_chance=0.0",
        "mixing.empty_chance=0.0",
        "loop.examples=1920",
        "loop.batch_size=32",
        "loop.learning_rate=0.1",
        "loop.weight_decay=0.0",
        "loop.ema=0.9",
        "loop.validations=1",
        "loop.precision=no",
    ],
)


def hit(rng, time):
    """Drum-like: decaying noise four times a second."""
    return rng.standard_normal(len(time)) * np.exp(-20 * (time % 0.25)) * 0.4


def drone(rng, time):
    """Bass-like: a low note with overtones."""
    hz = rng.uniform(50, 90)
    return sum(np.sin(2 * np.pi * hz * k * time + rng.uniform(0, 6)) / k for k in range(1, 5)) * 0.15


def voice(rng, time):
    """Voice-like: harmonics around 1 kHz with vibrato."""
    phase = 2 * np.pi * rng.uniform(230, 260) * (time + 0.0008 * np.sin(2 * np.pi * 5 * time))
    return sum(np.sin(k * phase + rng.uniform(0, 6)) for k in (3, 4, 5)) * 0.1


MADE = {"bass": drone, "drums": hit, "vocals": voice}


@pytest.fixture(autouse=True, scope="module")
def toy():
    """The architecture is known, and examples are mixed in this process."""
    build = registry.build

    def with_bands(kind, name, spec, options):
        return Bands(spec) if name == "bands" else build(kind, name, spec, options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "build", with_bands)
        patch.setattr(training, "CLASSIFIER_WORKERS", 0)
        yield


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A folder with ``stems``: eight songs; in the last one bass and drums are swapped."""
    folder, rng = tmp_path_factory.mktemp("self"), np.random.default_rng(0)
    time = np.arange(3 * RATE) / RATE
    for number in range(8):
        sounds = {label: make(rng, time) for label, make in MADE.items()}
        if number == 7:
            sounds["bass"], sounds["drums"] = sounds["drums"], sounds["bass"]
        for label, sound in sounds.items():
            path = folder / "stems" / f"song{number}" / f"{label}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, np.stack([sound, sound], 1), RATE)
    return folder


def run(workspace, name, data=None, config=CONFIG, resume=True, **more):
    """Refine into a folder of its own, so that equal runs give equal bytes."""
    output = workspace / name / "refined.json"
    running = Running(cache=workspace / "cache", workers=1, resume=resume, quiet=True)
    refined = refine_self(data or workspace / "stems", output, config, recipe=TINY, running=running, **more)
    return refined, output


@pytest.fixture(scope="module")
def whole(workspace):
    """Two rounds without a break."""
    return run(workspace, "whole")


def interrupted(*_, **__):
    raise KeyboardInterrupt


class Counting:
    """Counts the calls of a function, and interrupts one of them."""

    def __init__(self, function, at=None):
        self.function, self.at, self.calls = function, at, []

    def __call__(self, *given, **more):
        self.calls.append(given)
        if self.at is not None and len(self.calls) > self.at:
            raise KeyboardInterrupt
        return self.function(*given, **more)


class TestRounds:
    def test_only_the_swapped_song_is_found(self, whole):
        wrong = {stem.id: stem.labels for stem in whole[0].stems if stem.verdict.action != "keep"}
        assert wrong == {"song7/bass": ["drums"], "song7/drums": ["bass"]}

    def test_each_round_leaves_its_weights_and_its_manifest(self, whole):
        refined, output = whole
        names = {f"round{n}{ending}" for n in (1, 2) for ending in (".safetensors", ".json", ".manifest.json")}
        assert {path.name for path in (output.parent / "refined.work").iterdir()} == names
        first = manifest.read(output.parent / "refined.work" / "round1.manifest.json")
        card = json.loads((output.parent / "refined.work" / "round1.json").read_text())
        assert card["round"] == 1 and card["sha256"] == first.created.model.sha256
        assert refined.created.model.uri == "file:round2.safetensors"
        for path, written in ((output, refined), (output.parent / "refined.work" / "round1.manifest.json", first)):
            assert (path.parent / written.root / written.stems[0].path).exists()
        settings = refined.created.config["self"]
        assert (settings["rounds"], settings["folds"], settings["retrain_on"], settings["min_single_share"]) == (
            2,
            1,
            "single",
            0.2,
        )
        assert settings["recipe"]["name"] == "tiny" and refined.created.config["threshold"] == 0.7

    def test_the_report_lists_the_changes_of_each_round(self, whole):
        refined, output = whole
        first = manifest.read(output.parent / "refined.work" / "round1.manifest.json")
        rounds = describe_refined(refined)["rounds"]
        assert rounds == manifest.read(output).summary["rounds"] and rounds[:1] == first.summary["rounds"]
        assert rounds[0]["trained_on"] == [{"bass": 8, "drums": 8, "vocals": 8}]  # the claims as they are
        changes = sum(set(stem.labels) != set(stem.claimed) for stem in first.stems)
        assert rounds[0]["labels_changed"] == changes > 0
        pairs = list(zip(first.stems, refined.stems, strict=True))
        assert rounds[1]["labels_changed"] == sum(set(old.labels) != set(new.labels) for old, new in pairs)
        assert rounds[1]["trained_on"] == [{label: rounds[0]["trains_next"][label]["stems"] for label in MADE}]
        assert rounds[1]["trains_next"]["bass"] == {"stems": 8, "found": 8, "filled_up": 0, "claimed": 8}

    def test_more_rounds_continue_a_finished_run(self, workspace, whole, monkeypatch):
        before = whole[1].read_bytes()
        loop, looks = Counting(training_run.fit), Counting(listening._judged_or_skipped)
        monkeypatch.setattr(training_run, "fit", loop)
        monkeypatch.setattr(listening, "_judged_or_skipped", looks)
        run(workspace, "whole")
        assert (len(loop.calls), len(looks.calls)) == (0, 0)
        assert whole[1].read_bytes() == before
        longer, _ = run(workspace, "longer", rounds=3, workdir=workspace / "whole" / "refined.work")
        assert (len(loop.calls), len(looks.calls)) == (1, 24)
        assert [round_["round"] for round_ in longer.summary["rounds"]] == [1, 2, 3]
        assert longer.summary["rounds"][:2] == whole[0].summary["rounds"]
        for path in (workspace / "whole" / "refined.work").glob("round3.*"):
            path.unlink()

    @pytest.mark.parametrize(("step", "at"), [("training", 1), ("judging", 5), ("judging", 24 + 5)])
    def test_a_killed_run_resumes_at_any_step_with_the_same_bytes(self, workspace, whole, monkeypatch, step, at):
        name = f"killed {step} {at}"
        module, function = (rounds, "fit_classifier") if step == "training" else (listening, "_judged_or_skipped")
        plain = getattr(module, function)
        monkeypatch.setattr(module, function, Counting(plain, at))
        with pytest.raises(KeyboardInterrupt):
            run(workspace, name)
        assert not (workspace / name / "refined.json").exists()
        rest = Counting(plain)
        monkeypatch.setattr(module, function, rest)
        _, output = run(workspace, name)
        assert output.read_bytes() == whole[1].read_bytes()
        assert len(rest.calls) == (2 if step == "training" else 48 - at)  # the first training is only looked at
        left = {path.name for path in (output.parent / "refined.work").iterdir()}
        assert not {name for name in left if "partial" in name or "checkpoint" in name}

    def test_no_resume_starts_again(self, workspace, whole, monkeypatch):
        looks = Counting(listening._judged_or_skipped)
        monkeypatch.setattr(listening, "_judged_or_skipped", looks)
        _, output = run(workspace, "whole", resume=False)
        assert len(looks.calls) == 48 and output.read_bytes() == whole[1].read_bytes()  # all is seeded

    def test_changed_data_start_a_new_run(self, workspace, whole, tmp_path, monkeypatch):
        """A label that changes in the source changes what is trained, though files and settings are the same."""
        source, folder = layouts.load(workspace / "stems", quiet=True)
        stems = [s.model_copy(update={"labels": ["vocals"]}) if s.id == "song0/bass" else s for s in source.stems]
        data = tmp_path / "other.json"
        manifest.write(source.with_stems(stems, root=manifest.relative_root(folder, data)), data)
        loop = Counting(training_run.fit)
        monkeypatch.setattr(training_run, "fit", loop)
        refined, _ = run(workspace, "other", data=data, rounds=1, workdir=workspace / "whole" / "refined.work")
        assert len(loop.calls) == 1
        assert refined.summary["rounds"][0]["trained_on"] == [{"bass": 7, "drums": 8, "vocals": 9}]


@pytest.fixture(scope="module")
def folded(workspace):
    """Three folds; song 0 is declared a test song, and its bass is called drums."""
    source, folder = layouts.load(workspace / "stems", quiet=True)
    stems = [
        stem.model_copy(
            update={"split": "test"} | ({"claimed": ["drums"], "labels": ["drums"]} if stem.id == "song0/bass" else {})
        )
        if stem.track == "song0"
        else stem
        for stem in source.stems
    ]
    data = workspace / "declared.json"
    manifest.write(source.with_stems(stems, root=manifest.relative_root(folder, data)), data)
    fits = Counting(rounds.fit_classifier)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rounds, "fit_classifier", fits)
        refined, output = run(workspace, "folded", data=data, folds=3)
    trained = {path.name: {stem.track for stem in training.stems} for training, _, path, *_ in fits.calls}
    return refined, output, data, trained


class TestFolds:
    def test_stems_are_scored_by_a_model_not_trained_on_their_song(self, workspace, folded, tmp_path):
        refined, output, data, trained = folded
        assert sorted(trained) == [f"round{n}.fold{k}.safetensors" for n in (1, 2) for k in (1, 2, 3)]
        judged = set()
        for fold in (1, 2, 3):
            path = output.parent / "refined.work" / f"round2.fold{fold}.safetensors"
            unseen = {f"song{n}" for n in range(1, 8)} - trained[path.name]
            assert unseen and trained[f"round1.fold{fold}.safetensors"].isdisjoint(unseen)
            alone = refine(data, tmp_path / "alone.json", CONFIG, weights_uri=str(path), running=QUIET)
            scores = {stem.id: stem.scores for stem in manifest.read(tmp_path / "alone.json").stems}
            for stem in refined.stems:
                if stem.track in unseen:
                    assert stem.scores == scores[stem.id]
                    judged.add(stem.id)
            assert len(alone.stems) == 24
        assert len(judged) == 21  # all but the test song
        models = refined.created.models
        assert [model.uri for model in models] == [f"file:round2.fold{fold}.safetensors" for fold in (1, 2, 3)]
        assert refined.created.model is None and len({model.sha256 for model in models}) == 3

    def test_declared_test_stems_are_unchanged(self, folded):
        refined, _, _, trained = folded
        assert not any("song0" in tracks for tracks in trained.values())
        test = [stem for stem in refined.stems if stem.track == "song0"]
        assert all(stem.labels == stem.claimed and stem.verdict.reason == "held_out" for stem in test)
        assert {stem.id: stem.claimed for stem in test}["song0/bass"] == ["drums"]
        assert all(stem.scores for stem in test)  # reported on all the same

    def test_the_fault_is_found_and_the_run_resumes_per_fold(self, workspace, folded, monkeypatch):
        refined, output, data, _ = folded
        wrong = {stem.id: stem.labels for stem in refined.stems if stem.verdict.action != "keep"}
        assert wrong == {"song7/bass": ["drums"], "song7/drums": ["bass"]}
        card = json.loads((output.parent / "refined.work" / "round1.fold2.json").read_text())
        assert (card["round"], card["fold"], card["folds"]) == (1, 2, 3)
        plain = rounds.fit_classifier
        monkeypatch.setattr(rounds, "fit_classifier", Counting(plain, 4))  # in the second fold of round 2
        with pytest.raises(KeyboardInterrupt):
            run(workspace, "folded again", data=data, folds=3)
        monkeypatch.setattr(rounds, "fit_classifier", plain)
        loop = Counting(training_run.fit)
        monkeypatch.setattr(training_run, "fit", loop)
        _, again = run(workspace, "folded again", data=data, folds=3)
        assert len(loop.calls) == 2 and again.read_bytes() == output.read_bytes()


class TestAblations:
    def test_adaptive_thresholds_come_from_the_validation_tracks(self, workspace, monkeypatch):
        adaptive = CONFIG.changed(threshold="adaptive")
        refined, output = run(workspace, "adaptive", config=adaptive, rounds=1)
        thresholds = refined.created.config["threshold"]
        reported = describe_refined(refined)["thresholds"]
        assert set(thresholds) == {"bass", "drums", "vocals"} and thresholds == reported["threshold"]
        assert refined.created.config["self"]["threshold"] == "adaptive"
        assert reported["stems"] == 6  # two of eight songs validate
        for stem in refined.stems:
            above = {
                label
                for label, score in stem.scores.items()
                if score > (min(thresholds[label], 0.3) if label in stem.claimed else thresholds[label])
            }
            assert set(stem.labels) == above
        looks = Counting(listening._judged_or_skipped)
        monkeypatch.setattr(listening, "_judged_or_skipped", looks)
        before = output.read_bytes()
        run(workspace, "adaptive", config=adaptive, rounds=1)
        assert not looks.calls and output.read_bytes() == before
        refined_again = refine(
            workspace / "stems", workspace / "given.json", adaptive, weights_uri=str(weights_of(output)), running=QUIET
        )
        assert (
            refined_again.summary["thresholds"]["stems"] == 24
        )  # of weights that are refined_again, any stem may serve

    def test_with_folds_all_tracks_determine_thresholds(self, workspace):
        refined, _ = run(workspace, "adaptive folds", config=CONFIG.changed(threshold="adaptive"), rounds=1, folds=2)
        assert refined.summary["thresholds"]["stems"] == 24

    def test_all_stems_retrain_with_their_found_labels(self, workspace):
        """At a threshold this low most stems come out with several classes; single keeps few of them."""
        low = RefineConfig(threshold=0.04, claimed_threshold=0.04)
        counts = {}
        for choice in ("single", "all"):
            refined, _ = run(workspace, choice, config=low, retrain_on=choice, min_single_share=0.0, rounds=1)
            labels = [stem.labels for stem in refined.stems if stem.labels]
            left = [held for held in labels if len(held) == 1 or choice == "all"]
            counts[choice] = {label: sum(label in held for held in left) for label in MADE}
            trains = refined.summary["rounds"][0]["trains_next"]
            assert {label: trains[label]["stems"] for label in MADE} == counts[choice]
        assert sum(counts["all"].values()) > sum(counts["single"].values())

    def test_settings_override_a_recipe_object(self, workspace):
        refined, _ = run(workspace, "set", rounds=1, overrides=["loop.examples=64", "seed=3"])
        recipe = refined.created.config["self"]["recipe"]
        assert (recipe["loop"]["examples"], recipe["seed"], recipe["loop"]["batch_size"]) == (64, 3, 32)
        with pytest.raises(ConfigError, match=r'no setting named "loop\.exampels"'):
            run(workspace, "set", overrides=["loop.exampels=64"])

    def test_too_many_folds_are_refused_before_anything_is_trained(self, workspace, monkeypatch):
        monkeypatch.setattr(rounds, "fit_classifier", interrupted)
        with pytest.raises(ConfigError, match="the dataset has 8 tracks, too few for 9 folds"):
            run(workspace, "many", folds=9)


def weights_of(output):
    path = output.parent / "refined.work" / "round1.safetensors"
    assert weights.load(path).card["round"] == 1
    return path
