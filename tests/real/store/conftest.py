from pathlib import Path

import pytest

from evalwindow.store import Store
from tests.real.store.world import World
from tests.unit.worlds import make_suite, rows


@pytest.fixture
def world(store: Store, tmp_path: Path) -> World:
    suite = make_suite(tmp_path, rows(4))
    store.put_suite(suite)
    return World(store, suite)
