"""What stands between a shard and the engines that it asks: their breakers."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging

from evalwindow.breakers import Phase, breaker_of
from evalwindow.engines.base import Engine
from evalwindow.errors import EngineRefused, EngineUnavailable, ServiceDown
from evalwindow.model import Completion, CompletionRequest, EngineInfo
from evalwindow.recorder import outlasting
from evalwindow.services import Services
from evalwindow.store.breaker_rows import FailedShard
from evalwindow.store.rows import ClaimedShard

log = logging.getLogger(__name__)


class Guard:
    """The breakers of one claimed shard: leave to try, and word of how it went.

    Where the claim found nothing wrong, nothing is asked and no success is reported: it costs no statement.
    """

    def __init__(self, services: Services, claimed: ClaimedShard) -> None:
        self._services, self._claimed = services, claimed
        self._suspects: set[str] = set()
        self._probes: set[str] = set()

    @property
    def suspects(self) -> list[str]:
        """Breakers of engines that this shard needs and that have something to close."""
        return sorted(self._suspects)

    async def enter(self) -> dt.datetime | None:
        """None: it may be tried now; else when to ask again."""
        if not self._claimed.suspects:
            return None
        self._suspects = await self._needed() & self._claimed.suspects
        if not self._suspects:
            return None
        ask, probe_s = self._services.breakers.ask, self._services.settings.engine_patience_s
        turn = await outlasting(lambda: ask(self._suspects, probe_s=probe_s + self._services.settings.lease_s))
        self._probes = set(turn.probes)
        return turn.wait_until

    def engine_of(self, model: str) -> Engine:
        """The model's engine; its first answer is reported where its breaker waits for one."""
        engine, breaker_id = self._services.engine_of(model), breaker_of(self._services.config, model)
        return _Watched(engine, self, breaker_id) if breaker_id and breaker_id in self._suspects else engine

    async def answered(self, breaker_id: str) -> None:
        """What it guards has answered: everybody who waited for it goes on."""
        if breaker_id not in self._suspects:
            return
        self._suspects.discard(breaker_id)
        probe = breaker_id in self._probes
        self._probes.discard(breaker_id)
        await outlasting(lambda: self._services.breakers.succeeded(breaker_id, probe=probe))

    async def failed(self, error: EngineUnavailable) -> bool:
        """Count it. True: the shard is handed back; while the breaker is closed still, that attempt counts.

        False: it has no attempt left, or nothing guards its engine.
        """
        breaker_id = breaker_of(self._services.config, error.model or self._claimed.candidate.model)
        if breaker_id is None:
            return False
        probe, claimed = breaker_id in self._probes, self._claimed
        self._probes.discard(breaker_id)
        may_retry = claimed.attempts < self._services.settings.max_attempts
        shard = FailedShard(id=claimed.id, token=claimed.token, may_retry=may_retry)
        asked_s = getattr(error, "after_s", None) or 0.0
        tell = self._services.breakers.failed
        standing = await outlasting(lambda: tell(breaker_id, str(error), probe=probe, at_least_s=asked_s, shard=shard))
        return may_retry or standing.phase is not Phase.CLOSED

    async def put_off(self, until: dt.datetime, reason: str) -> None:
        """Hand the shard back until then: no attempt has failed. What has closed meanwhile sends it at once."""
        store, claimed = self._services.store, self._claimed
        log.info("shard %s: put off until %s: %s", claimed.id, until.isoformat(timespec="seconds"), reason)
        await outlasting(lambda: store.release(claimed.id, claimed.token, reason, not_before=until))
        await outlasting(lambda: self._services.breakers.wake_closed(self._suspects, was=until))

    async def leave(self) -> None:
        """What it was to probe and did not try is the next one's. Lost where PostgreSQL is away: it runs out."""
        if not self._probes:
            return
        probes, self._probes = self._probes, set()
        try:
            await asyncio.to_thread(self._services.breakers.untried, probes)
        except ServiceDown as error:
            log.warning("probes of %s are not given back: %s", ", ".join(sorted(probes)), error)

    async def _needed(self) -> set[str]:
        """Breakers of the candidate's engine and of the judges'."""
        suite = await outlasting(lambda: self._services.store.suite(self._claimed.suite_digest))
        models = {self._claimed.candidate.model, *suite.judges}
        return {found for model in models if (found := breaker_of(self._services.config, model))}


class _Watched:
    """An engine whose first answer is told."""

    def __init__(self, engine: Engine, guard: Guard, breaker_id: str) -> None:
        self._engine, self._guard, self._breaker_id = engine, guard, breaker_id

    async def info(self, model: str) -> EngineInfo:
        return await self._engine.info(model)

    async def complete(self, request: CompletionRequest) -> Completion:
        try:
            completion = await self._engine.complete(request)
        except EngineRefused:  # it is there, and says no
            await self._guard.answered(self._breaker_id)
            raise
        await self._guard.answered(self._breaker_id)
        return completion

    async def aclose(self) -> None:
        await self._engine.aclose()
