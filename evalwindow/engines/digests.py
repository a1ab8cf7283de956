"""Content digests: what weights are, whatever their folder is called."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path

from evalwindow.config import Pool
from evalwindow.engines.record import write_atomically
from evalwindow.errors import ConfigInvalid

log = logging.getLogger(__name__)

#: weights, configuration, tokenizer and chat template; a README does not change an answer
MODEL_FILES = {".safetensors", ".bin", ".json", ".model", ".jinja", ".txt", ".tiktoken"}


def combined(digests: Mapping[str, str]) -> str:
    """sha256 over file names and their sha256, in the order of the names."""
    lines = "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))
    return hashlib.sha256(lines.encode()).hexdigest()


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def local_model(pool: Pool) -> Path | None:
    """The folder of the pool's weights, or None for a name on a hub."""
    folder = Path(pool.model)
    return folder.resolve() if folder.is_dir() else None


def model_digest(pool: Pool, *, name: str, memory: Path) -> str:
    """Digest of a pool's model: its files, or the pinned revision on a hub.

    `memory` is a JSON file that keeps digests by path, size and time of change, so that large weights are read once.
    Raises ConfigInvalid for a model that can be neither found nor pinned.
    """
    folder = local_model(pool)
    if folder is not None:
        return folder_digest(folder, memory=memory)
    if pool.model.startswith((".", "/", "~")):
        raise ConfigInvalid(f"pools.{name}.model: there is no folder {pool.model!r} (looked from {Path.cwd()})")
    if pool.revision is None:
        raise ConfigInvalid(f"pools.{name}.revision: pin the commit of {pool.model!r}; a hub's branch changes silently")
    return f"hub:{pool.model}@{pool.revision}"


def folder_digest(folder: Path, *, memory: Path) -> str:
    known: dict[str, str] = json.loads(memory.read_bytes()) if memory.is_file() else {}
    found = {path.name: path for path in folder.iterdir() if path.suffix in MODEL_FILES and path.is_file()}
    keys = {name: _key(path) for name, path in found.items()}
    fresh = {key: file_digest(found[name]) for name, key in keys.items() if key not in known}
    if fresh:
        _remember(memory, known | fresh)
    return combined({name: (known | fresh)[key] for name, key in keys.items()})


def _remember(memory: Path, digests: Mapping[str, str]) -> None:
    try:
        write_atomically(memory, json.dumps(digests, indent=1).encode())
    except OSError as error:  # the disk is full, say: what was computed is right all the same
        log.warning("the weights will be read once more at the next start: %s", error)


def _key(path: Path) -> str:
    found = path.stat()
    return f"{path}:{found.st_size}:{found.st_mtime_ns}"
