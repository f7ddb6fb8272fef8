"""The columns of csv are those of cleanlab."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from export_dataset import LABELS, Dataset, tone

from stemclean.export import export

classification = pytest.importorskip("cleanlab.classification", reason="cleanlab is not installed")
linear = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is not installed")
pandas = pytest.importorskip("pandas", reason="pandas is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # of other packages


def test_the_columns_have_the_names_and_meanings_of_cleanlab(tmp_path: Path) -> None:
    data = Dataset(tmp_path / "stems")
    for label in LABELS:
        data.add(f"song/{label}.wav", [label])
    data.add("song/drums_2.wav", ["bass"], tone(77), verdict=("relabel", "other_class_found"))
    report = export(data.write(), "csv", tmp_path / "out", quiet=True)
    table = pandas.read_csv(report.files[0])
    rng = np.random.default_rng(0)
    features, given = rng.normal(size=(40, 2)), np.repeat([0, 1], 20)
    features[given == 1] += 6
    given[0] = 1
    theirs = classification.CleanLearning(linear.LogisticRegression(), seed=0).find_label_issues(features, given)
    shared = ["is_label_issue", "label_quality", "given_label"]
    assert set(shared) <= set(theirs.columns) and set(shared) <= set(table.columns)
    for column in ("is_label_issue", "label_quality"):
        assert table[column].dtype == theirs[column].dtype
    assert bool(theirs["is_label_issue"][0]) and theirs["label_quality"].between(0, 1).all()
    assert table[table["is_label_issue"]]["given_label"].tolist() == ["drums"]
