"""Training a tiny separator: it learns, resumes exactly, uses labels and regions, and reports."""

from __future__ import annotations

import json

import json_page
import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from stemclean import manifest as manifests
from stemclean.cli import app
from stemclean.errors import ConfigError
from stemclean.layouts import load
from stemclean.manifest import Region, Verdict
from stemclean.models import registry, weights
from stemclean.models.contract import ModelSpec
from stemclean.running import Running
from stemclean.separate import separate
from stemclean.train_separator import train_separator
from stemclean.training import separate as task_module
from stemclean.training.recipe import names, read, read_separator

RATE = 8000
QUICK = [
    f"spec.sample_rate={RATE}",
    "spec.segment=4096",
    "options.n_fft=256",
    "options.hop_length=128",
    "options.hidden=16",
    "options.layers=2",
    "options.bandwidth_hz=4000.0",
    "validation_share=0.25",
    "validation_examples=8",
    "loop.examples=96",
    "loop.batch_size=4",
    "loop.validations=4",
    "loop.learning_rate=5e-3",
    "loop.ema=0.9",
    "loop.precision=no",
    "mixing.gain_db=[-3.0, 3.0]",
]


def low(rng, seconds):
    time = np.arange(round(seconds * RATE)) / RATE
    return 0.2 * np.sin(2 * np.pi * rng.uniform(80, 140) * time)


def high(rng, seconds):
    return 0.1 * np.diff(rng.standard_normal(round(seconds * RATE) + 1))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Six songs of a low tone, called bass, and of bright noise, called drums; the stems of the last hold both."""
    folder, rng = tmp_path_factory.mktemp("data") / "stems", np.random.default_rng(0)
    for number in range(6):
        both = low(rng, 3) + high(rng, 3)
        sounds = {"bass": low(rng, 3), "drums": high(rng, 3)} if number < 5 else {"bass": both, "drums": 0.8 * both}
        for label, sound in sounds.items():
            path = folder / f"song{number}" / f"{label}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, np.stack([sound, sound], 1), RATE)
    return folder


@pytest.fixture(scope="module")
def refined(dataset):
    """As ``refine`` would have it: the two stems of the last song hold both classes, one of them not all the time."""
    data, folder = load(dataset, quiet=True)
    stems = []
    for stem in data.stems:
        changes = {"split": "validation"} if stem.track == "song0" else {}
        if stem.track == "song5":
            spans = [(0, 1, ["bass"]), (1, 3, ["bass", "drums"])] if stem.claimed == ["bass"] else []
            regions = [Region(start=start, end=end, labels=labels) for start, end, labels in spans]
            changes = {"labels": ["bass", "drums"], "regions": regions}
        stems.append(stem.model_copy(update=changes))
    path = dataset.parent / "refined.json"
    manifests.write(data.with_stems(stems, root=manifests.relative_root(folder, path)), path)
    return path


def train(data, output, *more, **options):
    running = Running(cache=output.parent, workers=0, logs=options.pop("logs", None), quiet=True)
    options = {"recipe": "xumx-small", **options}
    return train_separator(data, output, overrides=[*QUICK, *more], running=running, **options)


def tensors(path):
    return weights.load(path, kind="separators").model.state_dict()


class TestRun:
    def test_training_learns_and_reports(self, refined, tmp_path):
        card = train(refined, tmp_path / "mine.safetensors", "loop.examples=320")
        validation = card["metrics"]["validation"]
        assert card["history"][0]["sdr_db"] < validation["sdr_db"] and validation["sdr_db"] > 4
        assert set(validation) >= {"sdr_db", "sdr_db/bass", "sdr_db/drums", "loss", "step"}
        written = json.loads((tmp_path / "mine.json").read_text())
        assert (written["kind"], written["spec"]["labels"]) == ("separators", ["bass", "drums"])
        assert written["loudness_lufs"] == -14.0 and written["recipe"]["mixing"]["multi_label_probability"] == 0.4
        assert written["data"]["tracks"] == {"train": 5, "validation": 1} and written["data"]["never_alone"] == []
        # Four songs of 3 s and one second of the fifth; the drums' stem of the fifth has no regions.
        assert written["data"]["hours"]["bass"] * 3600 == pytest.approx(6 * 3 - 3 + 1, abs=1.9)  # rounded to 3.6 s
        assert written["data"]["hours_of_several"] * 3600 == pytest.approx(5, abs=1.9)
        assert "wait_share" not in written and 0 <= card["wait_share"] <= 1
        assert str(tmp_path) not in json.dumps(written)
        rng = np.random.default_rng(7)
        mixture = low(rng, 2) + high(rng, 2)
        soundfile.write(tmp_path / "song.wav", np.stack([mixture, mixture], 1), RATE)
        separate(tmp_path / "song.wav", tmp_path / "out", weights_uri=tmp_path / "mine.safetensors", quiet=True)
        bass, _ = soundfile.read(tmp_path / "out" / "song" / "bass.wav")
        spectrum = np.abs(np.fft.rfft(bass[:, 0])) ** 2
        assert spectrum[: len(spectrum) // 8].sum() > 5 * spectrum[len(spectrum) // 8 :].sum()  # mostly below 500 Hz

    def test_a_resumed_run_equals_an_uninterrupted_one(self, refined, tmp_path, monkeypatch):
        """Bit by bit: weights, running means, dropout and mixtures go on as if nothing had been."""
        dropout = ["options.dropout=0.3", "loss.robust=truncated"]
        whole = train(refined, tmp_path / "whole.safetensors", *dropout)
        real, count = task_module.SeparateTask.losses, iter(range(1000))

        def dying(self, model, batch, totals=None):
            if next(count) == 15:
                raise KeyboardInterrupt
            return real(self, model, batch, totals)

        monkeypatch.setattr(task_module.SeparateTask, "losses", dying)
        with pytest.raises(KeyboardInterrupt):
            train(refined, tmp_path / "broken.safetensors", *dropout)
        assert len(list(tmp_path.glob("broken.*.checkpoint"))) == 1
        torch.rand(5)  # whatever happened since
        broken = train(refined, tmp_path / "broken.safetensors", *dropout)
        assert broken["history"] == whole["history"]
        first, second = tensors(tmp_path / "whole.safetensors"), tensors(tmp_path / "broken.safetensors")
        assert all(torch.equal(first[key], second[key]) for key in first)
        assert not list(tmp_path.glob("*.checkpoint"))

    def test_a_finished_run_is_not_trained_again(self, refined, tmp_path):
        first = train(refined, tmp_path / "a.safetensors", "loop.examples=16")
        again = train(refined, tmp_path / "a.safetensors", "loop.examples=16")
        assert again["seconds"] == 0 and again["metrics"] == first["metrics"]
        assert train(refined, tmp_path / "a.safetensors", "loop.examples=16", use_claimed=True)["seconds"] > 0

    def test_fine_tuning_starts_from_weights(self, refined, tmp_path):
        train(refined, tmp_path / "a.safetensors", "loop.examples=64", "mixing.multi_label_probability=0.0")
        card = train(
            refined, tmp_path / "b.safetensors", "loop.examples=4", "loop.learning_rate=1e-9",
            init=tmp_path / "a.safetensors",
        )  # fmt: skip
        first, second = tensors(tmp_path / "a.safetensors"), tensors(tmp_path / "b.safetensors")
        learnt = [key for key in first if "running" not in key and "num_batches" not in key]
        assert all(torch.allclose(first[key], second[key], atol=1e-6) for key in learnt)  # one step of 1e-9
        assert card["init"]["uri"] == "file:a.safetensors"

    def test_the_papers_losses_train(self, refined, tmp_path):
        spectral = "kind=magnitude n_fft=256 hop_length=128 multi_domain=10.0 combination=true"
        for number, settings in enumerate(("robust=masked", spectral)):
            loss = [f"loss.{setting}" for setting in settings.split()]
            card = train(refined, tmp_path / f"{number}.safetensors", "loop.examples=8", "loop.validations=1", *loss)
            assert np.isfinite(card["history"][-1]["loss"])


class TestData:
    def test_whole_stems_or_single_classes_only_are_trained(self, refined, tmp_path):
        """The two stems of the last song hold both classes, but for one second of bass alone."""
        stems_of = {}
        for name, more in {
            "cut": [],
            "whole": ["mixing.whole_stems=true"],
            "alone": ["mixing.multi_label_probability=0.0"],
        }.items():
            data = train(refined, tmp_path / f"{name}.safetensors", "loop.examples=4", *more)["data"]
            stems_of[name] = [data["hours"]["bass"], data["hours"]["drums"], data["hours_of_several"]]
        assert stems_of == {
            "cut": [0.004, 0.004, 0.001],  # 16 s of bass, 15 of drums, 5 of both at once
            "whole": [0.004, 0.004, 0.002],  # 15, 15, 6
            "alone": [0.004, 0.004, 0.0],
        }

    def test_classes_that_are_not_separated_remain_in_the_mixtures(self, dataset, tmp_path):
        card = train(dataset, tmp_path / "a.safetensors", "loop.examples=4", labels=["bass"])
        assert card["spec"]["labels"] == ["bass"] and card["data"]["background"] == ["drums"]
        assert card["metrics"]["validation"]["sdr_db"] < 20  # of bass alone it would be the mixture itself

    def test_claims_are_trusted_on_request(self, refined, tmp_path):
        card = train(refined, tmp_path / "a.safetensors", "loop.examples=4", use_claimed=True)
        assert card["data"]["hours_of_several"] == 0 and card["data"]["labels"] == "claimed"
        assert card["data"]["hours"]["drums"] * 3600 == pytest.approx(18, abs=1.9)

    def test_dropped_stems_are_left_out(self, refined, tmp_path):
        noisy = manifests.read(refined)
        drop = Verdict(action="drop", reason="no_class", label_quality=0.0)
        stems = [s.model_copy(update={"verdict": drop}) if s.track == "song5" else s for s in noisy.stems]
        path = manifests.write(noisy.with_stems(stems), refined.with_name("dropped.json"))
        card = train(path, tmp_path / "a.safetensors", "loop.examples=4")
        assert card["data"]["stems"] == 10 and card["data"]["hours_of_several"] == 0

    def test_too_little_data_is_refused(self, dataset, refined, tmp_path):
        noisy = manifests.read(refined)
        only = [s.model_copy(update={"split": None}) for s in noisy.stems if s.track == "song1"]
        path = manifests.write(noisy.with_stems(only), refined.with_name("one.json"))
        with pytest.raises(ConfigError, match="too few tracks to hold one out"):
            train(path, tmp_path / "a.safetensors")
        path = manifests.write(noisy.with_stems(only[:1]), refined.with_name("one.json"))
        with pytest.raises(ConfigError, match="needs at least two"):
            train(path, tmp_path / "a.safetensors")
        with pytest.raises(ConfigError, match="weights are safetensors"):
            train(refined, tmp_path / "a.pt")
        with pytest.raises(ConfigError, match='kind is "classifiers"; it must be "separators"'):
            train(refined, tmp_path / "a.safetensors", recipe="small")


def test_tensorboard_logs_are_written(refined, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(refined, tmp_path / "a.safetensors", logs=tmp_path / "logs")
    (events,) = (tmp_path / "logs").rglob("events*")
    log = EventAccumulator(str(events)).Reload()
    assert [event.step for event in log.Scalars("train/loss")] == [10, 20]
    assert [event.step for event in log.Scalars("validation/sdr_db/bass")] == [6, 12, 18, 24]


def test_tensorboard_logs_without_the_package_are_refused(refined, tmp_path, monkeypatch):
    monkeypatch.setattr("stemclean.training.talk.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="TensorBoard, which is not installed"):
        train(refined, tmp_path / "a.safetensors", logs=tmp_path / "logs")


class TestRecipes:
    @pytest.mark.parametrize("name", names("separators"))
    def test_every_recipe_builds_its_separator(self, name):
        recipe = read_separator(name)
        assert (recipe.name, recipe.kind) == (name, "separators")
        with torch.device("meta"):
            spec = ModelSpec(**recipe.spec, labels=("a", "b", "c", "d"))
            if recipe.architecture != "hdemucs":  # its layers compute with their weights when they are made
                registry.build("separators", recipe.architecture, spec, dict(recipe.options))
        if name == "hdemucs-small":
            registry.build("separators", recipe.architecture, spec, dict(recipe.options))

    def test_each_architecture_has_both_sizes_and_the_papers_numbers(self):
        assert names("separators") == sorted(
            f"{name}-{size}" for name in ("hdemucs", "xumx", "band-split", "unet-vocals") for size in ("paper", "small")
        )
        demucs, crossnet = read_separator("hdemucs-paper"), read_separator("xumx-paper")
        assert (demucs.spec["segment"] / 44100, demucs.loop.batch_size, demucs.loop.steps) == (3, 160, 21_000)
        assert (demucs.loss.kind, demucs.loop.weight_decay) == ("l1", 0.0)
        assert (crossnet.spec["segment"] / 44100, crossnet.loop.batch_size, crossnet.loop.steps) == (6, 32, 56_400)
        assert (crossnet.loss.kind, crossnet.loss.multi_domain, crossnet.loss.combination) == ("magnitude", 0.0, False)
        for recipe in (demucs, crossnet):
            assert (recipe.mixing.multi_label_probability, recipe.mixing.loudness_lufs) == (0.4, -14.0)
            assert recipe.mixing.whole_stems

    def test_settings_are_applied_and_invalid_ones_refused(self):
        recipe = read_separator("xumx-small", ["loss.keep=[[0.0, 0.7], [0.5, 0.5]]", "mixing.gain_db=[-1.0, 1.0]"])
        assert recipe.loss.keep == ((0.0, 0.7), (0.5, 0.5)) and recipe.mixing.gain_db == (-1.0, 1.0)
        assert read_separator(recipe, ["seed=3"]).seed == 3
        for wrong in ("loss=l1", "loss.kind=l3", "mixing.chance=0.5", "spec.channels=3", "calibration.excerpts=3"):
            with pytest.raises(ConfigError):
                read_separator("xumx-small", [wrong])
        with pytest.raises(ConfigError, match='kind is "separators"; it must be "classifiers"'):
            read("xumx-small")


class TestCommand:
    def test_the_command_trains(self, refined, tmp_path, monkeypatch):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        words = ["train-separator", str(refined), "-o", str(tmp_path / "a.safetensors"), "--json", "-q", "--workers=0"]
        words += ["--robust=masked", "--multi-label-probability=0.3", "--labels=bass,drums", "--examples=8"]
        words += ["--whole-stems"]
        for setting in [s for s in QUICK if "examples" not in s] + ["validation_examples=4"]:
            words += ["--set", setting]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.output
        report = json.loads(result.stdout)
        assert report["labels"] == ["bass", "drums"] and report["metrics"]["step"] == 2
        assert json_page.disagreements("train-separator", report) == []
        recipe = json.loads((tmp_path / "a.json").read_text())["recipe"]
        assert (recipe["loss"]["robust"], recipe["mixing"]["multi_label_probability"]) == ("masked", 0.3)
        assert recipe["mixing"]["whole_stems"] is True
