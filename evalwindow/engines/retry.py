"""Trying again: full jitter, so that many waiting prompts don't come back in step."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from evalwindow.errors import EngineDied, EngineUnavailable

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """Pauses of uniform(0, min(cap_s, base_s * 2^n)) seconds, until patience_s have passed since the first try."""

    base_s: float = 0.1
    cap_s: float = 2.0
    patience_s: float = 10.0

    def pause(self, tries: int) -> float:
        """Seconds to wait after `tries` failed tries (1, 2, ...)."""
        ceiling = min(self.cap_s, self.base_s * 2 ** (tries - 1))
        return random.uniform(0, ceiling)  # noqa: S311 - spreads load, guards nothing


class RetryLater(EngineUnavailable):
    """Not available now; `after_s` is how long the server asked us to wait, if it did."""

    def __init__(self, message: str, *, after_s: float | None = None) -> None:
        super().__init__(message)
        self.after_s = after_s


async def patiently(call: Callable[[], Awaitable[T]], backoff: Backoff) -> T:
    """The first answer of `call` that is not EngineUnavailable; raises the last one when patience is spent.

    EngineDied is raised at once: who was in an engine that died is not simply sent into the next one.
    """
    deadline = time.monotonic() + backoff.patience_s
    tries = 0
    while True:
        try:
            return await call()
        except EngineDied:
            raise
        except EngineUnavailable as error:
            tries += 1
            asked = error.after_s if isinstance(error, RetryLater) else None
            pause = backoff.pause(tries) if asked is None else asked + backoff.pause(1)
            if time.monotonic() + pause > deadline:
                raise
            await asyncio.sleep(pause)
