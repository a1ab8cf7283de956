"""Each kind of process does its work under its own role of PostgreSQL, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing

import aiohttp
import psycopg
import pytest
from redis import Redis
from sqlalchemy import make_url
from typer.testing import CliRunner

from evalwindow import flow
from evalwindow.admission import Submission
from evalwindow.cli.app import make_app
from evalwindow.errors import ConfigInvalid
from evalwindow.model import Candidate, RunState, Source
from evalwindow.services import build
from evalwindow.settings import read_settings
from evalwindow.store import Store
from evalwindow.store.roles import Role
from evalwindow.store.tables import metadata
from evalwindow.web.app import create_app
from tests.real.github.serving import serving
from tests.real.house import TEAM, House, ended, until
from tests.real.nights import test_nights
from tests.real.upkeep import test_retention
from tests.real.upkeep.house import House as UpkeepHouse
from tests.real.web.conftest import SECRET
from tests.real.web.helpers import answer_run, signed
from tests.unit.github.examples import SHA, pull_request

RUN = {"suite": "sums-smoke", "candidate": {"model": "tiny"}}


def _superuser(url: str) -> psycopg.Connection:
    parsed = make_url(url)
    return psycopg.connect(f"host='{parsed.query['host']}' user=postgres dbname={parsed.database}", autocommit=True)


@pytest.fixture
def url_of(database_url: str) -> Iterator[Callable[[Role], str]]:
    """URL of a login that has a role and nothing else."""
    with closing(Store(database_url)) as store:
        store.grant_roles()
        store.grant_roles()  # again changes nothing

    def url(role: Role) -> str:
        return make_url(database_url).set(username=f"test_{role}").render_as_string(hide_password=False)

    with _superuser(database_url) as admin:
        for role in Role:
            admin.execute(f"CREATE ROLE test_{role} LOGIN IN ROLE {role}")
        yield url
        for role in Role:
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [f"test_{role}"])
            admin.execute(f"DROP ROLE test_{role}")


@pytest.fixture
def as_role(url_of) -> Iterator[Callable[[Role], psycopg.Connection]]:
    opened: list[psycopg.Connection] = []

    def connect(role: Role) -> psycopg.Connection:
        url = make_url(url_of(role))
        dsn = f"host='{url.query['host']}' user={url.username} dbname={url.database}"
        opened.append(psycopg.connect(dsn, autocommit=True))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


def _refused(connection: psycopg.Connection, statement: str) -> bool:
    try:
        connection.execute(statement)
    except psycopg.errors.InsufficientPrivilege:
        return True
    return False


def test_a_reader_reads_all_but_tokens_and_writes_nothing(as_role) -> None:
    reader = as_role(Role.READER)
    for table in metadata.tables:
        reads = f"SELECT * FROM {table}"  # noqa: S608 - names of our own tables
        assert _refused(reader, reads) is (table == "team_token"), table
        assert _refused(reader, f"DELETE FROM {table}"), table  # noqa: S608
        assert _refused(reader, f"INSERT INTO {table} DEFAULT VALUES"), table


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.WEB])
def test_only_the_web_app_sees_hashes_of_tokens(as_role, role: Role) -> None:
    assert _refused(as_role(role), "SELECT hash FROM team_token")


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO team_token (id, team, hash) VALUES ('x', 'search', 'x')",
        "UPDATE team_token SET hash = 'x'",
        "UPDATE team_token SET scopes = '{admin}'",
        "UPDATE team_token SET revoked_at = NULL, expires_at = NULL",
        "UPDATE alembic_version SET version_num = 'x'",
        "CREATE TABLE mine (x int)",
        "CREATE TEMPORARY TABLE mine (x int)",
        "DROP TABLE run",
        "TRUNCATE result",
        "ALTER TABLE run ADD COLUMN x int",
        "CREATE ROLE mine",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "DELETE FROM run",
        "DELETE FROM baseline",
    ],
)
def test_what_no_process_does(as_role, role: Role, statement: str) -> None:
    assert _refused(as_role(role), statement)


@pytest.mark.parametrize("role", list(Role))
def test_who_has_a_role_makes_none(url_of, role: Role) -> None:
    with closing(Store(url_of(role))) as store, pytest.raises(ConfigInvalid, match="may not make roles"):
        store.grant_roles()


def test_the_command_makes_them(database_url, tmp_path, monkeypatch) -> None:
    (tmp_path / "evalwindow.yaml").write_text("models: {}\n")
    monkeypatch.setenv("EVALWINDOW_DATABASE_URL", database_url)
    monkeypatch.setenv("EVALWINDOW_CONFIG", str(tmp_path / "evalwindow.yaml"))
    done = CliRunner().invoke(make_app(), ["migrate", "--roles", "--json"])
    assert (done.exit_code, json.loads(done.stdout)) == (0, {"migrated": True, "roles": True})
    with _superuser(database_url) as admin:
        found = admin.execute(
            "SELECT rolname FROM pg_roles WHERE rolname LIKE 'evalwindow%' AND NOT rolcanlogin"
        ).fetchall()
    assert {name for (name,) in found} >= set(Role)


def test_who_judges_promotes_nothing_and_who_promotes_writes_no_answer(as_role) -> None:
    assert _refused(as_role(Role.WORKER), "UPDATE baseline SET run_id = 'x'")
    assert _refused(as_role(Role.WORKER), "UPDATE night SET void = 'x'")
    assert _refused(as_role(Role.WEB), "UPDATE result SET error = 'x'")
    assert _refused(as_role(Role.WEB), "UPDATE completion_cache SET key = 'x'")
    assert _refused(as_role(Role.AIRFLOW), "UPDATE event SET state = 'x'")


async def test_the_web_app_works_as_web(services, standin, url_of) -> None:
    token = services.store.add_token("search")
    standin.put_files("acme/bot", SHA, {".evalwindow.yaml": b"suites: [sums-smoke]\ncandidate: {model: tiny}\n"})
    settings = services.settings.model_copy(update={"database_url": url_of(Role.WEB)})
    mine = build(settings, config=services.config)
    headers = {"Authorization": f"Bearer {token}"}
    try:
        async with serving(create_app(mine)) as url, aiohttp.ClientSession(url) as web:
            async with web.post("/v1/runs", json=RUN, headers=headers) as answer:
                assert answer.status == 202, await answer.text()
                run_id = (await answer.json())["id"]
            await answer_run(services, run_id, lambda target: target)
            async with web.post("/v1/baselines", json={"run": run_id, "reason": "r"}, headers=headers) as answer:
                assert answer.status == 201, await answer.text()
            async with web.post("/webhooks/github", **signed(pull_request(), SECRET)) as answer:
                assert answer.status == 202
            for path in ("/runs", f"/runs/{run_id}", f"/v1/runs/{run_id}/samples", "/v1/suites", "/nights", "/pools"):
                async with web.get(path, headers=headers) as answer:
                    assert answer.status == 200, (path, await answer.text())
            async with web.post("/v1/runs", json=RUN, headers=headers) as answer:
                other = (await answer.json())["id"]
            async with web.post(f"/v1/runs/{other}/cancel", headers=headers) as answer:
                assert answer.status == 200
        with services.store._transaction() as connection:  # the app has ended, so its webhook is handled
            assert connection.exec_driver_sql("SELECT state, error FROM event").all() == [("done", None)]
    finally:
        await mine.aclose()
    assert services.store.tokens("search")[0].last_used_at is not None


def test_dispatcher_and_consumer_work_as_worker(tmp_path, api, redis, store, url_of, monkeypatch) -> None:
    Redis.from_url(redis.url).flushall()
    house = House(tmp_path, api=api, database_url=url_of(Role.WORKER), redis_url=redis.url, samples=10)
    monkeypatch.setenv("PARROT_KEY", house.environ["PARROT_KEY"])
    try:
        services = build(read_settings(house.environ))
        source = Source(branch="main")
        wish = Submission(key="k", team=TEAM, suite="echo", candidate=Candidate(model="parrot"), source=source)
        run_id = flow.submit(services, wish).id
        processes = [house.start("dispatcher"), house.start("consumer")]
        until(lambda: store.run(run_id).state is RunState.CONCLUDED)
        until(lambda: all(delivery.state == "sent" for delivery in store.deliveries(run_id)))
        for process in processes:
            process.terminate()
            ended(process)
        assert "permission denied" not in house.said()
    finally:
        house.close()


@pytest.fixture
def night_house(tmp_path, url_of, redis):
    built = test_nights.House(tmp_path, url_of(Role.AIRFLOW), redis.url)
    yield built
    built.close()


async def test_a_night_works_as_airflow(night_house) -> None:
    await test_nights.test_a_night_runs_its_candidates_and_each_baseline_against_itself_first(night_house)


def test_upkeep_works_as_airflow(tmp_path, url_of, redis, database_url) -> None:
    house = UpkeepHouse(tmp_path, database_url=url_of(Role.AIRFLOW), redis_url=redis.url)
    try:
        test_retention.test_outputs_go_and_a_baseline_s_and_an_open_run_s_stay(house)
        test_retention.test_what_breakers_did_half_a_year_ago_goes_with_its_mails(house)
    finally:
        house.close()
