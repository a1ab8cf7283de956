"""What a transaction changed is told with its commit, by NOTIFY, to whoever has something to do then.

A wake-up carries no truth: who hears it looks at the rows. Lost ones cost the pause until the next look. See
docs/adr/0011-listen-notify.md.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Function, func

WORK = "evalwindow_work"  # channel of the dispatchers: a Topic
RUNS = "evalwindow_runs"  # channel of whoever waits for a run: its id, when it is final
ROLLOUTS = "evalwindow_rollouts"  # channel of the units: a pool of which a rollout was asked for


class Topic(StrEnum):
    """What there is to do now."""

    EVENTS = "events"
    SHARDS = "shards"  # some wait, or there is room for more
    DELIVERIES = "deliveries"
    NIGHTS = "nights"  # one with a budget is open
    LATER = "later"  # nothing yet, but a moment is known


def waking(topic: Topic) -> Function[Any]:
    """A column for RETURNING: PostgreSQL tells equal topics of one transaction once, however many rows it has."""
    return func.pg_notify(WORK, topic.value)


def final(run_id: ColumnElement[str]) -> Function[Any]:
    """A column for RETURNING: these runs are final."""
    return func.pg_notify(RUNS, run_id)


def rolling(pool: str) -> Function[Any]:
    """A column for RETURNING: a rollout of this pool was asked for."""
    return func.pg_notify(ROLLOUTS, pool)
