"""Nights for the mail's tests: real suites, results and verdicts in the rows of a night."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from evalwindow.config import MailTo, Window
from evalwindow.mail.message import compose
from evalwindow.mailbox import mailbox
from evalwindow.model import Answer, EntryState, Purpose, RunState, SampleResult
from evalwindow.report.night import NightCost, NightLine, NightView
from evalwindow.store.night_rows import EntryRow, NightRow, TrendPoint
from evalwindow.store.rows import RunRow
from evalwindow.suites import Suite
from tests.unit.report.examples import results_of, run_of, suite_of, view_of

START = dt.datetime(2026, 11, 21, 21, 0, tzinfo=dt.UTC)  # 22:00 in Berlin
READER = "release@acme.example"
SENDER = mailbox("Evals <evals@acme.example>")
SUITE = "demo-regression"


def window_of(*mail: MailTo, **changes: Any) -> Window:
    window = Window(
        cron="0 22 * * *",
        duration_minutes=480,
        timezone="Europe/Berlin",
        team="search",
        suites=(SUITE,),
        models=("demo",),
        mail=mail,
    )
    return window.model_copy(update=changes)


def night_of(**changes: Any) -> NightRow:
    night = NightRow(
        id="01jnight0000000000000000aa",
        key="nightly@2026-11-21",
        window="nightly",
        team="search",
        branch="main",
        starts_at=START,
        ends_at=START + dt.timedelta(hours=8),
        budget_gpu_s=3600.0,
        dry_run=False,
        url="https://airflow.example/dags/nightly_regression/runs/x",
        closed_at=None,
        close_reason=None,
        settled_at=START + dt.timedelta(minutes=7),
        void=None,
        created_at=START,
    )
    return replace(night, **changes)


def entry_of(suite: str = SUITE, model: str = "demo", **changes: Any) -> EntryRow:
    entry = EntryRow(
        id=f"01jentry-{suite}-{model}",
        night_id="01jnight0000000000000000aa",
        seq=0,
        suite=suite,
        model=model,
        purpose=Purpose.CANDIDATE,
        state=EntryState.STARTED,
        run_id=None,
        baseline_run=None,
        provenance_key=None,
        note=None,
    )
    return replace(entry, **changes)


def judged(
    right: Callable[[int], bool],
    *,
    model: str = "demo",
    suite: Suite | None = None,
    before: str | None = "PASS",
    results: Sequence[SampleResult] | None = None,
    baseline: Callable[[int], bool] | None = lambda index: index % 25 != 0,
    nights: int = 14,
    void: str | None = None,
    entry: EntryRow | None = None,
) -> NightLine:
    """A concluded entry: `right` says which of the suite's samples are answered rightly."""
    suite = suite or suite_of(400, blocking=("sort",), advisory=("sum",))
    own = list(results) if results is not None else results_of(suite, right, wrong_text="y x v u s q l")
    known = results_of(suite, baseline) if baseline else None
    run_id = f"01jrun-{model}"
    view = view_of(suite, own, known, id=run_id, model=model, void=void)
    entry = entry or entry_of(suite.name, model)
    line = planned(entry=replace(entry, run_id=run_id), before=before)
    return replace(line, run=view.run, view=view, samples=len(suite.samples), trend=_trend(view.run, nights))


def planned(*, entry: EntryRow, before: str | None = "PASS", over: bool = True) -> NightLine:
    """An entry without a run."""
    return NightLine(entry=entry, over=over, run=None, view=None, before=before, samples=0, samples_left=0, trend=())


def unfinished(model: str = "demo", *, done: int = 312, samples: int = 500) -> NightLine:
    run = run_of(suite_of(4), state=RunState.RUNNING, id=f"01jrun-{model}", model=model)
    line = planned(entry=entry_of(model=model, run_id=run.id))
    return replace(line, run=run, samples=samples, samples_left=samples - done)


def good(index: int) -> bool:
    return index % 25 != 0 or index % 100 == 0


def lost_sort(index: int) -> bool:
    return index % 4 != 1 and good(index)


def a_little_worse(index: int) -> bool:
    """A drop of about three points: too near the margin to say."""
    return good(index) and index % 35 != 7


def night_view(*lines: NightLine, mail: Sequence[MailTo] = (), **changes: Any) -> NightView:
    """Lines as given, the worst first; `changes` are of the night's row, or `window`, `aa` and `next_start`."""
    own = {name: changes.pop(name) for name in ("window", "aa", "next_start", "cost") if name in changes}
    view = NightView(
        night=night_of(**changes),
        window=window_of(*mail),
        lines=lines,
        aa=(judged(good, baseline=good, entry=entry_of(purpose=Purpose.AA), model="demo"),),
        cost=NightCost(gpu_s=16.4, money=0.02, cold_gpu_s=62.6, cold_money=0.09, cache_hits=500, results=1500),
        over=True,
        next_start=START + dt.timedelta(days=1),
        url="https://evals.example/runs",
    )
    return replace(view, **own)


def mail_of(view: NightView, *, address: str = READER):
    return compose(view, view.lines, address=address, sender=SENDER)


def _trend(run: RunRow, nights: int) -> tuple[TrendPoint, ...]:
    assert run.concluded_at is not None and run.summary is not None
    metric = run.summary.slices[0].metrics[0]
    last = TrendPoint(
        run_id=run.id,
        night_id="01jnight0000000000000000aa",
        suite=run.suite,
        model=run.model,
        purpose=Purpose.CANDIDATE,
        at=run.concluded_at,
        answer=run.answer,
        void=run.void is not None,
        score=metric.value,
        latency_s=0.23,
        gpu_s=run.summary.gpu_s,
        samples=run.summary.samples,
        flips=0.1,
    )
    return tuple(
        replace(
            last,
            run_id=f"{run.id}-{ago}",
            at=last.at - dt.timedelta(days=ago),
            score=0.958 + 0.008 * ((ago * 7) % 5 - 2) / 2 if ago else last.score,
            latency_s=0.2 + 0.01 * ((ago * 3) % 5),
            gpu_s=last.gpu_s + (ago * 5) % 3 * 0.2,
            answer=last.answer if not ago else Answer.INCONCLUSIVE if ago == 9 else Answer.PASS,
            void=last.void if not ago else ago == 5,
        )
        for ago in range(nights - 1, -1, -1)
    )
