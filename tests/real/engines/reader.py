"""A consumer's way to an engine: the governor first."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from evalwindow.lanes.client import GovernorClient
from evalwindow.lanes.hold import Ticket
from tests.real.engines.requests import ask
from tests.real.engines.unit import MODEL, POOL, GpuUnit

PROMPT = ask("hello", max_tokens=16)


class Reader:
    """Asks one prompt again and again, as a consumer does: through the governor, then the engine."""

    def __init__(self, unit: GpuUnit) -> None:
        self._client = GovernorClient(unit.paths.governor, pool=POOL, retry=lambda call: call())
        self._engine = unit.engine(patience_s=0)
        self.texts: defaultdict[str, set[str]] = defaultdict(set)  # by the digest of the model that answered
        self.gpu_s = 0.0
        self.answers = 0

    async def ask(self) -> None:
        async with self._client.hold(MODEL, Ticket.of(PROMPT, team="search")) as hold:
            completion = await self._engine.complete(PROMPT)
            hold.used(completion.usage)
        assert hold.gpu_s is not None
        self.gpu_s += hold.gpu_s
        self.answers += 1
        self.texts[hold.engine].add(completion.text)

    @asynccontextmanager
    async def at_it(self) -> AsyncIterator[None]:
        """Inside the block it never stops asking; every prompt has to be answered."""
        ended = asyncio.Event()

        async def keep() -> None:
            while not ended.is_set():
                await self.ask()

        asking = asyncio.create_task(keep())
        yield
        ended.set()
        await asking

    async def aclose(self) -> None:
        self._client.close()
        await self._engine.aclose()
