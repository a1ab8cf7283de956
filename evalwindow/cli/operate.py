"""migrate, up, demo."""

from __future__ import annotations

import subprocess
import sys
from typing import Annotated

import typer

from evalwindow.airflow_processes import Airflow
from evalwindow.cli.local import migrate as bring_up_to_date
from evalwindow.cli.show import AsJson, say, say_json
from evalwindow.errors import BadInput, ConfigInvalid
from evalwindow.settings import read_settings
from evalwindow.up import Stack, can_orchestrate, procfile
from evalwindow.up import up as run_until_stopped

INTERRUPTED = 130


def register(app: typer.Typer) -> None:
    app.command()(up)
    app.command()(demo)
    app.command()(migrate)


def up(
    no_airflow: Annotated[bool, typer.Option("--no-airflow", help="Leave the nights out.")] = False,
) -> None:
    """Run everything on this machine in the foreground: servers, web, dispatcher, GPU worker, Airflow. Ctrl-C stops it.

    PostgreSQL and Redis are started from wheels unless EVALWINDOW_DATABASE_URL and EVALWINDOW_REDIS_URL name yours;
    Airflow's tables go to a database beside ours unless EVALWINDOW_AIRFLOW_DATABASE_URL names one.
    """
    settings = read_settings()
    say(f"starting on {settings.home}; loading the model takes longest")
    run_until_stopped(settings, ready=_say_up, orchestrator=not no_airflow and can_orchestrate())


def _say_up(stack: Stack) -> None:
    if stack.port_moved:
        say("the port that was asked for is taken, so another one is used", style="yellow")
    say(f"ready: {stack.base_url}/runs", style="green")
    say(f"the API:      export EVALWINDOW_URL={stack.base_url}")
    say("a token:      evalwindow token add TEAM     then export EVALWINDOW_TOKEN=...")
    say(f"a webhook:    {stack.base_url}/webhooks/github, signed with EVALWINDOW_WEBHOOK_SECRET")
    if stack.airflow:
        _say_airflow(stack.airflow)
    say(f"logs:         {stack.logs}")
    say("Ctrl-C hands work back and stops all of it")


def _say_airflow(airflow: Airflow) -> None:
    if airflow.port_moved:
        say("the port that was asked for Airflow is taken, so another one is used", style="yellow")
    say(f"the nights:   {airflow.url}, Airflow")
    if airflow.new_password:
        say(f"a login:      {airflow.user}, password {airflow.password}; said once, kept in {airflow.password_file}")
    else:
        say(f"a login:      {airflow.user}, password in {airflow.password_file}")


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running at the end, until Ctrl-C.")] = False,
) -> int:
    """The tour: baseline, a good and a broken pull request, a lost skill, 500 real problems. About four minutes."""
    checkout = procfile().parent
    if not (checkout / "demo" / "walkthrough").is_dir():
        raise BadInput(f"the demo is part of a checkout of the repository, and {checkout} is none; clone it first")
    command = [sys.executable, "-m", "demo.walkthrough", *(["--keep"] if keep else [])]
    try:
        return subprocess.run(command, cwd=checkout, check=False).returncode
    except KeyboardInterrupt:  # the tour heard it too, and cleans up
        return INTERRUPTED


def migrate(
    roles: Annotated[
        bool, typer.Option("--roles", help="Make the roles of web, workers, Airflow and readers, with their rights.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Bring the schema of EVALWINDOW_DATABASE_URL up to this version; safe to run again, and from several places."""
    settings = read_settings()
    if not settings.database_url:
        raise ConfigInvalid("EVALWINDOW_DATABASE_URL is not set; `evalwindow up` migrates its own database by itself")
    bring_up_to_date(settings.database_url, roles=roles)
    if json:
        say_json({"migrated": True, "roles": roles})
    else:
        say("the schema is up to date")
