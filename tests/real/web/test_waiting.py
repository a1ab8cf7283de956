"""Who waits for a run is woken, and asks nobody meanwhile."""

import asyncio

import pytest
import pytest_asyncio
from sqlalchemy import text

from evalwindow import flow
from evalwindow.admission import Submission
from evalwindow.model import Candidate
from evalwindow.web.waiting import Waiting
from tests.real.web.helpers import answer_run

PATIENCE_S = 60.0


@pytest_asyncio.fixture
async def waiting(services, monkeypatch):
    """But for wake-ups it would look next in an hour."""
    monkeypatch.setattr("evalwindow.web.waiting.POLL_S", 3600.0)
    waiting = Waiting(services.store)
    yield waiting
    await waiting.aclose()


async def woken(waiting, news):
    await asyncio.wait_for(waiting.pause(news, 3600.0), PATIENCE_S)


@pytest.fixture
def run_id(services):
    return submitted(services, "one")


def submitted(services, key):
    wish = Submission(key=key, team="search", suite="sums-regression", candidate=Candidate(model="tiny"))
    return flow.submit(services, wish).id


async def test_a_verdict_wakes_everybody_who_waits_for_it_and_nobody_else(services, waiting, run_id):
    other = await asyncio.to_thread(submitted, services, "other")
    with waiting.on(run_id) as first, waiting.on(run_id) as second, waiting.on(other) as third:
        await woken(waiting, first)  # it is listening from now on
        for news in (second, third):
            news.clear()
        await answer_run(services, run_id, lambda target: target)
        await woken(waiting, first)
        await woken(waiting, second)
        assert not third.is_set()


async def test_a_connection_that_ends_wakes_everybody_for_a_look(services, waiting, run_id):
    with waiting.on(run_id) as news:
        await woken(waiting, news)
        with services.store._transaction() as connection:
            connection.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
            )
        await woken(waiting, news)  # it has ended
        while not waiting._listener.listening:
            await woken(waiting, news)  # it is back
        news.clear()
        await answer_run(services, run_id, lambda target: target)
        await woken(waiting, news)


async def test_who_does_not_wait_any_more_is_forgotten(services, waiting, run_id):
    with waiting.on(run_id) as news:
        await woken(waiting, news)
    assert not waiting._news
