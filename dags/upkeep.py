"""Once a day: what is old is removed, what stands still or has drifted is named, lonely baselines are run again."""

from __future__ import annotations

import datetime as dt
from typing import Any

from airflow.sdk import dag, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from evalwindow.airflow.operator import EvalRunOperator

DOC = """
### Upkeep

* **retention** removes what `retention` of evalwindow.yaml keeps no longer, in SQL and under this host's home.
* **stale_report** is red when something stands still: each line of its log says what and what to do.
* **dataset_drift** checks every dataset and compares its prompts with those of its last version; see its log.
* **open_aa**, **evaluate**, **settle_aa** run the baselines that no window looks after against themselves. What is
  unfinished after four hours goes on the next day. `settle_aa` is red when a baseline lost against itself: the engine,
  the weights or the hardware changed.
"""
OPEN_FOR = dt.timedelta(hours=4)


@dag(
    schedule="17 11 * * *",  # people are there, and no night is
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=dt.timedelta(hours=20),
    default_args={"retries": 3, "retry_delay": dt.timedelta(seconds=15), "retry_exponential_backoff": True},
    tags=["evalwindow", "upkeep"],
    description="Retention, stale work, dataset drift, A/A runs of baselines",
    doc_md=DOC,
)
def upkeep() -> None:
    retention()
    stale_report()
    dataset_drift()
    entries = open_aa()
    runs = EvalRunOperator.partial(task_id="evaluate", map_index_template="{{ task.title }}").expand_kwargs(entries)
    runs >> settle_aa(entries)  # type: ignore[arg-type]  # by Airflow's types it gets a mere reference


@task
def retention() -> dict[str, Any]:
    """How many of what were removed."""
    from dataclasses import asdict

    from evalwindow.airflow.wiring import working
    from evalwindow.upkeep import retain

    with working() as services:
        return asdict(retain(services))


@task
def stale_report() -> None:
    """Fail if anything stands still."""
    from evalwindow.airflow.wiring import working
    from evalwindow.upkeep import stale

    with working() as services:
        troubles = stale(services).troubles
    if troubles:
        raise AirflowFailException("\n".join(trouble.text for trouble in troubles))


@task
def dataset_drift() -> list[str]:
    """Suites of which there is something to say; the log says it."""
    from evalwindow.airflow.night import log
    from evalwindow.airflow.wiring import working
    from evalwindow.upkeep import drift

    with working() as services:
        looked = drift(services)
    for each in looked:
        log.log(30 if each.noteworthy else 20, "%s: %s", each.suite, each.text)
    return [each.suite for each in looked if each.noteworthy]


@task
def open_aa(dag_run: Any = None) -> list[dict[str, str]]:
    """Open a night for the baselines that no window covers; what to evaluate, as arguments of EvalRunOperator."""
    from evalwindow.airflow.links import url_of
    from evalwindow.airflow.night import evaluations
    from evalwindow.airflow.params import night_key
    from evalwindow.airflow.wiring import working
    from evalwindow.upkeep import open_aa

    start = dag_run.start_date
    with working() as services:
        nights = open_aa(
            services, key=night_key(dag_run), starts_at=start, ends_at=start + OPEN_FOR, url=url_of(dag_run)
        )
        return [arguments for night_id in nights for arguments in evaluations(services, night_id)]


@task(trigger_rule="all_done")
def settle_aa(entries: list[dict[str, str]] | None) -> None:
    """Settle these nights; fail if a baseline lost against itself."""
    from evalwindow.airflow.wiring import working
    from evalwindow.nights.settling import settle

    if not entries:
        raise AirflowSkipException("every baseline is looked after by a window")
    with working() as services:
        nights = {services.store.entry(entry["entry_id"]).night_id for entry in entries}
        void = [settled.night.void for settled in (settle(services, night_id) for night_id in sorted(nights))]
    if any(void):
        raise AirflowFailException("\n".join(reason for reason in void if reason))


upkeep()
