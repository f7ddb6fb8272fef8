"""Training on small, different sounds: it learns, writes a correct card, resumes, and cleans a noisy set."""

from __future__ import annotations

import json
import math
import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from stemclean import layouts
from stemclean.data.pool import StemPool
from stemclean.errors import ConfigError, WeightsError
from stemclean.models import registry, weights
from stemclean.models.contract import ModelSpec
from stemclean.refine import RefineConfig, refine_self
from stemclean.running import Running
from stemclean.train_classifier import train_classifier
from stemclean.training import classifier_run
from stemclean.training.classify import ClassifyTask, cell_loss, level_loss
from stemclean.training.recipe import read

RATE = 44100
QUICK = [
    "options.n_mels=32",
    "options.hop_length=1024",
    "spec.segment=65536",
    "options.patch=[4, 2]",
    "loss=bce",
    "mixing.effects=none",
    "equalizer_db=0.0",
    "loop.examples=640",
    "loop.batch_size=16",
    "loop.validations=2",
    "loop.precision=no",
    "validation_share=0.25",
    "loop.learning_rate=2e-3",
]


def running(cache, **more):
    return Running(**{"cache": cache, "workers": 0, "quiet": True, **more})


def hit(rng, seconds):
    """Drum-like: a click of decaying noise four times a second."""
    time = np.arange(int(seconds * RATE)) / RATE
    return rng.standard_normal(len(time)) * np.exp(-40 * (time % 0.25)) * 0.4


def drone(rng, seconds):
    """Bass-like: a low note with overtones that glides."""
    time = np.arange(int(seconds * RATE)) / RATE
    hz = rng.uniform(50, 90)
    return sum(np.sin(2 * np.pi * hz * k * time + rng.uniform(0, 6)) / k for k in range(1, 6)) * 0.15


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Eight songs of bass and drums; in the last one the two names are swapped."""
    folder, rng = tmp_path_factory.mktemp("data") / "stems", np.random.default_rng(0)
    for number in range(8):
        sounds = {"drums": hit(rng, 5), "bass": drone(rng, 5)}
        if number == 7:
            sounds = {"drums": sounds["bass"], "bass": sounds["drums"]}
        for label, sound in sounds.items():
            path = folder / f"song{number}" / f"{label}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, np.stack([sound, sound], 1), RATE)
    return folder


def test_training_learns_and_reports(dataset, tmp_path):
    card = train_classifier(dataset, tmp_path / "mine.safetensors", overrides=QUICK, running=running(tmp_path))
    assert card["metrics"]["validation"]["score"] > 0.85  # one of eight songs lies, and may be the one that validates
    written = json.loads((tmp_path / "mine.json").read_text())
    assert written["spec"]["labels"] == ["bass", "drums"]  # only classes that have stems
    assert written["data"]["tracks"] == {"train": 6, "validation": 2}
    assert written["recipe"]["loop"]["examples"] == 640
    assert str(tmp_path) not in json.dumps(written)
    assert weights.load(tmp_path / "mine.safetensors").model.spec.segment == 65536


def test_a_finished_run_is_not_trained_again_but_can_be_made_longer(dataset, tmp_path, monkeypatch):
    output, short = tmp_path / "a.safetensors", [*QUICK, "loop.examples=64"]
    options = {"running": running(tmp_path / "cache")}
    keeping = running(tmp_path / "cache", keep_checkpoint=True)
    first = train_classifier(dataset, output, overrides=short, running=keeping)
    assert len(list(tmp_path.glob("a.*.checkpoint"))) == 1
    longer = train_classifier(dataset, output, overrides=QUICK, **options)
    assert longer["history"][0] == first["history"][0] and longer["history"][-1]["step"] == 40
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "a.safetensors", "cache"]  # no checkpoint
    monkeypatch.setattr("stemclean.training.run.fit", pytest.fail)
    before = output.read_bytes()
    again = train_classifier(dataset, output, overrides=QUICK, **options)
    assert output.read_bytes() == before and again["seconds"] == 0
    assert {key: again[key] for key in ("metrics", "history", "data")} == {
        key: longer[key] for key in ("metrics", "history", "data")
    }
    card = train_classifier(dataset, output, overrides=QUICK, card={"license": "MIT"}, **options)
    assert card["license"] == weights.load(output).card["license"] == "MIT"
    assert json.loads((tmp_path / "a.json").read_text())["sha256"] == weights.load(output).sha256


@pytest.mark.parametrize(
    "change",
    [
        {"split": "validation"},
        {"active": [(0.0, 1.0)]},
        {"labels": ["drums"]},
        {"track": "song 9"},
        {"sha256": None},
        {"stream": 1},
        {"sampling_weight": 2.0},
    ],
    ids=lambda change: next(iter(change)),
)
def test_other_stems_make_another_run(dataset, change):
    manifest, folder = layouts.load(dataset)
    recipe = read("small")
    labels = ("bass", "drums")
    first = classifier_run._depends_on(manifest.stems, folder, labels, recipe, None)
    changed = [manifest.stems[0].model_copy(update=change), *manifest.stems[1:]]
    assert classifier_run._depends_on(changed, folder, labels, recipe, None) != first


def test_another_length_continues_the_same_run(dataset):
    manifest, folder = layouts.load(dataset)

    def key(*overrides, labels=("bass", "drums")):
        return json.dumps(classifier_run._depends_on(manifest.stems, folder, labels, read("small", overrides), None))

    assert key() == key("loop.examples=7", "loop.validations=3", "calibration.excerpts=4")
    assert len({key(), key("seed=3"), key("loop.batch_size=5"), key(labels=("drums", "bass"))}) == 4


def test_decoding_is_reported_without_a_terminal(dataset, tmp_path, capsys):
    manifest, folder = layouts.load(dataset, quiet=True)
    StemPool.build(manifest, folder, sample_rate=8000, cache=tmp_path)
    assert capsys.readouterr().err == f"decoding 16 stems into {tmp_path}\n"


def test_training_starts_from_existing_weights(dataset, tmp_path):
    """With a learning rate of almost nothing, what comes out is what went in; and it is a run of its own."""
    options = [*QUICK, "loop.examples=32", "loop.learning_rate=1e-12", "loop.weight_decay=0.0", "seed=5"]
    arguments = {"overrides": options, "running": running(tmp_path)}
    first = train_classifier(dataset, tmp_path / "a.safetensors", **arguments)
    arguments["overrides"] = [*options, "seed=6"]
    other = train_classifier(dataset, tmp_path / "b.safetensors", **arguments)
    tuned = train_classifier(dataset, tmp_path / "b.safetensors", init=f"file:{tmp_path}/a.safetensors", **arguments)
    start = weights.load(tmp_path / "a.safetensors")
    assert tuned["init"] == {"uri": "file:a.safetensors", "sha256": start.sha256, "fresh": []}
    assert "init" not in first
    old, new = start.model.state_dict(), weights.load(tmp_path / "b.safetensors").model.state_dict()
    for name, tensor in old.items():  # 1e-3: both are stored in float16
        torch.testing.assert_close(new[name], tensor, atol=1e-3, rtol=1e-3)
    assert tuned["history"][0]["val_loss"] != other["history"][0]["val_loss"]
    arguments["overrides"] = [*options, "options.n_mels=64"]
    with pytest.raises(WeightsError, match=r"options.n_mels is 32 in the weights and 64 in the model"):
        train_classifier(dataset, tmp_path / "c.safetensors", init=tmp_path / "a.safetensors", **arguments)


def test_cell_levels_are_learned_with_the_classes(dataset, tmp_path):
    options = {"running": running(tmp_path / "cache")}
    start, output = tmp_path / "start.safetensors", tmp_path / "levels.safetensors"
    train_classifier(dataset, start, overrides=[*QUICK, "loop.examples=64"], **options)
    levels = ["options.level_head=cells", "disguised=0.3", "mixing.same_song_chance=0.5", "loop.examples=960"]
    card = train_classifier(dataset, output, overrides=[*QUICK, *levels], init=f"file:{start}", **options)
    assert card["metrics"]["validation"]["level_error_db"] < 3  # clicks and drones hardly share a cell
    first, last = card["history"][0], card["history"][-1]
    assert last["score"] > first["score"] and last["level_error_db"] < first["level_error_db"]
    assert card["init"]["fresh"] and all(name.startswith("net.cells.") for name in card["init"]["fresh"])
    assert last["score"] == pytest.approx(last["f1_at_0.5"] - 0.01 * last["level_error_db"])


def test_a_failed_push_is_repeated_without_training(dataset, tmp_path, monkeypatch):
    output, pushes = tmp_path / "a.safetensors", []

    def push(path, repo, *, quiet):
        pushes.append((Path(path), repo, Path(path).exists()))
        if len(pushes) == 1:
            raise WeightsError("hub:org/mine: the hub cannot be reached", "try again later")
        return "hub:org/mine@abc"

    monkeypatch.setattr(weights, "push", push)
    options = {"overrides": [*QUICK, "loop.examples=32"], "running": running(tmp_path)}
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(WeightsError, match="you are not logged in"):  # before the work
        train_classifier(dataset, output, push_to_hub="org/mine", **options)
    assert not output.exists() and not pushes
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "hf_good")
    with pytest.raises(WeightsError, match="cannot be reached") as caught:
        train_classifier(dataset, output, push_to_hub="org/mine", **options)
    assert f"the weights stay in {output}" in caught.value.hint
    monkeypatch.setattr("stemclean.training.run.fit", pytest.fail)
    assert train_classifier(dataset, output, push_to_hub="org/mine", **options)["published"] == "hub:org/mine@abc"
    assert pushes == [(output, "org/mine", True)] * 2


def test_workers_mix_the_same_examples(dataset, tmp_path):
    short = [*QUICK, "loop.examples=48"]
    runs = [
        train_classifier(
            dataset, tmp_path / f"{workers}.safetensors", overrides=short, running=running(tmp_path, workers=workers)
        )
        for workers in (0, 1)
    ]
    assert runs[0]["history"] == runs[1]["history"]


def test_too_little_data_is_refused(tmp_path, dataset):
    for label in ("bass", "drums"):
        (tmp_path / "one").mkdir(exist_ok=True)
        (tmp_path / "one" / f"{label}.wav").write_bytes((dataset / "song0" / f"{label}.wav").read_bytes())
    with pytest.raises(ConfigError, match="at least one must be held out"):
        train_classifier(tmp_path, tmp_path / "x.safetensors", overrides=QUICK, running=running(tmp_path))
    (tmp_path / "one" / "bass.wav").unlink()
    with pytest.raises(ConfigError, match="needs at least two"):
        train_classifier(tmp_path, tmp_path / "x.safetensors", overrides=QUICK, running=running(tmp_path))
    with pytest.raises(ConfigError, match='loss is "l3"; it must be "l1", "bce" or "gce"'):
        train_classifier(dataset, tmp_path / "x.safetensors", overrides=[*QUICK, "loss=l3"], running=running(tmp_path))


def test_training_on_noisy_labels_and_refining_reduces_the_noise(dataset, tmp_path, monkeypatch):
    """Two rounds without any weights: the song with swapped names is found, and nothing else."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    output = tmp_path / "refined.json"
    config = RefineConfig(threshold=0.7, claimed_threshold=0.3)  # 40 steps of training leave scores timid
    refined = refine_self(dataset, output, config, overrides=QUICK, running=Running(quiet=True))
    wrong = {stem.id: stem.labels for stem in refined.stems if stem.verdict.action != "keep"}
    assert wrong == {"song7/bass": ["drums"], "song7/drums": ["bass"]}
    trained = refined.created.config["self"]  # every setting of the run stands in the header
    assert (trained["rounds"], trained["recipe"]["name"], trained["min_single_share"]) == (2, "small", 0.2)
    rounds = refined.summary["rounds"]
    assert [round_["round"] for round_ in rounds] == [1, 2]
    # Forty steps end elsewhere with another number of threads: round 1 may call a swapped stem mixed, and 2 mends it.
    assert rounds[0]["labels_changed"] == 2 >= rounds[1]["labels_changed"]
    for number in (1, 2):
        assert (tmp_path / "refined.work" / f"round{number}.safetensors").exists()
    before = output.read_bytes()
    refine_self(dataset, output, config, overrides=QUICK, running=Running(quiet=True))  # trains nothing again
    assert output.read_bytes() == before


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("count", [1, 33])
def test_the_recipe_sets_the_number_of_validation_mixtures(count, dataset, tmp_path, monkeypatch):
    counts, original = [], ClassifyTask.validate

    def validate(self, model):
        figures = original(self, model)
        counts.append(sum(len(batch[0]) for batch in self._validation))
        return figures

    monkeypatch.setattr(ClassifyTask, "validate", validate)
    settings = [*QUICK, "loop.examples=16", "loop.validations=1", f"validation_examples={count}"]
    train_classifier(dataset, tmp_path / "a.safetensors", overrides=settings, running=running(tmp_path))
    assert counts == [count]


def test_masking_keeps_the_targets_and_removes_the_levels(tmp_path, dataset):
    """A disguised mixture has stripes of one value in its spectrum, and its levels are no longer known."""
    source, folder = layouts.load(dataset, quiet=True)
    recipe = read("small", [*QUICK, "options.level_head=true"])
    pool = StemPool.build(source, folder, sample_rate=RATE, cache=tmp_path, quiet=True)
    spec = ModelSpec(RATE, 2, ("bass", "drums"), 65536)
    model = registry.build("classifiers", "convnext", spec, dict(recipe.options))
    batches = {}
    for disguised in (0.0, 1.0):
        task = ClassifyTask(model, pool, pool, recipe.mixing, masks=2, disguised=disguised, equalizer_db=6.0)
        batches[disguised] = task.batch(task.mixer(pool, (5,)), range(16))
    plain, changed = batches[0.0], batches[1.0]
    assert torch.equal(plain[1], changed[1])
    assert changed[2].isnan().all() and torch.equal(plain[2].isfinite(), plain[1] > 0)
    stripes = (changed[0].std(dim=(1, 2)) < 1e-6).sum() + (changed[0].std(dim=(1, 3)) < 1e-6).sum()
    assert stripes > 16 and not (plain[0].std(dim=(1, 2)) < 1e-6).any()
    outputs = torch.zeros(16, 2 + 3, requires_grad=True)
    losses = task.losses(lambda features: outputs, changed)
    assert losses["loss/levels"] == 0 and losses["loss"] == losses["loss/classes"]
    losses = task.losses(lambda features: outputs, plain)
    assert losses["loss/levels"] > 0
    losses["loss/levels"].backward()
    assert outputs.grad[:, 2:].abs().sum() > 0 and not outputs.grad[:, :2].any()


def test_masking_hides_the_shares_under_its_stripes(tmp_path, dataset):
    source, folder = layouts.load(dataset, quiet=True)
    recipe = read("small", [*QUICK, "options.level_head=cells"])
    pool = StemPool.build(source, folder, sample_rate=RATE, cache=tmp_path, quiet=True)
    model = registry.build("classifiers", "convnext", ModelSpec(RATE, 2, ("bass", "drums"), 65536), recipe.options)
    task = ClassifyTask(model, pool, pool, recipe.mixing, masks=1, disguised=1.0, equalizer_db=6.0)
    features, _, levels_db, _, shares = task.batch(task.mixer(pool, (5,)), range(8))
    plain = replace(task, disguised=0.0)
    plain_shares = plain.batch(plain.mixer(pool, (5,)), range(8))[4]
    assert levels_db.isnan().all() and plain_shares.isfinite().all()
    hidden = shares.isnan()
    assert torch.equal(shares[~hidden], plain_shares[~hidden])
    assert 0 < hidden.float().mean() < 0.3
    cells = model.cell_power(features)
    flat = (features.amax(1).amax(1) - features.amin(1).amin(1)) < 1e-6  # frames that are one value
    frames = flat.shape[-1] // cells.shape[-1]
    whole = flat.unflatten(-1, (-1, frames)).all(-1)
    assert whole.any() and hidden.all(1).all(1)[whole].all()


def test_loss_of_cells_and_levels():
    """By hand: a cell that is hidden costs nothing, a loud one more than a soft one; a quiet class more than a loud."""
    shares = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).repeat(2, 1, 1, 2)
    shares[0, :, 0, 1] = torch.nan
    power = torch.tensor([[[1.0, 1000.0]], [[1.0, 1000.0]]])
    predicted = torch.zeros(2, 2, 1, 2)
    predicted[:, 0, 0, 1] = 2.0  # surer of the loud cell
    even, sure = math.log(2), math.log1p(math.exp(-2))
    loud = 1000**0.3
    expected = (even + (even + loud * sure) / (1 + loud)) / 2
    assert float(cell_loss(predicted, shares, power)) == pytest.approx(expected, rel=1e-5)
    assert float(cell_loss(predicted, torch.full_like(shares, torch.nan), power)) == 0
    levels = torch.tensor([[-1.0, -20.0, torch.nan]])
    off = torch.tensor([[-11.0, -40.0, 0.0]])  # one and two steps of 10 dB; smooth L1 takes half of its beta, 0.2, off
    assert float(level_loss(off, levels)) == pytest.approx((0.2 * 0.9 + 1.9) / 1.2)
