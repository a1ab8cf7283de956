"""compare."""

from __future__ import annotations

from typing import Annotated

import typer

from evalwindow.cli.remote import connected
from evalwindow.cli.show import ANSWER_STYLES, AsJson, say, say_json
from evalwindow.cli.submit import RunId
from evalwindow.cli.verdicts import say_checks


def register(app: typer.Typer) -> None:
    app.command()(compare)


def compare(
    run: RunId,
    baseline: Annotated[str, typer.Argument(metavar="BASELINE", help="Run to measure it against.", show_default=False)],
    json: AsJson = False,
) -> int:
    """Put two runs of one suite through its gate, prompt by prompt. Writes nothing; exit code as for `wait`."""
    found = connected(lambda client: client.compare(run, baseline))
    if json:
        say_json(found)
    else:
        say(f"{found.verdict.answer.upper()}: {found.verdict.title}", style=ANSWER_STYLES[found.verdict.answer])
        say(f"{found.suite}: run {found.run} against {found.baseline}")
        say()
        say_checks(found.verdict)
    return found.verdict.answer.exit_code
