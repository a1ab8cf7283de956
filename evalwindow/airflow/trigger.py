"""Waits for a run of a night in the triggerer: no worker is held, and nothing is lost when the triggerer dies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

if TYPE_CHECKING:
    from evalwindow.nights.watching import Watched
    from evalwindow.store import Store

FIRST_EVENT_S = 10.0  # a task that resumes sooner may be failed by the scheduler (apache/airflow#71580)
POLL_S = 2.0
CONNECTIONS = 4  # of all triggers of a process together
WHY = "the task that waited for it was marked failed in Airflow"
Result = TypeVar("Result")


class EvalRunTrigger(BaseTrigger):
    """Fires once the run is final or its window has closed: {"run_id", "status", "samples", "samples_left"}.

    `owner` is the id of the task instance that waits: only while the run is still its own may killing the task cancel
    the run. No event comes sooner than after `first_event_s`; a database that is away is waited for.
    """

    def __init__(
        self, *, run_id: str, owner: str, poll_s: float = POLL_S, first_event_s: float = FIRST_EVENT_S
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.run_id, self.owner, self.poll_s, self.first_event_s = run_id, owner, poll_s, first_event_s

    def serialize(self) -> tuple[str, dict[str, Any]]:
        fields = ("run_id", "owner", "poll_s", "first_event_s")
        return f"{__name__}.{type(self).__name__}", {name: getattr(self, name) for name in fields}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        from evalwindow.nights.watching import OPEN, watch

        await asyncio.sleep(self.first_event_s)
        while True:
            watched: Watched = await self._patiently(lambda store: watch(store, self.run_id))
            if watched.status != OPEN:
                yield TriggerEvent(event_of(watched))  # type: ignore[no-untyped-call]
                return
            await asyncio.sleep(self.poll_s)

    async def on_kill(self) -> None:
        """Cancel the run if the task was marked failed, or its DAG run deleted.

        Airflow calls this also when the task is cleared (the next try takes the run over), marked success (the run
        goes on for itself), timed out with its DAG run, or when another triggerer has taken this trigger over.
        """
        state = await self.state_of_task()
        if state not in (None, "failed"):
            self.log.info("the task is %s: run %s goes on", state, self.run_id)
            return
        ended = await self._patiently(lambda store: store.cancel_owned(self.run_id, self.owner, WHY))
        self.log.info("run %s is %s", self.run_id, "cancelled" if ended else "not this task's any more")

    async def state_of_task(self) -> str | None:
        """The state in which whoever killed this trigger has put its task; None: the task is gone."""
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        task: Any = self.task_instance
        states = await asyncio.to_thread(
            RuntimeTaskInstance.get_task_states,
            dag_id=task.dag_id,
            task_ids=[task.task_id],
            run_ids=[task.run_id],
            map_index=task.map_index,
        )
        of_task = states.get(task.run_id)
        return None if not of_task else str(next(iter(of_task.values())) or "cleared")

    async def _patiently(self, look: Callable[[Store], Result]) -> Result:
        """What the store says, as soon as it says anything."""
        from evalwindow.errors import ServiceDown

        while True:
            try:
                return await asyncio.to_thread(lambda: look(_store()))
            except ServiceDown as reason:
                self.log.warning("waiting for run %s: %s", self.run_id, reason)
                await asyncio.sleep(self.poll_s)


def event_of(watched: Watched) -> dict[str, Any]:
    """What the task is told."""
    return {
        "run_id": watched.run_id,
        "status": watched.status,
        "samples": watched.samples,
        "samples_left": watched.samples_left,
    }


@cache
def _store() -> Store:
    """One pool of connections for all triggers of this process, for as long as it lives."""
    from evalwindow.settings import read_settings
    from evalwindow.store import Store

    return Store(read_settings().database_url, pool_size=CONNECTIONS)
