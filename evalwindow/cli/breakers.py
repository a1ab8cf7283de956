"""breakers, breakers reset, breakers events."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Annotated, Any

import typer

from evalwindow.breakers import Phase
from evalwindow.breakers.ids import kind_of
from evalwindow.circuit import Circuit
from evalwindow.cli.local import local_database
from evalwindow.cli.show import AsJson, say, say_json, say_table
from evalwindow.config_file import read_config
from evalwindow.report import words
from evalwindow.report.breakers import BreakerView, EventView, gather_breakers, gather_events, guarded
from evalwindow.settings import Settings
from evalwindow.store import Store

BreakerId = Annotated[
    str, typer.Argument(metavar="ID", help="As the list shows it, e.g. pool:warm.", show_default=False)
]

app = typer.Typer(
    help="What is left alone for a while because it failed too often. For operators: works on the database itself.",
    invoke_without_command=True,
)


@app.callback()
def list_(context: typer.Context, json: AsJson = False) -> None:
    """What is left alone for a while because it failed too often. For operators: works on the database itself."""
    if context.invoked_subcommand is not None:
        return
    with _opened() as (_, store):
        views = gather_breakers(store, team=None)
    if json:
        say_json(list(map(_document, views)))
    elif not views:
        say("nothing fails: every breaker is closed", style="green")
    else:
        say_table(("id", "state", "guards", "since", "next", "reason"), map(_row, views))


@app.command()
def reset(
    breaker_id: BreakerId,
    by: Annotated[str, typer.Option(help="Who does it; default: the user of this machine.")] = "",
    reason: Annotated[str, typer.Option(help="Why, for whoever looks at it later.")] = "",
    json: AsJson = False,
) -> None:
    """Close a breaker now: what waits for it goes on at once. If it still fails, it opens again by itself."""
    kind_of(breaker_id)
    who = by or getpass.getuser()
    with _opened() as (settings, store):
        circuit = Circuit(store, read_config(settings.config))
        done = circuit.reset(breaker_id, by=who, reason=reason or f"reset by {who}")
    if json:
        say_json({"id": breaker_id, "reset": done})
    else:
        say(
            f"breaker {breaker_id} is closed" if done else f"breaker {breaker_id} was closed, there is nothing to reset"
        )


@app.command()
def events(
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    json: AsJson = False,
) -> None:
    """What opened, closed or was reset, the newest first."""
    with _opened() as (_, store):
        found = gather_events(store, team=None, limit=limit)
    if json:
        say_json(list(map(_event_document, found)))
    elif not found:
        say("no breaker has ever opened")
    else:
        say_table(("when", "what", "id", "guards", "by", "reason"), map(_event_row, found))


@contextmanager
def _opened() -> Iterator[tuple[Settings, Store]]:
    with local_database() as settings, closing(Store(settings.database_url)) as store:
        yield settings, store


def _row(view: BreakerView) -> tuple[str, ...]:
    return (view.id, view.word, view.what, words.moment(view.since), view.next, view.reason)


def _document(view: BreakerView) -> dict[str, Any]:
    standing = view.row.standing
    moments = {"since": view.since, "retry_at": standing.retry_at}
    return {
        "id": view.id,
        "guards": view.what,
        "state": standing.phase.value,
        "failures": standing.failures,
        "openings": standing.trips,
        "reason": standing.reason,
        "open": standing.phase is not Phase.CLOSED,
        **{name: None if at is None else at.isoformat() for name, at in moments.items()},
    }


def _event_row(view: EventView) -> tuple[str, ...]:
    event = view.event
    return (words.moment(event.at), event.what, event.breaker_id, view.what, event.by or "", event.reason)


def _event_document(view: EventView) -> dict[str, Any]:
    event = view.event
    return {
        "id": event.id,
        "breaker": event.breaker_id,
        "guards": guarded(event.breaker_id),
        "what": event.what.value,
        "reason": event.reason,
        "by": event.by,
        "at": event.at.isoformat(),
    }
