"""What a task works with, made when it runs: nothing here is imported while DAGs are parsed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowFailException

from evalwindow.errors import BadInput, Conflict, NotFound
from evalwindow.settings import read_settings

if TYPE_CHECKING:
    from evalwindow.services import Services
    from evalwindow.store import Store


@contextmanager
def working() -> Iterator[Services]:
    """Services for one task. What is wrong with its input fails the task at once: another try can't mend it."""
    from evalwindow.services import build

    with _no_retry():
        services = build(read_settings())
        try:
            yield services
        finally:
            asyncio.run(services.aclose())


@contextmanager
def reading() -> Iterator[Store]:
    """Only the store; cheaper by all that a task doesn't need for a look."""
    from evalwindow.store import Store

    with _no_retry(), closing(Store(read_settings().database_url, pool_size=1)) as store:
        yield store


@contextmanager
def _no_retry() -> Iterator[None]:
    try:
        yield
    except (BadInput, Conflict, NotFound) as reason:
        raise AirflowFailException(str(reason)) from reason
