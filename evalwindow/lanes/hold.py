"""The right to have one prompt in an engine."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Protocol

from evalwindow.model import CompletionRequest, Tier, Usage


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """What a prompt says of itself when it asks to be let in."""

    tier: Tier
    team: str
    chars: int  # of its messages: tokens are expected in proportion
    max_tokens: int  # of output
    alone: bool = False  # nobody else may be in the engine with it: it may be what ends engines

    @classmethod
    def of(cls, request: CompletionRequest, *, team: str, alone: bool = False) -> Ticket:
        chars = sum(len(message.content) for message in request.messages)
        choices = max(1, len(request.choices))  # the engine reads the prompt once for each
        most = 1 if request.choices else request.sampling.max_tokens
        return cls(tier=request.tier, team=team, chars=chars * choices, max_tokens=most, alone=alone)


@dataclass(frozen=True, kw_only=True)
class Used:
    """Tokens of an answer."""

    prompt: int
    cached: int  # of the prompt's, found in the prefix cache
    output: int

    @property
    def computed(self) -> int:
        """Prompt tokens that the engine had to read."""
        return self.prompt - self.cached

    @classmethod
    def of(cls, usage: Usage) -> Used:
        return cls(prompt=usage.prompt_tokens, cached=usage.cached_tokens, output=usage.output_tokens)


class Hold:
    """Say what was used, or that the engine broke off, before the block ends; what it cost, or why, is known after."""

    def __init__(self, *, engine: str = "") -> None:
        self.engine = engine  # what answers: its model's digest, where a governor says so
        self.usage: Usage | None = None
        self.gpu_s: float | None = None  # None: nobody meters this engine
        self.broke_off = False  # the engine did, while it had the prompt
        self.died = False  # and whoever keeps it says: it died, or hung, and not because it was to end

    def used(self, usage: Usage) -> None:
        self.usage = usage

    def charged(self, usage: Usage) -> Usage:
        """The usage with its share of the engine's time."""
        return usage if self.gpu_s is None else replace(usage, gpu_s=self.gpu_s)


class Lanes(Protocol):
    """Lets prompts into the engines that a process works with."""

    def hold(self, model: str, ticket: Ticket) -> AbstractAsyncContextManager[Hold]:
        """Wait for a turn, and keep the place inside the block.

        Cancelling gives the place in the queue back. Raises EngineUnavailable while nobody can let in.
        """
        ...
