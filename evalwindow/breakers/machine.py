"""What a breaker does next: closed -> open -> half open, one probe -> closed, or open again for twice as long. Pure."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from enum import StrEnum

from evalwindow.config import Breaker


class Phase(StrEnum):
    """closed: all may try; open: nobody, until `retry_at`; half_open: one does, and nobody else until `retry_at`."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class What(StrEnum):
    """What people are told of a breaker. A probe that fails is no event: the breaker was open and stays so."""

    OPENED = "opened"
    CLOSED = "closed"
    RESET = "reset"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a breaker is."""

    phase: Phase = Phase.CLOSED
    failures: int = 0  # in a row, that count towards the next opening
    since: dt.datetime | None = None  # when the first of them was
    reason: str | None = None  # of the latest failure
    trips: int = 0  # openings in a row, without a close between
    opened_at: dt.datetime | None = None  # the first of these
    retry_at: dt.datetime | None = None  # when somebody may probe (again)

    @property
    def troubled(self) -> bool:
        """There is something that a success would change."""
        return self.phase is not Phase.CLOSED or self.failures > 0


@dataclass(frozen=True, kw_only=True)
class Step:
    """How it is now, and what became of it, if that is to be told."""

    standing: Standing
    event: What | None = None


@dataclass(frozen=True, kw_only=True)
class Leave:
    """Whether somebody may try."""

    wait_until: dt.datetime | None = None  # None: now
    probe: bool = False  # as the one that finds out: it must say how it went, or that it did not try


LEAVE = Leave()


def ask(standing: Standing, *, now: dt.datetime, probe_s: float) -> tuple[Standing, Leave]:
    """May somebody try now? A probe that says nothing for `probe_s` seconds is taken for dead: the next one may."""
    if standing.phase is Phase.CLOSED:
        return standing, LEAVE
    if standing.retry_at is not None and now < standing.retry_at:
        return standing, Leave(wait_until=standing.retry_at)
    guarded = replace(standing, phase=Phase.HALF_OPEN, retry_at=now + dt.timedelta(seconds=probe_s))
    return guarded, Leave(probe=True)


def failed(
    standing: Standing,
    *,
    reason: str,
    now: dt.datetime,
    rule: Breaker,
    probe: bool = False,
    at_least_s: float = 0.0,
) -> Step:
    """Somebody tried in vain. Who had started before it opened, and ends only now, tells nothing new.

    `at_least_s`: for so long we were asked to stay away.
    """
    if standing.phase is Phase.CLOSED:
        counted = replace(standing, failures=standing.failures + 1, since=standing.since or now, reason=reason, trips=0)
        if counted.failures < rule.failures:
            return Step(standing=counted)
        return Step(standing=opened(counted, now=now, rule=rule, at_least_s=at_least_s), event=What.OPENED)
    if probe and standing.phase is Phase.HALF_OPEN:
        again = replace(standing, reason=reason)
        return Step(standing=opened(again, now=now, rule=rule, at_least_s=at_least_s))
    return Step(standing=standing)


def succeeded(standing: Standing, *, probe: bool = False) -> Step:
    """Somebody was served. A success of before the opening closes nothing: only the probe's does."""
    if standing.phase is Phase.CLOSED:
        return Step(standing=Standing())
    if probe and standing.phase is Phase.HALF_OPEN:
        return Step(standing=Standing(), event=What.CLOSED)
    return Step(standing=standing)


def untried(standing: Standing, *, now: dt.datetime) -> Step:
    """The probe ended without trying: the next one may, at once."""
    if standing.phase is not Phase.HALF_OPEN:
        return Step(standing=standing)
    return Step(standing=replace(standing, phase=Phase.OPEN, retry_at=now))


def reset(standing: Standing) -> Step:
    """Somebody knows better: all may try at once."""
    return Step(standing=Standing(), event=What.RESET if standing.troubled else None)


def opened(standing: Standing, *, now: dt.datetime, rule: Breaker, at_least_s: float = 0.0) -> Standing:
    """Left alone from now on, for longer each time."""
    trips = standing.trips + 1
    pause_s = min(max(cooldown_s(rule, trips), at_least_s), max(rule.longest_s, rule.cooldown_s))
    return replace(
        standing,
        phase=Phase.OPEN,
        trips=trips,
        opened_at=standing.opened_at or now,
        retry_at=now + dt.timedelta(seconds=pause_s),
    )


def cooldown_s(rule: Breaker, trips: int) -> float:
    """Seconds after so many openings in a row: it doubles each time, up to the rule's longest."""
    doublings = min(trips - 1, 60)
    return float(min(rule.cooldown_s * 2**doublings, max(rule.longest_s, rule.cooldown_s)))
