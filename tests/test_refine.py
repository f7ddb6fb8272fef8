"""Refining real music: the shipped example with the bundled weights, the trunk against plain windows, resuming."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.special import logit

from stemclean import manifest
from stemclean.errors import ConfigError, SkipReason
from stemclean.models import weights
from stemclean.models.calibration import Calibration
from stemclean.models.judge import Judge
from stemclean.refine import RefineConfig, refine
from stemclean.running import Running
from stemclean.verdicts import VerdictReason

QUIET = Running(quiet=True)

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "noisy_band"


@pytest.fixture(scope="module")
def refined(tmp_path_factory):
    output = tmp_path_factory.mktemp("refined") / "refined.json"
    return refine(EXAMPLE, output, running=QUIET), output


def by_id(result):
    return {stem.id: stem for stem in result.stems}


def test_the_planted_faults_are_found(refined):
    stems = by_id(refined[0])
    for swapped, truth in (("potassium/bass", "drums"), ("potassium/drums", "bass")):
        assert stems[swapped].verdict.action == "relabel"
        assert max(stems[swapped].scores, key=stems[swapped].scores.get) == truth
    assert stems["potassium/other"].verdict.reason == "silent"
    assert [(skip.path, skip.reason) for skip in refined[0].skipped] == [("potassium/backing vocals.flac", "truncated")]
    bled, clean = (
        stems["lithium/drums"],
        [stems[f"lithium/{c}"] for c in ("vocals", "other")] + [stems["potassium/vocals"]],
    )
    assert bled.labels == ["vocals", "drums"] and bled.verdict.reason == "unclaimed_class_present"
    assert all(stem.verdict.action == "keep" for stem in clean)


def test_the_manifest_is_self_contained(refined):
    result, output = refined
    again = manifest.write(manifest.read(output), output.with_name("again.json"))
    assert again.read_bytes() == output.read_bytes()
    assert (output.parent / result.root / result.stems[0].path).exists()
    assert result.created.model.uri == weights.DEFAULT_CLASSIFIER and len(result.created.model.sha256) == 64
    assert not result.root.startswith("/")
    for stem in result.stems:
        reason = VerdictReason(stem.verdict.reason)
        assert stem.verdict.action == reason.action
        assert set(stem.labels) <= set(stem.found) <= set(result.labels)
        assert stem.claimed == [Path(stem.path).stem]  # what the dataset said is never overwritten
        if stem.verdict.reason == "silent":
            continue
        assert set(stem.scores) == set(result.labels) and -60 < stem.loudness_lufs < 0 and stem.peak_dbfs <= 0.1
        covered = sum(region.end - region.start for region in stem.regions)
        assert covered == pytest.approx(sum(end - start for start, end in stem.active), abs=0.01)
    assert all(skip.reason in {*SkipReason} for skip in result.skipped)


def test_workers_and_resuming_do_not_change_the_output(refined, tmp_path, monkeypatch):
    """One worker gives the same bytes as two; a run that is killed half way goes on and ends in the same bytes, too."""
    import stemclean.refining.listening as verb

    plain = tmp_path / "one" / "refined.json"
    refine(EXAMPLE, plain, running=Running(workers=1, quiet=True))
    judge, judged = verb._judged_or_skipped, []

    def killed(stem, *rest):
        if len(judged) == 4:
            raise KeyboardInterrupt
        judged.append(stem.id)
        return judge(stem, *rest)

    monkeypatch.setattr(verb, "_judged_or_skipped", killed)
    resumed = tmp_path / "two" / "refined.json"
    with pytest.raises(KeyboardInterrupt):
        refine(EXAMPLE, resumed, running=Running(workers=1, quiet=True))
    assert not resumed.exists()
    again = []
    monkeypatch.setattr(verb, "_judged_or_skipped", lambda stem, *rest: (again.append(stem.id), judge(stem, *rest))[1])
    refine(EXAMPLE, resumed, running=Running(workers=1, quiet=True))
    assert len(again) == 3 and not set(again) & set(judged)
    assert resumed.read_bytes() == plain.read_bytes()
    assert [path.name for path in resumed.parent.iterdir()] == ["refined.json"]
    first = json.loads(refined[1].read_text())
    second = json.loads(plain.read_text())
    for document in (first, second):
        del document["root"], document["created"]["inputs"]  # relative to where the output lies
    assert first == second


def test_the_trunk_run_once_agrees_with_plain_windows():
    """Stem means stay close, and with the margin no decision differs from the paper's windows."""
    loaded = weights.load(weights.DEFAULT_CLASSIFIER)
    judge, calibration = Judge(loaded.model), Calibration.of_card(loaded.card)
    config = RefineConfig()
    differences = []
    for path in sorted(EXAMPLE.rglob("*.ogg")):
        recording = judge.recording(path, 24.0)
        once, plain = judge(recording), judge(recording, plain=True)
        assert once.windows.shape == plain.windows.shape
        if not once.weights.any():
            continue
        means = calibration(once.pooled()), calibration(plain.pooled())
        differences.append(np.abs(means[0] - means[1]).max())
        for threshold in (config.threshold, config.claimed_threshold):
            far = np.abs(logit(means[0]) - logit(threshold)) >= config.margin
            assert np.array_equal((means[0] > threshold)[far], (means[1] > threshold)[far])
    assert len(differences) == 6
    assert np.median(differences) < 0.15  # borders of the windows see neighbours instead of zeros


def test_borderline_stems_are_judged_by_plain_windows(tmp_path):
    """With a margin that takes in every stem, the result is that of plain windows."""
    wide = refine(EXAMPLE, tmp_path / "wide.json", RefineConfig(margin=99.0), running=QUIET)
    plain = refine(EXAMPLE, tmp_path / "plain.json", RefineConfig(plain_windows=True), running=QUIET)
    assert [stem.scores for stem in wide.stems] == [stem.scores for stem in plain.stems]


def test_declared_test_stems_are_reported_on_and_never_relabelled(tmp_path):
    from stemclean import layouts

    scanned, folder = layouts.load(EXAMPLE, quiet=True)
    held_out = [stem.model_copy(update={"split": "test"}) for stem in scanned.stems if stem.track == "potassium"]
    source = tmp_path / "in.json"
    manifest.write(scanned.with_stems(held_out, root=manifest.relative_root(folder, source)), source)
    for stem in refine(source, tmp_path / "out.json", running=QUIET).stems:
        assert stem.labels == stem.claimed
        assert stem.verdict.reason == "held_out" and bool(stem.scores) == (stem.id != "potassium/other")


def test_a_trimmed_dataset_keeps_its_times(tmp_path):
    from stemclean.trim import trim

    trimmed = trim(EXAMPLE, tmp_path / "trimmed", quiet=True)
    result = by_id(refine(tmp_path / "trimmed", tmp_path / "refined.json", running=QUIET))
    for stem in trimmed.stems:
        after = result[stem.id]
        assert after.active == stem.active and after.source == stem.source  # the source's own times
        assert max(region.end for region in after.regions) <= stem.duration + 1e-3


def test_a_manifest_of_fewer_classes_than_the_weights_know(tmp_path):
    from stemclean import layouts

    scanned, folder = layouts.load(EXAMPLE, quiet=True)
    few = [stem for stem in scanned.stems if stem.id in ("sodium/drums", "rubidium/bass")]
    source = tmp_path / "in.json"
    root = manifest.relative_root(folder, source)
    data = scanned.with_stems(few, labels=["drums", "bass"], root=root, summary={"mine": 1})
    manifest.write(data.model_copy(update={"licence": "CC0"}), source)
    result = refine(source, tmp_path / "out.json", running=QUIET)
    assert manifest.read(tmp_path / "out.json").labels == result.labels == ["drums", "bass", "vocals", "other"]
    assert result.model_extra == {"licence": "CC0"}  # keys that this version does not know survive


def test_invalid_arguments_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="a claim would count against its class"):
        RefineConfig(threshold=0.2)
    with pytest.raises(ConfigError, match=r"threshold is 1\.5; it must be a number above 0 and below 1"):
        RefineConfig(threshold=1.5)
    loaded = weights.load(weights.DEFAULT_CLASSIFIER)
    spec = replace(loaded.model.spec, labels=("guitar", "kazoo", "drums", "other"))
    odd = weights.save(tmp_path / "odd.safetensors", loaded.model, {**loaded.card, "spec": spec.to_dict()})
    with pytest.raises(ConfigError, match="the weights know guitar, kazoo, drums, other, but the dataset claims bass"):
        refine(EXAMPLE, tmp_path / "x.json", weights_uri=str(odd), running=QUIET)


def test_a_bad_file_does_not_stop_the_run(tmp_path):
    (tmp_path / "song").mkdir()
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "song" / "drums.wav", rng.standard_normal((44100, 2)) * 0.1, 44100)
    broken = rng.standard_normal((44100, 2)) * 0.1
    broken[30000] = np.nan
    soundfile.write(tmp_path / "song" / "bass.wav", broken, 44100, subtype="FLOAT")
    result = refine(tmp_path, tmp_path / "refined.json", running=QUIET)
    assert [stem.id for stem in result.stems] == ["song/drums"]
    assert [(skip.path, skip.reason) for skip in result.skipped] == [("song/bass.wav", "non_finite")]
