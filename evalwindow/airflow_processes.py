"""Airflow's processes: schema first, then all four, ready when each has been heard of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from evalwindow.airflow_api import AirflowApi, read_health
from evalwindow.errors import ServiceDown
from evalwindow.orchestrator import (
    API_SERVER,
    HOST,
    PREFIX,
    USER,
    environment,
    password_file,
    read_password,
    read_secrets,
)
from evalwindow.processes import Exit, Process, free_port, run_once

MIGRATE = "airflow db migrate"


@dataclass(frozen=True, kw_only=True)
class Airflow:
    """Where it is, who may enter, and its processes by their names in the Procfile."""

    url: str
    user: str
    password: str = field(repr=False)
    password_file: Path
    new_password: bool  # this start made it; later ones say only where it lies
    port_moved: bool  # the port that was asked for is taken, another one is used
    processes: Mapping[str, Process] = field(repr=False)
    environ: Mapping[str, str] = field(repr=False)
    log: Path

    def start(self) -> None:
        """Bring the schema up to date (seconds), then start all; raises ServiceDown with the migration's last words."""
        run_once(name="airflow-migrate", command=MIGRATE, environ=self.environ, log=self.log)
        for process in self.processes.values():
            process.start()

    def missing(self) -> str | None:
        """A process that is not ready: it does not run, or nobody has heard of it since it was started."""
        down = [name for name, process in self.processes.items() if process.pid is None]
        if down:
            return down[0]
        try:
            health = read_health(self.url)
        except ServiceDown:
            return API_SERVER
        for name, component in health.items():
            process = self.processes[PREFIX + name.replace("_", "-")]
            if not component.healthy or component.heartbeat is None or component.heartbeat < process.started:
                return process.name
        return None

    def api(self) -> AirflowApi:
        """Logged in as the administrator."""
        return AirflowApi.login(self.url, user=self.user, password=self.password)


def prepare(
    *,
    home: Path,
    checkout: Path,
    database_url: str,
    port: int,
    commands: Mapping[str, str],
    environ: Mapping[str, str],
    notify: Callable[[Exit], None],
) -> Airflow:
    """Airflow on this home, not started yet.

    `commands` are the Procfile's, `environ` is what else its processes see: EVALWINDOW_* for the tasks. `database_url`
    is of a database of Airflow's own; where `port` is 0 or taken, a free one is used.
    """
    found = free_port(HOST, port)
    password, new = read_password(home)
    own = environment(home=home, checkout=checkout, database_url=database_url, port=found, secrets=read_secrets(home))
    everything, logs = {**environ, **own}, home / "log"
    return Airflow(
        url=own["AIRFLOW__API__BASE_URL"],
        user=USER,
        password=password,
        password_file=password_file(home),
        new_password=new,
        port_moved=port not in (0, found),
        processes={
            name: Process(name=name, command=command, environ=everything, log=logs / f"{name}.log", notify=notify)
            for name, command in commands.items()
            if name.startswith(PREFIX)
        },
        environ=everything,
        log=logs / "airflow-migrate.log",
    )
