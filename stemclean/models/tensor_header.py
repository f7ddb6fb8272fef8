"""What a safetensors file says that it holds, read from its header alone and believed only where the file bears it out.

The format (github.com/huggingface/safetensors, "Format"): eight bytes with the header's length, little-endian; the
header, a JSON object of tensors and of ``__metadata__``, which maps texts to texts; the tensors' bytes, one behind the
other without gaps. No tensor is read here, so a file may claim anything and takes no memory for it.
"""

from __future__ import annotations

import math
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from stemclean.documents import json_of
from stemclean.errors import WeightsError
from stemclean.models import bounds
from stemclean.models.addresses import LARGEST_HEADER

__all__ = ["FLOATS", "Header", "Tensor", "read"]

FLOATS: Final = frozenset({"F16", "BF16", "F32", "F64"})
"""Types of tensors that become float32 when they are loaded."""
SIZES: Final[dict[str, int]] = {
    "BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "I32": 4, "I64": 8, "F16": 2, "BF16": 2, "F32": 4, "F64": 8,
}  # fmt: skip
"""Type of a tensor -> bytes of an element. The format has more, which no model of this package is made of."""
MOST_TENSORS: Final = 2 * bounds.MOST_TENSORS
"""Parameters, and what else a model keeps."""
MOST_DIMENSIONS: Final = 8
LONGEST_NAME: Final = 512


@dataclass(frozen=True)
class Tensor:
    """A tensor as the header has it.

    Args:
        dtype: of :data:`SIZES`.
        shape: none of it negative.
        start, end: of its bytes, behind the header.
    """

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class Header:
    """What a file holds.

    Args:
        metadata: texts by name.
        tensors: by name, in the order of the header.
    """

    metadata: Mapping[str, str]
    tensors: Mapping[str, Tensor]


class _FlawError(Exception):
    """What is wrong with a file."""


def read(path: Path, name: str) -> Header:
    """The header of a file, held against the file's size.

    Args:
        name: what an error calls the file.

    Raises:
        WeightsError: it cannot be read; its header is longer than the file or than :data:`LARGEST_HEADER`; a type is
            not known; a tensor's bytes are not as many as its shape needs; they overlap, leave a gap, or are not all
            that there is.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would wait for a writer
            raise _FlawError("it is no file")
        with path.open("rb") as file:
            size = file.seek(0, 2)
            text = _text(file, size)
        document = json_of(text.decode("utf-8"))
        if not isinstance(document, dict):
            raise _FlawError("its header is no JSON object")
        metadata = _metadata(document.pop("__metadata__", {}))
        return Header(metadata, _tensors(document, size - 8 - len(text)))
    except (_FlawError, OSError, ValueError) as error:  # UnicodeDecodeError and what JSON is not among the last
        raise WeightsError(
            f"{name}: no readable safetensors file: {error}", "was the download cut off? fetch it again"
        ) from None


def _text(file: BinaryIO, size: int) -> bytes:
    if size < 8:
        raise _FlawError(f"it has {size} bytes")
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if length > LARGEST_HEADER:
        raise _FlawError(f"its header claims {length} bytes, {LARGEST_HEADER} are the most")
    if length > size - 8:
        raise _FlawError(f"its header claims {length} bytes, the file has {size}")
    return file.read(length)


def _metadata(told: Any) -> dict[str, str]:
    if not isinstance(told, dict) or not all(isinstance(value, str) for value in told.values()):
        raise _FlawError("its __metadata__ does not map texts to texts")
    return told


def _tensors(document: Mapping[str, Any], num_bytes: int) -> dict[str, Tensor]:
    """The tensors, which together take up all bytes behind the header."""
    if len(document) > MOST_TENSORS:
        raise _FlawError(f"it claims {len(document)} tensors, {MOST_TENSORS} are the most")
    tensors = {key: _tensor(key, told) for key, told in document.items()}
    begun, before = 0, "the header"
    for key, tensor in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)):
        if tensor.start != begun:
            how = "overlaps with" if tensor.start < begun else "leaves a gap behind"
            raise _FlawError(f"{key} {how} {before}")
        begun, before = tensor.end, key
    if begun != num_bytes:
        raise _FlawError(f"its tensors need {_short(begun)} bytes, the file has {num_bytes} for them")
    return tensors


def _tensor(key: str, told: Any) -> Tensor:
    if len(key) > LONGEST_NAME:
        raise _FlawError(f"a tensor's name has {len(key)} letters, {LONGEST_NAME} are the most")
    if not isinstance(told, dict) or told.keys() != {"dtype", "shape", "data_offsets"}:
        raise _FlawError(f"{key} does not have dtype, shape and data_offsets")
    dtype, shape, offsets = told["dtype"], told["shape"], told["data_offsets"]
    if not isinstance(dtype, str) or dtype not in SIZES:
        known = ", ".join(sorted(SIZES))
        raise _FlawError(f"{key} is of a type that is not loaded ({str(dtype)[:32]}); known: {known}")
    if not _are_counts(shape) or len(shape) > MOST_DIMENSIONS:
        raise _FlawError(f"{key} has no shape of {MOST_DIMENSIONS} whole numbers at most")
    if not _are_counts(offsets) or len(offsets) != 2:
        raise _FlawError(f"{key} has no data_offsets of two whole numbers")
    needed = math.prod(shape) * SIZES[dtype]
    if offsets[1] - offsets[0] != needed:
        raise _FlawError(f"{key} needs {_short(needed)} bytes and has {_short(offsets[1] - offsets[0])}")
    return Tensor(dtype, tuple(shape), *offsets)


def _are_counts(told: Any) -> bool:
    return isinstance(told, list) and all(type(number) is int and number >= 0 for number in told)


def _short(number: int) -> str:
    """A number as it may stand in a line, however many digits it has."""
    return str(number) if abs(number) < 10**20 else "far too many"
