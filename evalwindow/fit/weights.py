"""Bytes of a model's weights, from the headers of its files; no weight is read."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from evalwindow.engines.safetensors_header import ITEM_BYTES, Tensor, read_header
from evalwindow.fit.dtypes import computed_bytes
from evalwindow.fit.errors import CantTell
from evalwindow.fit.flags import Flags
from evalwindow.fit.parameters import parameters_of
from evalwindow.fit.shape import Shape

_CAST = {"F32", "F16", "BF16"}  # stored in one of them, a weight is loaded in the engine's own format
INDEX = "model.safetensors.index.json"
_LAYER = re.compile(r"\.layers\.(\d+)\.")


@dataclass(frozen=True, kw_only=True)
class Weights:
    bytes: int  # all of them, before they are divided between GPUs
    parameters: int | None  # None: packed, several in one number
    how: str  # one sentence: where the figure is from


def weights_of(folder: Path, shape: Shape, *, flags: Flags, dtype: str) -> Weights:
    """What an engine loads from `folder`, computing in `dtype`; from the shape alone where there are no weights.

    Raises CantTell for weights that can't be read, and for quantised ones that aren't there.
    """
    files = _files(folder)
    if flags.load_format == "dummy" or not files:
        return _computed(shape, flags=flags, dtype=dtype, dummy=flags.load_format == "dummy")
    return _stored(files, shape, dtype=dtype)


def _files(folder: Path) -> list[Path]:
    """Those that the index names, where there is one: a folder may hold the same weights twice."""
    index = folder / INDEX
    if not index.is_file():
        return sorted(folder.glob("*.safetensors"))
    try:
        names = set(json.loads(index.read_text())["weight_map"].values())
    except (ValueError, KeyError, AttributeError) as error:
        raise CantTell(f"{index} can't be read ({type(error).__name__}: {error})") from error
    return [folder / name for name in sorted(names)]


def _computed(shape: Shape, *, flags: Flags, dtype: str, dummy: bool) -> Weights:
    if shape.quantised:
        raise CantTell(f"the weights are quantised ({shape.quantised}): their size is known from their files only")
    count = parameters_of(shape).total
    why = "dummy weights" if dummy else "no weights on this machine"
    how = f"{_counted(count)} parameters x {computed_bytes(dtype)} bytes ({dtype}); {why}, from config.json"
    return Weights(bytes=count * computed_bytes(dtype), parameters=count, how=how)


def _stored(files: list[Path], shape: Shape, *, dtype: str) -> Weights:
    tensors = list(_loaded(files, shape))
    total = sum(_bytes(tensor, shape, dtype=dtype) for tensor in tensors)
    count = sum(math.prod(tensor.shape) for tensor in tensors)
    plural = "file" if len(files) == 1 else "files"
    if shape.quantised:
        how = f"{len(files)} safetensors {plural}, quantised ({shape.quantised})"
        return Weights(bytes=total, parameters=None, how=how)
    how = f"{_counted(count)} parameters x {computed_bytes(dtype)} bytes ({dtype}), {len(files)} {plural}"
    return Weights(bytes=total, parameters=count, how=how)


def _counted(number: int) -> str:
    return f"{number / 1e9:.2f} billion" if number >= 1e8 else f"{number / 1e6:.2f} million"


def _loaded(files: list[Path], shape: Shape) -> Iterator[Tensor]:
    """The tensors that an engine keeps: no tied head, no layers of a draft model, no buffers of positions."""
    for path in files:
        try:
            tensors = read_header(path)
        except (OSError, ValueError) as error:
            raise CantTell(f"{path}: {error}") from error
        for name, tensor in tensors.items():
            layer = _LAYER.search(name)
            drafts = layer is not None and int(layer[1]) >= shape.layers
            if not (drafts or name.endswith("inv_freq") or (shape.tied and name == "lm_head.weight")):
                yield tensor


def _bytes(tensor: Tensor, shape: Shape, *, dtype: str) -> int:
    item = ITEM_BYTES[tensor.dtype]
    if tensor.dtype in _CAST and not shape.quantised:
        item = computed_bytes(dtype)
    return math.prod(tensor.shape) * item
