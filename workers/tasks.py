"""Celery's tasks: shells around the use-cases. A message names a row; the row says what there is to do."""

from __future__ import annotations

from celery import Celery

from evalwindow import flow
from evalwindow.queue import RUN_SHARD, TRANSPORT
from workers.runtime import Runtime

#: Ends what hangs, before the broker would send its message a second time.
LONGEST_S = TRANSPORT["visibility_timeout"] * 0.9


def register(app: Celery, runtime: Runtime) -> None:
    """Give the app its tasks, run by `runtime`."""

    @app.task(name=RUN_SHARD)
    def run_shard(shard_id: str) -> None:
        runtime.call(lambda services: flow.run_shard(services, shard_id), timeout_s=LONGEST_S)
