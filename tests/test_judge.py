"""The judge: positions of windows, active seconds, bounded chunks, one trunk against plain windows."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stemclean.models import judge as judging
from stemclean.models import registry
from stemclean.models.contract import ModelSpec
from stemclean.models.judge import Judge, count_windows

RATE = 44100
SEGMENT = 131072
HOP = SEGMENT // 4


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    spec = ModelSpec(RATE, 2, ("vocals", "bass", "drums", "other"), SEGMENT)
    return registry.build(
        "classifiers",
        "convnext",
        spec,
        {"backbone": "convnext_atto", "hop_length": 1024, "n_mels": 32, "level_dbfs": -20.0},
    ).eval()


def write(path, seconds, silent=()):
    sound = np.random.default_rng(0).standard_normal((int(seconds * RATE), 2)) * 0.1
    for start, end in silent:
        sound[int(start * RATE) : int(end * RATE)] = 0
    soundfile.write(path, sound, RATE, subtype="PCM_16")
    return path


def test_silent_windows_have_no_weight(tmp_path, model):
    path = write(tmp_path / "a.wav", 20, silent=[(6, 14)])
    judgement = Judge(model)(Judge(model).recording(path, 20.0))
    starts = np.arange(len(judgement.weights)) * HOP / RATE
    inside = (starts >= 6.5) & (starts + SEGMENT / RATE <= 13.5)
    assert inside.any() and not judgement.weights[inside].any()
    assert judgement.weights[0] == pytest.approx(SEGMENT / RATE)
    loud = judgement.weights > 0
    assert np.allclose(judgement.mean(), np.average(judgement.windows[loud], axis=0, weights=judgement.weights[loud]))
    over_time = judgement.over_time()
    assert np.isnan(over_time[int(10 * RATE / HOP)]).all() and np.isfinite(over_time[0]).all()
    assert -30 < judgement.loudness_lufs < -10 and -10 < judgement.peak_dbfs < 0


def test_silence_has_no_weight_and_no_loudness(tmp_path, model):
    judgement = Judge(model)(Judge(model).recording(write(tmp_path / "a.wav", 4, silent=[(0, 4)]), 4.0))
    assert not judgement.weights.any() and not judgement.mean().any()
    assert judgement.loudness_lufs is None and judgement.peak_dbfs is None


@pytest.mark.parametrize("plain", [True, False])
def test_silence_does_not_change_the_scores(tmp_path, model, plain):
    """Only whole windows count, with equal weight; times are those of the file."""
    path = write(tmp_path / "a.wav", 20, silent=[(6, 14)])
    sound, _ = soundfile.read(path)
    soundfile.write(tmp_path / "b.wav", np.concatenate([sound[: 6 * RATE], sound[14 * RATE :]]), RATE, subtype="PCM_16")
    judge, active = Judge(model), [(0.0, 6.0), (14.0, 20.0)]
    judgement = judge(judge.recording(path, 20.0), active=active, plain=plain, joined=True)
    alone = judge(judge.recording(tmp_path / "b.wav", 12.0), active=[(0.0, 12.0)], plain=plain, joined=True)
    assert judgement.windows == pytest.approx(alone.windows, abs=1e-6)
    whole = np.arange(len(judgement.windows)) * HOP + SEGMENT <= 12 * RATE
    assert judgement.weights == pytest.approx(np.where(whole, SEGMENT / RATE, 0)) and whole.sum() == 13
    assert judgement.mean() == pytest.approx(judgement.windows[whole].mean(0))
    assert judgement.active == [(0, 6 * RATE), (14 * RATE, 20 * RATE)] and judgement.num_samples == 20 * RATE
    over_time, steps = judgement.over_time(), (np.arange(27) * HOP + HOP // 2) / RATE
    silent = (steps >= 6) & (steps < 14)
    assert len(over_time) == 27 and np.isnan(over_time[silent]).all() and silent.sum() == 11
    assert over_time[:8] == pytest.approx(alone.over_time()[:8])  # the middles of these lie before 6 s
    second = int((steps[20] - 14 + 6) * RATE) // HOP
    assert over_time[20] == pytest.approx(alone.over_time()[second])


@pytest.mark.parametrize("seconds", [0.2, 1.0, 2.9])
def test_joined_sound_shorter_than_a_window_is_one_window(tmp_path, model, seconds):
    judge = Judge(model)
    judgement = judge(judge.recording(write(tmp_path / "a.wav", 5), 5.0), active=[(1.0, 1.0 + seconds)], joined=True)
    assert judgement.weights[0] == pytest.approx(seconds, abs=1e-4) and not judgement.weights[1:].any()
    assert judgement.mean() == pytest.approx(judgement.windows[0])


@pytest.mark.parametrize("seconds", [0.2, 1.0, 2.9, 3.1, 7.0])
def test_sound_of_any_length_is_scored(tmp_path, model, seconds):
    path = write(tmp_path / "a.wav", seconds)
    for plain in (False, True):
        judgement = Judge(model)(Judge(model).recording(path, seconds), plain=plain)
        assert len(judgement.windows) == count_windows(round(seconds * RATE), HOP) >= 1
        assert np.isfinite(judgement.mean()).all() and judgement.weights.any()


def test_the_level_of_the_file_does_not_change_the_scores(tmp_path, model):
    sound, _ = soundfile.read(write(tmp_path / "a.wav", 5))
    soundfile.write(tmp_path / "b.wav", sound * 0.05, RATE, subtype="FLOAT")
    judge = Judge(model)
    loud, soft = (judge(judge.recording(tmp_path / name, 5.0)).mean() for name in ("a.wav", "b.wav"))
    assert np.allclose(loud, soft, atol=1e-3)


@pytest.mark.parametrize("held", [600.0, 0.0])
def test_chunks_join_without_a_seam(tmp_path, model, monkeypatch, held):
    """Chunks of seven windows give what one run over everything gives, from memory or decoded anew."""
    path = write(tmp_path / "a.wav", 30)
    judge = Judge(model)
    whole = judge(judge.recording(path, 30.0)).windows
    monkeypatch.setattr(judging, "CHUNK_WINDOWS", 7)
    monkeypatch.setattr(judging, "HELD_IN_MEMORY", held)
    chunked = judge(judge.recording(path, 30.0)).windows
    assert chunked.shape == whole.shape
    # The context is one segment, a little less than the deepest layers can see.
    assert np.abs(chunked - whole).max() < 2e-3


@settings(deadline=None)  # a loaded machine is no error
@given(st.lists(st.integers(0, 500), min_size=2, max_size=8, unique=True), st.integers(40, 500))
def test_active_seconds_equal_a_direct_count(cuts, num_samples):
    cuts = sorted(cuts)
    regions = [(a, min(b, num_samples)) for a, b in zip(cuts[::2], cuts[1::2], strict=False) if a < min(b, num_samples)]
    sounding = np.zeros(num_samples, bool)
    for start, end in regions:
        sounding[start:end] = True
    weights = judging._active_seconds(regions, num_samples, 10, 40, 10)
    counted = np.array([sounding[at * 10 : at * 10 + 40].sum() for at in range(len(weights))])
    enough = counted >= 0.25 * 40
    assert weights == pytest.approx(np.where(enough | ~enough.any(), counted, 0) / 10)


def test_sparse_hits_are_not_silence(tmp_path, model):
    """A hit of 0.1 s every five seconds fills no window by a quarter, and is loud all the same."""
    silent = [(5 * hit + 0.1, 5 * hit + 5.0) for hit in range(4)]
    judgement = Judge(model)(Judge(model).recording(write(tmp_path / "a.wav", 20, silent=silent), 20.0))
    assert judgement.weights.any() and (judgement.weights < 0.25 * SEGMENT / RATE).all()


def test_moments_are_scored_by_the_windows_centred_on_them():
    """Sound at the edge of a window raises the score of the whole window, although most of it is silent."""
    windows = np.array([[0.0], [0.0], [0.9], [0.9], [0.9], [0.9]])
    weights = np.array([1.0, 1.0, 1.0, 1.0, 0.0, 0.0])
    nothing = np.full((6, 1), np.nan)
    judgement = judging.Judgement(
        windows, nothing, np.ones(6), weights, [(0, 9 * HOP)], RATE, HOP, SEGMENT, 9 * HOP, None, None
    )
    # step 3 lies in the middle of windows 1 and 2; steps 0 and 6 of none that is active; steps 7 and 8 have no score
    expected = [0.0, 0.0, 0.0, 0.45, 0.9, 0.9, 0.9, np.nan, np.nan]
    assert judgement.over_time()[:, 0] == pytest.approx(expected, nan_ok=True)


def test_levels_of_a_stem_are_those_of_its_windows_by_their_power():
    """A class at -10 dB in a loud window and at -40 dB in a soft one has -10 dB less the soft one's small part."""
    windows = np.array([[1.0, 1.0], [1.0, 0.0]])
    levels = np.array([[0.0, -10.0], [0.0, -40.0]])
    judgement = judging.Judgement(
        windows, levels, np.array([0.9, 0.1]), np.ones(2), [(0, 5 * HOP)], RATE, HOP, SEGMENT, 5 * HOP, None, None
    )
    assert judgement.stem_levels() == pytest.approx([0.0, 10 * np.log10(0.09)], abs=0.01)
    over_time = judgement.levels_over_time()
    assert over_time.shape == (5, 2)
    assert over_time[0] == pytest.approx([0.0, -10.0])  # the first window alone
    assert over_time[1] == pytest.approx([0.0, 10 * np.log10(0.09)], abs=0.01)  # both
    assert over_time[4] == pytest.approx([0.0, -40.0])  # the second alone


@pytest.mark.parametrize("tells_cells", [True, False])
def test_levels_are_weighted_by_score(tells_cells):
    """A class at -10 dB of which a window is half sure: -13 dB; a model of cells means what it says."""
    model = SimpleNamespace(
        tells_cells=tells_cells, logits=lambda outputs: outputs[..., :1], levels_db=lambda outputs: outputs[..., 1:]
    )
    levels_db = judging.levels_of(model, torch.tensor([[0.0, -10.0]]))
    assert float(levels_db) == pytest.approx(-10 if tells_cells else -13.01, abs=0.01)


def test_without_a_level_head_there_are_no_levels(tmp_path, model):
    judgement = Judge(model)(Judge(model).recording(write(tmp_path / "a.wav", 5), 5.0))
    assert np.isnan(judgement.stem_levels()).all() and np.isnan(judgement.levels_over_time()).all()
    assert np.allclose(10 * np.log10(judgement.power[:2]), -20, atol=0.2)  # white noise at 0.1 RMS
