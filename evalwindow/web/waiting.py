"""Requests that wait for a run: PostgreSQL tells when it is final, so nobody asks it over and over."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from evalwindow.store import Store
from evalwindow.store.listener import Listener
from evalwindow.store.wakes import RUNS

POLL_S = 0.25  # between two looks while no wake-ups are heard; else at the end only, half a minute at most


class Waiting:
    """All waiting requests of one process; they share a connection, which is made when the first one waits."""

    def __init__(self, store: Store) -> None:
        self._news: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._listener = Listener(store, RUNS, self._heard, changed=self._all)
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def on(self, run_id: str) -> Iterator[asyncio.Event]:
        """Set whenever a look at the run may be worth it; begin to wait before the first look."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._listener.run())
        news = asyncio.Event()
        self._news[run_id].add(news)
        try:
            yield news
        finally:
            self._news[run_id].discard(news)
            if not self._news[run_id]:
                del self._news[run_id]

    async def pause(self, news: asyncio.Event, seconds: float) -> None:
        """Until there is news, for so many seconds at most."""
        longest = seconds if self._listener.listening else min(seconds, POLL_S)
        with suppress(TimeoutError):
            await asyncio.wait_for(news.wait(), longest)
        news.clear()

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def _heard(self, run_id: str) -> None:
        for news in self._news.get(run_id, ()):
            news.set()

    def _all(self) -> None:
        for waiting in self._news.values():
            for news in waiting:
                news.set()
