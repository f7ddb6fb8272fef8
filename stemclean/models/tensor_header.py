"""Read and validate the header of a safetensors file without reading its tensors.

The format (github.com/huggingface/safetensors, "Format") is: eight bytes with the length of the header, little-endian;
the header, a JSON object of tensors and of ``__metadata__``, which maps strings to strings; and the bytes of the
tensors, without gaps. No tensor is read here, so that a malicious header cannot cause a large allocation.
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
"""Data types that are converted to float32 when they are loaded."""
SIZES: Final[dict[str, int]] = {
    "BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "I32": 4, "I64": 8, "F16": 2, "BF16": 2, "F32": 4, "F64": 8,
}  # fmt: skip
"""Data type -> bytes per element. The format has more types, which no model of this package uses."""
MOST_TENSORS: Final = 2 * bounds.MOST_TENSORS
"""Largest number of tensors: parameters and buffers."""
MOST_DIMENSIONS: Final = 8
LONGEST_NAME: Final = 512


@dataclass(frozen=True)
class Tensor:
    """A tensor in the header.

    Args:
        dtype: Data type, a key of :data:`SIZES`.
        shape: Shape, without negative numbers.
        start, end: Range of its bytes after the header.
    """

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class Header:
    """The header of a file.

    Args:
        metadata: Strings by name.
        tensors: Tensors by name, in the order of the header.
    """

    metadata: Mapping[str, str]
    tensors: Mapping[str, Tensor]


class _FlawError(Exception):
    """The reason why a file is invalid."""


def read(path: Path, name: str) -> Header:
    """Read the header of a file and check it against the size of the file.

    Args:
        path: The file.
        name: Name of the file in error messages.

    Raises:
        WeightsError: The file cannot be read; the header is longer than the file or than :data:`LARGEST_HEADER`; a data
            type is unknown; or the byte ranges of the tensors do not match their shapes, overlap, leave a gap, or do
            not end at the end of the file.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # reading a pipe would block
            raise _FlawError("it is not a regular file")
        with path.open("rb") as file:
            size = file.seek(0, 2)
            text = _text(file, size)
        document = json_of(text.decode("utf-8"))
        if not isinstance(document, dict):
            raise _FlawError("its header is not a JSON object")
        metadata = _metadata(document.pop("__metadata__", {}))
        return Header(metadata, _tensors(document, size - 8 - len(text)))
    except (_FlawError, OSError, ValueError) as error:  # ValueError: invalid UTF-8 or JSON
        raise WeightsError(
            f"{name}: not a valid safetensors file: {error}", "was the download interrupted? fetch it again"
        ) from None


def _text(file: BinaryIO, size: int) -> bytes:
    if size < 8:
        raise _FlawError(f"it has only {size} bytes")
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if length > LARGEST_HEADER:
        raise _FlawError(f"its header claims {length} bytes, but the limit is {LARGEST_HEADER}")
    if length > size - 8:
        raise _FlawError(f"its header claims {length} bytes, but the file has {size}")
    return file.read(length)


def _metadata(document: Any) -> dict[str, str]:
    if not isinstance(document, dict) or not all(isinstance(value, str) for value in document.values()):
        raise _FlawError("its __metadata__ does not map strings to strings")
    return document


def _tensors(document: Mapping[str, Any], num_bytes: int) -> dict[str, Tensor]:
    """Return the tensors, whose bytes must fill the file after the header."""
    if len(document) > MOST_TENSORS:
        raise _FlawError(f"it claims {len(document)} tensors, but the limit is {MOST_TENSORS}")
    tensors = {key: _tensor(key, entry) for key, entry in document.items()}
    position, before = 0, "the header"
    for key, tensor in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)):
        if tensor.start != position:
            problem = "overlaps with" if tensor.start < position else "leaves a gap after"
            raise _FlawError(f"{key} {problem} {before}")
        position, before = tensor.end, key
    if position != num_bytes:
        raise _FlawError(f"its tensors need {_short(position)} bytes, but the file has {num_bytes} for them")
    return tensors


def _tensor(key: str, entry: Any) -> Tensor:
    if len(key) > LONGEST_NAME:
        raise _FlawError(f"the name of a tensor has {len(key)} characters, but the limit is {LONGEST_NAME}")
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise _FlawError(f"{key} does not have dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in SIZES:
        raise _FlawError(f"{key} has an unsupported dtype ({str(dtype)[:32]}); known: {', '.join(sorted(SIZES))}")
    if not _are_counts(shape) or len(shape) > MOST_DIMENSIONS:
        raise _FlawError(f"the shape of {key} is not a list of at most {MOST_DIMENSIONS} whole numbers")
    if not _are_counts(offsets) or len(offsets) != 2:
        raise _FlawError(f"the data_offsets of {key} are not two whole numbers")
    needed = math.prod(shape) * SIZES[dtype]
    if offsets[1] - offsets[0] != needed:
        raise _FlawError(f"{key} needs {_short(needed)} bytes, but has {_short(offsets[1] - offsets[0])}")
    return Tensor(dtype, tuple(shape), *offsets)


def _are_counts(numbers: Any) -> bool:
    return isinstance(numbers, list) and all(type(number) is int and number >= 0 for number in numbers)


def _short(number: int) -> str:
    """Format a number that may have any number of digits."""
    return str(number) if abs(number) < 10**20 else "far too many"
