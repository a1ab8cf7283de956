"""One DAG for each window of evalwindow.yaml: a night from its plan to the request to promote what passed."""

from __future__ import annotations

import datetime as dt
from typing import Any

from airflow.sdk import DAG, task
from airflow.sdk.exceptions import AirflowSkipException

from evalwindow.airflow.assets import PASSED
from evalwindow.airflow.operator import EvalRunOperator
from evalwindow.airflow.params import night_params
from evalwindow.airflow.timetable import WindowTimetable
from evalwindow.config import Config, Window
from evalwindow.config_file import read_config
from evalwindow.settings import read_settings

DOC = """
### The night of window `{name}`

Evaluates {suites} with {models} between the window's start and end, against the baselines of branch `{branch}`.

* **plan** writes down what is to run; **validate** checks the datasets: a broken one stops only its own suites.
* **evaluate**: one a suite and model, on the GPUs. It holds no worker while it waits. Green means that the run has a
  verdict, *whatever the verdict*, or that the window closed first: then a later night goes on with it.
* **gate** decides what the verdicts are worth, **publish** mails them, **request_promotion** starts `promote_baseline`.

**Red means that the machinery failed**, never that a model is worse: verdicts are in the mail and on the page *Evals*.
Mark `evaluate` as failed to cancel its run; clear it to go on with the run, or to start another one if it was
cancelled.
"""
AFTER_WINDOW = dt.timedelta(hours=2)  # validation, settling and mails are done long before


def nightly(config: Config, name: str, window: Window) -> None:
    """Declare the DAG of a window."""
    open_for = dt.timedelta(minutes=window.duration_minutes)
    with DAG(
        dag_id=f"{name}_regression",
        schedule=WindowTimetable.of(window),
        start_date=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        catchup=False,
        max_active_runs=1,
        params=night_params(config, window),
        dagrun_timeout=max(open_for, dt.timedelta(days=1)) + AFTER_WINDOW,
        default_args={"retries": 3, "retry_delay": dt.timedelta(seconds=15), "retry_exponential_backoff": True},
        tags=["evalwindow", "night", window.team],
        description=f"{', '.join(window.suites)} with {', '.join(window.models)}, every night of window {name}",
        doc_md=DOC.format(
            name=name,
            suites=_listed(window.suites),
            models=_listed(window.models),
            branch=window.branch,
        ),
    ):
        # A task is declared with what another one will return; by Airflow's types it gets a mere reference.
        night = plan(window=name)
        entries = validate(night)  # type: ignore[arg-type]
        runs = EvalRunOperator.partial(task_id="evaluate", map_index_template="{{ task.title }}").expand_kwargs(entries)
        settled = gate(night)  # type: ignore[arg-type]
        runs >> settled
        requested = request_promotion(settled)  # type: ignore[arg-type]
        publish(settled) >> requested  # type: ignore[arg-type]
        runs >> requested  # so that a night in which an evaluation broke is red, and promotes nothing by itself


@task
def plan(window: str, dag_run: Any = None, params: Any = None) -> dict[str, Any]:
    """Open the night and write down its entries; {"night": id, "dry_run": bool}."""
    from evalwindow.airflow.night import opened
    from evalwindow.airflow.wiring import working

    with working() as services:
        night = opened(services, window, dag_run=dag_run, params=params)
    return {"night": night.id, "dry_run": night.dry_run}


@task
def validate(night: dict[str, Any]) -> list[dict[str, str]]:
    """Check the datasets of the night; what to evaluate, as arguments of EvalRunOperator. Nothing in a dry run."""
    from evalwindow.airflow.night import check_datasets, evaluations
    from evalwindow.airflow.wiring import working

    with working() as services:
        check_datasets(services, night["night"])
        return [] if night["dry_run"] else evaluations(services, night["night"])


@task(trigger_rule="all_done")
def gate(night: dict[str, Any] | None) -> dict[str, Any]:
    """Settle the night: ids of the runs that passed, and counts. Green as soon as there is an answer."""
    from evalwindow.airflow.night import outcome
    from evalwindow.airflow.wiring import working
    from evalwindow.nights.settling import settle

    if night is None:
        raise AirflowSkipException("no night was opened, see plan")
    if night["dry_run"]:
        raise AirflowSkipException("a dry run has no verdicts")
    with working() as services:
        return outcome(settle(services, night["night"]))


@task
def publish(settled: dict[str, Any]) -> list[str]:
    """Queue the mails; the dispatcher sends them."""
    from evalwindow.airflow.wiring import working
    from evalwindow.nights.telling import tell

    with working() as services:
        return list(tell(services, settled["night"]))


@task(outlets=[PASSED], trigger_rule="none_failed")
def request_promotion(settled: dict[str, Any] | None, outlet_events: Any = None) -> list[str]:
    """Start promote_baseline if a run passed whose suite may be promoted."""
    from evalwindow.airflow.wiring import working
    from evalwindow.nights.promotion import promotions

    if settled is None:
        raise AirflowSkipException("there is no verdict")
    with working() as services:
        runs = [promotion.run_id for promotion in promotions(services, settled["passed"])]
    if not runs:
        raise AirflowSkipException("nothing passed that may be promoted")
    outlet_events[PASSED].extra = {"night": settled["night"], "runs": runs}
    return runs


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


_config = read_config(read_settings().config)
for _name, _window in _config.windows.items():
    nightly(_config, _name, _window)
