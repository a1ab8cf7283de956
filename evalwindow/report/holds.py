"""Why nothing of an open run is asked just now, besides other work: a breaker, or a quota that is used up."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from evalwindow.breakers import Phase, breaker_of, of_submissions
from evalwindow.config import Config
from evalwindow.model import Tier
from evalwindow.quota import PERIOD_WORDS, period_quotas
from evalwindow.report import words
from evalwindow.report.breakers import BreakerView, trouble
from evalwindow.report.headline import is_paused
from evalwindow.store import Store
from evalwindow.store.rows import RunRow


class Holds:
    """What holds runs at the moment when the first of them asks; who asks of none that is open costs no statement."""

    def __init__(self, store: Store, config: Config) -> None:
        self._store, self._config = store, config

    @cached_property
    def breakers(self) -> Mapping[str, BreakerView]:
        """Those that are not closed, by id."""
        rows = (row for row in self._store.breakers() if row.standing.phase is not Phase.CLOSED)
        return {row.id: BreakerView(row=row, reason=row.standing.reason or "") for row in rows}

    @cached_property
    def _spent(self) -> Mapping[str, dt.datetime]:
        """Team -> when its next period begins."""
        quotas = period_quotas(self._config)
        return self._store.spent_teams(quotas) if quotas else {}

    def of(self, run: RunRow, *, judges: Iterable[str] = ()) -> str | None:
        """A sentence's end, after "it"; None: nothing holds it. Of its judges only those that are given."""
        if run.state.final or is_paused(run.state, run.window_end):
            return None
        return next(self._reasons(run, judges), None)

    def _reasons(self, run: RunRow, judges: Iterable[str]) -> Iterator[str]:
        for model in (run.model, *judges):
            found = self.breakers.get(breaker_of(self._config, model) or "")
            if found is not None:
                what = trouble(found.id)
                yield f"waits: {what[0].lower()}{what[1:]}; {found.next}"
        if run.tier is Tier.REGRESSION:
            yield from self._of_team(run)

    def _of_team(self, run: RunRow) -> Iterator[str]:
        loop, until = self.breakers.get(of_submissions(run.team)), self._spent.get(run.team)
        if loop is not None and run.night_id is None and loop.row.standing.phase is Phase.OPEN:
            retry_at = loop.row.standing.retry_at
            yield f"waits while team {run.team} submits too much, until {words.moment(retry_at)} at least"
        if until is not None:
            period = PERIOD_WORDS[self._config.quota_of(run.team).period]
            yield f"waits: team {run.team} has used what it may {period}; it goes on at {words.moment(until)}"
