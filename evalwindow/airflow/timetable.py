"""A window as Airflow schedules it: a DAG run when it opens, whose data interval is the time that it is open."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pendulum
from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction, Timetable

from evalwindow.windows import Hours, Occurrence, check_times, next_occurrence, occurrence_at

JUST_BEFORE = dt.timedelta(microseconds=1)  # occurrences start strictly after a moment


class WindowTimetable(Timetable):
    """Starts a run as a window opens. One that is still open is run late, with its true end; one that is over, never.

    The rules for the nights when the clock changes are those of evalwindow.windows. `catchup` changes nothing.
    """

    active_runs_limit = 1  # a night of this window takes over what the one before left
    run_ordering = ("run_after",)  # runs that a person starts have no data interval

    def __init__(self, *, cron: str, duration_minutes: int, timezone: str) -> None:
        self.cron, self.duration_minutes, self.timezone = cron, duration_minutes, timezone
        self.description = f"Opens by cron {cron!r} in {timezone} and stays open for {_length(duration_minutes)}"

    @classmethod
    def of(cls, window: Hours) -> WindowTimetable:
        return cls(cron=window.cron, duration_minutes=window.duration_minutes, timezone=window.timezone)

    @property
    def summary(self) -> str:
        return f"{self.cron} ({self.timezone}), {_length(self.duration_minutes)}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WindowTimetable) and other.serialize() == self.serialize()

    def __hash__(self) -> int:
        return hash((self.cron, self.duration_minutes, self.timezone))

    def serialize(self) -> dict[str, Any]:
        return {"cron": self.cron, "duration_minutes": self.duration_minutes, "timezone": self.timezone}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> WindowTimetable:
        return cls(**data)

    def validate(self) -> None:
        """Raises ConfigInvalid for a cron expression or a time zone that can't be read."""
        check_times(self)

    def infer_manual_data_interval(self, *, run_after: pendulum.DateTime) -> DataInterval:
        """A run by hand has no hours of its own: its form says how long it may take."""
        return DataInterval.exact(run_after)

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        found = self.first_after(dt.datetime.now(dt.UTC), last_automated_data_interval, restriction)
        if found is None or (restriction.latest is not None and found.start > restriction.latest):
            return None
        start, end = pendulum.instance(found.start), pendulum.instance(found.end)
        return DagRunInfo(run_after=start, data_interval=DataInterval(start, end))

    def first_after(
        self, now: dt.datetime, last: DataInterval | None, restriction: TimeRestriction
    ) -> Occurrence | None:
        """The first occurrence that isn't over, wasn't run and doesn't start before the DAG's own start."""
        floors = [_plain(last.start)] if last is not None else []
        if restriction.earliest is not None:
            floors.append(_plain(restriction.earliest) - JUST_BEFORE)
        current = occurrence_at(self, now)
        if current is not None and all(current.start > floor for floor in floors):
            return current
        return next_occurrence(self, max([now, *floors]))


def _plain(moment: dt.datetime) -> dt.datetime:
    """Airflow's moments are pendulum's, with which cronsim can't count."""
    moment = moment.astimezone(dt.UTC)
    return dt.datetime.combine(moment.date(), moment.time(), tzinfo=dt.UTC)


def _length(minutes: int) -> str:
    hours, rest = divmod(minutes, 60)
    return " ".join([f"{hours} h"] * bool(hours) + [f"{rest} min"] * bool(rest))
