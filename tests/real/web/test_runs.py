import asyncio

import pytest

from evalwindow.model import RunState
from tests.real.web.helpers import answer_run

WISH = {"suite": "sums-smoke", "candidate": {"model": "tiny"}}


async def _submitted(web, headers, **changes):
    async with web.post("/v1/runs", json=WISH | changes, headers=headers) as answer:
        assert answer.status == 202, await answer.text()
        return await answer.json()


async def _problem(answer):
    assert answer.content_type == "application/problem+json"
    return (await answer.json(content_type=None))["error"]


async def test_a_run_is_admitted_queued_and_read_back(web, search):
    accepted = await _submitted(web, search, candidate={"model": "tiny", "sampling": {"max_tokens": 7}})
    assert accepted["state"] == "queued"
    assert accepted["urls"]["page"].endswith(f"/runs/{accepted['id']}")
    async with web.get(f"/v1/runs/{accepted['id']}", headers=search) as answer:
        run = await answer.json()
    assert (run["suite"], run["team"], run["candidate"]["sampling"]) == ("sums-smoke", "search", {"max_tokens": 7})
    assert run["answer"] is None


async def test_the_same_key_is_the_same_run_and_no_key_a_new_one(web, search):
    first, again = [await _submitted(web, search, key="ci-17") for _ in range(2)]
    assert first["id"] == again["id"]
    assert (await _submitted(web, search))["id"] != (await _submitted(web, search))["id"]


async def test_a_key_of_another_team_is_another_run(web, search, bearer):
    mine = await _submitted(web, search, key="ci-17")
    assert (await _submitted(web, bearer("ads"), key="ci-17"))["id"] != mine["id"]


async def test_a_key_with_another_candidate_is_a_conflict(web, search):
    await _submitted(web, search, key="ci-17")
    changed = WISH | {"key": "ci-17", "candidate": {"model": "tiny", "system": "x"}}
    async with web.post("/v1/runs", json=changed, headers=search) as answer:
        assert answer.status == 409
        assert "'ci-17'" in await _problem(answer)


@pytest.mark.parametrize(
    "body, says",
    [
        (WISH | {"suite": "sums-smok"}, "did you mean 'sums-smoke'?"),
        (WISH | {"candidate": {"model": "tinny"}}, "did you mean 'tiny'?"),
        (WISH | {"candidat": {}}, "did you mean 'candidate'?"),
        (WISH | {"candidate": {"model": "tiny", "sampling": {"max_token": 3}}}, "did you mean 'max_tokens'?"),
        (WISH | {"candidate": {"model": "tiny", "system": "a\x00b"}}, "candidate.system: holds a NUL character"),
        (WISH | {"candidate": {"model": "tiny", "template": "{{ inptu }}"}}, "inptu"),
        (WISH | {"source": {"repo": "ads/site"}}, "not a repository of team 'search'"),
        (WISH | {"source": {"pull_request": 7}}, "source.repo"),
        ({"candidate": {"model": "tiny"}}, "'suite' is missing"),
        ([], "the body must be a mapping"),
    ],
)
async def test_a_bad_wish_is_422_and_says_what_would_be_right(web, services, search, body, says):
    async with web.post("/v1/runs", json=body, headers=search) as answer:
        assert answer.status == 422
        assert says in await _problem(answer)
    assert services.store.runs() == []


async def test_a_body_that_can_t_be_read_is_refused(web, search):
    for data, status in ((b"{", 400), (b"\xff", 400), (b'{"suite": "\\ud800"}', 422)):
        async with web.post("/v1/runs", data=data, headers=search) as answer:
            assert answer.status == status
            assert await _problem(answer)


async def test_without_a_team_s_token_nothing_is_said(web):
    wrong = ({}, *({"Authorization": text} for text in ("Bearer ", "Bearer ew_x_y", "Basic eDp5", "Bearer é")))
    for method, path in (
        ("POST", "/v1/runs"),
        ("GET", "/v1/runs"),
        ("GET", "/v1/runs/x"),
        ("POST", "/v1/runs/x/cancel"),
    ):
        for headers in wrong:
            async with web.request(method, path, headers=headers) as answer:
                assert (answer.status, answer.headers.get("WWW-Authenticate")) == (401, "Bearer"), (path, headers)


async def test_another_team_s_run_is_not_there(web, search, bearer):
    run = await _submitted(web, search)
    ads = bearer("ads")
    for method, path in (("GET", ""), ("GET", "/samples"), ("POST", "/cancel")):
        async with web.request(method, f"/v1/runs/{run['id']}{path}", headers=ads) as answer:
            assert answer.status == 404
    async with web.get("/v1/runs", headers=ads) as answer:
        assert (await answer.json())["runs"] == []


async def test_the_list_goes_page_by_page_and_filters(web, search):
    ids = [(await _submitted(web, search))["id"] for _ in range(3)]
    async with web.get("/v1/runs", params={"limit": 2}, headers=search) as answer:
        first = await answer.json()
    async with web.get("/v1/runs", params={"limit": 2, "before": first["next"]}, headers=search) as answer:
        second = await answer.json()
    assert [run["id"] for run in first["runs"] + second["runs"]] == ids[::-1]
    async with web.get("/v1/runs", params={"state": "running"}, headers=search) as answer:
        assert (await answer.json())["runs"] == []
    async with web.get("/v1/runs", params={"limit": 0}, headers=search) as answer:
        assert answer.status == 422


async def test_waiting_ends_when_the_run_does(web, services, search):
    run = await _submitted(web, search)
    waiting = asyncio.create_task(_waited(web, run["id"], search))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    await answer_run(services, run["id"], lambda target: target)
    assert (await waiting)["answer"] == "pass"


async def _waited(web, run_id, headers):
    async with web.get(f"/v1/runs/{run_id}", params={"wait": 30}, headers=headers) as answer:
        return await answer.json()


async def test_waiting_ends_at_its_time_too(web, search):
    run = await _submitted(web, search)
    async with web.get(f"/v1/runs/{run['id']}", params={"wait": 0.3}, headers=search) as answer:
        assert (await answer.json())["state"] == "queued"


async def test_samples_come_failing_first_and_can_be_filtered(web, services, search):
    run = await _submitted(web, search)
    await answer_run(services, run["id"], lambda target: target if target != "4" else "<b>five</b>")
    async with web.get(f"/v1/runs/{run['id']}/samples", headers=search) as answer:
        everything = await answer.json()
    async with web.get(f"/v1/runs/{run['id']}/samples", params={"failing": "true"}, headers=search) as answer:
        failing = await answer.json()
    assert (everything["total"], failing["total"]) == (4, 1)
    assert everything["samples"][0] == failing["samples"][0]
    assert failing["samples"][0]["answers"][0]["output"] == "<b>five</b>"


async def test_a_run_is_cancelled_once(web, services, search):
    run = await _submitted(web, search)
    async with web.post(f"/v1/runs/{run['id']}/cancel", headers=search) as answer:
        assert (answer.status, (await answer.json())["state"]) == (200, "cancelled")
    async with web.post(f"/v1/runs/{run['id']}/cancel", headers=search) as answer:
        assert answer.status == 409
    assert services.store.run(run["id"]).state is RunState.CANCELLED


async def test_the_openapi_document_describes_bodies_and_problems(web):
    async with web.get("/openapi.json") as answer:
        document = await answer.json()
    submit = document["paths"]["/v1/runs"]["post"]
    body = submit["requestBody"]["content"]["application/json"]["schema"]
    assert set(body["properties"]) == {"suite", "candidate", "source", "key", "use_cache"}
    assert "422" in submit["responses"]
    assert "/runs/{run_id}" not in document["paths"]
