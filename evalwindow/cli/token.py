"""token add, token rotate, token list, token revoke."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import typer

from evalwindow.cli.local import local_store
from evalwindow.cli.show import AsJson, say, say_json, say_table
from evalwindow.config_file import read_config
from evalwindow.errors import UnknownName
from evalwindow.report import words
from evalwindow.settings import read_settings
from evalwindow.store.rows import Scope, TokenRow
from evalwindow.store.tokens import DEFAULT_SCOPES

MOST_DAYS = 3650
MOST_HOURS = 24 * 30

TokenId = Annotated[str, typer.Argument(metavar="ID", help="The middle part of a token.", show_default=False)]
TeamName = Annotated[str, typer.Argument(metavar="TEAM", help="A team of evalwindow.yaml.", show_default=False)]

app = typer.Typer(help="Teams' tokens. For operators: works on the database itself.", no_args_is_help=True)


@app.command()
def add(
    team: TeamName,
    scope: Annotated[
        list[Scope] | None,
        typer.Option(
            help="What it may do; repeat it for several. read: look only; submit: runs; promote: baselines of suites "
            "that no other team owns; admin: of any suite. Default: submit and promote. A CI job needs submit.",
            show_default=False,
        ),
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, max=MOST_DAYS, help="It ends after so many days.")] = None,
    json: AsJson = False,
) -> None:
    """Make a token for a team. It is shown this once: only its hash is kept."""
    settings = read_settings()
    teams = read_config(settings.config).teams
    if team not in teams:
        raise UnknownName("team", team, teams, where=str(settings.config))
    expires_at = None if days is None else dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
    with local_store() as store:
        token = store.add_token(team, scopes=scope or DEFAULT_SCOPES, expires_at=expires_at)
    _say_new(token, json=json, team=team)


@app.command()
def rotate(
    token_id: TokenId,
    grace_hours: Annotated[
        float, typer.Option(min=0, max=MOST_HOURS, help="The old one works on for so long, so that it can be replaced.")
    ] = 24.0,
    json: AsJson = False,
) -> None:
    """Make a token that takes the place of another: same team, same scopes. It is shown this once."""
    with local_store() as store:
        token = store.rotate_token(token_id, grace=dt.timedelta(hours=grace_hours))
    _say_new(token, json=json, replaces=token_id)


def _say_new(token: str, *, json: bool, **facts: str) -> None:
    if json:
        say_json({**facts, "token": token})
    else:
        say(token)


@app.command("list")
def list_(team: TeamName, json: AsJson = False) -> None:
    """A team's tokens, without their secrets."""
    with local_store() as store:
        rows = store.tokens(team)
    if json:
        say_json(list(map(_document, rows)))
    elif not rows:
        say(f"team {team} has no token; make one by `evalwindow token add {team}`")
    else:
        say_table(("id", "may", "made", "ends", "last used", "revoked"), map(_row, rows))


@app.command()
def revoke(token_id: TokenId, json: AsJson = False) -> None:
    """End a token at once."""
    with local_store() as store:
        store.revoke_token(token_id)
    if json:
        say_json({"id": token_id, "revoked": True})
    else:
        say(f"token {token_id} is revoked")


def _document(row: TokenRow) -> dict[str, object]:
    moments = {name: getattr(row, name) for name in ("created_at", "expires_at", "last_used_at")}
    return {
        "id": row.id,
        "scopes": sorted(row.scopes),
        **{name: None if at is None else at.isoformat() for name, at in moments.items()},
        "revoked": row.revoked_at is not None,
        "replaced_by": row.replaced_by,
    }


def _row(row: TokenRow) -> tuple[str, ...]:
    moments = (row.created_at, row.expires_at, row.last_used_at, row.revoked_at)
    return (row.id, ", ".join(sorted(row.scopes)), *map(words.moment, moments))
