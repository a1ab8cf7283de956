"""Between a night and its tasks: what a DAG run asks for, and what goes from task to task: ids and counts."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from evalwindow.airflow.links import url_of
from evalwindow.airflow.params import choices, hours, night_key

if TYPE_CHECKING:
    from evalwindow.nights.settling import Settled
    from evalwindow.services import Services
    from evalwindow.store.night_rows import EntryRow, NightRow

log = logging.getLogger(__name__)


def opened(services: Services, window: str, *, dag_run: Any, params: Mapping[str, Any]) -> NightRow:
    """The night of a DAG run, opened once; what it is to run is logged.

    Skips the task when the night's hours are over before it was ever opened: the scheduler may create such a run when
    it was away for long.
    """
    from evalwindow.nights.opening import open_night

    key, (start, end) = night_key(dag_run), hours(dag_run, params)
    if end <= dt.datetime.now(dt.UTC) and not services.store.nights(1, key=key):
        raise AirflowSkipException(f"the window closed at {end:%F %R %Z}; trigger a run to start one now")
    night = open_night(services, window, key=key, starts_at=start, ends_at=end, url=url_of(dag_run), **choices(params))
    log.info("night %s from %s to %s%s", night.id, night.starts_at, night.ends_at, ", dry run" * night.dry_run)
    for entry in services.store.entries(night.id):
        log.info("%s: %s%s", title(entry), entry.state.value, f", {entry.note}" if entry.note else "")
    return night


def check_datasets(services: Services, night_id: str) -> None:
    """Validate the datasets; what was found is logged, and stops the entries that it is about."""
    from evalwindow.nights.validation import validate_night

    found = validate_night(services, night_id)
    log.info("datasets: %d valid, %d of all known from before", len(found.valid), found.cached)
    for suite in (*found.invalid, *found.unchecked):
        log.warning("suite %s is not evaluated: its dataset is bad, or could not be checked", suite)
    for suite, path in found.docs.items():
        log.info("what was checked of %s: %s", suite, services.settings.home.resolve() / path)


def evaluations(services: Services, night_id: str) -> list[dict[str, str]]:
    """Arguments of EvalRunOperator for each entry of a night."""
    return [{"entry_id": entry.id, "title": title(entry)} for entry in services.store.entries(night_id)]


def title(entry: EntryRow) -> str:
    """What an entry is called in Airflow's grid."""
    from evalwindow.model import Purpose

    return f"{entry.suite} × {entry.model}" + (" A/A" if entry.purpose is Purpose.AA else "")


def outcome(settled: Settled) -> dict[str, Any]:
    """What the later tasks need of a settled night."""
    if settled.void:
        log.warning("%s", settled.night.void)
    counts = {name: len(getattr(settled, name)) for name in ("failed", "inconclusive", "unfinished")}
    return {"night": settled.night.id, "passed": list(settled.passed), "void": settled.void, **counts}
