"""What the compose file runs beside Airflow; a database beside ours."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from evalwindow.embedded import Server, beside

DEPLOY = Path(__file__).parents[2] / "deploy"


def run(script: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = ["sh", DEPLOY / script, *arguments]
    return subprocess.run(command, env=path | environ, capture_output=True, text=True, check=False)


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
