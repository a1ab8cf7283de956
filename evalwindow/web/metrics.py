"""What Prometheus scrapes: breakers, queues, engines, usage. Read from SQL at each scrape: any web process will do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder

from evalwindow.breakers import Phase
from evalwindow.breakers.ids import team_of
from evalwindow.services import Services
from evalwindow.store import Store
from evalwindow.store.engine_rows import EngineRow
from evalwindow.store.figures import TeamTotals, Totals
from evalwindow.store.pools import ENGINE_SEEN_S
from evalwindow.store.rows import Scope
from evalwindow.web.access import WithServices, at_home, bearer

router = APIRouter(tags=["health"], include_in_schema=False)


def scraper(request: Request, services: WithServices) -> str | None:
    """The team whose figures are shown besides those that all share; None: every team's. Raises Unauthorized.

    As with the pages, this machine sees all where only it is served; so does a token with the scope admin.
    """
    if at_home(request, services):
        return None
    found = bearer(request, services)
    return None if Scope.ADMIN in found.scopes else found.team


@router.get("/metrics")
def metrics(request: Request, services: WithServices, team: Annotated[str | None, Depends(scraper)]) -> Response:
    """Prometheus' text format, or OpenMetrics where that is asked for."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(services, team=team))
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(registry), headers={"Content-Type": content_type})


class _Figures:
    """A collector for one scrape."""

    def __init__(self, services: Services, *, team: str | None) -> None:
        self._store, self._team = services.store, team

    def collect(self) -> Iterator[Metric]:
        totals = self._store.totals()
        yield from self._breakers(totals)
        yield _shards(self._store)
        yield from _engines(self._store.engines(seen_within_s=ENGINE_SEEN_S))
        yield from _teams([each for each in totals.teams if self._team in (None, each.team)])
        waiting = GaugeMetricFamily("evalwindow_deliveries_waiting", "Things to tell, by channel.", labels=["channel"])
        for kind, count in sorted(totals.waiting.items()):
            waiting.add_metric([kind], count)
        yield waiting

    def _breakers(self, totals: Totals) -> Iterator[Metric]:
        text = "1 for the state that a breaker is in; one that never failed has no series."
        states = GaugeMetricFamily("evalwindow_breaker_state", text, labels=["breaker", "state"])
        for row in self._store.breakers():
            if self._mine(row.id):
                for phase in Phase:
                    states.add_metric([row.id, phase.value], float(phase is row.standing.phase))
        openings = CounterMetricFamily("evalwindow_breaker_openings", "How often breakers opened.", labels=["breaker"])
        for breaker_id, count in sorted(totals.openings.items()):
            if self._mine(breaker_id):
                openings.add_metric([breaker_id], count)
        yield from (states, openings)

    def _mine(self, breaker_id: str) -> bool:
        return self._team is None or team_of(breaker_id) in (None, self._team)


def _shards(store: Store) -> Metric:
    shards = GaugeMetricFamily("evalwindow_shards", "Shards that are not final.", labels=["pool", "tier", "state"])
    for backlog in store.backlog():
        for state in ("pending", "dispatched", "running"):
            shards.add_metric([backlog.pool, backlog.tier.value, state], getattr(backlog, state))
    return shards


def _engines(rows: list[EngineRow]) -> Iterator[Metric]:
    engines = GaugeMetricFamily("evalwindow_engines", "Engines seen of late.", labels=["pool", "state"])
    for (pool, state), count in sorted(Counter((row.pool, row.state) for row in rows).items()):
        engines.add_metric([pool, state], count)
    labels = ["pool", "worker"]
    busy = CounterMetricFamily("evalwindow_engine_busy_seconds", "GPU time since the unit's start.", labels=labels)
    for row in rows:
        if row.load is not None:
            busy.add_metric([row.pool, row.worker], row.load.busy_s)
    yield from (engines, busy)


def _teams(teams: list[TeamTotals]) -> Iterator[Metric]:
    told = {
        "gpu_s": ("evalwindow_team_gpu_seconds", "GPU time that a team used."),
        "cost": ("evalwindow_team_api_cost", "Money that a team used for API models."),
        "results": ("evalwindow_team_results", "Results of a team's runs."),
        "runs": ("evalwindow_team_runs", "Runs of a team that were admitted."),
        "refused": ("evalwindow_team_refused", "Submissions of a team that a quota or a breaker refused."),
    }
    for field, (name, text) in told.items():
        family = CounterMetricFamily(name, text, labels=["team"])
        for each in teams:
            family.add_metric([each.team], getattr(each, field))
        yield family
