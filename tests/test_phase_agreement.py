"""Stems that a separator made are recognised by the phases that they share; bleed is not taken for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy import ndimage, signal

from stemclean import refine
from stemclean.audio.crosstalk import BLOCK, Measured, measure
from stemclean.running import Running

EXAMPLE = Path(__file__).parents[1] / "examples" / "noisy_band"
RATE = 44100
SOUNDS = {"vocals": "potassium/vocals.ogg", "drums": "potassium/bass.ogg", "other": "lithium/other.ogg"}
"""Class -> a file that holds it, whatever its name says."""


@pytest.fixture(scope="module")
def recorded() -> list[np.ndarray]:
    """Real stems of equal power. Shape: (channel, time)"""
    stems = [soundfile.read(EXAMPLE / path, dtype="float32", always_2d=True)[0].T for path in SOUNDS.values()]
    return [0.1 * stem / float(np.sqrt(np.square(stem).mean())) for stem in stems]


def separated(stems: list[np.ndarray], seed: int = 1) -> list[np.ndarray]:
    """Stems that a separator with imperfect masks makes from the mixture of stems."""
    rng = np.random.default_rng(seed)
    mixture = signal.stft(sum(stems), nperseg=2048)[2]
    powers = [ndimage.gaussian_filter(np.abs(signal.stft(stem, nperseg=2048)[2]) ** 2, (0, 1, 1)) for stem in stems]
    errors = [ndimage.gaussian_filter(rng.standard_normal(power.shape), (0, 1.5, 1.5)) for power in powers]
    masks = [power * np.exp(2 * error) for power, error in zip(powers, errors, strict=True)]
    total = np.sum(masks, axis=0) + 1e-12
    sounds = [signal.istft(mixture * mask / total, nperseg=2048)[1] for mask in masks]
    return [sound[:, : stems[0].shape[1]].astype(np.float32) for sound in sounds]


def measured(stems: list[np.ndarray]) -> Measured:
    step = round(BLOCK * RATE)

    def blocks(stem: np.ndarray) -> Callable[[], object]:
        return lambda: iter([stem[:, start : start + step] for start in range(0, stem.shape[1], step)])

    return measure([blocks(stem) for stem in stems], RATE)  # type: ignore[list-item]


def test_stems_from_one_mixture_are_recognised_and_claim_no_bleed(recorded: list[np.ndarray]) -> None:
    result = measured(separated(recorded))
    assert {(0, 1), (0, 2), (1, 2)} == set(result.separated)
    assert result.bleeds == []


@pytest.mark.parametrize(("gain", "mutual"), [(0.0, False), (0.3, False), (0.03, True), (0.3, True)])
def test_recordings_and_their_bleed_are_not_taken_for_it(gain: float, mutual: bool, recorded: list[np.ndarray]) -> None:
    one, other, third = recorded
    result = measured([one + gain * other, other + gain * mutual * one, third])
    assert result.separated == {}


def test_refine_reports_it_and_a_second_run_withdraws_it(recorded: list[np.ndarray], tmp_path: Path) -> None:
    folder = tmp_path / "stems" / "song"
    folder.mkdir(parents=True)
    for label, stem in zip(SOUNDS, separated(recorded), strict=True):
        soundfile.write(folder / f"{label}.wav", stem.T, RATE)
    quiet = Running(quiet=True)
    found = refine.refine(tmp_path / "stems", tmp_path / "refined.json", running=quiet)
    issues = {stem.id: issue for stem in found.stems for issue in stem.issues if issue.code == "separated"}
    assert len(issues) == 3 and all(0.45 <= issue.score <= 1 for issue in issues.values())
    assert "song/drums" in issues["song/vocals"].detail or "song/other" in issues["song/vocals"].detail
    assert not any(stem.crosstalk for stem in found.stems)
    for label, stem in zip(SOUNDS, recorded, strict=True):
        soundfile.write(folder / f"{label}.wav", stem.T, RATE)
    again = refine.refine(tmp_path / "stems", tmp_path / "refined.json", running=quiet)
    assert not [issue for stem in again.stems for issue in stem.issues if issue.code == "separated"]
