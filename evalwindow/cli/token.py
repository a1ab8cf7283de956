"""token add, token list, token revoke."""

from __future__ import annotations

from typing import Annotated

import typer

from evalwindow.cli.local import local_store
from evalwindow.cli.show import AsJson, say, say_json, say_table
from evalwindow.config_file import read_config
from evalwindow.errors import UnknownName
from evalwindow.report import words
from evalwindow.settings import read_settings
from evalwindow.store.rows import TokenRow

TeamName = Annotated[str, typer.Argument(metavar="TEAM", help="A team of evalwindow.yaml.", show_default=False)]

app = typer.Typer(help="Teams' tokens. For operators: works on the database itself.", no_args_is_help=True)


@app.command()
def add(team: TeamName, json: AsJson = False) -> None:
    """Make a token for a team. It is shown this once: only its hash is kept."""
    settings = read_settings()
    teams = read_config(settings.config).teams
    if team not in teams:
        raise UnknownName("team", team, teams, where=str(settings.config))
    with local_store() as store:
        token = store.add_token(team)
    if json:
        say_json({"team": team, "token": token})
    else:
        say(token)


@app.command("list")
def list_(team: TeamName, json: AsJson = False) -> None:
    """A team's tokens, without their secrets."""
    with local_store() as store:
        rows = store.tokens(team)
    if json:
        say_json([{"id": row.id, "created_at": _iso(row), "revoked": row.revoked_at is not None} for row in rows])
    elif not rows:
        say(f"team {team} has no token; make one by `evalwindow token add {team}`")
    else:
        say_table(("id", "made", "revoked"), map(_row, rows))


@app.command()
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="The middle part of a token.", show_default=False)],
    json: AsJson = False,
) -> None:
    """End a token at once."""
    with local_store() as store:
        store.revoke_token(token_id)
    if json:
        say_json({"id": token_id, "revoked": True})
    else:
        say(f"token {token_id} is revoked")


def _iso(row: TokenRow) -> str:
    return row.created_at.isoformat()


def _row(row: TokenRow) -> tuple[str, ...]:
    return (row.id, words.moment(row.created_at), words.moment(row.revoked_at))
