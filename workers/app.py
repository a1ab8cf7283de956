"""The consumers' Celery app: `celery -A workers.app worker -P threads -Q smoke.<pool> -c <shards at once>`.

Threads have neither hard time limits nor termination; nothing here relies on them. On SIGTERM the running shards
are handed back between two prompts, then the process ends.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from celery import Celery
from celery.signals import worker_init, worker_shutdown, worker_shutting_down

from evalwindow.errors import EvalwindowError
from evalwindow.queue import make_celery
from evalwindow.settings import Settings, read_settings
from workers import tasks
from workers.runtime import Runtime


def make_app(settings: Settings) -> Celery:
    """An app whose worker builds its services when it starts, and drains when it is told to stop."""
    app = make_celery(settings.redis_url)
    runtime = Runtime(settings)
    tasks.register(app, runtime)

    def start(**_: object) -> None:
        try:
            runtime.start()
        except EvalwindowError as error:
            raise SystemExit(str(error)) from error

    worker_init.connect(start, weak=False)
    worker_shutting_down.connect(lambda **_: runtime.drain(), weak=False)
    worker_shutdown.connect(lambda **_: runtime.stop(), weak=False)
    return app


@cache
def _app() -> Celery:
    return make_app(read_settings())


def __getattr__(name: str) -> Any:
    """`app`, made when Celery's command line asks for it: importing this module reads no settings."""
    if name == "app":
        return _app()
    raise AttributeError(name)
