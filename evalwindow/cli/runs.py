"""runs, show."""

from __future__ import annotations

from typing import Annotated

import typer

from evalwindow.cli.remote import connected, exit_code, headline, say_verdict, word_of
from evalwindow.cli.show import AsJson, say, say_json, say_table
from evalwindow.cli.submit import RunId
from evalwindow.cli.verdicts import say_checks, say_samples
from evalwindow.client import Client
from evalwindow.model import RunState, Tier
from evalwindow.report import words
from evalwindow.report.document import RunDocument
from evalwindow.web.bodies import RunList, SampleList

SHOWN_SAMPLES = 5
TITLE = 60  # characters of a verdict's line in the table


def register(app: typer.Typer) -> None:
    app.command()(runs)
    app.command()(show)


def runs(
    suite: Annotated[str | None, typer.Option(help="Only of this suite.")] = None,
    state: Annotated[RunState | None, typer.Option(help="Only in this state.")] = None,
    tier: Annotated[Tier | None, typer.Option(help="Only of this tier.")] = None,
    repo: Annotated[str | None, typer.Option(help="Only of this repository, owner/name.")] = None,
    pr: Annotated[int | None, typer.Option(help="Only of this pull request.")] = None,
    branch: Annotated[str | None, typer.Option(help="Only for this target branch.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="Show so many.")] = 20,
    before: Annotated[str | None, typer.Option(metavar="RUN", help="Only older ones than this run.")] = None,
    json: AsJson = False,
) -> None:
    """Your team's newest runs."""

    async def work(client: Client) -> RunList:
        return await client.runs(
            suite=suite, state=state, tier=tier, repo=repo, pull_request=pr, branch=branch, limit=limit, before=before
        )

    found = connected(work)
    if json:
        say_json(found)
    elif not found.runs:
        say("no run matches")
    else:
        heads = ("run", "suite", "model", "from", "verdict", "took", "GPU-s", "what")
        say_table(heads, map(_row, found.runs), right=("took", "GPU-s"))


def show(
    run: RunId,
    all_samples: Annotated[bool, typer.Option("--all", help="Every failing sample, not only the first five.")] = False,
    json: AsJson = False,
) -> None:
    """One run: its verdict, what the gate asked, the failing samples."""

    async def work(client: Client) -> tuple[RunDocument, SampleList]:
        return await client.run(run), await client.samples(run, failing=True)

    found, failing = connected(work)
    if json:
        say_json(
            {**found.model_dump(mode="json"), "exit_code": exit_code(found), "failing": failing.model_dump(mode="json")}
        )
        return
    _say_run(found)
    say_samples(failing.samples if all_samples else failing.samples[:SHOWN_SAMPLES], total=failing.total)


def _say_run(run: RunDocument) -> None:
    say_verdict(run)
    say(f"run {run.id} · {run.suite} ({run.tier}) · model {run.model}{_changes(run)} · {_origin(run) or 'by hand'}")
    if run.verdict is not None:
        say()
        say_checks(run.verdict)


def _row(run: RunDocument) -> tuple[str, ...]:
    took = (run.concluded_at - run.created_at).total_seconds() if run.concluded_at else None
    title = headline(run)
    return (
        run.id,
        run.suite,
        f"{run.model}{_changes(run)}",
        _origin(run),
        word_of(run),
        words.seconds(took),
        f"{run.summary.gpu_s:.1f}" if run.summary else words.NOTHING,
        title if len(title) <= TITLE else f"{title[: TITLE - 1]}…",
    )


def _changes(run: RunDocument) -> str:
    """What the candidate changes beside the model's name."""
    names = [name for name in ("adapter", "system", "template", "sampling") if getattr(run.candidate, name)]
    return "".join(f" +{name}" for name in names)


def _origin(run: RunDocument) -> str:
    source = run.source
    pull = f"#{source.pull_request}" if source.pull_request else ""
    sha = f"@{source.head_sha[:7]}" if source.head_sha else ""
    return f"{source.repo or ''}{pull}{sha}"
