"""A run becomes its suite's baseline: by itself or after a person agreed, as the suite's policy says."""

from __future__ import annotations

import datetime as dt
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param, dag, task, task_group
from airflow.sdk.exceptions import AirflowSkipException

from evalwindow.airflow.assets import PASSED
from evalwindow.airflow.params import RUN_ID

DOC = """
### A run becomes the baseline of its suite

Started by a night in which a run passed, or by hand with a run's id. What happens is the suite's `policy.promotion`:
*automatic* promotes at once, *approval* asks here first (menu *Required Actions*; no answer in three days is a no).

A promotion replaces the baseline that was there when it was asked for. If that changed meanwhile, nothing is replaced
and the task fails: look at the new baseline, and start this DAG again if the run is still the better one.
"""
PATIENCE = dt.timedelta(days=3)


@dag(
    schedule=[PASSED],
    max_active_runs=16,  # one that waits for an answer holds up no other
    default_args={"retries": 3, "retry_delay": dt.timedelta(seconds=15), "retry_exponential_backoff": True},
    params={
        "run_id": Param(
            None,
            type=["null", "string"],
            pattern=f"^{RUN_ID}$",
            title="Run",
            description="By hand: the id of the concluded run that shall be the baseline of its suite.",
        ),
        "reason": Param(
            "",
            type="string",
            maxLength=500,
            title="Reason",
            description="By hand: why; it is kept with the baseline.",
        ),
    },
    tags=["evalwindow", "baseline"],
    description="Makes a run that passed the baseline of its suite",
    doc_md=DOC,
)
def promote_baseline() -> None:
    promote_automatic()
    decide.expand_kwargs(collect())


@task
def collect(params: Any = None, triggering_asset_events: Any = None) -> list[dict[str, str | None]]:
    """The promotions that a person has to agree to, each as arguments of `decide`."""
    from evalwindow.airflow import promotion
    from evalwindow.airflow.wiring import working

    with working() as services:
        return promotion.questions(services, promotion.wanted(services, params, triggering_asset_events))


@task
def promote_automatic(params: Any = None, dag_run: Any = None, triggering_asset_events: Any = None) -> list[str]:
    """Promote what needs nobody's approval; ids of the runs."""
    from evalwindow.airflow import promotion
    from evalwindow.airflow.wiring import working

    who, why = promotion.who_started(dag_run), promotion.why_promoted(params, dag_run)
    with working() as services:
        found = promotion.wanted(services, params, triggering_asset_events)
        promoted = promotion.promote_automatic(services, found, who=who, why=why)
    if not promoted:
        raise AirflowSkipException("nothing may be promoted without approval")
    return promoted


@task_group
def decide(run_id: str, expected: str | None, subject: str, body: str) -> None:
    """Ask a person about one run, and do what the answer says."""
    answer = ApprovalOperator(
        task_id="approve",
        subject=subject,
        body=body,
        response_timeout=PATIENCE,
        defaults=ApprovalOperator.REJECT,
    )
    promote_approved(run_id=run_id, expected=expected, answer=answer.output)


@task
def promote_approved(run_id: str, expected: str | None, answer: Any, params: Any = None, dag_run: Any = None) -> str:
    """Promote the run if the answer is yes: of tasks in a mapped group, Airflow skips none by itself."""
    from evalwindow.airflow.promotion import why_promoted
    from evalwindow.airflow.wiring import working
    from evalwindow.nights.promotion import promote

    who = (answer["responded_by_user"] or {}).get("name")
    if answer["chosen_options"] != [ApprovalOperator.APPROVE] or not who:
        raise AirflowSkipException(f"rejected by {who or 'nobody: there was no answer in time'}")
    with working() as services:
        promote(services, run_id, who=who, why=why_promoted(params, dag_run), expected=expected)
    return run_id


promote_baseline()
