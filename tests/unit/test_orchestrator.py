"""What Airflow is told, and what is kept for it."""

import importlib.util
import json
import stat
from pathlib import Path

import pytest
import yaml
from cryptography.fernet import Fernet

from evalwindow.errors import ConfigInvalid
from evalwindow.orchestrator import PREFIX, Secrets, environment, password_file, read_password, read_secrets
from evalwindow.processes import read_procfile

ROOT = Path(__file__).parents[2]
URL = "postgresql+psycopg://airflow:p%40ss@db:5432/airflow"


def told(**changes: object) -> dict[str, str]:
    given = {
        "home": Path("/home"),
        "checkout": Path("/checkout"),
        "database_url": URL,
        "port": 8080,
        "secrets": Secrets(fernet_key="f", api_secret="a", jwt_secret="j"),
    }
    return environment(**{**given, **changes})  # type: ignore[arg-type]


def test_everything_lies_under_the_home_or_in_the_checkout() -> None:
    paths = {name: value for name, value in told().items() if value.startswith("/")}
    assert paths == {
        "AIRFLOW_HOME": "/home/airflow",
        "PYTHONPATH": "/checkout",
        "AIRFLOW__CORE__DAGS_FOLDER": "/checkout/dags",
        "AIRFLOW__CORE__PLUGINS_FOLDER": "/checkout/plugins",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": "/home/airflow/passwords.json",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": "/home/log/airflow",
        "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": "/home/log/airflow/dag_processor",
    }


def test_tasks_and_links_find_the_api_server_on_the_loopback_interface() -> None:
    found = told(port=4711)
    assert found["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert found["AIRFLOW__API__PORT"] == "4711"
    assert found["AIRFLOW__API__BASE_URL"] == "http://127.0.0.1:4711"
    assert found["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:4711/execution/"


def test_links_may_go_another_way_than_tasks() -> None:
    found = told(host="airflow-api-server", base_url="https://nights.example.com")
    assert found["AIRFLOW__API__BASE_URL"] == "https://nights.example.com"
    assert found["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://airflow-api-server:8080/execution/"


def test_both_drivers_are_psycopg_and_keep_the_password() -> None:
    found = told()
    assert found["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == URL
    assert found["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC"] == URL.replace("psycopg:", "psycopg_async:")


@pytest.mark.parametrize("url", ["sqlite:////tmp/airflow.db", "postgresql://db/airflow", "mysql://db/airflow"])
def test_another_database_is_refused_with_what_would_be_right(url: str) -> None:
    with pytest.raises(ConfigInvalid, match=r"has to be postgresql\+psycopg://"):
        told(database_url=url)


@pytest.mark.parametrize("url", ["", "airflow"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigInvalid, match="is no URL"):
        told(database_url=url)


def test_every_option_is_one_of_airflows() -> None:
    """A misspelt option would be ignored. Airflow's own list is read, it is not imported."""
    spec = importlib.util.find_spec("airflow")
    assert spec is not None
    assert spec.origin is not None
    sections = yaml.safe_load((Path(spec.origin).parent / "config_templates" / "config.yml").read_text())
    named = {tuple(name.lower().split("__")[1:]) for name in told() if name.startswith("AIRFLOW__")}
    assert named <= {(section, option) for section, found in sections.items() for option in found["options"]}


def test_secrets_are_made_once_and_for_their_owner_only(tmp_path: Path) -> None:
    first = read_secrets(tmp_path)
    assert read_secrets(tmp_path) == first
    assert read_secrets(tmp_path / "other") != first
    Fernet(first.fernet_key)
    for path in (tmp_path / "airflow").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_no_secret_is_shown_by_accident(tmp_path: Path) -> None:
    secrets = read_secrets(tmp_path)
    assert secrets.jwt_secret not in repr(secrets)


def test_the_password_is_new_once_and_lies_where_airflow_looks(tmp_path: Path) -> None:
    password, new = read_password(tmp_path)
    assert new
    assert read_password(tmp_path) == (password, False)
    assert json.loads(password_file(tmp_path).read_text()) == {"admin": password}
    assert stat.S_IMODE(password_file(tmp_path).stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ['{"someone": "else"}', "", '["admin"]'])
def test_a_password_file_that_cannot_be_used_is_named(tmp_path: Path, text: str) -> None:
    read_password(tmp_path)
    password_file(tmp_path).write_text(text)
    with pytest.raises(ConfigInvalid, match=r"passwords\.json"):
        read_password(tmp_path)


def test_the_procfile_has_all_four_components() -> None:
    components = {name for name in read_procfile(ROOT / "Procfile") if name.startswith(PREFIX)}
    assert components == {f"airflow-{name}" for name in ("api-server", "scheduler", "dag-processor", "triggerer")}
