"""Which engine of a pool answers, and whether prompts may reach it."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path

from evalwindow.engines.record import EngineRecord
from evalwindow.engines.vllm_http import VllmHttp
from evalwindow.engines.vllm_probe import EngineProbe
from evalwindow.errors import EngineRefused, EngineUnavailable
from evalwindow.lanes.calibration import Calibration
from evalwindow.lanes.limits import LaneLimits
from evalwindow.lanes.server import GovernorServer
from evalwindow.model import EngineInfo
from evalwindow.store.pools import READY, RESTING, STARTING
from workers.enginehost import EngineHost, EnginePlan, starting
from workers.notice import Notice

log = logging.getLogger("workers.gpu")

DRAINING = "draining"


@dataclass(frozen=True, kw_only=True)
class Sign:
    """How the engine is."""

    state: str  # starting, ready, resting, draining
    info: EngineInfo | None  # None: none answers, or will when it is woken
    generation: int  # of the unit's engines, from 1


class Serving:
    """The engine of one pool: started, switched over to, put to rest, woken, ended.

    Prompts reach it only while it is ready; those that ask meanwhile wait at the governor.
    """

    def __init__(self, first: EnginePlan, *, patience_s: float) -> None:
        patience_s = max(patience_s, 2 * first.pool.cold_start_s)
        self.governor = GovernorServer(first.paths.governor, _limits(first, None), patience_s=patience_s)
        self.plan = first  # of the engine in use
        self.host: EngineHost | None = None
        self.ready_at = 0.0  # by the monotonic clock
        self.notice = Notice(first.paths.record)
        self._paths = first.paths
        self._state = STARTING
        self._record: EngineRecord | None = None
        self._launched = 0

    @property
    def sign(self) -> Sign:
        generation = self.host.generation if self.host else self._launched
        if self._record is None or self._state not in (READY, RESTING):
            return Sign(state=self._state, info=None, generation=generation)
        if not self.notice.up:  # this host's consumers know of no engine yet
            return Sign(state=STARTING, info=None, generation=generation)
        return Sign(state=self._state, info=self._record.info, generation=generation)

    @property
    def resting(self) -> bool:
        return self._state == RESTING

    async def start(self, plan: EnginePlan) -> None:
        """A new engine. One that is ready answers until the new one has proven itself; then its prompts end there.

        Raises EvalwindowError with everything as it was.
        """
        begun = time.monotonic()
        self._launched += 1
        with starting(plan):
            link = self._new_link(self._launched)
        try:
            host, record = await EngineHost.launch(plan, generation=self._launched)
        except BaseException:
            link.unlink()
            raise
        old = self.host
        if old is not None:
            self.governor.shut()
            await self.governor.drained(old.plan.pool.shutdown_s)
        self.host, self.plan, self._record = host, plan, record
        link.replace(self._paths.socket)  # from here on new connections reach this engine
        self._open()
        log.info("engine of pool %s is ready after %.1f s", self._paths.pool, time.monotonic() - begun)
        if old is not None:
            await old.drain()

    async def stop(self) -> None:
        """Prompts wait; the engine finishes what is in flight and ends."""
        self.leave()
        if self.host is not None:
            await self.governor.drained(self.host.plan.pool.shutdown_s)
            await self._end()
        self._state = STARTING

    async def bury(self, *, since: float | None = None) -> None:
        """The engine died, or hangs `since` (by the monotonic clock): nothing of it is left."""
        self.governor.mourn(since=since)
        self._withdraw()
        if self.host is not None:
            host, self.host = self.host, None
            await host.kill()

    async def rest(self, how: str) -> None:
        """Give the GPU's memory back, by `sleep` or `stop`; whoever asks waits until `wake`."""
        assert self.host is not None
        self.governor.shut()
        await self.governor.drained(self.host.plan.pool.shutdown_s)
        if self.governor.wanted.is_set():  # somebody asked in the last moment
            return self._open()
        self._say(RESTING)
        if how != "sleep" or not await self._asleep(self.host):
            await self._end()
        log.info("engine of pool %s rests", self._paths.pool)
        return None

    async def wake(self) -> None:
        """The engine that rests, or one like it, is ready. Raises EvalwindowError."""
        self._say(STARTING)
        if self.host is not None:
            if await self._awake(self.host):
                return self._open()
            await self.bury()
        return await self.start(self.plan)

    async def lost_in_sleep(self) -> None:
        """An engine that rests has died: it rests all the same, and wakes by a cold start."""
        if self.host is not None:
            host, self.host = self.host, None
            await host.kill()

    def leave(self) -> None:
        """No engine is ready: prompts wait, and nobody else knows of one."""
        self.governor.shut()
        self._withdraw()

    def _withdraw(self) -> None:
        self._state = DRAINING if self._state == READY and self.host is not None else STARTING
        self.notice.take_down()

    async def _end(self) -> None:
        assert self.host is not None
        host, self.host = self.host, None
        await host.drain()

    def _open(self) -> None:
        assert self._record is not None
        self.ready_at = time.monotonic()
        self._say(READY)
        limits = _limits(self.plan, self._record.calibration)
        self.governor.open(limits, engine=self._record.info.model_digest)

    def _say(self, state: str) -> None:
        """To the heartbeat, and to the consumers of this host: what rests is known to them as what is ready."""
        self._state = state
        if self._record is not None and state in (READY, RESTING):
            self.notice.put(replace(self._record, resting=state == RESTING))

    def _new_link(self, generation: int) -> Path:
        """To the engine that is to be started. Made before it is: renaming it later needs no room on the disk."""
        link = self._paths.socket.with_name(self._paths.socket.name + ".new")
        link.unlink(missing_ok=True)
        link.symlink_to(self._paths.generation_socket(generation).name)
        return link

    async def _asleep(self, host: EngineHost) -> bool:
        """vLLM's sleep mode: weights go to main memory, the KV cache is given up."""
        http = VllmHttp(host.socket)
        try:
            await http.post("/sleep?level=1", {})
            return bool((await http.get("/is_sleeping"))["is_sleeping"])
        except (EngineUnavailable, EngineRefused) as error:
            log.warning("the engine of pool %s does not fall asleep, so it is stopped: %s", self._paths.pool, error)
            return False
        finally:
            await http.aclose()

    async def _awake(self, host: EngineHost) -> bool:
        """Awake, with the weights that it had: the canary knows."""
        http = VllmHttp(host.socket)
        try:
            await http.post("/wake_up", {})
            if (await http.get("/is_sleeping"))["is_sleeping"]:
                raise EngineUnavailable("it sleeps on")
            async with EngineProbe(host.socket, name=host.plan.name) as probe:
                await probe.check(host.plan.pool.canary)
        except (EngineUnavailable, EngineRefused) as error:
            log.error("the engine of pool %s did not wake well, another is started: %s", self._paths.pool, error)
            return False
        finally:
            await http.aclose()
        return True


def _limits(plan: EnginePlan, calibration: Calibration | None) -> LaneLimits:
    return LaneLimits.of(plan.lanes, plan.pool, calibration)
