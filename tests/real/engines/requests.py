"""Requests as tests need them."""

from __future__ import annotations

from typing import Any

from evalwindow.engines.base import Engine
from evalwindow.errors import EngineDied
from evalwindow.model import Completion, CompletionRequest, Message, Sampling
from tests.real.engines.unit import MODEL


def ask(text: str, *, max_tokens: int = 8, **fields: Any) -> CompletionRequest:
    """A prompt of one user turn at temperature 0."""
    defaults = {"model": MODEL, "sampling": Sampling(max_tokens=max_tokens)}
    return CompletionRequest(messages=(Message(role="user", content=text),), **(defaults | fields))


async def insist(engine: Engine, request: CompletionRequest) -> Completion:
    """Its answer, though engines die meanwhile: who was in one asks the next, as an evaluator does."""
    while True:
        try:
            return await engine.complete(request)
        except EngineDied:
            continue
