"""Check the datasets of a night before any GPU time is spent on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evalwindow.datasets import DatasetReport, asked, to_document, validate_all
from evalwindow.model import EntryState
from evalwindow.services import Services
from evalwindow.store.night_rows import EntryRow

ROWS_NAMED = 5  # of a finding, in an entry's note
FINDINGS_NAMED = 8
WAITING = (EntryState.PLANNED, EntryState.INVALID, EntryState.REFUSED)


@dataclass(frozen=True, kw_only=True)
class Validated:
    """What was found, by suite."""

    valid: tuple[str, ...]
    invalid: tuple[str, ...]
    unchecked: tuple[str, ...]  # the checks themselves failed
    cached: int  # suites whose data, checks and tokenizer had been seen
    docs: Mapping[str, str]  # Data Docs, as a path in the home


def validate_night(services: Services, night_id: str) -> Validated:
    """Validate every dataset that the night is to run; entries of the bad ones are stopped, their note names the rows.

    What runs already or stands by an earlier verdict is not looked at. Called again it frees what has been repaired.
    """
    entries = [entry for entry in services.store.entries(night_id) if entry.state in WAITING]
    reports = _reports(services, entries)
    for report in reports:
        if report.keepable:
            _keep(services, report)
        _mark(services, [entry for entry in entries if entry.suite == report.suite], report)
    return Validated(
        valid=tuple(report.suite for report in reports if report.ok),
        invalid=tuple(report.suite for report in reports if not report.ok and report.error is None),
        unchecked=tuple(report.suite for report in reports if report.error is not None),
        cached=sum(report.cached for report in reports),
        docs={report.suite: report.docs for report in reports if report.docs is not None},
    )


def _reports(services: Services, entries: list[EntryRow]) -> list[DatasetReport]:
    models: dict[str, list[str]] = {}
    for entry in entries:
        models.setdefault(entry.suite, []).append(entry.model)
    store, config = services.store, services.config
    return validate_all(
        {suite: asked(config, [name for name in names if name in config.models]) for suite, names in models.items()},
        folder=config.suites,
        limits=config.limits,
        home=services.settings.home.resolve(),
        known=store.dataset_report,
        last=lambda suite, digest: store.last_dataset_report(suite, other_than=digest),
    )


def _keep(services: Services, report: DatasetReport) -> None:
    services.store.put_dataset_report(
        key=report.key, suite=report.suite, digest=report.digest, ok=report.ok, document=to_document(report)
    )


def _mark(services: Services, entries: list[EntryRow], report: DatasetReport) -> None:
    stopped = EntryState.INVALID if report.error is None else EntryState.REFUSED
    for entry in entries:
        if not report.ok:
            services.store.set_entry(entry.id, stopped, note=note_of(report))
        elif entry.state is not EntryState.PLANNED:
            services.store.set_entry(entry.id, EntryState.PLANNED)


def note_of(report: DatasetReport) -> str:
    """What is wrong with a dataset, a line for each finding, with its first rows."""
    if report.error is not None:
        return report.error
    lines = []
    for finding in report.errors[:FINDINGS_NAMED]:
        rows = ", ".join(f"line {row.line}" + (f" ({row.id})" if row.id else "") for row in finding.rows[:ROWS_NAMED])
        more = finding.count - min(len(finding.rows), ROWS_NAMED)
        also = f" and {more} more" if rows and more > 0 else ""
        lines.append(f"{finding.text}: {rows}{also}" if rows else finding.text)
    if len(report.errors) > FINDINGS_NAMED:
        lines.append(f"and {len(report.errors) - FINDINGS_NAMED} more findings")
    return "\n".join(lines)
