"""How loud a trainer's chunk of a stem can be, told blockwise."""

from __future__ import annotations

import numpy as np
import pytest

from stemclean.layouts import zfturbo

CHUNK = 4000


@pytest.mark.parametrize("num_samples", [5 * CHUNK + 77, CHUNK + 1, CHUNK, CHUNK // 3])
def test_the_loudest_chunk_is_a_lower_bound_close_to_the_truth(num_samples: int) -> None:
    random = np.random.default_rng(0)
    sound = (random.standard_normal((2, num_samples)) * np.linspace(0.1, 1, num_samples)).astype(np.float32)
    heard = zfturbo.listen(np.split(sound, [100, 101, 900], axis=1), CHUNK, 0.1)
    padded = np.pad(np.abs(sound).mean(0), (0, max(0, CHUNK - num_samples)))
    means = np.convolve(padded, np.ones(CHUNK) / CHUNK, "valid")
    assert 0.98 * means.max() <= heard.loudest <= means.max() * (1 + 1e-9)  # a chunk slides in steps of 1 %
    assert heard.loud_share == pytest.approx((means >= 0.1).mean(), abs=0.02)
