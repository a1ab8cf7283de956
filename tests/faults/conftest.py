"""PostgreSQL and Redis of these tests' own, which they may kill; they are there again for the next test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import text

from demo.github_standin import Standin
from demo.walkthrough.stage import standin_running
from evalwindow.embedded import start_postgres, start_redis
from evalwindow.services import Services
from soak.invariants import watch
from soak.servers import Mortal
from tests.faults.scene import Scene
from tests.fixtures.house import api, house, services
from tests.fixtures.servers import delete_rows, home, migrate, store
from tests.real.house import House

__all__ = ["api", "home", "house", "services", "store"]


@pytest.fixture(scope="session")
def _postgres(home: Path) -> Iterator[Mortal]:
    """Durable, as in production: what was committed is there after a kill -9."""
    server = Mortal(lambda: start_postgres(home))
    migrate(server.url)
    watch(server.url)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def _redis(home: Path) -> Iterator[Mortal]:
    server = Mortal(lambda: start_redis(home))
    yield server
    server.stop()


@pytest.fixture
def postgres(_postgres: Mortal) -> Iterator[Mortal]:
    """With the schema, no rows, and every end of a run written down. Nobody may be at work on it at the test's end."""
    _postgres.start()
    yield _postgres
    _postgres.start()
    delete_rows(_postgres.url, text("TRUNCATE soak.ending"))


@pytest.fixture
def redis(_redis: Mortal) -> Iterator[Mortal]:
    """With nothing in it."""
    _redis.start()
    with Redis.from_url(_redis.url) as client:
        client.flushall()
    yield _redis
    _redis.start()


@pytest.fixture
def database_url(postgres: Mortal) -> str:
    return postgres.url


@pytest.fixture
def scene(house: House, services: Services) -> Iterator[Scene]:
    """The house with a GitHub and, where it is started, a web app; everything is checked by `ends_well`."""
    github = Standin()
    with standin_running(github) as url:
        yield Scene(house, services, github=github, github_url=url)
        house.close()  # before GitHub and the servers: what it would say then is of no interest
