"""The header of a safetensors file: names, types and shapes, without reading a weight."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LENGTH_BYTES = 8  # a little-endian length before the JSON
LONGEST_HEADER = 100_000_000  # bytes; the format's own limit
ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
ITEM_BYTES |= {"F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "U32": 4, "U64": 8}
#: What a header of anything at all makes json, or a look into it, raise.
UNREADABLE = (
    *(UnicodeDecodeError, json.JSONDecodeError, RecursionError),
    *(ArithmeticError, AttributeError, LookupError, TypeError),
)


@dataclass(frozen=True, kw_only=True)
class Tensor:
    dtype: str
    shape: tuple[int, ...]


def parse_header(content: bytes, *, longest: int = LONGEST_HEADER) -> dict[str, Tensor]:
    """Tensors of a whole file in memory. Raises ValueError that says what is malformed, or a header over `longest`."""
    length = _length(content[:LENGTH_BYTES], size=len(content))
    if length > longest:
        raise ValueError(f"its header has {length} bytes; the limit is {longest}")
    tensors, end = _tensors(content[LENGTH_BYTES : LENGTH_BYTES + length])
    held = len(content) - LENGTH_BYTES - length
    if end != held:
        raise ValueError(f"its header describes {end} bytes of weights, the file has {held}")
    return tensors


def read_header(path: Path) -> dict[str, Tensor]:
    """Tensors of a file on disk, reading only its header."""
    with path.open("rb") as file:
        length = _length(file.read(LENGTH_BYTES), size=path.stat().st_size)
        return _tensors(file.read(length))[0]


def _length(raw: bytes, *, size: int) -> int:
    length = int.from_bytes(raw, "little")
    if len(raw) < LENGTH_BYTES or length > min(LONGEST_HEADER, size - LENGTH_BYTES):
        raise ValueError("it is not a safetensors file, or it is cut off")
    return length


def _tensors(raw: bytes) -> tuple[dict[str, Tensor], int]:
    try:
        header = json.loads(raw)
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        tensors = {name: _tensor(name, entry) for name, entry in entries.items()}
        return tensors, max((entry["data_offsets"][1] for entry in entries.values()), default=0)
    except UNREADABLE as error:
        raise ValueError(f"its header can't be read ({type(error).__name__}: {error})") from error


def _tensor(name: str, entry: Mapping[str, list[int]]) -> Tensor:
    dtype, shape, (begin, end) = str(entry["dtype"]), tuple(int(n) for n in entry["shape"]), entry["data_offsets"]
    if dtype not in ITEM_BYTES:
        raise ValueError(f"tensor {name!r} has the unknown type {dtype!r}")
    if begin < 0 or min(shape, default=0) < 0 or end - begin != math.prod(shape) * ITEM_BYTES[dtype]:
        raise ValueError(f"tensor {name!r} of shape {list(shape)} does not fit its {end - begin} bytes")
    return Tensor(dtype=dtype, shape=shape)
