"""Real servers for all tests here, started once; their rows end with each test."""

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from redis import Redis
from sqlalchemy import create_engine, make_url, text

from evalwindow.embedded import Server, start_postgres, start_redis
from evalwindow.services import Services, build
from evalwindow.settings import read_settings
from evalwindow.store import Store
from evalwindow.store.tables import metadata
from tests.real.house import Api, House
from tests.real.registries import Registry, copy_of, make_template

_numbers = itertools.count()

OTHERS_OUT = text("""
    SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
""")


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """A folder with a short path, which sockets need, and open to PostgreSQL's own user."""
    folder = Path(tempfile.mkdtemp(prefix="evalwindow-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(home: Path) -> Iterator[Server]:
    """PostgreSQL, its own database migrated."""
    server = start_postgres(home, durable=False)
    store = Store(server.url)
    store.migrate()
    store.close()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis(home: Path) -> Iterator[Server]:
    server = start_redis(home)
    yield server
    server.stop()


@pytest.fixture
def database_url(postgres: Server) -> Iterator[str]:
    """URL of a database with the schema and no rows; who is connected at the end is thrown out."""
    yield postgres.url
    engine = create_engine(postgres.url)
    with engine.begin() as connection:
        connection.execute(OTHERS_OUT)
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
    engine.dispose()


@pytest.fixture
def empty_url(postgres: Server) -> Iterator[str]:
    """URL of a database with nothing in it."""
    url, name = make_url(postgres.url), f"empty_{next(_numbers)}"
    dsn = f"host='{url.query['host']}' user=postgres dbname=postgres"
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        yield url.set(database=name).render_as_string(hide_password=False)
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    store = Store(database_url)
    yield store
    store.close()


@pytest.fixture
def api() -> Iterator[Api]:
    """What the house's model asks."""
    api = Api()
    yield api
    api.close()


@pytest.fixture
def house(tmp_path: Path, api: Api, database_url: str, redis: Server) -> Iterator[House]:
    """A small house with nothing in its queues."""
    Redis.from_url(redis.url).flushall()
    house = House(tmp_path, api=api, database_url=database_url, redis_url=redis.url)
    yield house
    house.close()


@pytest.fixture
def services(house: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    """Services of this process in the house."""
    monkeypatch.setenv("PARROT_KEY", house.environ["PARROT_KEY"])
    built = build(read_settings(house.environ))
    yield built
    asyncio.run(built.aclose())


@pytest.fixture(scope="session")
def registry_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("mlflow"))


@pytest.fixture
def mlflow(registry_template: Path, tmp_path: Path) -> Registry:
    """A model registry of this test's own."""
    return copy_of(registry_template, tmp_path)
