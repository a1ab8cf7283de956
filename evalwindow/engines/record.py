"""What a GPU unit tells the other processes of its host about its engine."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from evalwindow.lanes.calibration import Calibration
from evalwindow.model import EngineInfo


@dataclass(frozen=True, kw_only=True)
class EngineRecord:
    """Written when an engine has answered its canary, removed when it is not ready any more; kept while it rests."""

    info: EngineInfo
    pid: int  # of vLLM's API server, leader of the engine's process group
    started_at: float  # seconds since 1970
    ready_at: float
    calibration: Calibration | None = None  # None: it was not measured, or could not be
    resting: bool = False  # the first prompt wakes it, or one like it

    def write(self, path: Path) -> None:
        write_atomically(path, json.dumps(asdict(self), indent=1).encode())


def read_record(path: Path) -> EngineRecord | None:
    """The record, or None while no engine is ready."""
    try:
        fields = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    measured = fields.get("calibration")
    calibration = Calibration.from_document(measured) if measured else None
    return EngineRecord(**fields | {"info": EngineInfo(**fields["info"]), "calibration": calibration})


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file so that no reader ever sees half of it. OSError: nothing was changed, and nothing is left over."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
