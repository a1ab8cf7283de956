"""Which prompts of a run go together, and in which order: those that begin alike, so that what one has read of a
document is still in the engine's prefix cache when the next one asks about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from evalwindow.config import Lane
from evalwindow.model import Message
from evalwindow.tokens import PromptCounter

CHARS_A_TOKEN = 4  # about what English has; used only where nobody can count


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A sample as it will be asked."""

    sample_id: str
    text: tuple[str, ...]  # of its turns, the first one first
    tokens: int

    @classmethod
    def of(cls, sample_id: str, messages: Sequence[Message], *, counter: PromptCounter | None) -> Prompt:
        text = tuple(message.content for message in messages)
        tokens = counter.count(messages) if counter else sum(map(len, text)) // CHARS_A_TOKEN
        return cls(sample_id=sample_id, text=text, tokens=tokens)


def cut(prompts: Iterable[Prompt], *, lane: Lane | None) -> tuple[tuple[str, ...], ...]:
    """Shards of sample ids, ordered by their prompts' text; all in one without a lane.

    A shard has at most `lane.shard_size` samples and `lane.shard_tokens` prompt tokens, so that a team's long prompts
    come in small portions; a sample with more is a shard of its own. Ties keep their order.
    """
    shards: list[list[str]] = []
    tokens = 0
    for prompt in sorted(prompts, key=lambda prompt: prompt.text):
        tokens += prompt.tokens
        if not shards or (lane and (len(shards[-1]) >= lane.shard_size or tokens > lane.shard_tokens)):
            shards.append([])
            tokens = prompt.tokens
        shards[-1].append(prompt.sample_id)
    return tuple(map(tuple, shards))
