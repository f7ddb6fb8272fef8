"""Five hundred random faults in the header and card of a file: the weights are refused by name, or are usable."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from safetensors.torch import save
from typer.testing import CliRunner

from benchmarks.robustness import library
from benchmarks.robustness.text_faults import json_text, json_with_faults, text_damaged
from stemclean.cli import app
from stemclean.errors import WeightsError
from stemclean.models import registry, weights
from stemclean.models.contract import ModelSpec

FAULTS = 500


@pytest.fixture(scope="module")
def whole() -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """Header, card and tensors of a small tracker, with all that the card of bundled weights says."""
    path, _ = weights.resolve("bundled:atto.v4")
    card = weights.read_card(path)
    card["history"], card["reference"]["stems"] = card["history"][:1], card["reference"]["stems"][:5]
    spec, options = ModelSpec(16000, 1, ("vocals",), 3200), {"hop": 160, "capacity": 1}
    card |= {"kind": "pitch", "architecture": "crepe", "spec": spec.to_dict(), "options": options}
    card |= {"threshold": 0.4, "loudness_lufs": -20.0, "joint": {"sep_weight": 1.0, "weighting": "dwa"}}
    tensors = registry.build("pitch", "crepe", spec, options).state_dict()
    data = save({key: tensor.contiguous() for key, tensor in tensors.items()}, {"card": json.dumps(card)})
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), card, data[8 + length :]


def faulty(number: int, whole: tuple[dict[str, Any], dict[str, Any], bytes]) -> bytes:
    """The file with the faults of a number: of one key of the card, of anything in it, of the header, of its bytes."""
    rng = random.Random(f"card {number}")
    header, card, tensors = json.loads(json.dumps(whole[0])), whole[1], whole[2]
    draw = rng.random()
    if draw < 0.5:
        key = rng.choice(sorted(card))
        rest = {name: value for name, value in card.items() if name != key}
        header["__metadata__"]["card"] = json_text({**rest, **json_with_faults(rng, {key: card[key]})})
    elif draw < 0.7:
        header["__metadata__"]["card"] = json_text(json_with_faults(rng, card))
    elif draw < 0.85:
        header = json_with_faults(rng, header)
    text = json_text(header).encode("utf-8", "surrogatepass")
    if draw >= 0.85:
        text = text_damaged(rng, text)[0]
    data = len(text).to_bytes(8, "little") + text + tensors
    return data if rng.random() < 0.95 else text_damaged(rng, data)[0]


def test_bad_cards_and_headers_raise_only_weight_errors(
    tmp_path: Path, whole: tuple[dict[str, Any], dict[str, Any], bytes]
) -> None:
    path = tmp_path / "pitch.safetensors"
    ends: Counter[str] = Counter()
    for number in range(FAULTS):
        path.write_bytes(faulty(number, whole))
        try:
            library.load_weights(path)
            ends["used"] += 1
        except WeightsError as error:
            named = error.message.startswith("file:pitch.safetensors: ") and bool(error.hint)
            ends["refused" if named and error.exit_code == 2 else f"fault {number}: {error}"] += 1
    assert ends.keys() == {"refused", "used"}
    assert min(ends.values()) > FAULTS / 10


def test_a_command_names_the_weights_and_the_key(tmp_path: Path) -> None:
    """Two lines on stderr, and 2."""
    path, _ = weights.resolve("bundled:atto.v4")
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    card = json.loads(header["__metadata__"]["card"])
    card["reference"]["stems"][3] = "\x1b[31mkazoo 0 1 1 1 1"
    header["__metadata__"]["card"] = json.dumps(card)
    text = json.dumps(header).encode()
    theirs = tmp_path / "theirs.safetensors"
    theirs.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
    (tmp_path / "song").mkdir()
    soundfile.write(tmp_path / "song" / "drums.wav", np.random.default_rng(0).uniform(-0.1, 0.1, 8000), 8000)
    result = CliRunner().invoke(
        app, ["refine", str(tmp_path / "song"), "-o", str(tmp_path / "out.json"), "--weights", str(theirs)]
    )
    assert result.exit_code == 2
    assert "file:theirs.safetensors: its card is invalid: reference.stems[3] must begin with" in result.stderr
