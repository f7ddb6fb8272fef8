"""A small judged dataset whose names are as nasty as file names can be, for the tests of the report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from export_dataset import Dataset, tone

from stemclean.manifest import Crosstalk, Issue, Region, Span, Verdict

NASTY = (
    "Q\"uote's & <b>bold<",
    "<img src=x onerror=document.title='run'>",
    "עברית 🎸 \u202etxt",
    "esc\x1b[31mred",
    "</script><script>document.title='run'<",
)
"""Names of tracks."""
SECONDS = 20.0


def nasty_dataset(folder: Path) -> Path:
    """Write five tracks with one flagged stem each, and five stems that are fine; return the manifest."""
    data = Dataset(folder / "stems")
    for number, name in enumerate(NASTY):
        sound = tone(200.0 + 50 * number, SECONDS)
        sound[:, : sound.shape[1] // 2] *= 0.05  # the second half is louder
        data.add(f"{name}/bass.wav", ["drums"], sound, verdict=("relabel", "other_class_found"))
        data.add(f"{name}/vocals.wav", ["vocals"])
        flagged, fine = data.stems[-2:]
        flagged.verdict = Verdict(action="relabel", reason="other_class_found", label_quality=number / 100)
        flagged.found, flagged.scores = ["drums"], {"vocals": 0.1, "bass": 0.2, "drums": 0.98, "other": 0.01}
        flagged.regions = [
            Region(start=0, end=10, labels=["drums"], levels_db={"drums": -1.0}),
            Region(start=10, end=20, labels=["bass", "drums"], levels_db={"bass": -20.0, "drums": -0.1}),
        ]
        flagged.crosstalk = [
            Crosstalk(
                stem=f"{name}/drums", label="drums", level_db=-9.0, delay=0.0,
                spans=[Span(start=10, end=18, level_db=-6.0)],
            )
        ]  # fmt: skip
        fine.found, fine.verdict = ["vocals"], Verdict(action="keep", reason="as_claimed", label_quality=0.97)
    data.stems[0].issues = [Issue(code="clipping", severity="warning", detail=f"<i>{NASTY[1]}")]
    return data.write()


def silence() -> np.ndarray:
    return np.zeros((2, 8000), np.float32)
