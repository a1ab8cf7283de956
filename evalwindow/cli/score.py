"""score."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import Annotated

import typer

from evalwindow.cli.local import local_database
from evalwindow.cli.remote import UNDECIDED
from evalwindow.cli.show import ANSWER_STYLES, AsJson, Bar, progress_bar, say, say_json
from evalwindow.cli.verdicts import say_checks
from evalwindow.config_file import read_config
from evalwindow.report.document import run_document
from evalwindow.report.gather import run_url
from evalwindow.score import LOCAL_TEAM, check_outputs, replay_services
from evalwindow.score import score as score_outputs
from evalwindow.settings import Settings
from evalwindow.store.rows import RunRow


def register(app: typer.Typer) -> None:
    app.command()(score)


def score(
    suite: Annotated[str, typer.Option(help="Name of a suite in the suites folder.", show_default=False)],
    outputs: Annotated[
        Path, typer.Option(help='JSONL, a line an answer: {"id": ..., "output": ..., "epoch": 0}.', show_default=False)
    ],
    branch: Annotated[str | None, typer.Option(help="Target branch: selects the baseline; default main.")] = None,
    team: Annotated[str, typer.Option(help="Team that the run is for.")] = LOCAL_TEAM,
    json: AsJson = False,
) -> int:
    """Score answers that were generated elsewhere, and put them through the suite's gate. Needs no GPU and no server.

    The run is kept like any other. Exit code as for `wait`.
    """
    with local_database() as settings, progress_bar("scoring", quiet=json) as bar:
        run, page = asyncio.run(_scored(settings, suite, outputs, branch=branch, team=team, bar=bar))
        if json:
            say_json(run_document(run, url=run_url(run.id, base_url=settings.base_url)))
        else:
            _say(run, page)
    return run.answer.exit_code if run.answer else UNDECIDED


async def _scored(
    settings: Settings, suite: str, outputs: Path, *, branch: str | None, team: str, bar: Bar
) -> tuple[RunRow, Path]:
    services = replay_services(settings, read_config(settings.config), outputs)
    async with aclosing(services):
        check_outputs(services, suite, outputs)
        return await score_outputs(
            services,
            suite=suite,
            team=team,
            branch=branch,
            seen=lambda done, total: bar.update(done=done, total=total, text="scoring"),
        )


def _say(run: RunRow, page: Path) -> None:
    if run.verdict is None:
        say(f"{run.state.upper()}: {run.error}", style="yellow")
    else:
        say(f"{run.verdict.answer.upper()}: {run.verdict.title}", style=ANSWER_STYLES[run.verdict.answer])
        say()
        say_checks(run.verdict)
    say(f"run {run.id} · {page}")
