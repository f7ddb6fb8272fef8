"""The benchmark of separators: its training sets, its measurements, and the negative findings of its page."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import soundfile

from benchmarks.pages import separation as page
from benchmarks.resumable import Runs
from benchmarks.self_refining.planting import HALF_AND_HALF, Planted
from benchmarks.self_refining.trials import recipe_of as classifier_recipe
from benchmarks.separation import __main__ as command
from benchmarks.separation import songs
from benchmarks.separation.labelling import RULES, Labelling
from benchmarks.separation.rows import PARTS, ROWS, Row, tasks
from benchmarks.separation.running import Bench
from stemclean import manifest as manifests
from stemclean.errors import ConfigError
from stemclean.evaluate_separation import evaluate_separation

RATE = 44100
TINY = [
    "spec.sample_rate=8000",
    "spec.segment=4096",
    "options.n_fft=256",
    "options.hop_length=128",
    "options.hidden=8",
    "options.bandwidth_hz=4000.0",
    "validation_share=0.3",
    "loop.batch_size=4",
    "loop.precision=no",
]


def sounds(rng: np.random.Generator, seconds: float) -> dict[str, np.ndarray]:
    """A low tone, noise bursts and a high one, each at another level."""
    time = np.arange(round(seconds * RATE)) / RATE
    bursts = rng.standard_normal(len(time)) * (np.sin(2 * np.pi * 2 * time) > 0)
    return {
        "bass": 0.2 * np.sin(2 * np.pi * rng.uniform(60, 120) * time),
        "drums": 0.1 * bursts,
        "vocals": 0.05 * np.sin(2 * np.pi * rng.uniform(600, 900) * time),
    }


def write_songs(folder, names, seconds=6.0):
    rng = np.random.default_rng(len(names))
    for name in names:
        for label, sound in sounds(rng, seconds).items():
            (folder / name).mkdir(parents=True, exist_ok=True)
            soundfile.write(folder / name / f"{label}.flac", np.stack([sound, sound], 1), RATE)
    return folder


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted")
    return Planted(write_songs(folder / "songs", [f"song{n}" for n in range(6)]), folder / "work", HALF_AND_HALF, 1)


@pytest.fixture(scope="module")
def heldout(tmp_path_factory):
    folder = write_songs(tmp_path_factory.mktemp("held"), ["real__a", "sung__b", "sung__c"], 4.0)
    late = np.zeros((6 * RATE, 2))
    late[5 * RATE :] = 0.3
    for label in ("bass", "drums"):
        soundfile.write(folder / "real__a" / f"{label}.flac", late * np.sin(np.arange(len(late)) * 0.05)[:, None], RATE)
    return folder


def labelling(planted, refined=None):
    return Labelling(planted, classifier_recipe("small", 64), refined)


def test_seeds_of_a_part_are_consecutive():
    order = [(seed, row.name) for _, seed, row in tasks(["a"], [5], 2)]
    assert {faults for faults, _, _ in tasks(["a"], [5], 2)} == {5}
    assert order == [(seed, name) for seed in (0, 1) for name in ("clean", "noisy", "refined2", "masked")]
    assert set(ROWS) == set(PARTS)
    names = [(row.model, row.name) for rows in ROWS.values() for row in rows]
    assert len(set(names)) == len(names)  # a run is found again by its name


@pytest.mark.parametrize(
    "row", [row for rows in ROWS.values() for row in rows], ids=lambda row: f"{row.model}-{row.name}"
)
def test_every_row_sees_the_same_number_of_mixtures(row):
    recipes = row.recipes(512, seed=3)
    assert sum(recipe.loop.examples for recipe in recipes) == 512
    assert all(recipe.seed == 3 for recipe in recipes)
    name = row.name.removeprefix("true-")
    shares = {"single": [0.0], "single-then-multi": [0.0, 0.4]}.get(name, [0.4])
    assert recipes[-1].mixing.whole_stems == (name in {"whole", "single-then-multi"})
    assert [recipe.mixing.multi_label_probability for recipe in recipes] == shares
    assert {recipe.loss.robust for recipe in recipes} == {row.name if row.name in page.ROBUST else "none"}


def test_a_song_is_cut_where_most_stems_are_active(heldout, tmp_path):
    test = songs.cut(heldout, tmp_path, 2.0)
    assert test.counts == {"songs": 3, "real": 1, "stems": 9, "seconds": 2.0}
    for track in ("real__a", "sung__b"):
        parts = [soundfile.read(path)[0] for path in sorted((test.references / track).iterdir())]
        mixture, rate = soundfile.read(test.mixtures / f"{track}.wav")
        whole = np.zeros_like(mixture)
        for part in parts:
            whole[: len(part)] += part
        # 16 bits of each of three stems
        np.testing.assert_allclose(mixture, whole, atol=3 / 32768)
        assert (len(mixture), rate) == (2 * RATE, RATE)
    # the last second is the only one in which its bass and drums sound
    assert np.abs(soundfile.read(test.references / "real__a" / "bass.flac")[0]).max() > 0.2
    again = songs.cut(heldout, tmp_path, 2.0)
    assert again == test


def test_scores_are_averaged_like_evaluate(heldout, tmp_path):
    test, rng = songs.cut(heldout, tmp_path, 2.0), np.random.default_rng(0)
    for path in sorted(test.references.glob("*/*.flac")):
        sound, rate = soundfile.read(path)
        target = tmp_path / "estimates" / path.parent.name / f"{path.stem}.wav"
        target.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(target, sound + rng.uniform(0.01, 0.1) * rng.standard_normal(sound.shape), rate)
    report = evaluate_separation(
        test.references, tmp_path / "estimates", tmp_path / "scores", metrics=songs.SHOWN, quiet=True
    )
    scores = songs.scores(report["tracks"])
    for key, values in report["scores"].items():
        assert scores["all"][key] == pytest.approx(values, abs=1e-4)  # four decimals
    (real,) = [track for track in report["tracks"] if track["track"] == "real__a"]
    assert scores["real"]["sdx23_sdr_db"]["drums"] == pytest.approx(real["scores"]["sdx23_sdr_db"]["drums"], abs=1e-4)
    assert set(scores) == {"all", "real", "rendered"}


def test_only_the_true_labels_are_correct(planted):
    labels = labelling(planted)
    assert labels.classifier("claimed") is None
    assert labels.classifier("refined2") == {"recipe": "small", "examples": 64}
    assert labels.quality("true")["labels"]["exact_match"] == 1.0
    claims = labels.quality("claimed")
    # 3 of 18 stems are swapped, 3 hold a second one (15 % of 18 is 2.7)
    assert claims["labels"]["exact_match"] == pytest.approx(12 / 18, abs=1e-5)
    assert claims["alone"]["stems"] == 18
    assert labels.quality("true")["alone"]["stems"] == 15


def test_rounds_of_other_sounds_are_refused(planted, tmp_path):
    stems = planted.truth.stems
    other = planted.truth.with_stems([stems[0].model_copy(update={"sha256": "0" * 64}), *stems[1:]])
    manifests.write(other, tmp_path / "round2.manifest.json")
    with pytest.raises(ConfigError, match="not of the planted dataset"):
        labelling(planted, tmp_path).path("refined2")
    manifests.write(planted.truth, tmp_path / "round2.manifest.json")
    assert labelling(planted, tmp_path).path("refined2") == tmp_path / "round2.manifest.json"


def test_rules_equal_the_papers():
    assert {RULES["paper"].threshold, RULES["paper"].claimed_threshold} == {0.9}
    assert {RULES["0.5"].threshold, RULES["0.5"].claimed_threshold} == {0.5}
    assert RULES["adaptive"].threshold == "adaptive"


def test_a_row_is_trained_and_scored(planted, heldout, tmp_path):
    test = songs.cut(heldout, tmp_path, 2.0)
    bench = Bench(test, {"xumx": 16}, TINY)
    rows = [Row("noisy", "claimed"), Row("half", "true", overrides=("mixing.multi_label_probability=0.0",), then=())]
    for row in rows:
        run = bench.run(row, labelling(planted), 3)
        assert run["examples"] == 16
        assert run["classifier"] is None
        assert run["failures"] == []
        assert set(run["scores"]["all"]["bsseval_v4_sdr_db"]) == {"bass", "drums", "vocals", "average"}
        assert set(run["seconds"]) == {"label", "train", "separate", "evaluate"}
        assert len(run["songs"]) == 3
    assert not list(planted.work.rglob("*.estimates"))


def test_a_result_keeps_only_runs_of_the_same_settings(tmp_path):
    def settings(*words):
        return command.settings_of(command.parsed(["SET", "HELDOUT", str(path), *words]))

    path = tmp_path / "out.json"
    Runs(path, settings()).add({"name": "clean"})
    more = Runs(path, settings("--part", "c")).result
    assert set(more["settings"]["recipes"]) == {"xumx", "hdemucs", "band-split"}
    assert more["runs"] == [{"name": "clean"}]
    for words in (["--songs", "7"], ["--examples", "99"], ["--set", "loop.batch_size=3"]):
        with pytest.raises(SystemExit, match="other settings"):
            Runs(path, settings(*words))


def run(name: str, seed: int, average: float, examples: int = 0, model: str = "xumx"):
    scores = {key: {"average": average, "vocals": average, "drums": average} for key in page.METRICS}
    quality = {"labels": {}, "trained_on": {"stems": 9, "right": 0.7}, "alone": {"stems": 8, "right": 0.8}}
    return {
        "model": model,
        "name": name,
        "seed": seed,
        "faults": 0,
        "classifier": {"recipe": "small", "examples": examples} if examples else None,
        "scores": {kind: copy.deepcopy(scores) for kind in ("all", "real", "rendered")},
        "labels": quality,
        "parameters": 10**6,
        "examples": 512,
    }


def result(**averages: float):
    runs = [
        run(name, seed, average + wobble, 1024 if name.startswith("refined") else 0)
        for name, average in averages.items()
        for seed, wobble in enumerate((0.0, 0.01, -0.01))
    ]
    recipe = {**ROWS["a"][0].recipes(512, 0)[0].to_dict(), "overrides": ["loop.validations=1"]}
    settings = {"noise": HALF_AND_HALF.to_dict(), "bleed_db": [-10, 0], "recipes": {"xumx": recipe}}
    data = {
        "trained": {"stems": 9, "songs": 3, "minutes": 2.0},
        "test": {"songs": 3, "real": 1, "stems": 9, "seconds": 2.0},
    }
    return {"settings": settings, "runs": runs, "data": data, "labels": ["vocals", "drums"], "command": "python"}


def test_the_page_says_how_much_of_the_gap_is_closed():
    text = "\n".join(page.section(result(clean=4.0, noisy=2.0, refined2=3.5, masked=2.5)))
    assert "which closes 75 % of the gap to true labels (by seed: 75 %, 75 %, 75 %). Goal, 64 %: reached" in text
    assert "is better than claims with masked loss: reached, +1.00 ± 0.00 dB" in text
    assert "--part a" in text


def test_the_page_shows_how_labels_were_made():
    arguments = command.parsed(["SET", "HELDOUT", "out.json"])
    arguments.refined = {0: "x.work"}
    lines = page.commands({**result(clean=4.0), "command": command.command_of(arguments)}).splitlines()
    assert [line.split()[-1] for line in lines] == ["FOLDER", "REFINED.json", "a", "benchmarks.page"]
    assert "--plant-only" in lines[0]
    assert "--refined 0=REFINED.work" in lines[2]


def test_the_page_says_no_if_the_goal_is_missed():
    text = "\n".join(page.section(result(clean=4.0, noisy=2.0, refined2=2.2, masked=2.5)))
    assert "10 % of the gap" in text
    assert "Goal, 64 %: **not reached**" in text
    assert "is better than claims with masked loss: **not reached**, -0.30 ± 0.00 dB" in text


def test_without_a_gap_the_page_decides_nothing():
    text = "\n".join(page.section(result(clean=2.0, noisy=2.1, refined2=2.2)))
    assert "there is **no gap** to close" in text
    assert "Goal, 64 %" not in text
    unsure = result(clean=2.0, noisy=1.9, refined2=2.0)
    for seed, (entry, average) in enumerate(zip(unsure["runs"], (1.0, 3.0, 2.0), strict=False)):
        unsure["runs"][seed] = run("clean", entry["seed"], average)
    assert "Goal, 64 %: **undecided**" in "\n".join(page.section(unsure))


def test_the_plot_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    runs = page.runs_of(result(clean=4.0, noisy=2.0, refined2=3.5), "xumx")
    first = page.plot(runs, tmp_path / "one.svg").read_bytes()
    assert first == page.plot(runs, tmp_path / "two.svg").read_bytes()
    assert b"refined twice" in first


def test_rows_are_selected_by_name(capsys):
    assert command.parsed(["SET", "HELDOUT", "OUT.json", "--row", "noisy"]).row == ["noisy"]
    with pytest.raises(SystemExit):
        command.parsed(["SET", "HELDOUT", "OUT.json", "--row", "truncated"])  # of part b
    assert "known: clean, masked, noisy, refined2" in capsys.readouterr().err


def several(**averages: float):
    made = result(**averages)
    for run in made["runs"]:
        run["data"] = {"hours": {"vocals": 0.5, "drums": 0.25}, "hours_of_several": 0.1}
        if run["name"] in page.SEVERAL["refined"]:
            run["classifier"] = {"recipe": "small", "examples": 1024}
    return {**made, "command": "python -m benchmarks.separation SET HELDOUT OUT.json --seeds 3 --row whole"}


def test_stems_of_several_classes_are_compared_on_labels_of_one_kind():
    text = page.stems_section(several(**{"clean": 4.0, "true-whole": 4.5, "refined2": 3.0, "single": 2.0}))
    page_text = "\n\n".join(text)
    of_true, of_refined = page_text.split("### On refined labels")
    assert "as a whole, as in the paper, compared with cutting: +0.50 ± 0.00 dB" in of_true
    assert "left out, compared with cutting: -1.00 ± 0.00 dB" in of_refined
    assert "classifiers trained on 1 024 mixtures. Of the 9 stems that are trained on, 70 % have exactly" in of_refined
    command = text[-1].splitlines()[3]
    assert command.endswith("--part a --part d --part e --row clean --row true-whole --row refined2 --row single")
    assert " FEW HELDOUT OUT.json --seeds 3 --part" in command


def test_unused_labels_are_not_shown():
    text = "\n".join(page.stems_section(several(**{"clean": 4.0, "true-whole": 4.5})))
    assert "On true labels" in text and "On refined labels" not in text
