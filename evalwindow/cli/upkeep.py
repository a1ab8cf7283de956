"""upkeep."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated

import typer

from evalwindow.cli.local import local_database
from evalwindow.cli.show import AsJson, say, say_json, say_table
from evalwindow.score import Unqueued
from evalwindow.services import Services, build
from evalwindow.upkeep import Looked, Retained, StaleReport, drift, retain, stale

LOOK = 1  # exit code where somebody should look


def register(app: typer.Typer) -> None:
    app.command()(upkeep)


def upkeep(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Remove nothing; say what would be.")] = False,
    look: Annotated[bool, typer.Option(help="Also look for what stands still and for datasets that changed.")] = True,
    json: AsJson = False,
) -> int:
    """Remove what is kept no longer; say what stands still and which datasets changed. Exit code 1: look at it.

    The DAG "upkeep" does the same once a day on Airflow's host. Each host has files of its own: call this with
    --no-look from cron on the others.
    """
    with _services() as services:
        removed = retain(services, dry_run=dry_run)
        standing, looked = (stale(services), drift(services)) if look else (StaleReport(), ())
    if json:
        say_json({"removed": asdict(removed), "stale": asdict(standing), "datasets": [asdict(each) for each in looked]})
    else:
        _say_removed(removed)
        if look:
            _say_standing(standing)
            _say_looked(looked)
    return 0 if standing.well and not any(each.noteworthy for each in looked) else LOOK


@contextmanager
def _services() -> Iterator[Services]:
    """Over the database; nothing is sent to anybody."""
    with local_database() as settings:
        services = build(settings, queue=Unqueued())
        try:
            yield services
        finally:
            asyncio.run(services.aclose())


_WHAT = {
    "outputs": "runs whose outputs were too old",
    "cache": "cached answers that nobody asked for",
    "datasets": "outcomes of validations",
    "adapters": "uploaded adapters",
    "engines": "engines that are gone",
    "events": "webhooks that were handled",
    "breakers": "openings, closings and resets of breakers",
    "reports": "pages and JSON files",
    "docs": "folders of Data Docs",
    "copies": "copies of adapters",
}


def _say_removed(removed: Retained) -> None:
    counts = [(str(count), _WHAT[name]) for name, count in asdict(removed).items() if name != "dry_run" and count]
    if counts:
        head = "would be removed" if removed.dry_run else "removed"
        say_table((head, "what"), counts, right=(head,))
    else:
        say("nothing is too old")


def _say_standing(standing: StaleReport) -> None:
    if standing.well:
        say("nothing stands still", style="green")
    for trouble in standing.troubles:
        say(f"{trouble.kind}: {trouble.text}", style="red")


def _say_looked(looked: tuple[Looked, ...]) -> None:
    for each in looked:
        if each.noteworthy:
            say(f"dataset of {each.suite}: {each.text}", style="yellow" if each.ok else "red")
    if looked and not any(each.noteworthy for each in looked):
        say("every dataset is valid and of the kind that it was", style="green")
