"""The key of the result cache: everything that can change an answer, and nothing else."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

from evalwindow.model import Candidate, CompletionRequest, EngineInfo, Sampling

FORMAT = 1  # raise it when what is kept under a key changes its meaning


def cache_key(info: EngineInfo, request: CompletionRequest) -> str:
    """sha256 over the canonical JSON of the full provenance of one answer.

    The name of the model in evalwindow.yaml, the sample's id, the tier and the engine's capacity are left out: they
    don't change the answer. The epoch is in: a repetition has to be a new draw.
    """
    return _digest(_provenance(info, request))


def whole_key(info: EngineInfo, *, suite: str, candidate: Candidate) -> str:
    """Of all prompts of one suite (its digest) for one candidate on one engine, whatever they say."""
    request = CompletionRequest(
        model=candidate.model, adapter=candidate.adapter, messages=(), sampling=Sampling(max_tokens=0)
    )
    given = {"suite": suite, "system": candidate.system, "template": candidate.template}
    document = {**_provenance(info, request), **given, "sampling": dict(candidate.sampling), "whole": True}
    return _digest(document)


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


def _digest(document: dict[str, Any]) -> str:
    text = json.dumps(document, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
