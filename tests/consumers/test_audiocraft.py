"""AudioCraft's own dataset draws from what is exported for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bare_modules import bare
from export_dataset import HZ, LABELS, RATE, Dataset, tone

from stemclean.export import export

audio_dataset = bare("audiocraft.data.audio_dataset", "audiocraft")
pytestmark = pytest.mark.filterwarnings("ignore")  # of other packages


def test_files_are_drawn_by_quality_and_length(tmp_path: Path) -> None:
    data = Dataset(tmp_path / "stems")
    for label in LABELS:
        data.add(f"song/{label}.flac", [label])
    data.add("song/drums_2.flac", ["bass"], tone(77, seconds=4), verdict=("relabel", "other_class_found"))
    data.add("test/drums.flac", ["drums"], split="test")
    data.add("loud/bass_2.wav", ["bass"], tone(66, peak=1.5, channels=1), subtype="FLOAT")
    for place, quality in ((0, 0.9), (1, 0.0), (4, 0.2)):
        stem = data.stems[place]
        verdict = stem.verdict.model_copy(update={"label_quality": quality})  # type: ignore[union-attr]
        data.stems[place] = stem.model_copy(update={"verdict": verdict})
    report = export(data.write(), "audiocraft", tmp_path / "out", sample_rate=RATE, quiet=True)
    assert list(report.extra["next"]) == ["datasource.train", "datasource.evaluate"]
    drawn = audio_dataset.AudioDataset.from_meta(
        report.extra["next"]["datasource.train"], segment_duration=1.0, sample_rate=RATE, channels=2, return_info=True
    )
    by_name = {Path(meta.path).name.split(".")[0]: meta for meta in drawn.meta}
    weights = {"vocals": 0.9, "bass": 0.001, "drums": 0.5, "other": 0.5, "drums_2": 0.8}
    assert {name: by_name[name].weight for name in weights} == weights
    assert by_name["drums"].amplitude == pytest.approx(0.2, abs=1e-3)
    assert max(meta.amplitude for meta in drawn.meta) <= 1.0
    shares = drawn.sampling_probabilities / drawn.sampling_probabilities.sum()
    assert float(shares[[Path(meta.path).name[:7] == "drums_2" for meta in drawn.meta].index(True)]) == pytest.approx(
        0.8 * 4 / sum(meta.weight * meta.duration for meta in drawn.meta)
    )
    sound, info = drawn[0]
    assert tuple(sound.shape) == (2, RATE) and info.meta in drawn.meta
    held = audio_dataset.AudioDataset.from_meta(
        report.extra["next"]["datasource.evaluate"], channels=2, sample_rate=RATE
    )
    np.testing.assert_allclose(held[0].numpy(), tone(HZ["drums"] + 7 * 5), atol=1e-3)
