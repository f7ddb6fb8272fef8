"""Write ``segments.json``: the results of sed_eval, by the metrics' authors, on random recordings.

    python -m venv sed && sed/bin/pip install sed_eval "setuptools<80"
    sed/bin/python tests/golden/segments.py

sed_eval 0.2.1 brings half a gigabyte of packages, so its answers are kept and not the program.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

LABELS = ["vocals", "bass", "drums", "other"]
RECORDINGS = 6


def spans(chance: random.Random, duration: float) -> dict[str, list[list[float]]]:
    drawn = {}
    for label in LABELS:
        edges = sorted(round(chance.uniform(0, duration), 2) for _ in range(2 * chance.randrange(0, 4)))
        drawn[label] = [[a, b] for a, b in zip(edges[::2], edges[1::2]) if a < b]  # noqa: B905 - also old Pythons
    return drawn


def events(drawn: dict[str, list[list[float]]]) -> list[dict[str, object]]:
    return [
        {"event_label": label, "event_onset": start, "event_offset": end}
        for label, held in drawn.items()
        for start, end in held
    ]


def main() -> None:
    import sed_eval

    chance = random.Random(1)
    metrics = sed_eval.sound_event.SegmentBasedMetrics(event_label_list=LABELS, time_resolution=1.0)
    recordings = []
    for _ in range(RECORDINGS):
        duration = round(chance.uniform(8, 40), 2)
        truth, estimate = spans(chance, duration), spans(chance, duration)
        metrics.evaluate(events(truth), events(estimate), evaluated_length_seconds=duration)
        recordings.append({"duration": duration, "truth": truth, "estimate": estimate})
    results = metrics.results()
    wise = {label: results["class_wise"][label]["f_measure"] for label in LABELS}
    golden = {
        "by": "sed_eval 0.2.1",
        "recordings": recordings,
        "class_wise": wise,
        "overall": results["overall"]["f_measure"],
        "average": results["class_wise_average"]["f_measure"],
    }
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(golden, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
