from dataclasses import replace

import aiohttp
import pytest

from evalwindow import flow
from evalwindow.admission import Submission
from evalwindow.model import Candidate
from evalwindow.web.access import COOKIE
from evalwindow.web.app import create_app
from tests.real.github.serving import serving
from tests.real.web.helpers import answer_run


def _run(services, *, team="search", key="one"):
    wish = Submission(key=key, team=team, suite="sums-smoke", candidate=Candidate(model="tiny"))
    return flow.submit(services, wish)


@pytest.fixture
async def public(services):
    """The app as a proxy publishes it."""
    settings = services.settings.model_copy(update={"public_url": "https://evals.example"})
    async with (
        serving(create_app(replace(services, settings=settings))) as url,
        aiohttp.ClientSession(url, cookie_jar=aiohttp.DummyCookieJar()) as session,
    ):
        yield session


async def test_pages_of_this_machine_are_open_and_escape_what_models_wrote(web, services):
    run = _run(services)
    await answer_run(services, run.id, lambda target: "<script>alert(1)</script>")
    async with web.get(f"/runs/{run.id}") as answer:
        html = await answer.text()
    assert answer.status == 200
    assert "Failed" in html
    assert "<script" not in html
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_the_front_door_leads_to_the_list(web, services):
    run = _run(services)
    async with web.get("/") as answer:
        assert answer.url.path == "/runs"
        assert run.id in await answer.text()


async def test_the_json_of_a_run_holds_its_samples(web, services):
    run = _run(services)
    async with web.get(f"/runs/{run.id}.json") as answer:
        document = await answer.json()
    assert (document["id"], len(document["samples"])) == (run.id, 4)


async def test_a_run_that_is_not_there_is_a_page_that_says_so(web):
    async with web.get("/runs/none") as answer:
        assert answer.status == 404
        assert "There is no run" in await answer.text()


async def test_a_foreign_name_for_this_machine_opens_nothing(web):
    async with web.get("/runs", headers={"Host": "rebound.example"}, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, "/login")


async def test_published_pages_need_a_login_and_show_the_team_s_own_runs(public, services):
    mine, theirs = _run(services), _run(services, team="ads", key="two")
    async with public.get(f"/runs/{mine.id}", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, "/login")
    token = services.store.add_token("search")
    async with public.post("/login", data={"token": token}, allow_redirects=False) as answer:
        assert answer.status == 303
        cookie = answer.headers["Set-Cookie"]
    assert all(flag in cookie for flag in ("HttpOnly", "SameSite=lax", "Secure"))
    cookies = {"Cookie": f"{COOKIE}={token}"}
    async with public.get("/runs", headers=cookies) as answer:
        html = await answer.text()
    assert mine.id in html
    assert theirs.id not in html
    async with public.get(f"/runs/{theirs.id}", headers=cookies) as answer:
        assert answer.status == 404


async def test_a_revoked_token_ends_its_session(public, services):
    token = services.store.add_token("search")
    services.store.revoke_token(token.split("_")[1])
    async with public.get("/runs", headers={"Cookie": f"{COOKIE}={token}"}, allow_redirects=False) as answer:
        assert answer.status == 303


async def test_a_wrong_token_is_told_and_sets_nothing(public):
    async with public.post("/login", data={"token": "ew_a_b"}) as answer:
        assert answer.status == 401
        assert "no valid team token" in await answer.text()
        assert "Set-Cookie" not in answer.headers
