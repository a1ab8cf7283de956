"""One entry of a night as a task: it starts the run and hands the waiting to the triggerer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from evalwindow.airflow.links import PAGE, RunPage
from evalwindow.airflow.trigger import FIRST_EVENT_S, POLL_S, EvalRunTrigger, event_of
from evalwindow.airflow.wiring import reading, working

if TYPE_CHECKING:
    from airflow.sdk import Context

    from evalwindow.nights.starting import Started


class EvalRunOperator(BaseOperator):
    """Starts, resumes or adopts the run of an entry and waits for its end without a worker.

    Succeeds whatever the verdict, and also when the window closed before the run's end: then it returns with
    partial=True and a later night goes on. Is skipped when there is nothing to run. Fails, without another try, when
    somebody cancelled the run; clearing the task starts another one.

    The task may die at any moment: the next try, or the same one cleared, adopts the run that is there. Killing it does
    nothing to the run unless it was marked failed (see trigger.py and listener.py).
    """

    template_fields = ("entry_id",)
    operator_extra_links = (RunPage(),)
    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        entry_id: str,
        title: str = "",
        poll_s: float = POLL_S,
        first_event_s: float = FIRST_EVENT_S,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.entry_id = entry_id
        self.title = title  # what the task is called in the grid: the outcome is added to it
        self.poll_s, self.first_event_s = poll_s, first_event_s

    def execute(self, context: Context) -> dict[str, Any]:
        """Returns {"run": id, "partial": bool, "samples_left": int}."""
        from evalwindow.nights.watching import OPEN

        event = self._start(context, owner=str(context["ti"].id))
        if event["status"] == OPEN:
            self._wait(context["ti"], event["run_id"])
        return self.execute_complete(context, event)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """What the end of the run, or of its window, means for the task."""
        from evalwindow.nights.watching import WINDOW_CLOSED

        status, run_id, left = event["status"], event["run_id"], event["samples_left"]
        if status not in ("concluded", WINDOW_CLOSED):
            raise AirflowFailException(f"run {run_id} was {status}: {_reason(run_id)}; clear the task for another run")
        if status == WINDOW_CLOSED:
            done = f"{event['samples'] - left} of {event['samples']} samples"
            self.log.info("the window closed after %s of run %s; the next night goes on with it", done, run_id)
            self.title += f": unfinished, {done}"
        else:
            self.title += f": {_answer(run_id)}"
        return {"run": run_id, "partial": status == WINDOW_CLOSED, "samples_left": left}

    def _wait(self, task: Any, run_id: str) -> NoReturn:
        owner = str(task.id)
        if _marked_failed(task):  # by somebody who saw no run yet: nobody else would cancel it
            with reading() as store:
                store.cancel_owned(run_id, owner, "its task was marked failed in Airflow")
            raise AirflowFailException("marked failed while the run was being started; the run is cancelled")
        waiting = EvalRunTrigger(run_id=run_id, owner=owner, poll_s=self.poll_s, first_event_s=self.first_event_s)
        self.defer(trigger=waiting, method_name=self.execute_complete.__name__)

    def _start(self, context: Context, *, owner: str) -> dict[str, Any]:
        from evalwindow.nights.starting import start_entry
        from evalwindow.nights.watching import watch
        from evalwindow.report.gather import run_url

        with working() as services:
            started = start_entry(services, self.entry_id, owner=owner)
            self.log.info("%s x %s: %s", started.entry.suite, started.entry.model, _summary(started))
            run_id = started.run.id if started.run else started.entry.run_id
            if run_id is None:
                raise AirflowSkipException(_summary(started))
            context["ti"].xcom_push(key=PAGE, value=run_url(run_id, base_url=services.settings.base_url))
            return event_of(watch(services.store, run_id))


def _summary(started: Started) -> str:
    entry = started.entry
    return ", ".join(part for part in (entry.state.value, entry.note, entry.run_id and f"run {entry.run_id}") if part)


def _marked_failed(task: Any) -> bool:
    states = task.get_task_states(
        dag_id=task.dag_id, task_ids=[task.task_id], run_ids=[task.run_id], map_index=task.map_index
    )
    return "failed" in states.get(task.run_id, {}).values()


def _answer(run_id: str) -> str:
    with reading() as store:
        run = store.run(run_id)
    return f"{run.answer.value} (void)" if run.void and run.answer else str(run.answer and run.answer.value)


def _reason(run_id: str) -> str:
    with reading() as store:
        return store.run(run_id).error or "no reason was given"
