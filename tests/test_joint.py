"""Joint training: gradients reach the separator, half-labelled songs are used, runs resume exactly."""

from __future__ import annotations

import json
from functools import partial

import aligned_songs
import json_page
import numpy as np
import pitch_models
import pytest
import soundfile
import torch
from torch.nn import functional
from typer.testing import CliRunner

from stemclean import manifest
from stemclean.audio.f0 import F0Track
from stemclean.cli import app
from stemclean.errors import ConfigError
from stemclean.layouts import f0_labels, load, scan
from stemclean.models import registry, weights
from stemclean.models.cascade import Cascade
from stemclean.models.contract import ModelSpec
from stemclean.models.decoding import targets
from stemclean.running import Running
from stemclean.separate import separate
from stemclean.train_joint import train_joint
from stemclean.train_tracker import train_tracker
from stemclean.training import joint as joint_module
from stemclean.training import track, weighting
from stemclean.training.joint import JointConfig, JointTask
from stemclean.training.joint_run import _classes
from stemclean.training.norms import measure_norms
from stemclean.training.recipe import names, read_joint, read_tracker
from stemclean.training.separate import LossConfig
from stemclean.training.songs import Start
from stemclean.training.track import PitchLoss

TINY_SEPARATOR = {"n_fft": 256, "hop_length": 160, "fold": 4, "channels": 8, "depth": 2, "growth": 1.0}
TINY_TRACKER = {**pitch_models.TINY_TRACKERS["rmvpe"], "hop": 160, "n_mels": 48}


def settings(prefix, options):
    return [f"{prefix}options.{key}={json.dumps(value)}" for key, value in options.items()]


SPEC = ["spec.sample_rate=8000", "spec.segment=8000"]
LOOP = ["loop.batch_size=4", "loop.validations=2", "loop.ema=0.9", "loop.precision=no", "loop.learning_rate=3e-3"]
DATA = ["validation_share=0.25", "validation_examples=4"]
QUICK = [
    *SPEC, *LOOP, *DATA, *settings("", TINY_SEPARATOR), "options.growth=1.0", "loop.examples=24",
    *(f"tracker.{text}" for text in SPEC), *settings("tracker.", TINY_TRACKER),
]  # fmt: skip
QUICK_TRACKER = [*SPEC, *LOOP, *DATA, *settings("", TINY_TRACKER), "loop.examples=24"]


def running(folder, **more):
    return Running(cache=folder, workers=0, quiet=True, **more)


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    """Eight songs of every kind; the first one validates."""
    kinds = ("full", "full", "full", "full", "only_stems", "only_f0", "pseudo_f0", "pseudo_voice")
    return aligned_songs.write(tmp_path_factory.mktemp("songs"), kinds, {0: "validation", 3: "test"})


def tensors(path, kind="cascades"):
    return weights.load(path, kind=kind).model.state_dict()


def batch(task, **changes):
    names = ("sources", "rows", "trust", "f0_hz", "f0_trust", "first")
    fields = dict(zip(names, next(task.batches(0, 0)), strict=True)) | changes
    return tuple(fields[name] for name in names)


def task_of(mixer, name="uniform", sep_weight=1.0, **fields):
    model = pitch_models.cascade("unet", "rmvpe", sample_rate=8000, channels=1, segment=8000)
    settings = {"batch_size": 5, "workers": 0, "validation_examples": 3, **fields}
    config = JointConfig(weighting=name, sep_weight=sep_weight)
    return JointTask(model, mixer, mixer, LossConfig(), PitchLoss(), config, weighting.build(name, 2), **settings)


@pytest.fixture(scope="module")
def mixer(songs, tmp_path_factory):
    from stemclean.data.aligned import AlignedMixer, AlignedMixing, Frames, aligned_tracks, whole_songs
    from stemclean.data.pool import StemPool

    manifest, root = load(songs, quiet=True)
    cache = tmp_path_factory.mktemp("pool")
    pool = StemPool.build(whole_songs(manifest), root, sample_rate=8000, channels=1, cache=cache, quiet=True)
    tracks = aligned_tracks(manifest, root, pool, ["vocals", "other"], "vocals")
    return AlignedMixer(tracks, pool, ("vocals", "other"), AlignedMixing(), 8000, Frames(0.01, 101), seed=(0,))


class TestPitchLoss:
    def test_the_pitch_loss_is_torchs_with_weights(self):
        rng = torch.Generator().manual_seed(0)
        logits, cents = torch.randn(2, 3, 360, generator=rng), pitch_models.tracker("rmvpe").cents
        f0_hz = torch.tensor([[100.0, 0.0, 440.0], [0.0, 0.0, 220.0]])
        expected = torch.from_numpy(targets(f0_hz.numpy(), cents.numpy()))
        trust = torch.tensor([[1.0, 1.0, 1.0], [0.5, 0.0, 0.25]])
        for positive in (1.0, 10.0):
            frames = functional.binary_cross_entropy_with_logits(
                logits, expected, pos_weight=torch.tensor(positive), reduction="none"
            ).mean(-1)
            by_hand = [frames[0].mean(), (0.5 * frames[1, 0] + 0.25 * frames[1, 2]) / 0.75]
            loss = PitchLoss(positive)(logits, f0_hz, trust, cents)
            torch.testing.assert_close(loss, torch.stack(by_hand))

    def test_unknown_frames_add_no_loss(self):
        logits = torch.randn(1, 4, 360, requires_grad=True)
        loss = PitchLoss()(logits, torch.full((1, 4), 200.0), torch.zeros(1, 4), pitch_models.tracker("rmvpe").cents)
        loss.sum().backward()
        assert float(loss.detach()) == 0 and not logits.grad.any()


class TestTask:
    def test_the_loss_is_the_weighted_sum_of_both(self, mixer):
        task = task_of(mixer, sep_weight=1.4)
        examples = batch(task)
        losses = {name: loss.detach() for name, loss in task.losses(task.model, examples).items()}
        assert float(losses["loss"]) == pytest.approx(
            1.4 * float(losses["separation"]) + 0.6 * float(losses["pitch"]), rel=1e-4
        )

    def test_the_pitch_loss_alone_teaches_the_separator(self, mixer):
        task = task_of(mixer, sep_weight=0.0)
        task.losses(task.model, batch(task))["loss"].backward()
        reached = [p.grad is not None and bool(p.grad.any()) for p in task.model.separator.unet.parameters()]
        assert all(reached)

    def test_separation_alone_teaches_the_tracker_nothing(self, mixer):
        task = task_of(mixer, sep_weight=2.0)
        task.losses(task.model, batch(task))["loss"].backward()
        assert not any(p.grad is not None and p.grad.any() for p in task.model.tracker.parameters())

    def test_unknown_sources_and_frames_give_no_gradient(self, mixer):
        """Sources of no trust: the estimates may be anything; frames of no trust: so may the logits."""
        task = task_of(mixer, sep_weight=2.0)
        plain = batch(task)
        nothing = torch.zeros_like(plain[2])
        assert float(task.losses(task.model, batch(task, trust=nothing))["loss"].detach()) == 0
        deaf = task_of(mixer, sep_weight=0.0)
        assert float(deaf.losses(deaf.model, batch(deaf, f0_trust=torch.zeros_like(plain[4])))["loss"].detach()) == 0

    def test_half_trusted_examples_count_half_unless_confidences_are_off(self, mixer):
        task = task_of(mixer, sep_weight=2.0)
        sources, rows, *_ = batch(task)
        trust = torch.tensor([1.0, 0.5, 0.25, 1.0, 0.0])
        estimates = task.model(sources.sum(1))[0]
        placed = torch.zeros_like(estimates).scatter_add_(1, rows[:, :, None, None].expand_as(estimates), estimates)
        has_label = torch.zeros_like(rows).scatter_(1, rows, 1)
        items = ((placed - sources).abs().mean((2, 3)) * has_label).sum(1) / 2
        for config, weights_of in ((True, trust), (False, (trust > 0).float())):
            task.config = JointConfig(weighting="uniform", sep_weight=2.0, confidences=config)
            loss = float(task.losses(task.model, batch(task, trust=trust))["loss"].detach())
            expected = 2 * float((items.detach() * weights_of / weights_of.mean()).mean())
            assert loss == pytest.approx(expected, rel=1e-3)

    def test_sums_of_sources_have_the_weight_of_one_source(self):
        """With loss.combination the mean is over all that is compared: 3 classes and their 3 sums of two."""
        separator = pitch_models.separator("unet", 8000, 1, 8000, ("vocals", "other", "drums"))
        model = Cascade(separator, pitch_models.tracker("rmvpe", segment=8000))
        loss = LossConfig(combination=True)
        task = JointTask(
            model,
            None,
            None,
            loss,
            PitchLoss(),
            JointConfig(weighting="uniform", sep_weight=2.0),
            weighting.build("uniform", 2),
            2,
        )
        rng = torch.Generator().manual_seed(0)
        sources, rows = 0.1 * torch.randn(2, 3, 1, 8000, generator=rng), torch.arange(3).repeat(2, 1)
        losses_by_kind = {}
        hook = model.register_forward_hook(lambda *examples: losses_by_kind.update(estimates=examples[2][0].detach()))
        examples = (sources, rows, torch.ones(2), torch.zeros(2, 101), torch.ones(2, 101), torch.arange(2))
        loss_value = float(task.losses(model, examples)["separation"].detach())
        hook.remove()
        items, counted = joint_module.item_losses(
            loss, losses_by_kind["estimates"], sources, sources.sum(1), torch.ones(2, 3, dtype=torch.bool)
        )
        assert counted.all() and items.shape[1] == 6
        assert loss_value == pytest.approx(float(items.mean()), rel=1e-4)

    def test_the_reference_pass_changes_no_state(self, mixer):
        """dwhs listens to the reference voice: running statistics and what is drawn are as without it."""
        models = {}
        for name in ("uniform", "dwhs"):
            task = task_of(mixer, name)
            task.model.train()
            task.losses(task.model, batch(task))
            models[name] = task.model.state_dict()
        assert all(torch.equal(models["uniform"][key], models["dwhs"][key]) for key in models["uniform"])

    def test_the_reference_is_the_tracker_on_the_clean_voice(self, mixer, monkeypatch):
        seen = []
        task = task_of(mixer, "dwhs")
        task.model.tracker.dropout.p = 0.0
        monkeypatch.setattr(
            task.weighting, "weights", lambda losses: seen.append(losses) or (losses.pitch, losses.pitch)
        )
        sources, rows, trust, f0_hz, f0_trust, first = batch(task)
        task.losses(task.model, (sources, rows, trust, f0_hz, f0_trust, first))
        with joint_module.still_norms(task.model.tracker), torch.no_grad():
            clean = task.pitch(task.model.track(sources[:, 0]), f0_hz, f0_trust, task.model.tracker.cents)
        alone = rows[:, 0] != rows[:, 1]
        assert alone.any() and torch.equal(seen[0].reference.isnan(), ~alone)
        torch.testing.assert_close(seen[0].reference[alone], clean[alone])

    def test_norms_of_averaged_weights_are_measured_on_mixtures(self, mixer):
        """Both parts are measured again before a validation: the tracker on its real input, the estimates."""
        task = task_of(mixer)
        norms = [m for m in task.model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        before = [norm.running_mean.clone() for norm in norms]
        measure_norms(task.model, lambda: task.batches(0, 0), lambda given: task.forward(task.model, given))
        moved = [not torch.equal(old, norm.running_mean) for old, norm in zip(before, norms, strict=True)]
        assert all(moved) and not task.model.training

    def test_batches_depend_on_the_step_alone(self, mixer):
        whole = [next(task_of(mixer).batches(0, start)) for start in range(3)]
        stream = task_of(mixer, workers=1).batches(0, 0)
        for step_batch in whole:
            assert all(torch.equal(a, b) for a, b in zip(step_batch, next(stream), strict=True))


class TestAccuracies:
    def test_accuracies_equal_mir_eval(self):
        """On frames that lie in time with one another, where mir_eval interpolates nothing."""
        mir_eval = pytest.importorskip("mir_eval")
        rng = np.random.default_rng(0)
        model = pitch_models.tracker("rmvpe")
        truth = rng.choice([0.0, 150.0, 200.0, 330.0], 400)
        estimated = np.where(rng.random(400) < 0.3, truth * 2, truth)
        posteriors = targets(np.where(estimated > 0, estimated, 100.0), model.cents.numpy()) * rng.uniform(
            0.1, 0.9, (400, 1)
        )
        logits = torch.from_numpy(np.log(posteriors.clip(1e-6) / (1 - posteriors.clip(1e-6)))).float()
        figures = track.accuracies([(logits[None], torch.from_numpy(truth[None]).float(), torch.ones(1, 400))], model)
        voiced = posteriors.max(1) >= figures["threshold"] - 1e-6
        estimate = np.where(estimated > 0, estimated, 100.0) * np.where(voiced, 1, -1)
        time = 0.01 * np.arange(400)
        theirs = mir_eval.melody.evaluate(time, truth, time, estimate)
        assert figures["rpa"] == pytest.approx(theirs["Raw Pitch Accuracy"], abs=1e-9)
        assert figures["oa"] == pytest.approx(theirs["Overall Accuracy"], abs=1e-9)

    def test_uncertain_frames_are_not_scored(self):
        model = pitch_models.tracker("rmvpe")
        batch_ = (torch.zeros(1, 3, 360), torch.full((1, 3), 100.0), torch.tensor([[0.9, 0.0, 0.5]]))
        assert track.accuracies([batch_], model) == {}


class TestRun:
    def test_joint_training_learns_both_and_reports(self, songs, tmp_path):
        path = tmp_path / "cascade.safetensors"
        more = ["loop.examples=160", "tracker.blur=true", "joint.weighting=dwhs", "joint.sep_weight=0.8"]
        card = train_joint(songs, path, overrides=[*QUICK, *more], running=running(tmp_path))
        losses = [figures["loss"] for figures in card["history"]]
        assert losses[-1] < 0.9 * losses[0]
        validation = card["metrics"]["validation"]
        assert {"sdr_db", "sdr_db/vocals", "rpa", "oa", "score", "threshold"} <= set(validation)
        assert validation["score"] == pytest.approx(validation["sdr_db"] / 10 + validation["rpa"])
        written = json.loads(path.with_suffix(".json").read_text())
        assert (written["kind"], written["architecture"]) == ("cascades", "unet+rmvpe")
        assert written["joint"] == {"weighting": "dwhs", "sep_weight": 0.8, "confidences": True}
        assert written["data"]["known"] == {"full": 3, "only_f0": 1, "only_stems": 1, "pseudo": 2}
        assert written["data"]["tracks"] == {"train": 6, "validation": 1}  # and one of the test split
        assert str(tmp_path) not in json.dumps(written)

    def test_separate_accepts_joint_weights(self, songs, tmp_path):
        path = tmp_path / "cascade.safetensors"
        train_joint(songs, path, overrides=QUICK, running=running(tmp_path))
        _, voice, band = aligned_songs.song(3)
        soundfile.write(tmp_path / "song.wav", voice + band, 8000)
        result = separate(tmp_path / "song.wav", tmp_path / "out", weights_uri=path, quiet=True)
        audio, rate = soundfile.read(tmp_path / "out" / "song" / "vocals.wav")
        assert rate == 8000 and len(audio) == len(voice) and audio.any()
        assert result["weights"]["uri"] == "file:cascade.safetensors"

    def test_a_resumed_run_equals_an_uninterrupted_one(self, songs, tmp_path, monkeypatch):
        """Bit by bit, the state of dwa (of passes of two or three steps) and what is dropped included."""
        settings = [*QUICK, "joint.weighting=dwa", "loop.examples=48", "tracker.options.dropout=0.5"]
        whole = train_joint(songs, tmp_path / "whole.safetensors", overrides=settings, running=running(tmp_path))
        real, count = JointTask.losses, iter(range(100))

        def dying(self, model, settings, totals=None):
            if next(count) == 7:
                raise KeyboardInterrupt
            return real(self, model, settings, totals)

        monkeypatch.setattr(JointTask, "losses", dying)
        with pytest.raises(KeyboardInterrupt):
            train_joint(songs, tmp_path / "broken.safetensors", overrides=settings, running=running(tmp_path))
        torch.rand(5)  # whatever happened since
        broken = train_joint(songs, tmp_path / "broken.safetensors", overrides=settings, running=running(tmp_path))
        assert broken["history"] == whole["history"]
        first, second = tensors(tmp_path / "whole.safetensors"), tensors(tmp_path / "broken.safetensors")
        assert all(torch.equal(first[key], second[key]) for key in first)
        assert not list(tmp_path.glob("*.checkpoint"))
        again = train_joint(songs, tmp_path / "broken.safetensors", overrides=settings, running=running(tmp_path))
        assert again["seconds"] == 0 and again["metrics"] == whole["metrics"]

    def test_parts_start_from_separate_weights(self, songs, tmp_path):
        """A pipeline put together: separator and tracker trained apart, then joined, hardly moved."""
        tracker_path, first, joined = (tmp_path / f"{n}.safetensors" for n in ("tracker", "first", "joined"))
        train_tracker(songs, tracker_path, overrides=QUICK_TRACKER, running=running(tmp_path))
        train_joint(songs, first, overrides=QUICK, running=running(tmp_path))
        card = train_joint(
            songs,
            joined,
            overrides=[*QUICK, "loop.examples=4", "loop.learning_rate=1e-9"],
            start=Start(first, tracker_path),
            running=running(tmp_path),
        )
        cascade = weights.load(joined, kind="cascades").model
        for part, path, kind in ((cascade.separator, first, "separators"), (cascade.tracker, tracker_path, "pitch")):
            expected = weights.load(path, kind=kind).model
            for (name, parameter), other in zip(part.named_parameters(), expected.parameters(), strict=True):
                torch.testing.assert_close(parameter, other, atol=1e-6, rtol=0, msg=name)
        assert card["init_separator"]["uri"] == "file:first.safetensors"
        assert card["init_tracker"]["uri"] == "file:tracker.safetensors"

    def test_invalid_arguments_are_refused(self, songs, tmp_path):
        output = tmp_path / "a.safetensors"
        for overrides, message in (
            (["mixing.effects=mild"], '--set: mixing.effects is "mild"; it must be "none" where spec.channels is 1'),
            (["mixing.absent_chance=0.5"], "--set: mixing.absent_chance is 0.5, but does nothing in joint training"),
            (["loss.robust=masked"], '--set: loss.robust is "masked", but does nothing in joint training'),
            (["joint.weighting=gradnorm"], '--set: joint.weighting is "gradnorm"; it must be "dwa", "dwhs" or'),
            (["joint.sep_weight=3"], "--set: joint.sep_weight is 3; it must be a number from 0 to 2"),
            (["joint.weigthing=dwa"], '--set: no setting named "joint.weigthing"\ndid you mean "joint.weighting"'),
            (["tracker.options.hup=3"], 'named "tracker.options.hup"\ndid you mean "tracker.options.hop"'),
        ):
            with pytest.raises(ConfigError, match=message):
                train_joint(songs, output, overrides=[*QUICK, *overrides], running=running(tmp_path))
        with pytest.raises(ConfigError, match="separates vocals from at least one other class"):
            train_joint(songs, output, overrides=QUICK, labels=["other"], running=running(tmp_path))

    def test_too_few_songs_are_refused(self, tmp_path):
        few = aligned_songs.write(tmp_path, ("full", "only_stems"))
        with pytest.raises(ConfigError, match=r"too few songs with vocals and an f0 \(1\)"):
            train_tracker(few, tmp_path / "a.safetensors", overrides=QUICK_TRACKER, running=running(tmp_path))
        none = aligned_songs.write(tmp_path / "none", ("only_stems",))
        with pytest.raises(ConfigError, match="no stem of vocals has an f0"):
            train_tracker(none, tmp_path / "a.safetensors", overrides=QUICK_TRACKER, running=running(tmp_path))


class TestTracker:
    def test_a_short_training_tracks_a_voice(self, songs, tmp_path):
        """Three notes of one voice: within half a minute of sound most frames are right; chance is a third."""
        more = ["loop.examples=280", "loop.learning_rate=1e-2", "blur=true", "options.channels=8"]
        card = train_tracker(
            songs, tmp_path / "t.safetensors", overrides=[*QUICK_TRACKER, *more], running=running(tmp_path)
        )
        assert card["metrics"]["validation"]["rpa"] > 0.6
        assert card["data"]["known"] == {"full": 3, "pseudo": 1} and card["kind"] == "pitch"


class TestRecipes:
    @pytest.mark.parametrize("name", names("pitch"))
    def test_every_recipe_builds_its_tracker(self, name):
        recipe = read_tracker(name)
        assert (recipe.name, recipe.kind) == (name, "pitch")
        with torch.device("meta"):
            spec = ModelSpec(**recipe.spec, labels=("vocals",))
            model = registry.build("pitch", recipe.architecture, spec, dict(recipe.options))
        assert spec.segment % model.hop == 0

    def test_each_architecture_has_both_sizes(self):
        assert names("pitch") == sorted(f"{n}-{size}" for n in registry.names("pitch") for size in ("paper", "small"))
        assert read_tracker("rmvpe").name == "rmvpe-small"

    @pytest.mark.parametrize(
        ("setting", "message"),
        [
            ("options.hop=0", "options.hop is 0"),
            ("options.hop=-320", "options.hop is -320"),
            ("options.hop=160.5", "options.hop is 160.5"),
            ("spec.segment=12345", "spec.segment is 12345; it must be a multiple of options.hop, 320"),
            ("spec.segment=0", "spec.segment is 0"),
        ],
    )
    def test_invalid_frames_are_refused(self, setting, message):
        with pytest.raises(ConfigError, match=message):
            read_tracker("rmvpe", [setting])

    def test_joint_settings_are_read(self):
        both = partial(read_joint, "unet-vocals-small", "rmvpe")
        assert both().config == JointConfig(weighting="uniform", sep_weight=1.0, confidences=True)
        settings = ["joint.weighting=dwa", "joint.sep_weight=0.4", "joint.confidences=false"]
        settings += ["tracker.blur=false", "seed=3"]
        read = both(settings)
        assert read.config == JointConfig(weighting="dwa", sep_weight=0.4, confidences=False)
        assert (read.tracker.blur, read.tracker.seed, read.separator.seed) == (False, 0, 3)


class TestCommands:
    def run(self, *words):
        return CliRunner().invoke(app, list(map(str, words)))

    def test_joint_command_trains(self, songs, tmp_path, monkeypatch):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        options = [word for text in QUICK if "examples=24" not in text for word in ("--set", text)]
        result = self.run(
            "train-joint", songs, "-o", tmp_path / "a.safetensors", "--tracker=rmvpe", "--weighting=uniform",
            "--sep-weight=1.2", "--examples=8", "--workers=0", "--device=cpu", "--cache-limit=1", "--json",
            "-q", *options,
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        report = json.loads(result.stdout)
        assert json_page.disagreements("train-joint", report) == []
        card = json.loads((tmp_path / "a.json").read_text())
        assert card["joint"]["weighting"] == "uniform" and card["joint"]["sep_weight"] == 1.2

    def test_tracker_command_trains(self, songs, tmp_path, monkeypatch):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        options = [word for text in QUICK_TRACKER if "examples=24" not in text for word in ("--set", text)]
        result = self.run(
            "train-tracker", songs, "-o", tmp_path / "a.safetensors", "--examples=8", "--workers=0", "--device=cpu",
            "--json", "-q", *options,
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        assert json_page.disagreements("train-tracker", json.loads(result.stdout)) == []


class TestClasses:
    @staticmethod
    def folder(tmp_path):
        """Songs of vocals and other, and one of a mixture alone, all with f0."""
        for number in range(4):
            f0_hz, voice, band = aligned_songs.song(number, seconds=2)
            song_folder = tmp_path / "songs" / f"song{number}"
            song_folder.mkdir(parents=True)
            parts = {"vocals": voice, "other": band} if number < 3 else {"mixture": voice + band}
            for name, sound in parts.items():
                soundfile.write(song_folder / f"{name}.wav", sound, 8000)
            f0_labels.write(F0Track.of(f0_hz, aligned_songs.HOP), song_folder / "f0.csv", "stemclean")
        return tmp_path / "songs"

    @pytest.mark.parametrize("labels", [None, ["vocals", "other"]])
    def test_a_mixture_contains_the_available_classes(self, tmp_path, labels):
        """Read as of four stems, a mixture holds bass and drums, of which no song has a stem."""
        overrides = [text.replace("=24", "=4") if "loop.examples" in text else text for text in QUICK]
        card = train_joint(
            self.folder(tmp_path), tmp_path / "a.safetensors", labels=labels, overrides=overrides,
            running=running(tmp_path),
        )  # fmt: skip
        assert sorted(card["spec"]["labels"]) == ["other", "vocals"]
        assert sum(card["data"]["tracks"].values()) == 4 and card["data"]["known"] == {"full": 3, "only_f0": 1}
        assert card["skipped"] == []

    def test_mixtures_with_other_classes_are_reported(self, tmp_path):
        folder = self.folder(tmp_path)
        four = scan(folder, quiet=True)
        path = manifest.write(four, folder / "songs.json")
        overrides = [text.replace("=24", "=4") if "loop.examples" in text else text for text in QUICK]
        options = {"labels": ["vocals", "other"], "overrides": overrides, "running": running(tmp_path)}
        card = train_joint(path, tmp_path / "a.safetensors", **options)
        assert [(s["path"], s["reason"]) for s in card["skipped"]] == [("song3/mixture.wav", "mixture")]

    def test_one_class_with_mixtures_needs_their_other_classes(self, songs):
        data, _ = load(songs, quiet=True)
        kept = data.with_stems([stem for stem in data.stems if stem.labels != ["other"]])
        assert _classes(kept, None, None) == ("vocals", "other")


def test_a_kept_checkpoint_resumes_as_a_longer_run(songs, tmp_path):
    """The key tells the run, not its length: a longer one takes up the checkpoint of the shorter."""
    path = tmp_path / "t.safetensors"
    short = train_tracker(songs, path, overrides=QUICK_TRACKER, running=running(tmp_path, keep_checkpoint=True))
    (kept,) = tmp_path.glob("*.checkpoint")
    longer = [*QUICK_TRACKER, "loop.examples=48", "loop.validations=4"]
    card = train_tracker(songs, path, overrides=longer, running=running(tmp_path, keep_checkpoint=True))
    assert list(tmp_path.glob("*.checkpoint")) == [kept] and card["run"] == short["run"]
    assert len(card["history"]) == 4 and card["history"][: len(short["history"])] == short["history"]


@pytest.mark.parametrize(
    "setting",
    [
        "mixing.multi_label_probability=0.2",
        "mixing.min_piece=2.0",
        "tracker.loop.examples=8",
        "tracker.mixing.gain_db=[0.0, 1.0]",
        "tracker.seed=3",
        "tracker.validation_share=0.5",
    ],
)
def test_settings_without_effect_are_refused(setting, tmp_path):
    key = setting.partition("=")[0]
    with pytest.raises(ConfigError, match=rf"^--set: {key} is .*, but does nothing in joint training"):
        train_joint(tmp_path, tmp_path / "x.safetensors", overrides=[setting])
