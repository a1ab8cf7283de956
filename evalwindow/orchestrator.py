"""What Airflow is told: one environment for its four components, its secrets and its login."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from secrets import token_urlsafe

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from evalwindow.errors import ConfigInvalid

USER = "admin"
PREFIX = "airflow-"  # of its processes in the Procfile
API_SERVER = "airflow-api-server"
HOST = "127.0.0.1"
FORM = "it has to be postgresql+psycopg://user:password@host/name"

#: Options that do not depend on where Airflow runs. Each line that is no switch says why.
OPTIONS = {
    "CORE__EXECUTOR": "LocalExecutor",
    "CORE__LOAD_EXAMPLES": "False",
    "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",  # whether there is a night is written in evalwindow.yaml
    "CORE__PARALLELISM": "4",  # forked at the start; a task that waits for a run holds none
    "CORE__DEFAULT_TASK_RETRIES": "2",  # a database or an API server that restarts
    "CORE__DEFAULT_TASK_RETRY_DELAY": "15",
    "CORE__HOSTNAME_CALLABLE": "socket.gethostname",  # the default asks DNS
    "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
    "API__WORKERS": "1",
    "API__EXPOSE_CONFIG": "False",
    "API__EXPOSE_STACKTRACE": "False",
    "API__INSTANCE_NAME": "evalwindow",
    "WORKERS__MIN_HEARTBEAT_INTERVAL": "1",  # 5: a deferred task that resumes fast is failed (apache/airflow#71580)
    "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",  # tasks of a scheduler that was killed
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",  # tasks that were killed
    "SCHEDULER__ENABLE_HEALTH_CHECK": "False",  # a port more; /api/v2/monitor/health tells
    "DAG_PROCESSOR__PARSING_PROCESSES": "1",
    "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60",  # a changed file is seen by its time; this is for evalwindow.yaml
    "DAG_PROCESSOR__REFRESH_INTERVAL": "30",  # a new file
    "DAG_PROCESSOR__PRINT_STATS_INTERVAL": "600",
    "LOGGING__COLORED_CONSOLE_LOG": "False",
    "LOGGING__FILE_TASK_HANDLER_NEW_FOLDER_PERMISSIONS": "0o750",
    "LOGGING__FILE_TASK_HANDLER_NEW_FILE_PERMISSIONS": "0o640",
}
#: Nothing that runs inside Airflow tells anybody that it does.
QUIET = {"GX_ANALYTICS_ENABLED": "False", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """Keys that all components share; new ones log everybody out and make stored connections unreadable."""

    fernet_key: str = field(repr=False)
    api_secret: str = field(repr=False)
    jwt_secret: str = field(repr=False)


def installed() -> bool:
    """Whether Airflow can be started; it is not imported: that takes seconds."""
    return importlib.util.find_spec("airflow") is not None


def environment(
    *, home: Path, checkout: Path, database_url: str, port: int, secrets: Secrets, host: str = HOST, base_url: str = ""
) -> dict[str, str]:
    """Variables of every component: Airflow lives under `home`, the DAGs and plugins in `checkout`.

    `database_url` is a postgresql+psycopg:// URL; `base_url` is what links start with, by default http://host:port.
    The execution API, which tasks talk to, is reached by `host` and `port`. Raises ConfigInvalid for another database.
    """
    url = f"http://{host}:{port}"
    options = {
        **OPTIONS,
        "CORE__DAGS_FOLDER": str(checkout / "dags"),
        "CORE__PLUGINS_FOLDER": str(checkout / "plugins"),
        "CORE__FERNET_KEY": secrets.fernet_key,
        "CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(password_file(home)),
        "DATABASE__SQL_ALCHEMY_CONN": database_url,
        "DATABASE__SQL_ALCHEMY_CONN_ASYNC": _with_async_driver(database_url),
        "API__HOST": host,
        "API__PORT": str(port),
        "API__BASE_URL": base_url or url,
        "API__SECRET_KEY": secrets.api_secret,
        "API_AUTH__JWT_SECRET": secrets.jwt_secret,
        "LOGGING__BASE_LOG_FOLDER": str(home / "log" / "airflow"),
        "LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(home / "log" / "airflow" / "dag_processor"),
    }
    own = {f"AIRFLOW__{name}": value for name, value in options.items()}
    return {"AIRFLOW_HOME": str(folder(home)), "PYTHONPATH": str(checkout), **own, **QUIET}


def folder(home: Path) -> Path:
    return home / "airflow"


def password_file(home: Path) -> Path:
    return folder(home) / "passwords.json"


def read_secrets(home: Path) -> Secrets:
    """The secrets of this home, for its owner's eyes; made by the first start."""
    fresh = Secrets(
        fernet_key=base64.urlsafe_b64encode(os.urandom(32)).decode(),
        api_secret=token_urlsafe(32),
        jwt_secret=token_urlsafe(64),  # HS512 wants as many bytes as its hash has
    )
    kept, _ = _kept(folder(home) / "secrets.json", lambda: asdict(fresh))
    return Secrets(**kept)


def read_password(home: Path) -> tuple[str, bool]:
    """The administrator's password, in the file that Airflow reads, and whether this start made it."""
    path = password_file(home)
    kept, new = _kept(path, lambda: {USER: token_urlsafe(12)})
    if USER not in kept:
        raise ConfigInvalid(f'{path} has no password of {USER!r}; write {{"{USER}": "..."}} or remove the file')
    return kept[USER], new


def _with_async_driver(database_url: str) -> str:
    try:
        url = make_url(database_url)
    except ArgumentError as error:
        raise ConfigInvalid("the URL of Airflow's database is no URL; " + FORM) from error
    if url.drivername != "postgresql+psycopg":
        raise ConfigInvalid(f"the URL of Airflow's database starts with {url.drivername}://; {FORM}")
    return url.set(drivername="postgresql+psycopg_async").render_as_string(hide_password=False)


def _kept(path: Path, make: Callable[[], dict[str, str]]) -> tuple[dict[str, str], bool]:
    """A JSON file that only its owner reads, and whether it was made now; complete as soon as it has its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        return _read(path), False
    draft = path.with_suffix(".new")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(make()))
    draft.rename(path)
    return _read(path), True


def _read(path: Path) -> dict[str, str]:
    try:
        return TypeAdapter(dict[str, str]).validate_json(path.read_bytes())
    except ValidationError as error:
        raise ConfigInvalid(f"{path} can't be read; remove it and it is made anew") from error
