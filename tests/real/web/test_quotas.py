"""What a team hears when it has as much as it may: on the API, on its pull request, on the page of a joined run."""

import asyncio
import datetime as dt

import pytest

from evalwindow.config import Quota, Team
from evalwindow.model import RunState
from evalwindow.quota import period_end
from evalwindow.store.limit_tables import usage
from tests.real.web.conftest import SECRET
from tests.real.web.helpers import answer_run, signed
from tests.real.web.test_webhooks import CONFIG_FILE, HOOK, _events_done
from tests.unit.github.examples import SHA, pull_request

WISH = {"suite": "sums-smoke", "candidate": {"model": "tiny"}}
REFUSED = "team 'search' has 2 smoke runs that are not final; its quota is 2 (quota.smoke_runs): try again when"


@pytest.fixture
async def services(services):
    """Of a team that may have two smoke runs, and ten samples that wait."""
    search = Team(repos=("acme/bot",), quota=Quota(smoke_runs=2, queued_samples=10, gpu_minutes=5))
    teams = services.config.teams | {"search": search}
    services.config = services.config.model_copy(update={"teams": teams})
    return services


async def _post(web, headers, **changes):
    async with web.post("/v1/runs", json=WISH | changes, headers=headers) as answer:
        return answer.status, answer.headers, await answer.json(content_type=None)


async def test_over_a_quota_the_answer_is_429_with_the_reason_and_when_to_try_again(web, services, search, bearer):
    keys = [(await _post(web, search, key=key))[2]["id"] for key in "ab"]
    status, headers, problem = await _post(web, search, key="c")
    assert (status, headers["Content-Type"], headers["Retry-After"]) == (429, "application/problem+json", "30")
    assert problem["kind"] == "QuotaExceeded"
    assert problem["error"].startswith(REFUSED)
    assert (await _post(web, search, key="a"))[2]["id"] == keys[0]  # the same again is no new run
    assert (await _post(web, bearer("ads"), key="c"))[0] == 202
    await answer_run(services, keys[0], lambda target: target)
    assert (await _post(web, search, key="c"))[0] == 202


async def test_a_team_sees_its_limits_and_what_is_used_of_them(web, services, search, bearer):
    await _post(web, search, key="a")
    for key in "bcd":
        await _post(web, search, key=key, suite="sums-regression")
    with services.store._transaction() as connection:
        connection.execute(usage.update().values(gpu_s=90.0))
    async with web.get("/v1/quotas", headers=search) as answer:
        found = await answer.json()
    limits = {each["name"]: (each["used"], each["limit"], each["full"]) for each in found["limits"]}
    assert limits == {
        "smoke_runs": (1, 2, False),
        "queued_samples": (8, 10, False),
        "gpu_minutes": (1.5, 5, False),
        "api_cost": (0, None, False),
    }
    assert (found["team"], found["period"], found["runs"], found["refused"]) == ("search", "day", 3, 1)
    at, end = (dt.datetime.fromisoformat(found[name]) for name in ("at", "period_end"))
    assert end == period_end("day", at)
    async with web.get("/v1/quotas", headers=bearer("ads")) as answer:
        theirs = await answer.json()
    assert (theirs["runs"], theirs["limits"][0]["limit"]) == (0, 20)


async def test_the_document_of_the_api_tells_of_the_header(web):
    async with web.get("/openapi.json") as answer:
        document = await answer.json()
    told = document["paths"]["/v1/runs"]["post"]["responses"]["429"]
    assert told["headers"]["Retry-After"]["schema"] == {"type": "integer", "minimum": 1}


async def test_nobody_sees_a_quota_without_a_token(web):
    async with web.get("/v1/quotas") as answer:
        assert answer.status == 401


async def test_a_pull_request_hears_of_it_by_a_neutral_check_and_its_other_suites_run(web, services, standin, search):
    [await _post(web, search, key=key) for key in "ab"]
    both = CONFIG_FILE.replace(b"[sums-smoke]", b"[sums-smoke, sums-regression]")
    standin.put_files("acme/bot", SHA, {".evalwindow.yaml": both})
    async with web.post(HOOK, **signed(pull_request(), SECRET)) as answer:
        assert answer.status == 202
    ((state, noted),) = await _events_done(services)
    assert state == "refused"
    assert noted.startswith(f"sums-smoke: {REFUSED} one has ended, in about 30 s")
    (check,) = standin.check_runs
    assert (check["name"], check["conclusion"], check["head_sha"]) == ("evalwindow/config", "neutral", SHA)
    for words in ("sums-smoke", "2 smoke runs that are not final", "quota is 2", "in about 30 s", "push a commit"):
        assert words in check["output"]["summary"]
    [run] = services.store.runs(repo="acme/bot")
    assert (run.suite, run.state) == ("sums-regression", RunState.QUEUED)


async def test_what_was_refused_runs_when_the_pull_request_is_opened_again(web, services, standin, search):
    first, _ = [(await _post(web, search, key=key))[2]["id"] for key in "ab"]
    standin.put_files("acme/bot", SHA, {".evalwindow.yaml": CONFIG_FILE})
    async with web.post(HOOK, **signed(pull_request(), SECRET)):
        await _events_done(services)
    services.store.cancel_run(first, "enough")
    async with web.post(HOOK, **signed(pull_request(action="reopened"), SECRET)):
        states = await _events_done(services)
    assert [state for state, _ in states] == ["refused", "done"]
    assert len(services.store.runs(repo="acme/bot")) == 1


async def test_a_flood_of_pull_requests_is_told_a_few_times_a_minute(web, services, standin, search):
    [await _post(web, search, key=key) for key in "ab"]
    standin.put_files("acme/bot", SHA, {".evalwindow.yaml": CONFIG_FILE})
    for number in range(1, 26):
        async with web.post(HOOK, **signed(pull_request(number=number), SECRET)) as answer:
            assert answer.status == 202
        await _events_done(services)
    assert [state for state, _ in await _events_done(services)] == ["refused"] * 25
    assert len(standin.check_runs) <= 20


async def test_a_breaker_s_refusal_is_counted_with_the_quota_s(web, services, search):
    teams = {"search": Team(quota=Quota(submissions_per_minute=1))}
    services.config = services.config.model_copy(update={"teams": teams})
    assert (await _post(web, search))[0] == 202
    status, headers, problem = await _post(web, search)
    assert (status, problem["kind"]) == (429, "BreakerOpen")
    assert 0 < int(headers["Retry-After"]) <= 60
    assert services.store.standing("search", services.config.quota_of("search")).refused == 1


async def test_a_joined_run_says_what_it_waits_for(web, services, search):
    first = (await _post(web, search, key="a"))[2]["id"]
    accepted = (await _post(web, search, key="b"))[2]
    assert accepted["joined_to"] == first
    async with web.get(f"/v1/runs/{accepted['id']}", headers=search) as answer:
        assert (await answer.json())["joined_to"] == first
    async with web.get(f"/runs/{accepted['id']}") as answer:
        page = await answer.text()
    assert f"Waits for run {first}, which asks the same" in page
    assert f'href="/runs/{first}">The run that asked the same first' in page
    await asyncio.to_thread(services.store.cancel_run, first, "enough")
    async with web.get(f"/runs/{accepted['id']}") as answer:
        assert "Waiting for a free slot on a warm engine" in await answer.text()
