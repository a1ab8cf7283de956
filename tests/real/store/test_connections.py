"""The pool of connections, when all of them are in use."""

import pytest

from evalwindow.errors import ServiceDown
from evalwindow.store import Store


def test_who_finds_no_free_connection_in_time_is_told_to_come_again_and_later_finds_one(database_url):
    store = Store(database_url, pool_size=1, pool_timeout_s=0.01)
    told = pytest.raises(ServiceDown, match="all connections of this process are in use")
    with store._transaction(), store._transaction(), told:
        store.runs()
    assert store.runs() == []
    store.close()
