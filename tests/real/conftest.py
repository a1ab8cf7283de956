"""Real servers for all tests here, and what several folders of them share."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from demo.github_standin import Standin
from evalwindow.embedded import Server
from tests.fixtures.house import api, house, services
from tests.fixtures.servers import database_url, home, own_home, postgres, redis, store
from tests.real.registries import Registry, copy_of, make_template

__all__ = ["api", "database_url", "home", "house", "own_home", "postgres", "redis", "services", "store"]

_numbers = itertools.count()


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
def standin() -> Standin:
    """What stands in for GitHub, served by whoever needs it."""
    return Standin()


@pytest.fixture(scope="session")
def registry_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("mlflow"))


@pytest.fixture
def mlflow(registry_template: Path, tmp_path: Path) -> Registry:
    """A model registry of this test's own."""
    return copy_of(registry_template, tmp_path)
