"""Remove what `retention` of evalwindow.yaml keeps no longer: rows in SQL, and files under this host's home."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import asdict, dataclass

from evalwindow.services import Services
from evalwindow.store.retention import Aged
from evalwindow.upkeep import files

RUNS, ROWS = 20, 500  # in one transaction
BULKY = 5  # adapters are files of up to many MB each
FOR_EVER = dt.timedelta(days=36_500)


@dataclass(frozen=True, kw_only=True)
class Retained:
    """How many were removed; of a dry run how many would be."""

    dry_run: bool
    outputs: int = 0  # runs whose texts are gone
    cache: int = 0  # cached answers
    datasets: int = 0  # outcomes of validations
    adapters: int = 0  # uploaded ones, from the database
    engines: int = 0  # rows of engines that are gone
    events: int = 0  # webhooks that were handled
    breakers: int = 0  # openings, closings and resets of breakers
    reports: int = 0  # files under home, as the next two
    docs: int = 0  # folders of Data Docs
    copies: int = 0  # folders of adapters

    @property
    def total(self) -> int:
        return sum(count for name, count in asdict(self).items() if name != "dry_run")


def retain(services: Services, *, dry_run: bool = False) -> Retained:
    """Remove what is old, in short transactions: it may be stopped at any moment and goes on the next time.

    Open runs and baselines are never touched. Files are those of this host's EVALWINDOW_HOME: run it on every host.
    """
    keep = services.config.retention
    rows = {
        Aged.CACHE: keep.cache_days,
        Aged.DATASETS: keep.datasets_days,
        Aged.ADAPTERS: keep.adapters_days,
        Aged.ENGINES: keep.engines_days,
        Aged.EVENTS: keep.events_days,
        Aged.BREAKERS: keep.breakers_days,
    }
    outputs = _outputs(services, keep.outputs_days, dry_run=dry_run)
    counts = {what.value: _rows(services, what, days, dry_run=dry_run) for what, days in rows.items()}
    return Retained(
        dry_run=dry_run,
        outputs=outputs,
        **counts,
        reports=files.remove_reports(services, _age(keep.reports_days) or FOR_EVER, dry_run=dry_run),
        docs=files.remove_docs(services, dry_run=dry_run),
        copies=files.remove_copies(services, _age(keep.adapters_days), dry_run=dry_run),
    )


def _outputs(services: Services, days: int | None, *, dry_run: bool) -> int:
    age, store = _age(days), services.store
    if age is None:
        return 0
    return store.trimmable(age) if dry_run else _until_none(lambda: store.trim(age, limit=RUNS)[0])


def _rows(services: Services, what: Aged, days: int | None, *, dry_run: bool) -> int:
    age, store = _age(days), services.store
    if age is None:
        return 0
    limit = BULKY if what is Aged.ADAPTERS else ROWS
    return store.forgettable(what, age) if dry_run else _until_none(lambda: store.forget(what, age, limit=limit))


def _age(days: int | None) -> dt.timedelta | None:
    return None if days is None else dt.timedelta(days=days)


def _until_none(batch: Callable[[], int]) -> int:
    total = 0
    while removed := batch():
        total += removed
    return total
