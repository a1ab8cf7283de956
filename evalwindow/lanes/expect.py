"""How many tokens will this prompt have? Learned from those that were answered, so that nobody has to count."""

from __future__ import annotations

from dataclasses import dataclass

from evalwindow.lanes.hold import Ticket

SMOOTHING = 0.1
TOKENS_PER_CHAR = 0.5  # until something is known; more than natural language has, so that nothing is overrun


@dataclass(frozen=True, kw_only=True)
class Expected:
    """Tokens."""

    prompt: float
    output: float

    @property
    def total(self) -> float:
        return self.prompt + self.output


class Expectations:
    """Moving averages of one engine: tokens a character, and what part of max_tokens a team's answers have."""

    def __init__(self) -> None:
        self._per_char = TOKENS_PER_CHAR
        self._part: dict[str, float] = {}

    def of(self, ticket: Ticket) -> Expected:
        part = self._part.get(ticket.team, 1.0)
        return Expected(prompt=self._per_char * ticket.chars, output=part * ticket.max_tokens)

    def learn(self, ticket: Ticket, *, prompt_tokens: int, output_tokens: int) -> None:
        if ticket.chars and prompt_tokens:
            self._per_char += SMOOTHING * (prompt_tokens / ticket.chars - self._per_char)
        if ticket.max_tokens:
            part = self._part.get(ticket.team, 1.0)
            self._part[ticket.team] = part + SMOOTHING * (min(1.0, output_tokens / ticket.max_tokens) - part)
