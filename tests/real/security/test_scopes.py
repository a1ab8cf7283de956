"""What a token may do, over HTTP."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import aiohttp
import pytest

from evalwindow.config import Team
from evalwindow.model import RunState
from evalwindow.store.rows import Scope
from evalwindow.web.app import create_app
from evalwindow.web.failures import BURST
from tests.real.github.serving import serving
from tests.real.web.conftest import SECRET
from tests.real.web.helpers import answer_run, signed
from tests.unit.github.examples import pull_request

RUN = {"suite": "sums-smoke", "candidate": {"model": "tiny"}}


@pytest.fixture
def token(services):
    """Headers of a token of a team with these scopes."""
    return lambda team, *scopes: {"Authorization": f"Bearer {services.store.add_token(team, scopes=scopes)}"}


async def _status(web, method, path, headers, body=None):
    async with web.request(method, path, headers=headers, json=body) as answer:
        return answer.status, await answer.json(content_type=None)


async def _promotable(web, services, headers):
    _, run = await _status(web, "POST", "/v1/runs", headers, RUN)
    ended = await answer_run(services, run["id"], lambda target: target)
    assert ended.state is RunState.CONCLUDED
    return {"run": ended.id, "reason": "first", "by": "lea"}


async def test_a_token_that_may_only_read_reads_and_changes_nothing(web, services, token):
    reader = token("search", Scope.READ)
    wish = await _promotable(web, services, token("search", Scope.SUBMIT))
    assert (await _status(web, "GET", f"/v1/runs/{wish['run']}", reader))[0] == 200
    for method, path, body in [
        ("POST", "/v1/runs", RUN),
        ("POST", f"/v1/runs/{wish['run']}/cancel", None),
        ("POST", "/v1/adapters", {"name": "a", "files": {}}),
        ("POST", "/v1/baselines", wish),
    ]:
        status, said = await _status(web, method, path, reader, body)
        assert (status, said["kind"]) == (403, "Forbidden"), path
    assert services.store.baselines() == []
    assert len(services.store.runs()) == 1


async def test_a_ci_job_s_token_submits_and_does_not_promote(web, services, token):
    job = token("search", Scope.SUBMIT)
    wish = await _promotable(web, services, job)
    status, said = await _status(web, "POST", "/v1/baselines", job, wish)
    assert status == 403
    assert "promote or admin" in said["error"]
    assert (await _status(web, "POST", "/v1/baselines", token("search", Scope.PROMOTE), wish))[0] == 201


async def test_a_suite_that_a_team_owns_is_promoted_by_it_or_by_an_admin(services, token):
    teams = {**services.config.teams, "ads": Team(owns=("sums-smoke",))}
    owned = replace(services, config=services.config.model_copy(update={"teams": teams}))
    async with serving(create_app(owned)) as url, aiohttp.ClientSession(url) as web:
        mine = token("search", Scope.SUBMIT, Scope.PROMOTE)
        wish = await _promotable(web, services, mine)
        status, said = await _status(web, "POST", "/v1/baselines", mine, wish)
        assert (status, services.store.baselines()) == (403, [])
        assert "team 'ads'" in said["error"]
        assert (await _status(web, "POST", "/v1/baselines", token("search", Scope.ADMIN), wish))[0] == 201
        theirs = token("ads", Scope.SUBMIT, Scope.PROMOTE)
        wish = await _promotable(web, services, theirs)
        assert (await _status(web, "POST", "/v1/baselines", theirs, wish))[0] == 201


async def test_guessing_is_slowed_down_and_does_not_lock_the_neighbour_out(web, services, token):
    mine = token("search", Scope.READ)
    assert (await _status(web, "GET", "/v1/runs", mine))[0] == 200
    guesses = [{"Authorization": f"Bearer ew_{'0' * 26}_{number:064x}"} for number in range(BURST + 1)]
    statuses = [(await _status(web, "GET", "/v1/runs", guess))[0] for guess in guesses]
    assert statuses == [401] * BURST + [429]
    async with web.get("/v1/runs", headers=guesses[0]) as answer:
        assert (answer.status, int(answer.headers["Retry-After"]) >= 1) == (429, True)
    async with web.post("/login", data={"token": "ew_a_b"}) as answer:
        assert answer.status == 429
    assert (await _status(web, "GET", "/v1/runs", mine))[0] == 200
    async with web.post("/webhooks/github", **signed(pull_request(repo="acme/other"), SECRET)) as answer:
        assert answer.status == 202
    await asyncio.sleep(0)


async def test_wrong_signatures_are_told_so_a_few_times(web, services):
    statuses = []
    for _ in range(BURST + 1):
        async with web.post("/webhooks/github", **signed(pull_request(), "a guess")) as answer:
            statuses.append(answer.status)
    assert statuses == [401] * BURST + [429]
    async with web.post("/webhooks/github", **signed({"zen": "x"}, SECRET, kind="ping")) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via"])
async def test_pages_behind_a_proxy_that_nobody_told_us_of_need_a_login(web, header):
    async with web.get("/runs", headers={header: "192.0.2.7"}, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, "/login")


@pytest.mark.parametrize("path", ["/login", "/logout"])
async def test_another_site_s_page_logs_nobody_in_or_out(web, services, path):
    body, headers = {"token": services.store.add_token("search")}, {"Sec-Fetch-Site": "cross-site"}
    async with web.post(path, data=body, headers=headers, allow_redirects=False) as answer:
        assert (answer.status, "Set-Cookie" in answer.headers) == (403, False)
    async with web.post(path, data=body, headers={"Sec-Fetch-Site": "same-origin"}, allow_redirects=False) as answer:
        assert (answer.status, "Set-Cookie" in answer.headers) == (303, True)
