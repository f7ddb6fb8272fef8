"""F0Track: resampling keeps the voice, and invalid values are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemclean.audio.f0 import F0Track
from stemclean.errors import ConfigError

GLIDE = F0Track.of(220.0 * 2 ** (np.arange(100) / 100), hop=0.01, start=0.02)  # an octave in a second


def sung(f0_hz: list[float], **grid: float) -> F0Track:
    return F0Track.of(np.array(f0_hz), grid.pop("hop", 0.02), grid.pop("start", 0.0))


class TestGrid:
    def test_frame_times_equal_those_of_the_text_file(self) -> None:
        times = sung([0.0] * 1000, hop=0.01, start=0.02).times
        assert times.tolist() == [float(f"{0.02 + 0.01 * frame:.2f}") for frame in range(1000)]

    def test_the_same_grid_changes_nothing(self) -> None:
        trusted = F0Track(GLIDE.f0_hz, GLIDE.voicing, 0.01, 0.02, np.linspace(0, 1, 100))
        again = trusted.resampled(0.01, 0.02)
        assert again.f0_hz.tolist() == trusted.f0_hz.tolist()
        assert again.voicing.tolist() == trusted.voicing.tolist()
        assert again.confidence is not None and trusted.confidence is not None
        assert again.confidence.tolist() == trusted.confidence.tolist()

    @given(hop=st.floats(0.001, 0.05), start=st.floats(0.02, 0.5))
    def test_a_glide_stays_a_glide(self, hop: float, start: float) -> None:
        """A straight line of log-frequency is drawn exactly, whatever the grid; 1e-9 is for the arithmetic."""
        moved = GLIDE.resampled(hop, start)
        inside = moved.times <= GLIDE.times[-1]
        truth = 220.0 * 2 ** ((moved.start + hop * np.arange(moved.num_frames) - 0.02) / 1.0)
        assert moved.f0_hz[inside] == pytest.approx(truth[inside], rel=1e-9)
        assert moved.voiced.all()

    def test_pauses_are_not_interpolated(self) -> None:
        finer = sung([200.0, 0.0, 400.0], hop=0.04).resampled(0.01)
        assert finer.f0_hz.tolist() == [200.0, 200.0, 200.0, 0.0, 0.0, 0.0, 0.0, 400.0, 400.0, 400.0]
        assert (finer.voicing > 0).tolist() == finer.voiced.tolist() == (finer.f0_hz > 0).tolist()

    def test_frames_outside_the_label_are_unknown(self) -> None:
        sure = F0Track(np.array([300.0, 300.0]), np.ones(2), 0.02, 0.1, np.ones(2))
        wide = sure.resampled(0.02, 0.06, 6)
        assert wide.f0_hz.tolist() == [0.0, 0.0, 300.0, 300.0, 0.0, 0.0]
        assert wide.confidence is not None
        assert wide.confidence.tolist() == [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]
        assert sure.resampled(0.02, 5.0, 2).f0_hz.tolist() == [0.0, 0.0]
        assert sung([]).resampled(0.01, 0.0, 3).voicing.tolist() == [0.0] * 3

    def test_unvoiced_guesses_stay_unvoiced(self) -> None:
        guessed = F0Track(np.array([100.0, 100.0, 100.0]), np.array([1.0, 0.0, 1.0]), 0.01)
        assert guessed.voiced.tolist() == [True, False, True]
        assert guessed.resampled(0.005).voiced.tolist() == [True, True, False, False, True]


def test_cents_are_relative_to_ten_hertz() -> None:
    assert sung([10.0, 20.0, 440.0, 0.0]).cents() == pytest.approx([0.0, 1200.0, 1200 * np.log2(44), 0.0], abs=1e-9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"f0_hz": np.array([100.0, -1.0])}, "f0_hz of frame 1 is -1, must be 0 or more"),
        ({"f0_hz": np.array([np.nan, 1.0])}, "f0_hz of frame 0 is nan"),
        ({"voicing": np.array([0.0, 1.5])}, r"voicing of frame 1 is 1.5, must be in \[0, 1\]"),
        ({"confidence": np.array([0.5])}, "confidence has shape"),
        ({"hop": 0.0}, "a hop of 0 s"),
    ],
)
def test_invalid_arguments_are_refused(changes: dict[str, object], message: str) -> None:
    whole: dict[str, object] = {"f0_hz": np.array([1.0, 2.0]), "voicing": np.ones(2), "hop": 0.01}
    with pytest.raises(ConfigError, match=message):
        F0Track(**{**whole, **changes})  # type: ignore[arg-type]
