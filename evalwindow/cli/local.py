"""What the operator's commands share: settings, the config, a database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from evalwindow.embedded import running_postgres, start_postgres
from evalwindow.settings import Settings, read_settings
from evalwindow.store import Store


@contextmanager
def local_database() -> Iterator[Settings]:
    """Settings that name a database which answers and has this version's schema.

    EVALWINDOW_DATABASE_URL if it is set; else the one that `evalwindow up` runs on EVALWINDOW_HOME; else one that
    is started there for as long as the block lasts.
    """
    settings = read_settings()
    if settings.database_url:
        _check(settings.database_url)
        yield settings
    elif (running := running_postgres(settings.home)) is not None:
        yield settings.model_copy(update={"database_url": running})
    else:
        server = start_postgres(settings.home)
        try:
            migrate(server.url)
            yield settings.model_copy(update={"database_url": server.url})
        finally:
            server.stop()


@contextmanager
def local_store() -> Iterator[Store]:
    with local_database() as settings, closing(Store(settings.database_url)) as store:
        yield store


def migrate(url: str, *, roles: bool = False) -> None:
    with closing(Store(url)) as store:
        store.migrate()
        if roles:
            store.grant_roles()


def _check(url: str) -> None:
    with closing(Store(url)) as store:
        store.check()
