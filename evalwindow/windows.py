"""When a window opens and closes. Pure; all moments are aware, results in UTC.

Starts follow Debian's cron in the nights when the clock changes (cronsim): a start in the hour that is skipped comes
right after it, one in the hour that is repeated comes once. A duration is elapsed time: 8 hours stay 8 hours. An
occurrence that is still open when the next one starts ends there, so occurrences of one window never overlap.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from evalwindow.errors import ConfigInvalid

EARLIER = dt.timedelta(hours=3)  # cronsim reads a naive clock: start before any hour that is repeated


class Hours(Protocol):
    """What of a window says when it is open."""

    @property
    def cron(self) -> str: ...
    @property
    def duration_minutes(self) -> int: ...
    @property
    def timezone(self) -> str: ...


@dataclass(frozen=True, kw_only=True)
class Occurrence:
    """One time that a window is open: from `start` until just before `end`, UTC."""

    start: dt.datetime
    end: dt.datetime

    def __contains__(self, moment: dt.datetime) -> bool:
        return self.start <= moment < self.end


def occurrences(window: Hours, after: dt.datetime) -> Iterator[Occurrence]:
    """All that start after a moment, in their order; none when the cron expression never comes true again."""
    length = dt.timedelta(minutes=window.duration_minutes)
    starts = _starts(window, after)
    for start, following in pairwise(starts):
        yield Occurrence(start=start, end=min(start + length, following))


def occurrence_at(window: Hours, now: dt.datetime) -> Occurrence | None:
    """The one that is open at a moment."""
    length = dt.timedelta(minutes=window.duration_minutes)
    for found in occurrences(window, now - length - EARLIER):
        if now in found:
            return found
        if found.start > now:
            return None
    return None


def next_occurrence(window: Hours, now: dt.datetime) -> Occurrence | None:
    """The first one that starts after a moment."""
    return next(occurrences(window, now), None)


def check_times(window: Hours) -> None:
    """Raises ConfigInvalid for a cron expression or a time zone that can't be read, with what would be right."""
    try:
        zone = ZoneInfo(window.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigInvalid(f"timezone {window.timezone!r} is unknown; write one like Europe/Berlin or UTC") from error
    if len(window.cron.split()) != 5:
        raise ConfigInvalid(f"cron {window.cron!r} needs five fields: minute hour day month weekday")
    try:
        next(CronSim(window.cron, dt.datetime(2024, 1, 1, tzinfo=zone)))
    except (CronSimError, StopIteration) as error:
        reason = str(error) or "it never comes true"
        raise ConfigInvalid(
            f"cron {window.cron!r} can't be read ({reason}); every night at ten is '0 22 * * *'"
        ) from error


def _starts(window: Hours, after: dt.datetime) -> Iterator[dt.datetime]:
    """Distinct starts after a moment, ascending."""
    latest = after.astimezone(dt.UTC)
    for local in CronSim(window.cron, (after - EARLIER).astimezone(ZoneInfo(window.timezone))):
        start = local.astimezone(dt.UTC)
        if start > latest:
            latest = start
            yield start
