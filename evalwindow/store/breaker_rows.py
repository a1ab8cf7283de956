"""What the store gives of breakers: frozen values, no live rows."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from evalwindow.breakers import Standing, What


@dataclass(frozen=True, kw_only=True)
class BreakerRow:
    """One breaker as it is now."""

    id: str
    standing: Standing
    at: dt.datetime  # of its latest change
    now: dt.datetime  # by the clock that its moments are of, the server's


@dataclass(frozen=True, kw_only=True)
class BreakerEvent:
    """Something that people are told of a breaker."""

    id: str
    breaker_id: str
    what: What
    reason: str
    by: str | None  # who reset it; None: it happened by itself
    at: dt.datetime


@dataclass(frozen=True, kw_only=True)
class Turn:
    """Whether something may be tried that several breakers guard."""

    wait_until: dt.datetime | None = None  # None: now
    probes: frozenset[str] = frozenset()  # of these it is the one that finds out


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What a submission meets at its team's breakers."""

    wait_s: float | None = None  # until the next may be; None: this one may
    reason: str = ""  # why not
    erring: bool = False  # the breaker of the team's errors has to be asked


@dataclass(frozen=True, kw_only=True)
class FailedShard:
    """A held shard whose engine was not available."""

    id: str
    token: int
    may_retry: bool  # it has an attempt left
