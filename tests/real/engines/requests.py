"""Requests as tests need them."""

from __future__ import annotations

from typing import Any

from evalwindow.model import CompletionRequest, Message, Sampling
from tests.real.engines.unit import MODEL


def ask(text: str, *, max_tokens: int = 8, **fields: Any) -> CompletionRequest:
    """A prompt of one user turn at temperature 0."""
    defaults = {"model": MODEL, "sampling": Sampling(max_tokens=max_tokens)}
    return CompletionRequest(messages=(Message(role="user", content=text),), **(defaults | fields))
