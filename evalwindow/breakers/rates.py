"""A breaker for too many of something in a minute: `failures` counts what came, `since` is when its minute began."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

from evalwindow.breakers.machine import LEAVE, Leave, Phase, Standing, Step, What, opened
from evalwindow.config import Breaker

MINUTE = dt.timedelta(minutes=1)


def counted(standing: Standing, *, now: dt.datetime, most: int, reason: str, rule: Breaker) -> tuple[Step, Leave]:
    """One more comes. With more than `most` in a minute it opens, and those that come while it is open don't count.

    Then there is no single probe: it is on trial (half open) for a minute in which `most` may come. If they keep to
    it, the first that comes after that minute closes it; if not, it is open again for twice as long.
    """
    if standing.phase is Phase.OPEN and standing.retry_at is not None:
        if now < standing.retry_at:
            return Step(standing=standing), Leave(wait_until=standing.retry_at)
        standing = replace(standing, phase=Phase.HALF_OPEN, failures=0, since=now, retry_at=None)
    over = standing.since is None or not standing.since <= now < standing.since + MINUTE
    event = None
    if over:
        event = What.CLOSED if standing.phase is Phase.HALF_OPEN else None
        standing = Standing(since=now)
    standing = replace(standing, failures=standing.failures + 1)
    if standing.failures <= most:
        return Step(standing=standing, event=event), LEAVE
    shut = opened(replace(standing, reason=reason), now=now, rule=rule)
    event = What.OPENED if standing.phase is Phase.CLOSED else None
    return Step(standing=shut, event=event), Leave(wait_until=shut.retry_at)
