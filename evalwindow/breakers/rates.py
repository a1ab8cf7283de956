"""A breaker for too many of something in a minute: `failures` counts what came, `since` is when its minute began."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

from evalwindow.breakers.machine import LEAVE, Leave, Phase, Standing, Step, What, opened
from evalwindow.config import Breaker

MINUTE = dt.timedelta(minutes=1)


def counted(standing: Standing, *, now: dt.datetime, most: int, reason: str, rule: Breaker) -> tuple[Step, Leave]:
    """One more comes. With more than `most` in a minute it opens; see `refused` for those that come then.

    After that there is no single probe: it is on trial (half open) for a minute in which `most` may come. If they keep
    to it, the first that comes after that minute closes it; if not, it is open again for twice as long.
    """
    if standing.phase is Phase.OPEN and standing.retry_at is not None:
        if now < standing.retry_at:
            shut = refused(standing, now=now, most=most)
            return Step(standing=shut), Leave(wait_until=shut.retry_at)
        standing = replace(standing, phase=Phase.HALF_OPEN, failures=0, since=now, retry_at=None)
    event = None
    if not _runs(standing, now):
        event = What.CLOSED if standing.phase is Phase.HALF_OPEN else None
        standing = Standing(since=now)
    standing = replace(standing, failures=standing.failures + 1)
    if standing.failures <= most:
        return Step(standing=standing, event=event), LEAVE
    event = What.OPENED if standing.phase is Phase.CLOSED else None
    shut = opened(replace(standing, reason=reason, failures=0, since=now), now=now, rule=rule)
    return Step(standing=shut, event=event), Leave(wait_until=shut.retry_at)


def refused(standing: Standing, *, now: dt.datetime, most: int) -> Standing:
    """One more comes while it is open. More than `most` in a minute, and it is so at least until the next one ends.

    So whoever goes on as before is not let in to find out.
    """
    if not _runs(standing, now):
        standing = replace(standing, failures=0, since=now)
    shut = replace(standing, failures=standing.failures + 1)
    if shut.failures != most + 1 or shut.since is None or shut.retry_at is None:
        return shut
    return replace(shut, retry_at=max(shut.retry_at, shut.since + 2 * MINUTE))


def _runs(standing: Standing, now: dt.datetime) -> bool:
    """Its minute is not over."""
    return standing.since is not None and standing.since <= now < standing.since + MINUTE
