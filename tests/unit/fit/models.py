"""Folders of models, with weights that hold nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evalwindow.engines.safetensors_header import ITEM_BYTES


def write_model(folder: Path, config: Mapping[str, Any], files: Mapping[str, Mapping[str, Any]] | None = None) -> Path:
    """config.json, and files of tensors {name: (dtype, shape)}: their headers, and holes where the weights would be."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    for name, tensors in (files or {}).items():
        write_tensors(folder / name, tensors)
    return folder


def write_tensors(path: Path, tensors: Mapping[str, tuple[str, list[int]]]) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (dtype, shape) in tensors.items():
        size = ITEM_BYTES[dtype]
        for length in shape:
            size *= length
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    raw = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(raw).to_bytes(8, "little") + raw)
        file.truncate(8 + len(raw) + end)  # sparse: takes no room
