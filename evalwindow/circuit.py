"""Every breaker of this installation: its rule from evalwindow.yaml, its state in SQL, and who hears of it."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable

from evalwindow.breakers import Phase, Standing, of_errors, of_submissions
from evalwindow.breakers.ids import kind_of, rule_of
from evalwindow.config import Config
from evalwindow.errors import BreakerOpen
from evalwindow.store import Store
from evalwindow.store.breaker_rows import Entry, FailedShard, Turn

MAIL = "mail:"  # a channel of deliveries; then the address
HALF = 0.5  # a run that has more errors than this share of its results counts against its team


class Circuit:
    """What processes ask breakers and tell them. Blocking, as the store is; every call is one short transaction."""

    def __init__(self, store: Store, config: Config) -> None:
        self._store, self._config = store, config
        self._alerts = tuple(f"{MAIL}{address}" for address in config.alerts.to)

    def ask(self, breaker_ids: Iterable[str], *, probe_s: float) -> Turn:
        """May something be tried that all of these guard? See Store.ask_breakers."""
        return self._store.ask_breakers(breaker_ids, probe_s=probe_s)

    def failed(
        self,
        breaker_id: str,
        reason: str,
        *,
        probe: bool = False,
        at_least_s: float = 0.0,
        shard: FailedShard | None = None,
    ) -> Standing:
        """Count a failure; how the breaker is then. `at_least_s`: for so long we were asked to stay away.

        `shard` is handed back with it, see Store.breaker_failed.
        """
        return self._store.breaker_failed(
            breaker_id,
            reason=reason,
            rule=rule_of(self._config, breaker_id),
            probe=probe,
            at_least_s=at_least_s,
            shard=shard,
            alerts=self._alerts,
        )

    def succeeded(self, breaker_id: str, *, probe: bool = False) -> None:
        self._store.breaker_succeeded(breaker_id, probe=probe, alerts=self._alerts)

    def untried(self, breaker_ids: Iterable[str]) -> None:
        """A probe ended without trying."""
        self._store.breakers_untried(breaker_ids)

    def wake_closed(self, breaker_ids: Iterable[str], *, was: dt.datetime) -> None:
        """Something was put off until `was`: should one of these have closed meanwhile, it goes on at once."""
        self._store.wake_closed(breaker_ids, was=was)

    def reset(self, breaker_id: str, *, by: str, reason: str) -> bool:
        """Close it; False where there was nothing to reset. Raises BadInput for what is no breaker's id."""
        kind_of(breaker_id)
        return self._store.reset_breaker(breaker_id, by=by, reason=reason, alerts=self._alerts)

    def check_team(self, team: str, *, key: str | None = None, counted: bool = True) -> None:
        """May the team submit a run now? Raises BreakerOpen.

        It counts towards the submissions of this minute unless `counted` is False. A `key` that was admitted before is
        let through: to repeat it asks for nothing new.
        """
        limit = self._config.quota_of(team).submissions_per_minute if counted else None
        entry = Entry(erring=True) if limit is None else self._count(team, key, limit)
        if entry.wait_s is not None:
            raise _refusal(of_submissions(team), team, entry.reason, entry.wait_s)
        if entry.erring:
            self._check_errors(team, key)

    def check_flood(self, team: str) -> None:
        """Raises the BreakerOpen that `check_team` would while the team submits too much. Nothing is counted."""
        row = self._store.breaker(of_submissions(team))
        until = row.standing.retry_at if row and row.standing.phase is Phase.OPEN else None
        if row is not None and until is not None and until > row.now:
            raise _refusal(row.id, team, row.standing.reason or "", (until - row.now).total_seconds())

    def count_flood(self, team: str) -> None:
        """Count one that `check_flood` has refused."""
        limit = self._config.quota_of(team).submissions_per_minute
        if limit is None:  # since a moment ago
            self._store.count_refused(team)
        else:
            self._store.count_flood(team, most=limit)

    def concluded(self, team: str, run_id: str, *, errors: int, results: int, suspects: frozenset[str] | None) -> None:
        """A run has ended with so many errors among its results. `suspects`: what a claim said, where there was one."""
        breaker_id = of_errors(team)
        if errors > HALF * results:
            self.failed(breaker_id, f"run {run_id}: {errors} of {results} results are errors", probe=True)
        elif suspects is None or breaker_id in suspects:
            self.succeeded(breaker_id, probe=True)

    def _count(self, team: str, key: str | None, most: int) -> Entry:
        rule = rule_of(self._config, of_submissions(team))
        reason = f"more than {most} submissions in a minute (quota.submissions_per_minute)"
        return self._store.count_submission(team, key=key, most=most, reason=reason, rule=rule, alerts=self._alerts)

    def _check_errors(self, team: str, key: str | None) -> None:
        """One run of a team whose runs were mostly errors is its probe; whichever ends first decides."""
        breaker_id = of_errors(team)
        turn = self._store.ask_breakers([breaker_id], probe_s=rule_of(self._config, breaker_id).cooldown_s)
        if turn.wait_until is None or (key and self._store.is_admitted(key)):
            return
        self._store.count_refused(team)
        row = self._store.breaker(breaker_id)
        seconds = (turn.wait_until - row.now).total_seconds() if row else 0.0
        reason = row.standing.reason if row else None
        raise _refusal(breaker_id, team, reason or "it was open a moment ago", seconds)


def _refusal(breaker_id: str, team: str, reason: str, seconds: float) -> BreakerOpen:
    what = "has submitted too much" if breaker_id == of_submissions(team) else "has too many runs that are errors"
    left_s = max(1.0, seconds)
    return BreakerOpen(
        f"team {team!r} {what} (breaker {breaker_id}: {reason}): try again in about {math.ceil(left_s)} s",
        retry_after_s=left_s,
    )
