"""PostgreSQL and Redis of these tests' own, which they may kill; they are there again for the next test."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import create_engine, text

from evalwindow.embedded import start_postgres, start_redis
from evalwindow.store import Store
from evalwindow.store.tables import metadata
from soak.invariants import watch
from tests.faults.servers import Mortal


@pytest.fixture(scope="session")
def servers_home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="evalwindow-"))  # short, which sockets need
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def _postgres(servers_home: Path) -> Iterator[Mortal]:
    """Durable, as in production: what was committed is there after a kill -9."""
    server = Mortal(lambda: start_postgres(servers_home))
    store = Store(server.url)
    store.migrate()
    store.close()
    watch(server.url)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def _redis(servers_home: Path) -> Iterator[Mortal]:
    server = Mortal(lambda: start_redis(servers_home))
    yield server
    server.stop()


@pytest.fixture
def postgres(_postgres: Mortal) -> Iterator[Mortal]:
    """With the schema, no rows, and every end of a run written down. Nobody may be at work on it at the test's end."""
    _postgres.start()
    yield _postgres
    _postgres.start()
    engine = create_engine(_postgres.url)
    with engine.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
        connection.execute(text("TRUNCATE soak.ending"))
    engine.dispose()


@pytest.fixture
def redis(_redis: Mortal) -> Iterator[Mortal]:
    """With nothing in it."""
    _redis.start()
    with Redis.from_url(_redis.url) as client:
        client.flushall()
    yield _redis
    _redis.start()


@pytest.fixture
def store(postgres: Mortal) -> Iterator[Store]:
    store = Store(postgres.url)
    yield store
    store.close()
