"""baseline promote, baseline list."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from evalwindow.cli.remote import connected
from evalwindow.cli.show import AsJson, say, say_json, say_table
from evalwindow.cli.submit import RunId
from evalwindow.report import words
from evalwindow.web.documents import ANY, BaselineDocument

NONE = "none"

app = typer.Typer(help="What candidates are measured against: a run that somebody promoted.", no_args_is_help=True)


@app.command()
def promote(
    run: RunId,
    reason: Annotated[str, typer.Option(help="Why; kept for whoever asks later.", show_default=False)],
    branch: Annotated[str | None, typer.Option(help="Target branch; default: the run's own, else main.")] = None,
    expected: Annotated[
        str, typer.Option(metavar="RUN", help="Refuse unless this run, or none, is the baseline now.")
    ] = ANY,
    by: Annotated[str | None, typer.Option(help="Who promotes; default: your user name here.")] = None,
    json: AsJson = False,
) -> None:
    """Make a concluded run the production baseline of its suite and branch; a registry's alias follows."""
    wish = {
        "run": run,
        "reason": reason,
        "branch": branch,
        "by": by or getpass.getuser(),
        "expected": None if expected == NONE else expected,
    }
    made = connected(lambda client: client.promote(wish))
    if json:
        say_json(made)
    else:
        say(f"run {made.run} is the baseline of {made.suite} on {made.branch}, by {made.promoted_by}: {made.reason}")


@app.command("list")
def list_(
    all_: Annotated[bool, typer.Option("--all", help="Also those that were replaced.")] = False, json: AsJson = False
) -> None:
    """The baseline of every suite and branch."""
    found = connected(lambda client: client.baselines(retired=all_))
    if json:
        say_json(found)
    elif not found.baselines:
        say("no baseline yet; promote a concluded run by `evalwindow baseline promote RUN --reason ...`")
    else:
        say_table(("suite", "branch", "run", "since", "until", "by", "why"), map(_row, found.baselines))


def _row(row: BaselineDocument) -> tuple[str, ...]:
    since, until = words.moment(row.at), words.moment(row.retired_at)
    return (row.suite, row.branch, row.run, since, until, row.promoted_by, row.reason)
