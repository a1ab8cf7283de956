"""The one protocol that every engine speaks."""

from __future__ import annotations

from typing import Protocol

from evalwindow.model import Completion, CompletionRequest, EngineInfo


class Engine(Protocol):
    """Answers prompts of one or more models of evalwindow.yaml.

    Errors: EngineRefused (this request can never work: bad adapter, over-long prompt), EngineUnavailable
    (try again later; the engine already retried what was worth it).
    """

    async def info(self, model: str) -> EngineInfo:
        """Identity of what answers for `model`; EngineUnavailable while it is not ready."""
        ...

    async def complete(self, request: CompletionRequest) -> Completion:
        """One completion; cancelling the call cancels the work in the engine."""
        ...

    async def aclose(self) -> None:
        """Close connections; the engine itself goes on."""
        ...
