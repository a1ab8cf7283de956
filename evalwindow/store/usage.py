"""What teams have and have used: counted in the statements that change it, so it is never counted twice."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from sqlalchemy import Connection, text

from evalwindow.config import Quota
from evalwindow.quota import Standing, is_spent, period_end
from evalwindow.store.database import Database

#: Days are UTC's, whatever the session's time zone. The moment is the statement's: a lock may have been waited for.
TODAY = "(statement_timestamp() AT TIME ZONE 'UTC')::date"

_STANDING = text("""
    SELECT statement_timestamp() AS at,
        (SELECT count(*) FROM run
            WHERE team = :team AND tier = 'smoke' AND state IN ('queued', 'running')) AS smoke_runs,
        (SELECT coalesce(sum(cardinality(s.sample_ids)), 0) FROM run JOIN shard s ON s.run_id = run.id
            WHERE run.team = :team AND run.tier = 'regression' AND run.state IN ('queued', 'running')
                AND s.state IN ('pending', 'dispatched', 'running')) AS queued_samples,
        used.*
    FROM (
        SELECT coalesce(sum(gpu_s), 0.0) AS gpu_s, coalesce(sum(cost), 0.0) AS cost,
            coalesce(sum(results), 0)::bigint AS results, coalesce(sum(runs), 0)::bigint AS runs,
            coalesce(sum(refused), 0)::bigint AS refused
        FROM usage
        WHERE team = :team AND day >= date_trunc(:period, statement_timestamp() AT TIME ZONE 'UTC')::date
    ) AS used
""")

_USED = text("""
    SELECT quota.team, statement_timestamp() AS at, sum(usage.gpu_s) AS gpu_s, sum(usage.cost) AS cost
    FROM unnest(CAST(:teams AS text[]), CAST(:periods AS text[])) AS quota (team, period)
    JOIN usage ON usage.team = quota.team
        AND usage.day >= date_trunc(quota.period, statement_timestamp() AT TIME ZONE 'UTC')::date
    GROUP BY quota.team
""")

_COUNT = text(f"""
    INSERT INTO usage (team, day, runs, refused) VALUES (:team, {TODAY}, :runs, :refused)
    ON CONFLICT (team, day) DO UPDATE
        SET runs = usage.runs + excluded.runs, refused = usage.refused + excluded.refused
""")  # noqa: S608 - a constant of this module


class Usages(Database):
    def standing(self, team: str, quota: Quota) -> Standing:
        """What a team has now, and has used in the period of this quota."""
        with self._transaction() as connection:
            return standing(connection, team, quota)

    def count_refused(self, team: str) -> None:
        """One more submission was refused, by something else than a quota. A flood of them is one row a day."""
        with self._transaction() as connection:
            count(connection, team, refused=1)

    def spent_teams(self, quotas: Mapping[str, Quota]) -> dict[str, dt.datetime]:
        """Those of the teams that have used what they may in their period -> when that ends."""
        values = {"teams": list(quotas), "periods": [quota.period for quota in quotas.values()]}
        with self._transaction() as connection:
            rows = connection.execute(_USED, values).all()
        standings = {row.team: Standing(at=row.at, gpu_s=row.gpu_s, cost=row.cost) for row in rows}
        return {
            team: period_end(quotas[team].period, known.at)
            for team, known in standings.items()
            if is_spent(quotas[team], known)
        }


def standing(connection: Connection, team: str, quota: Quota) -> Standing:
    row = connection.execute(_STANDING, {"team": team, "period": quota.period}).one()
    return Standing(**row._mapping)


def count(connection: Connection, team: str, *, runs: int = 0, refused: int = 0) -> None:
    """The last thing that its transaction does: the team's row is locked from now on, after any run's."""
    connection.execute(_COUNT, {"team": team, "runs": runs, "refused": refused})
