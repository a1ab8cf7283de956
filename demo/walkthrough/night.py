"""The tour's night: triggered in Airflow, to the gate mail and the approved promotion."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from email.message import EmailMessage
from typing import TypeVar

from demo.walkthrough.ledger import Ledger, right_share
from demo.walkthrough.screen import Moved, bar, say
from demo.walkthrough.stage import Stage
from demo.walkthrough.steps import REGRESSION, say_checks, style_of, word_of
from evalwindow.airflow_api import AirflowApi, DagRun, wait_for
from evalwindow.airflow_processes import Airflow
from evalwindow.model import Answer, Purpose
from evalwindow.report.words import seconds
from evalwindow.store import Store
from evalwindow.store.night_rows import EntryRow, NightRow

T = TypeVar("T")
NIGHT, PROMOTION = "nightly_regression", "promote_baseline"
APPROVE = "decide.approve"  # a task for each run that passed
OWNER = "release@acme.example"
WINDOW_MINUTES = 15
LONGEST_S = 420.0
SHOWN_LINES = 30
EXPECTED = {"demo-lost-sort": Answer.FAIL, "demo-as-good": Answer.PASS}


async def judge_candidates(stage: Stage, ledger: Ledger) -> None:
    """The same two changes over 500 prompts each, in a window that Airflow opens."""
    say("Ten prompts see breakage, not a small loss. So at night both candidates answer all 500 prompts. Airflow opens")
    say("the window, checks the dataset with Great Expectations, waits for the runs without holding a worker, and lets")
    say("the gate compare each with the baseline, prompt by prompt. The baseline runs once more too (A/A): if it loses")
    say("against itself, no verdict of the night counts.")
    airflow = stage.stack.airflow
    assert airflow is not None, "the tour starts Airflow"
    api = await asyncio.to_thread(airflow.api)
    ended = await asyncio.to_thread(_play, api, stage)
    night, entries = await asyncio.to_thread(_night, stage, ended.dag_run_id)
    await _say_verdicts(stage, ledger, night, entries)
    _say_airflow(airflow, ended)
    mail = await asyncio.to_thread(stage.mailbox.wait, OWNER, night=night.id, timeout_s=LONGEST_S)
    _say_mail(stage, mail)
    await asyncio.to_thread(_approve, api, stage)


def _play(api: AirflowApi, stage: Stage) -> DagRun:
    """Trigger the DAG with a short window, and wait until it has ended."""
    api.await_dag(NIGHT, timeout_s=LONGEST_S)
    conf = {"suites": [REGRESSION], "models": sorted(EXPECTED), "window_minutes": WINDOW_MINUTES}
    run_id = api.trigger(NIGHT, conf=conf)
    store = Store(stage.stack.database_url)
    try:
        with bar("3 x 500 prompts: two candidates, and the baseline against itself") as moved:
            return _waited(lambda: _ended(api, run_id, store, moved), what=f"the end of {run_id}")
    finally:
        store.close()


def _ended(api: AirflowApi, run_id: str, store: Store, moved: Moved) -> DagRun | None:
    for night in store.nights(1, key=f"{NIGHT}/{run_id}"):
        left = [store.left(entry.run_id) for entry in store.entries(night.id) if entry.run_id]
        total = sum(samples for _, samples in left)
        moved(total - sum(missing for missing, _ in left), total)
    found = api.dag_run(NIGHT, run_id)
    return found if found.final else None


async def _say_verdicts(stage: Stage, ledger: Ledger, night: NightRow, entries: list[EntryRow]) -> None:
    for entry in entries:
        if entry.run_id is None:
            raise RuntimeError(f"{entry.suite} x {entry.model} did not run: {entry.state}, {entry.note}")
        run = await stage.client.run(entry.run_id)
        if entry.purpose is Purpose.AA:
            ledger.add("the baseline again (A/A)", run, expected=Answer.PASS)
            say(
                f"A/A: {word_of(run)}. {night.void or 'The baseline did not lose against itself.'}", style=style_of(run)
            )
            continue
        ledger.add(entry.model, run, expected=EXPECTED[entry.model])
        say(f"{entry.model}: {word_of(run)} ({right_share(run)} right)", style=style_of(run))
        say_checks(run)


def _night(stage: Stage, run_id: str) -> tuple[NightRow, list[EntryRow]]:
    """The one that was triggered: at an hour when the window is open Airflow runs that of today as well."""
    store = Store(stage.stack.database_url)
    try:
        [night] = store.nights(1, key=f"{NIGHT}/{run_id}")
        return night, store.entries(night.id)
    finally:
        store.close()


def _say_airflow(airflow: Airflow, ended: DagRun) -> None:
    took = (ended.end_date - ended.start_date).total_seconds() if ended.end_date and ended.start_date else None
    say(f"{NIGHT} in Airflow: {ended.state}, {seconds(took)} from plan to mail; all nights: {airflow.url}/evals/")


def _say_mail(stage: Stage, mail: EmailMessage) -> None:
    """Its subject and the first lines of its text; the whole of it as a file."""
    path = stage.stack.home / "gate-mail.eml"
    path.write_bytes(mail.as_bytes())
    body = mail.get_body(("plain",))
    lines = body.get_content().splitlines() if body else []
    say(f"The release owner's mail, sent over SMTP ({path.relative_to(path.parents[2])}):")
    say(f"   Subject: {mail['Subject']}", style="bold")
    for line in lines[:SHOWN_LINES]:
        say(f"   {line}" if line.strip() else "")


def _approve(api: AirflowApi, stage: Stage) -> None:
    """What passed may become the baseline: the suite's policy asks a person, who says yes."""
    waiting = _waited(lambda: next(iter(api.dag_runs(PROMOTION)), None), what=f"a run of {PROMOTION}")
    run_id = waiting.dag_run_id
    api.await_task(PROMOTION, run_id, APPROVE, "awaiting_input", timeout_s=LONGEST_S, map_index=0)
    api.answer(PROMOTION, run_id, APPROVE, options=("Approve",), map_index=0)
    ended = api.wait(PROMOTION, run_id, timeout_s=LONGEST_S)
    store = Store(stage.stack.database_url)
    try:
        now = store.baseline(REGRESSION, "main")
    finally:
        store.close()
    if now is None or ended.state != "success":
        raise RuntimeError(f"{PROMOTION} {ended.state}: the baseline is {now}")
    say(f"{PROMOTION} asked a person, who said yes: {now.run_id} is the baseline, by {now.promoted_by}", style="green")


def _waited(find: Callable[[], T | None], *, what: str) -> T:
    return wait_for(find, timeout_s=LONGEST_S, otherwise=lambda: f"{what} did not come")
