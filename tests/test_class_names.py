"""One rule for the names of classes from any source, because they become file names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from stemclean import manifest
from stemclean.errors import ConfigError, ManifestError, WeightsError
from stemclean.labels import class_names, known_as, scanned_for
from stemclean.models import registry, weights
from stemclean.models.contract import ModelSpec
from stemclean.train_separator import train_separator

RIGHT = ("vocals", "lead vocals", "guitar (el.)", "808", "R&B", "Gesang", "ボーカル", "drums+bass", "a.b", "x" * 100)
WRONG = (
    "", "bass/../bass", "../x", "/etc/x", "a/b", "a\\b", ".", "..", ".hidden", " ", " bass", "bass ", "a\0b", "a\nb",
    "a\x1b[31m", "a\u202eb", "a\u200bb", "\ud800", "a\x7f", "x" * 101, "é" * 51,
)  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_ordinary_class_names_are_accepted(name: str, tmp_path: Path) -> None:
    assert class_names.checked(name) == name
    (tmp_path / f"{name}.flac").touch()
    assert [path.stem for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", WRONG)
class TestRefused:
    """In a flag, a manifest, a card."""

    def test_invalid_class_option(self, name: str, tmp_path: Path) -> None:
        for profile in (scanned_for, known_as):
            with pytest.raises(ConfigError, match="cannot be the name of a class: it ") as caught:
                profile(["vocals", name])
            assert caught.value.hint
        with pytest.raises(ConfigError, match="cannot be the name of a class"):
            train_separator(tmp_path, tmp_path / "w.safetensors", labels=["vocals", name])

    def test_invalid_class_in_a_manifest(self, name: str, tmp_path: Path) -> None:
        path = tmp_path / "m.json"
        document = {"schema": manifest.SCHEMA, "created": {"by": "", "command": ""}, "labels": ["vocals", name]}
        path.write_text(json.dumps(document))
        with pytest.raises(ManifestError, match=r"labels\[1\]|lone surrogate"):
            manifest.read(path)

    def test_invalid_class_in_a_card(self, name: str, tmp_path: Path) -> None:
        """``separate`` writes each class to a file of its name."""
        spec = {**ModelSpec(16000, 1, ("vocals",), 16000).to_dict(), "labels": [name]}
        options = {"hop": 160, "capacity": 1}
        card = {"format": weights.FORMAT, "kind": "pitch", "architecture": "crepe", "spec": spec, "options": options}
        path = tmp_path / "w.safetensors"
        save_file({"x": torch.zeros(1)}, path, {"card": json.dumps(card)})
        with pytest.raises(WeightsError, match=r"its card is invalid: spec\.labels: .* the name of a class"):
            weights.load(path, kind="pitch")

    def test_invalid_class_in_a_recipe_or_an_argument(self, name: str) -> None:
        with pytest.raises(ConfigError, match=r"spec\.labels: "):
            registry.build("pitch", "crepe", ModelSpec(16000, 1, (name,), 16000), {"hop": 160, "capacity": 1})


def test_classes_of_regions_are_those_of_the_manifest() -> None:
    stem = {
        "id": "a", "track": "a", "path": "a.wav", "sha256": "0" * 64, "sample_rate": 8000, "channels": 1,
        "num_samples": 8000, "claimed": [], "labels": [], "regions": [{"start": 0, "end": 1, "labels": ["a/b"]}],
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"stems\[0\]\.regions\[0\]\.labels: \"a/b\" is not among the labels"):
        manifest.Manifest(created={"by": "", "command": ""}, labels=["vocals"], stems=[stem])
