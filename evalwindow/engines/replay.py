"""Recorded outputs as an engine: what somebody else generated is scored and gated like our own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from evalwindow.document import Document
from evalwindow.errors import BadInput, EngineRefused, UnknownName
from evalwindow.model import Completion, CompletionRequest, EngineInfo

VERSION = "1"


class Recorded(Document):
    """One line of a recording."""

    id: Annotated[str, Field(min_length=1)]  # of the sample
    output: str
    epoch: Annotated[int, Field(ge=0)] = 0


class ReplayEngine:
    """Answers with the recorded output of a sample and epoch; EngineRefused where there is none."""

    def __init__(self, outputs: Mapping[tuple[str, int], str], *, digest: str) -> None:
        self._outputs, self._digest = dict(outputs), digest

    @classmethod
    def load(cls, path: Path, *, samples: Collection[str] | None = None) -> ReplayEngine:
        """Read a JSONL file of {"id", "output", "epoch"?}; its digest is the model's digest.

        `samples` are the ids of the suite, if known: any other id is an error then. Errors start with file:line.
        """
        content = path.read_bytes()
        outputs = parse_outputs(content, name=str(path), samples=samples)
        return cls(outputs, digest=hashlib.sha256(content).hexdigest())

    async def info(self, model: str) -> EngineInfo:
        return EngineInfo(engine="replay", version=VERSION, model_digest=self._digest)

    async def complete(self, request: CompletionRequest) -> Completion:
        output = self._outputs.get((request.sample_id, request.epoch))
        if output is None:
            of_epoch = f", epoch {request.epoch}" if request.epoch else ""
            raise EngineRefused(f"no recorded output for sample {request.sample_id!r}{of_epoch}")
        if request.choices:
            raise EngineRefused("a recording has no log-likelihoods; score this suite with a warm model")
        return Completion(text=output)

    async def aclose(self) -> None:
        """Nothing is open."""


def parse_outputs(content: bytes, *, name: str, samples: Collection[str] | None = None) -> dict[tuple[str, int], str]:
    """(sample id, epoch) -> output. Raises BadInput: invalid UTF-8 or JSON, unknown keys, duplicates, unknown ids."""
    seen: dict[tuple[str, int], int] = {}
    outputs: dict[tuple[str, int], str] = {}
    for number, raw in enumerate(content.split(b"\n"), 1):
        if not raw.strip():
            continue
        where = f"{name}:{number}"
        line = _line(raw, where=where)
        key = (line.id, line.epoch)
        if key in seen:
            raise BadInput(f"{where}: sample {line.id!r}, epoch {line.epoch}, was recorded in line {seen[key]} already")
        if samples is not None and line.id not in samples:
            raise UnknownName("sample", line.id, samples, where=where)
        seen[key], outputs[key] = number, line.output
    if not outputs:
        raise BadInput(f"{name}: no outputs are recorded in it")
    return outputs


def _line(raw: bytes, *, where: str) -> Recorded:
    try:
        return Recorded.model_validate(json.loads(raw))
    except UnicodeDecodeError as error:
        raise BadInput(f"{where}: invalid UTF-8 at byte {error.start + 1} of the line") from error
    except json.JSONDecodeError as error:
        raise BadInput(f"{where}: not JSON: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "line"
        raise BadInput(f'{where}: {key}: {first["msg"]}; a line is {{"id": ..., "output": ..., "epoch": 0}}') from error
