"""PostgreSQL and Redis of these tests' own, which they may kill; they are there again for the next test."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import create_engine, text

from demo.github_standin import Standin
from demo.walkthrough.stage import standin_running
from evalwindow.embedded import start_postgres, start_redis
from evalwindow.services import Services, build
from evalwindow.settings import read_settings
from evalwindow.store import Store
from evalwindow.store.tables import metadata
from soak.invariants import watch
from soak.servers import Mortal
from tests.faults.scene import Scene
from tests.real.house import Api, House


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


@pytest.fixture
def database_url(postgres: Mortal) -> str:
    return postgres.url


@pytest.fixture
def api() -> Iterator[Api]:
    """What the house's model asks."""
    api = Api()
    yield api
    api.close()


@pytest.fixture
def house(tmp_path: Path, api: Api, postgres: Mortal, redis: Mortal) -> Iterator[House]:
    """A small house on the servers that may die."""
    house = House(tmp_path, api=api, database_url=postgres.url, redis_url=redis.url)
    yield house
    house.close()


@pytest.fixture
def services(house: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    """Services of this process in the house."""
    monkeypatch.setenv("PARROT_KEY", house.environ["PARROT_KEY"])
    built = build(read_settings(house.environ))
    yield built
    asyncio.run(built.aclose())


@pytest.fixture
def scene(house: House, services: Services) -> Iterator[Scene]:
    """The house with a GitHub and, where it is started, a web app; everything is checked by `ends_well`."""
    github = Standin()
    with standin_running(github) as url:
        yield Scene(house, services, github=github, github_url=url)
        house.close()  # before GitHub and the servers: what it would say then is of no interest
