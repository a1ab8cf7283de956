"""What the commands for teams share: the server, waiting for a run, and a run in words."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TypeVar

from evalwindow.cli.show import ANSWER_STYLES, Bar, progress_bar, say
from evalwindow.client import DEFAULT_URL, Client
from evalwindow.model import RunState
from evalwindow.report import words
from evalwindow.report.document import RunDocument
from evalwindow.report.headline import is_paused, waits_for
from evalwindow.web.documents import Progress

T = TypeVar("T")

UNDECIDED = 2  # exit code of everything that is neither pass nor fail


def connected(work: Callable[[Client], Awaitable[T]]) -> T:
    """Run some calls against EVALWINDOW_URL with EVALWINDOW_TOKEN."""

    async def session() -> T:
        url = os.environ.get("EVALWINDOW_URL") or DEFAULT_URL
        async with Client.open(url, os.environ.get("EVALWINDOW_TOKEN", "")) as client:
            return await work(client)

    return asyncio.run(session())


async def wait_for(client: Client, run_id: str, *, timeout_s: float, quiet: bool) -> RunDocument:
    """The final run, with a bar of its answers where somebody watches."""
    with progress_bar("waiting", quiet=quiet) as bar:
        return await client.wait(run_id, timeout_s=timeout_s, seen=_watcher(bar) if bar.watched else None)


def exit_code(run: RunDocument) -> int:
    """0, 1, 2 by the verdict; a run without one decided nothing."""
    return run.answer.exit_code if run.state is RunState.CONCLUDED and run.answer else UNDECIDED


def say_verdict(run: RunDocument) -> None:
    """Two lines: what came out, and where to read on."""
    style = ANSWER_STYLES[run.answer] if run.answer else "yellow"
    say(f"{word_of(run)}: {headline(run)}", style=style)
    say(f"{cost_of(run)} · {run.url}")


def word_of(run: RunDocument) -> str:
    """The verdict, or the state where there is none."""
    if run.void is not None:
        return "VOID"
    return "PAUSED" if is_paused(run.state, run.window_end) else (run.answer or run.state).upper()


def headline(run: RunDocument) -> str:
    if run.void is not None:
        return run.void
    if run.verdict is not None:
        return run.verdict.title
    if is_paused(run.state, run.window_end):
        return "its window is over; it goes on in the next one"
    return (
        run.error
        or waits_for(run.state, run.joined_to)
        or run.held
        or {RunState.QUEUED: "not started yet", RunState.RUNNING: "not done yet"}.get(run.state, "")
    )


def cost_of(run: RunDocument) -> str:
    """What the run took, in one line."""
    parts = []
    if run.concluded_at is not None:
        parts.append(words.seconds((run.concluded_at - run.created_at).total_seconds()))
    if run.summary is not None:
        parts += [
            words.counted(run.summary.samples, "prompt"),
            f"{run.summary.gpu_s:.1f} GPU-seconds",
            words.counted(run.summary.cache_hits, "cached answer"),
        ]
    if run.prefix_hit_rate is not None:
        parts.append(f"prefix cache hit rate {words.percent(run.prefix_hit_rate)}")
    return " · ".join(parts) or "no answers yet"


def _watcher(bar: Bar) -> Callable[[RunDocument, Progress], None]:
    def seen(run: RunDocument, progress: Progress) -> None:
        text = f"{run.suite} {waits_for(run.state, run.joined_to) or run.held or run.state}"
        bar.update(done=progress.done, total=progress.total, text=text)

    return seen
