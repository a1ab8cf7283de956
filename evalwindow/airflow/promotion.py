"""Between a promotion and its tasks: which runs, who has to be asked, and who said yes."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

if TYPE_CHECKING:
    from evalwindow.nights.promotion import Promotion
    from evalwindow.services import Services

log = logging.getLogger(__name__)

DAG = "promote_baseline"


def wanted(services: Services, params: Mapping[str, Any], events: Mapping[Any, Any] | None) -> tuple[Promotion, ...]:
    """What the nights that started the DAG ask for, or the one run that a person named.

    A person may name any run that has a verdict: one that did not pass, or whose suite is never promoted otherwise, is
    always asked about.
    """
    from evalwindow.nights.promotion import promotions

    named = params["run_id"]
    found = promotions(services, [named] if named else _runs(events))
    return found or ((_named(services, named),) if named else ())


def _runs(events: Mapping[Any, Any] | None) -> list[str]:
    """Of all nights that passed since the DAG ran last."""
    extras = [event.extra for of_asset in (events or {}).values() for event in of_asset]
    if not extras:
        raise AirflowFailException("no night asks for a promotion; start this DAG with the id of a run")
    return [run_id for extra in extras for run_id in extra["runs"]]


def _named(services: Services, run_id: str) -> Promotion:
    from evalwindow.model import RunState
    from evalwindow.nights.promotion import Promotion, branch_of
    from evalwindow.policy import Promotion as Mode

    run = services.store.run(run_id)
    if run.state is not RunState.CONCLUDED or run.verdict is None:
        raise AirflowFailException(f"run {run_id} is {run.state}; only a run with a verdict can be a baseline")
    branch, active = branch_of(run), services.store.baseline(run.suite, branch_of(run))
    place = f"in place of run {active.run_id}" if active else "as the first baseline"
    warning = f", and its verdict is void: {run.void}" if run.void else ""
    return Promotion(
        run_id=run_id,
        suite=run.suite,
        branch=branch,
        mode=Mode.APPROVAL,
        expected=active.run_id if active else None,
        text=f"{run.suite} on {branch}: run {run_id} of {run.model} {place}. {run.verdict.title}{warning}",
    )


def questions(services: Services, found: Iterable[Promotion]) -> list[dict[str, str | None]]:
    """What a person is asked: one question for each run whose promotion needs approval."""
    from evalwindow.policy import Promotion as Mode
    from evalwindow.report.gather import run_url

    return [
        {
            "run_id": each.run_id,
            "expected": each.expected,
            "subject": f"Promote {each.suite} on {each.branch}?",
            "body": f"{each.text}\n\n[The run's page]({run_url(each.run_id, base_url=services.settings.base_url)})",
        }
        for each in found
        if each.mode is Mode.APPROVAL
    ]


def promote_automatic(services: Services, found: Iterable[Promotion], *, who: str, why: str) -> list[str]:
    """Promote those that nobody has to approve; their runs. Raises Conflict in the end if one was late."""
    from evalwindow.errors import Conflict
    from evalwindow.nights.promotion import promote
    from evalwindow.policy import Promotion as Mode

    promoted, late = [], []
    for each in found:
        if each.mode is Mode.AUTOMATIC:
            try:
                promote(services, each.run_id, who=who, why=why, expected=each.expected, automatic=True)
                promoted.append(each.run_id)
                log.info("promoted: %s", each.text)
            except Conflict as reason:
                late.append(f"{each.suite}: {reason}")
    if late:
        raise Conflict("; ".join(late))
    return promoted


def who_started(dag_run: Any) -> str:
    """The user behind a run that was started by hand; the DAG itself otherwise."""
    return getattr(dag_run, "triggering_user_name", None) or DAG


def why_promoted(params: Mapping[str, Any], dag_run: Any) -> str:
    return params["reason"] or f"{DAG} {dag_run.run_id}"
