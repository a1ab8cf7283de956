import pytest

from evalwindow.errors import NotFound
from evalwindow.store import Store
from tests.unit.worlds import make_suite, rows


def test_a_suite_comes_back_equal_and_with_its_digest(store, database_url, tmp_path):
    awkward = {
        "id": "s9",
        "input": "\U0001f600 \u2400 \ufffd \x7f",
        "target": [1.5, None],
        "slices": ["a", "b"],
        "extra": {},
    }
    suite = make_suite(tmp_path, [*rows(3), awkward])
    store.put_suite(suite)
    other_process = Store(database_url)
    assert other_process.suite(suite.digest) == suite
    assert other_process.suite(suite.digest).digest == suite.digest
    other_process.close()


def test_putting_a_suite_again_changes_nothing(world):
    assert world.store.put_suite(world.suite) == world.suite.digest
    assert world.count("suite_version") == 1


def test_an_unknown_digest_is_not_found(store):
    with pytest.raises(NotFound, match="suite 'nope'"):
        store.suite("nope")
