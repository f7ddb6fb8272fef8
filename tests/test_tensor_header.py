"""Weight files are untrusted: the header is checked against the file before any tensor is read."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pitch_models
import pytest
import torch
from safetensors.torch import save_file

from stemclean.errors import WeightsError
from stemclean.models import registry, tensor_header, weights
from stemclean.models.cascade import options_of
from stemclean.models.contract import ModelSpec

SPEC = ModelSpec(16000, 1, ("vocals",), 16000)
OPTIONS = {"hop": 160, "capacity": 1}
CARD = {"format": weights.FORMAT, "kind": "pitch", "architecture": "crepe", "spec": SPEC.to_dict(), "options": OPTIONS}

Document = dict[str, Any]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Document, bytes]:
    """Header and tensors of a file that is right."""
    path = tmp_path_factory.mktemp("weights") / "crepe.safetensors"
    tensors = registry.build("pitch", "crepe", SPEC, OPTIONS).state_dict()
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path, {"card": json.dumps(CARD)})
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def put(path: Path, header: Document | bytes, tensors: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + tensors)
    return path


def test_the_header_equals_that_of_safetensors(tmp_path: Path) -> None:
    tensors = {
        "a.weight": torch.zeros(2, 3, dtype=torch.float16),
        "b": torch.zeros((), dtype=torch.int64),
        "empty": torch.zeros(0, 4),
        "flag": torch.ones(3, dtype=torch.bool),
        "wide": torch.zeros(5, dtype=torch.float64),
        "half": torch.zeros(5, dtype=torch.bfloat16),
    }
    path = tmp_path / "w.safetensors"
    save_file(tensors, path, {"card": "é", "more": ""})
    header = tensor_header.read(path, "w")
    assert header.metadata == {"card": "é", "more": ""}
    assert {key: tensor.shape for key, tensor in header.tensors.items()} == {
        k: tuple(t.shape) for k, t in tensors.items()
    }
    assert {key: tensor.end - tensor.start for key, tensor in header.tensors.items()} == {
        key: tensor.nbytes for key, tensor in tensors.items()
    }
    assert header.tensors["half"].dtype == "BF16" and header.tensors["b"].dtype == "I64"


def _changed(**changes: Any) -> Callable[[Document], None]:
    def change(header: Document) -> None:
        header["classes.bias"].update(changes)

    return change


def _swapped(header: Document) -> None:
    bias, weight = header["classes.bias"], header["classes.weight"]
    bias["data_offsets"], weight["data_offsets"] = weight["data_offsets"], bias["data_offsets"]


def _many(header: Document) -> None:
    nothing = {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}
    header.update({f"t{number}": nothing for number in range(tensor_header.MOST_TENSORS)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_changed(dtype="F128"), r"classes\.bias has an unsupported dtype \(F128\); known: BF16, BOOL"),
        (_changed(dtype=["F32"]), r"classes\.bias has an unsupported dtype"),
        (_changed(shape=[361]), r"classes\.bias needs 1444 bytes, but has 1440"),
        (_changed(shape=[1 << 40, 1 << 40]), r"classes\.bias needs far too many bytes"),
        (_changed(shape=[-360]), r"the shape of classes\.bias is not"),
        (_changed(shape=[360.0]), r"the shape of classes\.bias is not"),
        (_changed(shape=[True] * 9), r"the shape of classes\.bias is not"),
        (_changed(shape="360"), r"the shape of classes\.bias is not"),
        (_changed(data_offsets=[-4, 1436]), r"the data_offsets of classes\.bias are not"),
        (_changed(data_offsets=[0]), r"the data_offsets of classes\.bias are not"),
        (_changed(data_offsets=[0, 1440]), r"overlaps with|leaves a gap"),
        (_changed(data_offsets=[1 << 40, (1 << 40) + 1440]), r"leaves a gap|overlaps with"),
        (_changed(data_offsets=[1440, 0]), r"classes\.bias needs 1440 bytes, but has -1440"),
        (_changed(more=1), r"classes\.bias does not have dtype, shape and data_offsets"),
        (_swapped, r"bytes, but has"),
        (_many, r"it claims 16\d\d\d tensors, but the limit is 16384"),
        (lambda header: header.pop("classes.bias"), r"leaves a gap|overlaps with|its tensors need"),
        (lambda header: header.update(more=[]), r"more does not have dtype"),
        (lambda header: header.update({"m" * 513: {}}), r"the name of a tensor has 513 characters"),
        (lambda header: header["__metadata__"].update(card=CARD), "does not map strings to strings"),
        (lambda header: header.update(__metadata__=[]), "does not map strings to strings"),
    ],
)
def test_headers_that_do_not_match_the_file_are_refused(
    tmp_path: Path, whole: tuple[Document, bytes], change: Callable[[Document], Any], message: str
) -> None:
    header = json.loads(json.dumps(whole[0]))
    change(header)
    path = put(tmp_path / "w.safetensors", header, whole[1])
    with pytest.raises(WeightsError, match=message) as caught:
        weights.load(path, kind="pitch")
    assert caught.value.message.startswith("file:w.safetensors: not a valid safetensors file: ") and caught.value.hint
    with pytest.raises(WeightsError, match=message):
        weights.read_card(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it has only 0 bytes"),
        (b"\x01\0\0\0", "it has only 4 bytes"),
        ((1 << 40).to_bytes(8, "little") + b"{}", "its header claims 1099511627776 bytes, but the limit is 4194304"),
        ((3).to_bytes(8, "little") + b"{}", "its header claims 3 bytes, but the file has 10"),
        ((2).to_bytes(8, "little") + b"[]", "its header is not a JSON object"),
        ((2).to_bytes(8, "little") + b"{}\0", "its tensors need 0 bytes, but the file has 1"),
        ((2).to_bytes(8, "little") + b"\xff\xfe", "can't decode byte"),
        ((1).to_bytes(8, "little") + b"{", "not JSON"),
        ((6000).to_bytes(8, "little") + b'{"a":' * 1000 + b" " * 1000, "nested too deeply"),
        ((15).to_bytes(8, "little") + b'{"a":0, "a": 0}', 'duplicate key "a"'),
    ],
)
def test_invalid_headers_are_refused(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=message):
        weights.load(path)


def test_a_folder_and_a_pipe_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="it is not a regular file"):
        weights.read_card(tmp_path)
    os.mkfifo(tmp_path / "pipe.safetensors")
    with pytest.raises(WeightsError, match="it is not a regular file"):
        weights.read_card(tmp_path / "pipe.safetensors")
    with pytest.raises(WeightsError, match="No such file"):
        weights.read_card(tmp_path / "nothing.safetensors")


def test_tensors_must_match_the_model(tmp_path: Path, whole: tuple[Document, bytes]) -> None:
    """Shapes, types and names fit the card's model, or nothing is read."""
    header, tensors = json.loads(json.dumps(whole[0])), whole[1]
    header["classes.bias"]["dtype"] = "I32"  # as wide as F32
    with pytest.raises(WeightsError, match=r"classes\.bias is I32, but the card's model has torch\.float32"):
        weights.load(put(tmp_path / "w.safetensors", header, tensors), kind="pitch")
    header = json.loads(json.dumps(whole[0]))
    header["classes.bias"]["shape"] = [180, 2]
    with pytest.raises(WeightsError, match=r"classes\.bias is \[180, 2\], but the card's model has \[360\]"):
        weights.load(put(tmp_path / "w.safetensors", header, tensors), kind="pitch")
    header = json.loads(json.dumps(whole[0]))
    header["more"] = {"dtype": "F32", "shape": [1], "data_offsets": [len(tensors), len(tensors) + 4]}
    with pytest.raises(WeightsError, match="the card's model has no more"):
        weights.load(put(tmp_path / "w.safetensors", header, tensors + bytes(4)), kind="pitch")


def _peak() -> tuple[int, int]:
    """Bytes that this process holds, and the most that it held since the peak began anew."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmRSS"].split()[0]) << 10, int(status["VmHWM"].split()[0]) << 10


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of the memory is read from /proc")
def test_twenty_gigabytes_are_refused_unread(tmp_path: Path, whole: tuple[Document, bytes]) -> None:
    """A header that is right in itself, of tensors that belong to no model; 64 MB are what building it apart takes."""
    rows = 5 * 10**9
    path = tmp_path / "w.safetensors"
    for name in ("classes.bias", "other"):
        header = {
            "__metadata__": whole[0]["__metadata__"],
            name: {"dtype": "F32", "shape": [rows], "data_offsets": [0, 4 * rows]},
        }
        put(path, header)
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size + 4 * rows)  # sparse
        weights.read_card(path)
        Path("/proc/self/clear_refs").write_text("5")
        before, read = _peak()[0], _read()
        with pytest.raises(WeightsError, match=r"is missing|the card's model has"):
            weights.load(path, kind="pitch")
        assert _peak()[1] - before < 64 << 20
        assert _read() - read < 1 << 20


def _read() -> int:
    """Bytes that this process has read."""
    (line,) = (line for line in Path("/proc/self/io").read_text().splitlines() if line.startswith("rchar"))
    return int(line.split()[1])


@pytest.fixture(scope="module")
def cascade(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    model = pitch_models.cascade("xumx", "crepe", sample_rate=16000, segment=8000)
    parts = [
        {
            "architecture": "xumx",
            "spec": model.separator.spec.to_dict(),
            "options": pitch_models.TINY_SEPARATORS["xumx"],
        },
        {"architecture": "crepe", "spec": model.tracker.spec.to_dict(), "options": pitch_models.TINY_TRACKERS["crepe"]},
    ]
    card = {"kind": "cascades", "architecture": "xumx+crepe", "spec": parts[0]["spec"], "options": options_of(*parts)}
    path = tmp_path_factory.mktemp("cascade") / "both.safetensors"
    return model, weights.save(path, model, card, dtype=torch.float32)


def test_only_the_requested_part_of_a_cascade_is_read(tmp_path: Path, cascade: tuple[Any, Path]) -> None:
    """Its tracker comes whole where the separator's numbers are none."""
    model, path = cascade
    broken = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    for key, tensor in broken.items():
        if key.startswith("separator.") and tensor.is_floating_point():
            tensor.fill_(float("nan"))
    copy = tmp_path / "both.safetensors"
    save_file(broken, copy, dict(tensor_header.read(path, "both").metadata))
    loaded = weights.load(copy, kind="pitch")
    assert all(torch.equal(broken[f"tracker.{key}"], value) for key, value in loaded.model.state_dict().items())
    with pytest.raises(WeightsError, match=r"separator\..* holds NaN or infinite values"):
        weights.load(copy, kind="separators")
    save_file(broken | {"third.weight": torch.zeros(1)}, copy, dict(tensor_header.read(path, "both").metadata))
    with pytest.raises(WeightsError, match=r"the card's model has no third\.weight"):
        weights.load(copy, kind="pitch")
    fewer = {key: tensor for key, tensor in broken.items() if key != "tracker.classes.bias"}
    save_file(fewer, copy, dict(tensor_header.read(path, "both").metadata))
    with pytest.raises(WeightsError, match=r"tracker\.classes\.bias is missing"):
        weights.load(copy, kind="pitch")
