"""What is counted over everything, for whoever watches the installation: a fixed number of statements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import and_, func, select, text

from evalwindow.store.database import Database
from evalwindow.store.limit_tables import breaker, breaker_event, usage

_WAITING = text("""
    SELECT CASE WHEN channel LIKE 'mail:%' THEN 'mail' ELSE channel END AS kind, count(*) AS waiting
    FROM delivery WHERE state IN ('waiting', 'sending') GROUP BY kind
""")


@dataclass(frozen=True, kw_only=True)
class TeamTotals:
    """What a team has used since its first run."""

    team: str
    gpu_s: float
    cost: float
    results: int
    runs: int  # admitted
    refused: int  # by a quota or a breaker


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Counts that only grow, and what waits to be told."""

    openings: Mapping[str, int]  # of breakers, by id
    teams: tuple[TeamTotals, ...]
    waiting: Mapping[str, int]  # deliveries: check, comment, page, mail


class Figures(Database):
    def totals(self) -> Totals:
        sums = [func.sum(usage.c[name]).label(name) for name in ("gpu_s", "cost", "results", "runs", "refused")]
        used = select(usage.c.team, *sums).group_by(usage.c.team).order_by(usage.c.team)
        times = breaker.c.forgotten + func.count(breaker_event.c.id)
        its_openings = and_(breaker_event.c.breaker_id == breaker.c.id, breaker_event.c.what == "opened")
        opened = (
            select(breaker.c.id, times.label("times")).outerjoin(breaker_event, its_openings).group_by(breaker.c.id)
        ).having(times > 0)
        with self._transaction() as connection:
            return Totals(
                openings={row.id: row.times for row in connection.execute(opened)},
                teams=tuple(TeamTotals(**row._mapping) for row in connection.execute(used)),
                waiting={row.kind: row.waiting for row in connection.execute(_WAITING)},
            )
