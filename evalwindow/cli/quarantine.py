"""quarantine list, quarantine release."""

from __future__ import annotations

from typing import Annotated

import typer

from evalwindow.cli.local import local_store
from evalwindow.cli.show import AsJson, say, say_json, say_table
from evalwindow.report import words
from evalwindow.store.strike_rows import StrikeRow

SHOWN_KEY = 12  # characters: enough to name one

app = typer.Typer(
    help="Prompts that ended engines and are not asked any more. For operators: works on the database itself.",
    no_args_is_help=True,
)


@app.command("list")
def list_(
    team: Annotated[str | None, typer.Option(help="Of this team's runs only.", show_default=False)] = None,
    json: AsJson = False,
) -> None:
    """What is not asked any more, the newest first."""
    with local_store() as store:
        rows = store.quarantined(team=team)
    if json:
        say_json(list(map(_document, rows)))
    elif not rows:
        say("nothing is quarantined")
    else:
        say_table(("key", "suite", "sample", "model", "team", "run", "since", "died of it"), map(_row, rows))


@app.command()
def release(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Its key, or the first characters.", show_default=False)],
    json: AsJson = False,
) -> None:
    """Let it be asked again, with a clean record: after its engine was repaired, or when it was not to blame."""
    with local_store() as store:
        row = store.end_quarantine(key)
    if json:
        say_json(_document(row))
    else:
        say(f"{_what(row)} of suite {row.suite} may be asked again; runs that are over keep their verdicts")


def _what(row: StrikeRow) -> str:
    return f"sample {row.sample_id}" if row.sample_id else f"model {row.model} with this candidate"


def _row(row: StrikeRow) -> tuple[str, ...]:
    since = words.moment(row.quarantined_at)
    sample = row.sample_id or "(every one)"
    return (row.key[:SHOWN_KEY], row.suite, sample, row.model, row.team, row.run_id, since, str(row.strikes))


def _document(row: StrikeRow) -> dict[str, object]:
    return {
        "key": row.key,
        "suite": row.suite,
        "sample": row.sample_id or None,
        "model": row.model,
        "team": row.team,
        "run": row.run_id,
        "strikes": row.strikes,
        "error": row.error,
        "quarantined_at": row.quarantined_at.isoformat(),
    }
