"""A flood of submissions through the HTTP API: what each was answered, and how long that took."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field

import aiohttp

from evalwindow.model import Tier
from tests.faults.town import FLOODER, Town, wish

CONNECTIONS = 32
LOOKS_S = 0.02  # between two looks at what the team has open


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """One 429."""

    text: str
    kind: str
    retry_after: str | None


@dataclass(kw_only=True)
class Flood:
    """What came of it."""

    admitted: list[str] = field(default_factory=list)  # ids of runs
    refusals: list[Refusal] = field(default_factory=list)
    other: list[str] = field(default_factory=list)  # answers that are neither
    took_s: list[float] = field(default_factory=list)  # each answer

    @property
    def statuses(self) -> Counter[str]:
        return Counter(admitted=len(self.admitted), refused=len(self.refusals), other=len(self.other))


async def flood(town: Town, numbers: range, *, into: Flood) -> None:
    """One submission for each number, through many connections at once, as fast as they are answered."""
    waiting = iter(numbers)
    headers = {"Authorization": f"Bearer {town.tokens[FLOODER]}"}
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(town.url, headers=headers, connector=connector) as session:

        async def pour() -> None:
            for number in waiting:
                await _submit(session, number, into=into)

        await asyncio.gather(*(pour() for _ in range(CONNECTIONS)))


async def _submit(session: aiohttp.ClientSession, number: int, *, into: Flood) -> None:
    tier = Tier.SMOKE if number % 2 else Tier.REGRESSION
    begun = time.perf_counter()
    async with session.post("/v1/runs", json=wish(tier, note=f"flood {number}")) as answer:
        body = await answer.text()
    into.took_s.append(time.perf_counter() - begun)
    if answer.status == 202:
        into.admitted.append(json.loads(body)["id"])
    elif answer.status == 429:
        problem = json.loads(body)
        into.refusals.append(
            Refusal(text=problem["error"], kind=problem["kind"], retry_after=answer.headers.get("Retry-After"))
        )
    else:
        into.other.append(f"{answer.status} {body}")


_HELD = """
    SELECT
        (SELECT count(*) FROM run WHERE team = :team AND tier = 'smoke' AND state IN ('queued', 'running')) AS smokes,
        (SELECT coalesce(sum(cardinality(sample_ids)), 0) FROM shard
            WHERE team = :team AND tier = 'regression' AND state IN ('pending', 'dispatched', 'running')) AS samples
"""


async def watch(town: Town, *, over: asyncio.Event) -> tuple[int, int]:
    """The most that the flooding team had at any look: (open smoke runs, samples of open regression shards)."""
    most = (0, 0)
    while not over.is_set():
        ((smokes, samples),) = await asyncio.to_thread(town.select, _HELD, team=FLOODER)
        most = max(most[0], smokes), max(most[1], samples)
        await asyncio.sleep(LOOKS_S)
    return most
