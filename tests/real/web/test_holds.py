"""What a run waits for, if not for other work, as its page and the API say it."""

import pytest

from evalwindow.config import Quota, Team
from evalwindow.store.limit_tables import usage
from tests.real.web.test_pools import words

WISH = {"suite": "sums-regression", "candidate": {"model": "tiny"}}
OPEN = "Waiting for a free slot on a warm engine"


async def _submitted(web, headers, **changes):
    async with web.post("/v1/runs", json=WISH | changes, headers=headers) as answer:
        assert answer.status == 202
        return (await answer.json())["id"]


async def _held(web, headers, run_id):
    """As the API says it of the run, and of the run in the list; they are the same."""
    async with web.get(f"/v1/runs/{run_id}", headers=headers) as answer:
        own = (await answer.json())["held"]
    async with web.get("/v1/runs", headers=headers) as answer:
        [listed] = [run["held"] for run in (await answer.json())["runs"] if run["id"] == run_id]
    assert listed == own
    return own


async def _page(web, run_id):
    async with web.get(f"/runs/{run_id}") as answer:
        return words(await answer.text())


def _trip(services, breaker_id):
    for _ in range(10):
        services.breakers.failed(breaker_id, "the API answered 503")


async def test_a_run_whose_turn_has_not_come_waits_for_nothing_else(web, search):
    run_id = await _submitted(web, search)
    assert await _held(web, search, run_id) is None
    assert OPEN in await _page(web, run_id)


async def test_a_run_of_a_model_that_is_away_says_since_it_waits_for_it(web, services, search):
    run_id = await _submitted(web, search)
    _trip(services, "provider:tiny")
    held = await _held(web, search, run_id)
    assert held.startswith("waits: the API of model tiny failed too often; one may try at ")
    assert held[1:] in await _page(web, run_id)
    services.breakers.reset("provider:tiny", by="lea", reason="it is back")
    assert await _held(web, search, run_id) is None


async def test_a_run_that_is_final_waits_for_nothing(web, services, search):
    run_id = await _submitted(web, search)
    _trip(services, "provider:tiny")
    services.store.cancel_run(run_id, "enough")
    assert await _held(web, search, run_id) is None


@pytest.mark.parametrize("tier", ["smoke", "regression"])
async def test_what_a_loop_got_in_says_until_when_it_waits(web, services, search, bearer, tier):
    teams = services.config.teams | {"search": Team(quota=Quota(submissions_per_minute=1))}
    services.config = services.config.model_copy(update={"teams": teams})
    run_id = await _submitted(web, search, suite=f"sums-{tier}")
    theirs = await _submitted(web, bearer("ads"))
    async with web.post("/v1/runs", json=WISH, headers=search) as answer:
        assert answer.status == 429
    held = await _held(web, search, run_id)
    assert (held or "").startswith("waits while team search submits too much, until ") == (tier == "regression")
    assert await _held(web, bearer("ads"), theirs) is None


async def test_a_team_that_has_used_its_quota_reads_when_it_goes_on(web, services, search):
    teams = services.config.teams | {"search": Team(quota=Quota(gpu_minutes=1))}
    services.config = services.config.model_copy(update={"teams": teams})
    run_id = await _submitted(web, search)
    with services.store._transaction() as connection:
        connection.execute(usage.update().values(gpu_s=90.0))
    held = await _held(web, search, run_id)
    assert held.startswith("waits: team search has used what it may today; it goes on at 2")
    assert held[1:] in await _page(web, run_id)
