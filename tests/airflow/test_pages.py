"""The "Evals" pages: behind Airflow's login, read only, and in its UI."""

import asyncio
import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import jwt
import pytest
from airflow.api_fastapi.app import create_auth_manager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.core_api.security import get_user
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from evalwindow.airflow.pages import Backend, create_app
from evalwindow.airflow.views import PREFIX, views
from evalwindow.errors import ServiceDown
from tests.airflow.browser import CHROMIUM, Page, browsing
from tests.airflow.conftest import DAG_S, World
from tests.airflow.seed import VOID, Seed, Seeded, Story

STORY = Story(cut=0, void=1, invalid=2, unchanged=3, lost_sort=3)
SAMPLES = {"demo-regression": 140, "gsm8k": 20}
Inside = Callable[[Backend], TestClient]
FRAME = "document.querySelector('iframe').contentDocument"
PATHS = [route.path for route in create_app().routes if isinstance(route, APIRoute)]
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")


@pytest.fixture(scope="module")
def seeded(airflow: World) -> Iterator[Seeded]:
    """Five nights, the last one under way; gone with the module, so that no other test finds them."""
    seed = Seed(airflow.store, nights=5, samples=SAMPLES, window="seeded", story=STORY)
    yield seed.sow()
    seed.reap()


def _headers(airflow: World, role: str | None = "viewer") -> dict[str, str]:
    """Of a user with this role: the administrator's token, said of somebody else and signed with Airflow's secret."""
    claims = jwt.decode(airflow.api.token, options={"verify_signature": False}) | {"sub": "vera", "role": role}
    algorithm = jwt.get_unverified_header(airflow.api.token)["alg"]
    secret = airflow.airflow.environ["AIRFLOW__API_AUTH__JWT_SECRET"]
    return {"Cookie": f"_token={jwt.encode(claims, secret, algorithm=algorithm)}"}


def _ask(airflow: World, method: str, path: str, **options: Any) -> tuple[int, str, Any]:
    async def ask() -> tuple[int, str, Any]:
        jar = aiohttp.DummyCookieJar()
        async with (
            aiohttp.ClientSession(airflow.airflow.url, cookie_jar=jar) as session,
            session.request(method, path, allow_redirects=False, **options) as answer,
        ):
            return answer.status, await answer.text(errors="replace"), answer.headers

    return asyncio.run(ask())


def test_there_are_pages() -> None:
    assert {"/", "/nights/{night_id}", "/trends", "/runs/{run_id}", "/compare", "/datadocs/{path:path}"} <= set(PATHS)


@pytest.mark.parametrize("path", PATHS)
def test_strangers_see_none_of_them(airflow: World, path: str) -> None:
    asked = PREFIX + path.replace("{path:path}", "x/y.html").replace("{", "").replace("}", "")
    for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Cookie": "_token=nonsense"}):
        status, text, _ = _ask(airflow, "GET", asked, headers=headers)
        assert status in (401, 403)
        assert "demo" not in text
    assert "Log in first" in _ask(airflow, "GET", asked)[1]


def test_a_user_without_a_role_is_refused(airflow: World) -> None:
    status, text, _ = _ask(airflow, "GET", f"{PREFIX}/", headers=_headers(airflow, role=None))
    assert status == 403
    assert "Not allowed" in text


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_nothing_can_be_written(airflow: World, path: str, method: str) -> None:
    asked = PREFIX + path.replace("{path:path}", "x/y.html").replace("{", "").replace("}", "")
    status, text, _ = _ask(airflow, method, asked, headers=_headers(airflow, role="admin"))
    assert status == 405
    assert "can only be read" in text


def test_a_viewer_sees_the_nights_in_a_frame_of_airflow_alone(airflow: World, seeded: Seeded) -> None:
    status, text, headers = _ask(airflow, "GET", f"{PREFIX}/", headers=_headers(airflow))
    assert status == 200
    for night in seeded.nights:
        assert f'href="{PREFIX}/nights/{night}"' in text
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'self'" in policy


@pytest.mark.parametrize(
    "path",
    [
        *("/nights/none", "/runs/none", "/trends?suite=none", "/compare?run=none&other=none", "/nothing"),
        *("/datadocs/none/index.html", "/datadocs/none/x.html", "/datadocs/..%2Fairflow%2Fsecrets.json"),
        *("/datadocs/../airflow/passwords.json", "/datadocs/%2e%2e/airflow/passwords.json", "/datadocs//etc/passwd"),
    ],
)
def test_what_is_not_there_is_told(airflow: World, path: str) -> None:
    status, text, _ = _ask(airflow, "GET", PREFIX + path, headers=_headers(airflow))
    assert status == 404
    assert "Not found" in text


def test_inside_a_frame_no_link_leads_out_of_it(airflow: World, seeded: Seeded) -> None:
    path = f"{PREFIX}/nights/{seeded.nights[1]}"
    alone = _ask(airflow, "GET", path, headers=_headers(airflow))[1]
    framed = _ask(airflow, "GET", path, headers=_headers(airflow) | {"Sec-Fetch-Dest": "iframe"})[1]
    assert "/dags/seeded_regression/runs/" in alone
    assert "/dags/" not in framed
    assert "scheduled__" in framed


def test_a_dag_run_leads_to_its_night(airflow: World, seeded: Seeded) -> None:
    dag, _, run = airflow.store.night(seeded.nights[2]).key.partition("/")
    asked = f"{PREFIX}/?dag={dag}&run={quote(run, safe='')}"
    status, _, headers = _ask(airflow, "GET", asked, headers=_headers(airflow))
    assert (status, headers["Location"]) == (303, f"{PREFIX}/nights/{seeded.nights[2]}")
    status, text, _ = _ask(airflow, "GET", f"{PREFIX}/?dag={dag}&run=other", headers=_headers(airflow))
    assert status == 200
    assert "The DAG run other has opened no night" in text


def test_airflow_has_room_for_both_views() -> None:
    assert len({view["url_route"] for view in views()}) == len(views()) == 2


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch) -> Inside:
    """client(backend): the app in this process, read by a viewer."""
    create_auth_manager()
    monkeypatch.setenv("EVALWINDOW_REDIS_URL", "redis://127.0.0.1:1")  # pages send nothing

    def client(backend: Backend) -> TestClient:
        app = create_app(backend)
        app.dependency_overrides[get_user] = lambda: SimpleAuthManagerUser(username="vera", role="viewer", teams=None)
        return TestClient(app, raise_server_exceptions=False)

    return client


def test_a_bad_configuration_is_a_page_and_is_mended_without_a_restart(
    inside: Inside,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    database_url: str,
) -> None:
    monkeypatch.setenv("EVALWINDOW_DATABASE_URL", database_url)
    monkeypatch.setenv("EVALWINDOW_CONFIG", "/nowhere/evalwindow.yaml")
    with inside(Backend()) as client, caplog.at_level(logging.ERROR):
        answer = client.get("/")
        assert answer.status_code == 500
        assert "/nowhere" not in answer.text
        assert "/nowhere/evalwindow.yaml" in caplog.text
        monkeypatch.setenv("EVALWINDOW_CONFIG", str(Path(__file__).parents[2] / "evalwindow.yaml"))
        assert client.get("/").status_code == 200


def test_a_database_that_is_away_is_a_page_and_another_try_helps(
    inside: Inside, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    monkeypatch.setenv("EVALWINDOW_DATABASE_URL", "postgresql+psycopg://nobody@127.0.0.1:1/none")
    with inside(Backend()) as client:
        answer = client.get("/")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert "Not available now" in answer.text
    assert ServiceDown.__name__ not in answer.text


def _keep(name: str, png: bytes, folder: Path) -> None:
    """A screenshot, to look at: into the folder that SCREENSHOTS names, where it does."""
    kept = Path(os.environ.get("SCREENSHOTS", folder))
    kept.mkdir(parents=True, exist_ok=True)
    (kept / f"{name}.png").write_bytes(png)
    assert png.startswith(b"\x89PNG")
    assert len(png) > 20_000


async def _log_in(page: Page, airflow: World) -> None:
    await page.goto(airflow.airflow.url)
    await page.type("input[name=username]", airflow.airflow.user)
    await page.type("input[name=password]", airflow.airflow.password)
    await page.value("document.querySelector('button[type=submit]').click()")
    await page.until("[...document.querySelectorAll('a')].some(a => a.textContent === 'Evals')")


async def _click(page: Page, link: str, *, within: str = FRAME) -> None:
    """The first link whose address or text contains it, once it is there."""
    found = f"[...{within}.querySelectorAll('a')].find(a => (a.href + a.textContent).includes({json.dumps(link)}))"
    await page.until(found)
    await page.value(f"{found}.click()")


@needs_chromium
async def test_in_airflow_s_ui_one_clicks_from_the_nights_to_a_comparison(
    airflow: World, seeded: Seeded, tmp_path: Path
) -> None:
    async with browsing() as page:
        await _log_in(page, airflow)
        await _click(page, "Evals", within="document")
        await page.until(f"{FRAME}.querySelectorAll('table.nights tbody tr').length >= 5")
        assert VOID in await page.value(f"{FRAME}.body.textContent")
        _keep("evals-nights", await page.screenshot(), tmp_path)
        await _click(page, f"/nights/{seeded.nights[3]}")
        await page.until(f"{FRAME}.querySelector('h1').textContent.startsWith('1 of 4 candidates failed')")
        _keep("evals-night", await page.screenshot(), tmp_path)
        await _click(page, "its baseline")
        await page.until(f"{FRAME}.querySelectorAll('details.sample.down mark').length")
        assert await page.value(f"{FRAME}.querySelector('.word').textContent") == "Failed"
        await page.value(f"{FRAME}.querySelector('#samples').scrollIntoView()")
        _keep("evals-compare", await page.screenshot(), tmp_path)
        await _click(page, "Trends")
        await page.until(f"{FRAME}.querySelectorAll('.chart svg').length >= 6")
        _keep("evals-trends", await page.screenshot(), tmp_path)
        assert await page.value("location.pathname") == f"/plugin/evals{PREFIX}/trends"
        policed = await page.value(f"{FRAME}.scripts.length")
    assert policed == 0


@needs_chromium
async def test_the_tab_of_a_dag_run_shows_its_night(airflow: World, seeded: Seeded, tmp_path: Path) -> None:
    airflow.api.await_dag("probe", timeout_s=DAG_S)
    run_id = airflow.api.trigger("probe")
    where = f"{airflow.airflow.url}/dags/probe/runs/{quote(run_id, safe='')}"
    async with browsing() as page:
        await _log_in(page, airflow)
        await page.goto(where)
        await _click(page, "/plugin/night", within="document")
        await page.until(f"{FRAME}.querySelector('.notice').textContent.includes('has opened no night')")
        _keep("evals-dag-run", await page.screenshot(), tmp_path)
        Seed(airflow.store, window="seeded").open_by_hand(f"probe/{run_id}")
        await page.goto(where)
        await _click(page, "/plugin/night", within="document")
        await page.until(f"{FRAME}.querySelector('h1').textContent.includes('No suite and model was chosen')")
