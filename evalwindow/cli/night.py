"""nights, night. For operators: both work on the database itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from evalwindow.cli.local import local_database
from evalwindow.cli.show import AsJson, say, say_json, say_table
from evalwindow.config import Config
from evalwindow.config_file import read_config
from evalwindow.errors import BadInput
from evalwindow.mail.facts import facts_of
from evalwindow.mail.phrases import fact, span, tally, zone_of
from evalwindow.mail.policy import recipients
from evalwindow.mail.preview import write_mail
from evalwindow.mail.publish import CHANNEL, hand_in, mail_of, server_of
from evalwindow.mail.subject import subject
from evalwindow.report import words
from evalwindow.report.night import NightLine, NightView, gather_night
from evalwindow.settings import Settings
from evalwindow.store import Store
from evalwindow.store.rows import DeliveryRow

STYLES = {"good": "green", "bad": "red", "unsure": "yellow"}
NightId = Annotated[str, typer.Argument(metavar="NIGHT", help="Id of a night, as `nights` shows.", show_default=False)]
MailFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write its mail: as .eml, or as .html for a browser.")
]


def register(app: typer.Typer) -> None:
    app.command()(nights)
    app.command()(night)


def nights(
    window: Annotated[str | None, typer.Option(help="Only of this window.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="Show so many.")] = 20,
    before: Annotated[str | None, typer.Option(metavar="NIGHT", help="Only older ones than this night.")] = None,
    json: AsJson = False,
) -> None:
    """The newest nights and what became of them. For operators: works on the database itself."""
    with _opened() as (settings, config, store):
        rows = store.nights(limit, window=window, before=before)
        views = [_view(settings, config, store, row.id) for row in rows]
    if json:
        say_json([_document(view) for view in views])
    elif not views:
        say("no night matches")
    else:
        say_table(("night", "window", "when", "verdict", "entries", "GPU-s"), map(_row, views), right=("GPU-s",))


def night(
    night_id: NightId,
    mail: MailFile = None,
    send: Annotated[bool, typer.Option("--send", help="Hand its mail in to the mail server now.")] = False,
    to: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Whose mail; default: the first that the window tells.")
    ] = None,
    json: AsJson = False,
) -> None:
    """One night: verdicts, cost, and who was told. For operators: works on the database itself."""
    with _opened() as (settings, config, store):
        view = _view(settings, config, store, night_id)
        if mail is None and not send:
            _say_night(view, store.deliveries(night_id), json=json)
            return
        if send:
            server_of(settings)
        address = to or _first_reader(view)
        message = mail_of(store, config, settings, night_id, address=address)
    done: dict[str, Any] = {"to": address}
    if mail is not None:
        done["file"] = str(write_mail(message, mail))
    if send:
        done["sent"] = hand_in(settings, message, address)
    if json:
        say_json(done)
    else:
        say("; ".join(f"{name}: {value}" for name, value in done.items()))


@contextmanager
def _opened() -> Iterator[tuple[Settings, Config, Store]]:
    with local_database() as settings, closing(Store(settings.database_url)) as store:
        yield settings, read_config(settings.config), store


def _view(settings: Settings, config: Config, store: Store, night_id: str) -> NightView:
    return gather_night(store, config, night_id, base_url=settings.base_url, samples=False)


def _first_reader(view: NightView) -> str:
    reader = next(iter(recipients(view)), None)
    if reader is None:
        raise BadInput(f"windows.{view.night.window}.mail tells nobody about this night; name a reader by --to ADDRESS")
    return reader


def _row(view: NightView) -> tuple[str, ...]:
    when = span(view.night.starts_at, view.night.ends_at, zone_of(view))
    return (view.night.id, view.night.window, when, view.word, tally(view.lines), f"{view.cost.gpu_s:.1f}")


def _say_night(view: NightView, told: Sequence[DeliveryRow], *, json: bool) -> None:
    if json:
        say_json(_document(view) | {"told": [_delivery(row) for row in told]})
        return
    say(subject(view, view.lines), style=STYLES.get(view.tone))
    say(f"night {view.night.id}")
    if view.night.void:
        say(view.night.void)
    say()
    say_table(("verdict", "suite", "model", "because", "run"), map(_line, view.lines))
    say()
    for known in facts_of(view):
        say(f"{known.name:<16}{known.text}")
    if told:
        say()
        say_table(("told", "state", "attempts", "why not"), map(_told, told))


def _line(line: NightLine) -> tuple[str, ...]:
    run = line.run.id if line.run else words.NOTHING
    return (line.word, line.entry.suite, line.entry.model, fact(line), run)


def _told(row: DeliveryRow) -> tuple[str, ...]:
    return (row.channel.removeprefix(CHANNEL), row.state, str(row.attempts), row.error or "")


def _document(view: NightView) -> dict[str, Any]:
    row = view.night
    return {
        "id": row.id,
        "window": row.window,
        "starts_at": row.starts_at.isoformat(),
        "ends_at": row.ends_at.isoformat(),
        "settled": row.settled_at is not None,
        "void": row.void,
        "word": view.word,
        "gpu_s": view.cost.gpu_s,
        "entries": [_entry(line) for line in (*view.aa, *view.lines)],
    }


def _entry(line: NightLine) -> dict[str, Any]:
    entry = line.entry
    return {
        "suite": entry.suite,
        "model": entry.model,
        "purpose": entry.purpose,
        "state": entry.state,
        "word": line.word,
        "title": line.title,
        "run": line.run.id if line.run else None,
        "samples": line.samples,
        "samples_left": line.samples_left,
    }


def _delivery(row: DeliveryRow) -> dict[str, Any]:
    return {
        "channel": row.channel,
        "state": row.state,
        "attempts": row.attempts,
        "error": row.error,
        "message_id": row.external_id,
    }
