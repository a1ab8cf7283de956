"""A unit's life: one engine that is kept ready, replaced, put to rest and woken, and its consumers."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from evalwindow.errors import EvalwindowError
from evalwindow.fit import check_fit, room_beside
from workers.consumer import Consumer
from workers.enginehost import EngineHost, EnginePlan, check_disk
from workers.pulse import standstill
from workers.rest import Calendar, has_to_wake, may_rest
from workers.serving import Serving
from workers.turns import Turns

log = logging.getLogger("workers.gpu")

HEALTH_EVERY_S = 5.0
UNHEALTHY_AFTER = 12  # failed looks in a row
PAUSES_S = (0.0, 2.0, 5.0, 15.0, 60.0)  # between starts of an engine that does not get ready


class Unit:
    """Keeps one engine and its consumers running, until it is cancelled.

    `plan` reads evalwindow.yaml. It is followed at the start, at SIGHUP and in a rollout; an engine that died or rested
    comes back as it was.
    """

    def __init__(
        self,
        serving: Serving,
        consumers: Sequence[Consumer],
        *,
        plan: Callable[[], EnginePlan],
        calendar: Calendar,
        turns: Turns | None,
        stop_first: bool,
    ) -> None:
        self._serving, self._consumers = serving, consumers
        self._plan, self._calendar, self._turns, self._stop_first = plan, calendar, turns, stop_first
        self._replacing = asyncio.Event()
        self._turn = ""  # the rollout in which it is ours
        self._how_to_rest = ""
        self._still_since = 0.0  # an engine that hangs; by the monotonic clock

    async def run(self) -> None:
        """Ends after SIGTERM or SIGINT, with nothing left running. Raises EvalwindowError if the first start fails."""
        loop, work = asyncio.get_running_loop(), asyncio.create_task(self._work())
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, work.cancel)
        loop.add_signal_handler(signal.SIGHUP, self._replacing.set)
        loop.add_signal_handler(signal.SIGUSR1, self._restart_consumers)
        try:
            await asyncio.wait([work])
        finally:
            await self._shut_down()
        if not work.cancelled():
            work.result()

    async def _work(self) -> None:
        await self._serving.governor.start()
        await self._serving.start(self._serving.plan)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_engine())
            group.create_task(self._serving.notice.keep())
            for consumer in self._consumers:
                group.create_task(consumer.keep())

    async def _keep_engine(self) -> None:
        while True:
            if self._serving.resting:
                await self._at_rest()
            else:
                await self._at_work()

    async def _at_work(self) -> None:
        """Until something becomes of the engine that is ready."""
        host = self._serving.host
        assert host is not None
        what = await _first(
            (self._revive, _gone(host)),
            (self._look, self._serving.governor.doubted.wait()),
            (self._end_hang, self._hangs(host)),
            (self._replace, self._replacing.wait()),
            (self._roll, self._has_turn()),
            (self._rest, self._rests()),
        )
        await what()

    async def _at_rest(self) -> None:
        """Until the engine that rests is wanted. One that dies meanwhile is not missed before."""
        host = self._serving.host
        what = await _first(
            (self._serving.lost_in_sleep, _gone(host) if host else _never()),
            (self._replace, self._replacing.wait()),
            (self._roll, self._has_turn()),
            (self._wake, has_to_wake(self._calendar, self._serving.governor)),
        )
        await what()

    async def _revive(self) -> None:
        """Start again after the engine's death; consumers wait."""
        plan = self._serving.plan
        log.error("engine of pool %s died; log: %s", plan.name, plan.paths.log)
        await self._serving.bury()
        await self._start_until_ready()

    async def _look(self) -> None:
        """A consumer says that the engine broke off with a prompt."""
        host = self._serving.host
        assert host is not None
        if await host.lives():
            self._serving.governor.trust()
        else:
            await self._revive()

    async def _hangs(self, host: EngineHost) -> None:
        self._still_since = await standstill(host, self._serving.governor)

    async def _end_hang(self) -> None:
        """As after a death. The time in which it hung was no work."""
        plan, prompts = self._serving.plan, self._serving.governor.inside
        told = (plan.name, plan.pool.hang_s, prompts)
        log.error("engine of pool %s hangs: no token for %g s, with %d prompts in it; it is ended", *told)
        await self._serving.bury(since=self._still_since)
        await self._start_until_ready()

    async def _wake(self) -> None:
        try:
            await self._serving.wake()
        except EvalwindowError as error:
            log.error("%s", error)
            await self._start_until_ready()

    async def _rest(self) -> None:
        await self._serving.rest(self._how_to_rest)

    async def _replace(self) -> None:
        """SIGHUP."""
        self._replacing.clear()
        try:
            await self._change()
        except EvalwindowError as error:
            log.error("the engine was not replaced: %s", error)
            await self._go_on()

    async def _roll(self) -> None:
        """This unit's turn in a rollout."""
        assert self._turns is not None
        async with self._turns.kept(self._turn):
            try:
                await self._change()
            except EvalwindowError as error:
                log.error("rollout %s is halted, the engine was not replaced: %s", self._turn, error)
                await self._turns.halt(self._turn, error)
                await self._go_on()
            else:
                await self._turns.done(self._turn, model_digest=self._digest)

    async def _change(self) -> None:
        """Replace the engine by what evalwindow.yaml says. Raises EvalwindowError; then there may be none."""
        plan = self._plan()
        await asyncio.to_thread(check_fit, plan.config, plan.name)  # else the old engine would end for nothing
        await asyncio.to_thread(check_disk, plan)
        if self._stop_first or not await asyncio.to_thread(room_beside, plan.config, plan.name):
            await self._serving.stop()
        await self._serving.start(plan)

    async def _go_on(self) -> None:
        """After a change that failed: with the engine that is there, or one like the last that was."""
        if self._serving.host is None and not self._serving.resting:
            await self._start_until_ready()

    async def _start_until_ready(self) -> None:
        """An engine as the last one was; where that gets ready no more, as evalwindow.yaml says now."""
        tries, said = 0, ""
        while self._serving.host is None:
            await asyncio.sleep(PAUSES_S[min(tries, len(PAUSES_S) - 1)])
            try:
                await self._serving.start(self._plan() if tries % 2 else self._serving.plan)
            except EvalwindowError as error:
                if str(error) != said:  # once is enough
                    log.error("%s", error)
                said = str(error)
            tries += 1

    async def _has_turn(self) -> None:
        """Waits until it is this unit's turn in a rollout."""
        if self._turns is None:
            await _never()
        else:
            self._turn = await self._turns.mine(lambda: (self._serving.plan.read_at, self._digest))

    async def _rests(self) -> None:
        """Waits until the engine may rest."""
        serving = self._serving
        self._how_to_rest = await may_rest(self._calendar, serving.governor, ready_at=serving.ready_at)

    @property
    def _digest(self) -> str:
        info = self._serving.sign.info
        return info.model_digest if info else ""

    def _restart_consumers(self) -> None:
        for consumer in self._consumers:
            consumer.restart()

    async def _shut_down(self) -> None:
        self._serving.leave()
        await asyncio.gather(*(consumer.stop() for consumer in self._consumers))
        await self._serving.stop()
        await self._serving.governor.stop()
        self._serving.plan.paths.socket.unlink(missing_ok=True)


async def _first(*waits: tuple[Callable[[], Any], Coroutine[Any, Any, Any]]) -> Callable[[], Any]:
    """What belongs to the wait that ends first; of several, the one named first. A wait that fails raises."""
    tasks = [(what, asyncio.create_task(wait)) for what, wait in waits]
    try:
        await asyncio.wait([task for _, task in tasks], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for _, task in tasks:
            task.cancel()
    what, task = next((what, task) for what, task in tasks if task.done() and not task.cancelled())
    task.result()
    return what


async def _never() -> None:
    await asyncio.get_running_loop().create_future()


async def _gone(host: EngineHost) -> None:
    """Returns when the engine has ended, or has not answered for a minute."""
    await _first((_nothing, host.exited()), (_nothing, _unhealthy(host)))


def _nothing() -> None: ...


async def _unhealthy(host: EngineHost) -> None:
    failures = 0
    while failures < UNHEALTHY_AFTER:
        await asyncio.sleep(HEALTH_EVERY_S)
        failures = 0 if await host.answers_health() else failures + 1
