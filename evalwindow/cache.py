"""The key of the result cache: everything that can change an answer, and nothing else."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

from evalwindow.model import CompletionRequest, EngineInfo

FORMAT = 1  # raise it when what is kept under a key changes its meaning


def cache_key(info: EngineInfo, request: CompletionRequest) -> str:
    """sha256 over the canonical JSON of the full provenance of one answer.

    The name of the model in evalwindow.yaml, the sample's id, the tier and the engine's capacity are left out: they
    don't change the answer. The epoch is in: a repetition has to be a new draw.
    """
    text = json.dumps(_provenance(info, request), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _provenance(info: EngineInfo, request: CompletionRequest) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "engine": info.engine,
        "version": info.version,
        "model": info.model_digest,
        "dtype": info.dtype,
        "chat_template": info.chat_template_digest,
        "details": dict(info.details),
        "adapter": request.adapter,
        "messages": [[message.role, message.content] for message in request.messages],
        "sampling": asdict(request.sampling)
        | {"temperature": float(request.sampling.temperature), "top_p": float(request.sampling.top_p)},  # 0 is 0.0
        "choices": list(request.choices),
        # As a text, because guided decoding writes an object's keys in the schema's order: here order matters.
        "schema": None if request.schema is None else json.dumps(request.schema),
        "epoch": request.epoch,
    }
