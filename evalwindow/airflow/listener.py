"""Hears in the API server that somebody marked a task failed: also one whose trigger nobody has loaded yet."""

from __future__ import annotations

from typing import Any

from airflow.listeners import hookimpl

OPERATOR = "EvalRunOperator"
WHY = "its task was marked {state} in Airflow"


@hookimpl
def on_task_instance_failed(previous_state: Any, task_instance: Any) -> None:
    """Marked failed, alone or with its DAG run: nobody wants the run any more."""
    _cancel(previous_state, task_instance, "failed")


@hookimpl
def on_task_instance_skipped(previous_state: Any, task_instance: Any) -> None:
    """Marked skipped: likewise. Marked success is no reason to stop a run: its verdict still comes."""
    _cancel(previous_state, task_instance, "skipped")


def _cancel(previous_state: Any, task_instance: Any, state: str) -> None:
    """Cancel what the task waits for, if a person did this: then, and only then, there is no previous state."""
    if previous_state is not None or getattr(task_instance, "operator", None) != OPERATOR:
        return
    from evalwindow.airflow.wiring import reading

    with reading() as store:
        store.cancel_all_owned(str(task_instance.id), WHY.format(state=state))
