"""What stands still, in sentences that say what to do. Nothing is changed here: the dispatcher mends what it can."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from evalwindow.breakers.ids import team_of
from evalwindow.model import Purpose
from evalwindow.nights.promotion import behind
from evalwindow.quota import period_quotas
from evalwindow.report.breakers import gather_breakers
from evalwindow.report.words import counted, moment
from evalwindow.services import Services
from evalwindow.store.engine_rows import EngineRow
from evalwindow.store.pools import ENGINE_SEEN_S, STOPPED
from evalwindow.store.rows import RunRow, ShardRow
from evalwindow.upkeep.baselines import WINDOW, lonely
from evalwindow.windows import next_occurrence

LEASE_GRACE = dt.timedelta(minutes=5)  # the dispatcher reaps every second
UNSENT = dt.timedelta(minutes=10)
MESSAGES = 3  # in vain: nobody listens
OPEN_FOR = dt.timedelta(days=2)
LEFT_ALONE = dt.timedelta(hours=1)
LATELY = dt.timedelta(days=7)
SETTLED_AFTER = dt.timedelta(hours=6)
SETTLED_WITHIN = dt.timedelta(days=30)


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """One thing that somebody should look at."""

    kind: str  # leases, messages, dispatcher, runs, engines, breakers, deliveries, nights, aliases
    ids: tuple[str, ...]  # of shards, runs, engines (pool/worker), breakers, deliveries, nights; the first hundred
    text: str  # what is wrong, and what to do


@dataclass(frozen=True, kw_only=True)
class StaleReport:
    """Everything that stands still."""

    troubles: tuple[Trouble, ...] = ()

    @property
    def well(self) -> bool:
        return not self.troubles


def stale(services: Services) -> StaleReport:
    """What nobody has moved on; empty when all is well."""
    looks = (_leases, _messages, _dispatcher, _runs, _engines, _breakers, _deliveries, _nights, _aliases)
    return StaleReport(troubles=tuple(trouble for look in looks for trouble in look(services)))


def _leases(services: Services) -> Iterator[Trouble]:
    found = services.store.expired_leases(LEASE_GRACE)
    if found:
        workers = ", ".join(sorted({shard.worker or "unknown" for shard in found}))
        text = (
            f"{counted(len(found), 'shard')} of {workers} lost their lease and nobody took them back: no dispatcher "
            f"runs. Start `python -m workers.dispatcher`"
        )
        yield Trouble(kind="leases", ids=_ids(found), text=text)


def _messages(services: Services) -> Iterator[Trouble]:
    for lane, shards in _by_lane(services.store.untaken(MESSAGES)):
        text = (
            f"{counted(len(shards), 'shard')} of {lane} were sent {MESSAGES} times or more and nobody took them: no "
            f"consumer of that queue runs. Look at the GPU unit of the pool, or cancel runs "
            f"{', '.join(_runs_of(shards))} with `evalwindow cancel RUN`"
        )
        yield Trouble(kind="messages", ids=_ids(shards), text=text)


def _dispatcher(services: Services) -> Iterator[Trouble]:
    for lane, shards in _by_lane(services.store.unsent(UNSENT, held=_held(services))):
        text = (
            f"{counted(len(shards), 'shard')} of {lane} wait and none of that lane is sent: no dispatcher runs, or "
            f"Redis is away. See /readyz and the log of `python -m workers.dispatcher`"
        )
        yield Trouble(kind="dispatcher", ids=_ids(shards), text=text)


def _held(services: Services) -> Collection[str]:
    """Teams whose regression runs wait for their next period."""
    return services.store.spent_teams(period_quotas(services.config)).keys()


def _runs(services: Services) -> Iterator[Trouble]:
    held = _held(services)
    for run in services.store.long_open(OPEN_FOR):
        why = None if run.team in held else _why_never(services, run)
        if why is not None:
            since = f"run {run.id} of {run.suite} is open since {moment(run.created_at)}"
            yield Trouble(kind="runs", ids=(run.id,), text=f"{since}: {why}; end it by `evalwindow cancel {run.id}`")


def _why_never(services: Services, run: RunRow) -> str | None:
    """Why nothing will go on with an open run; None: a later night will."""
    if run.night_id is None:
        return "it belongs to no window, and no worker ends it"
    name = services.store.night(run.night_id).window
    if name.startswith(WINDOW):
        kept = {baseline.id for _, baseline in lonely(services)}
        return None if run.baseline_run in kept else f"upkeep looks after its baseline {run.baseline_run} no more"
    window = services.config.windows.get(name)
    if window is None:
        return f"window {name!r} is not in evalwindow.yaml any more"
    entry = services.store.entries_of_runs([run.id]).get(run.id)
    wanted = window.aa if entry is not None and entry.purpose is Purpose.AA else run.model in window.models
    if run.suite not in window.suites or not wanted:
        return f"window {name!r} does not run {run.suite} with {run.model} any more"
    if next_occurrence(window, dt.datetime.now(dt.UTC)) is None:
        return f"window {name!r} never opens again"
    return None


def _engines(services: Services) -> Iterator[Trouble]:
    engines = services.store.engines()
    now = dt.datetime.now(dt.UTC)
    for pool in services.config.pools:
        of_pool = [engine for engine in engines if engine.pool == pool]
        silent = [engine for engine in of_pool if (now - engine.seen_at).total_seconds() > ENGINE_SEEN_S]
        if len(silent) == len(of_pool):
            ids = tuple(_name(engine) for engine in of_pool) or (pool,)
            yield Trouble(kind="engines", ids=ids, text=f"pool {pool}: {_last_seen(of_pool)}; start its GPU unit")
            continue
        lost = [engine for engine in silent if engine.state != STOPPED and now - engine.seen_at < dt.timedelta(days=1)]
        if lost:
            text = f"pool {pool}: {_last_seen(lost)} without saying so: it was killed, or its host is away"
            yield Trouble(kind="engines", ids=tuple(map(_name, lost)), text=text)


def _breakers(services: Services) -> Iterator[Trouble]:
    """Those of teams are the teams' own business."""
    for view in gather_breakers(services.store, team=None):
        opened = view.row.standing.opened_at
        if opened is not None and view.row.now - opened > LEFT_ALONE and team_of(view.id) is None:
            text = (
                f"{view.what} failed too often and is left alone since {moment(opened)}: {view.reason}. Mend that; "
                f"then it goes on by itself, or at once by `evalwindow breakers reset {view.id}`"
            )
            yield Trouble(kind="breakers", ids=(view.id,), text=text)


def _deliveries(services: Services) -> Iterator[Trouble]:
    for delivery in services.store.undeliverable(LATELY):
        text = (
            f"{delivery.channel} was never told about {delivery.subject}: {delivery.error}. Mend that and tell it by "
            f"hand; the verdict stands, `evalwindow show` has it"
        )
        yield Trouble(kind="deliveries", ids=(delivery.id,), text=text)


def _nights(services: Services) -> Iterator[Trouble]:
    for night in services.store.unsettled(SETTLED_AFTER, within=SETTLED_WITHIN):
        text = (
            f"night {night.id} of window {night.window} ended at {moment(night.ends_at)} and was never settled, so "
            f"nobody was told; clear the gate of its DAG run{f' ({night.url})' if night.url else ''}"
        )
        yield Trouble(kind="nights", ids=(night.id,), text=text)


def _aliases(services: Services) -> Iterator[Trouble]:
    for late in behind(services):
        run_id = late.baseline.run_id
        text = f"{late.text}; `evalwindow baseline promote {run_id} --reason ...` sets it and changes nothing else"
        yield Trouble(kind="aliases", ids=(run_id,), text=text)


def _by_lane(shards: Sequence[ShardRow]) -> Iterator[tuple[str, list[ShardRow]]]:
    def lane(shard: ShardRow) -> str:
        return f"{shard.tier}.{shard.pool}"

    for name, found in groupby(sorted(shards, key=lane), key=lane):
        yield name, list(found)


def _ids(shards: Sequence[ShardRow]) -> tuple[str, ...]:
    return tuple(shard.id for shard in shards)


def _runs_of(shards: Sequence[ShardRow]) -> list[str]:
    return sorted({shard.run_id for shard in shards})


def _name(engine: EngineRow) -> str:
    return f"{engine.pool}/{engine.worker}"


def _last_seen(engines: Sequence[EngineRow]) -> str:
    if not engines:
        return "no engine was ever seen"
    latest = max(engines, key=lambda engine: engine.seen_at)
    return f"{latest.worker} was last seen at {moment(latest.seen_at)}, {latest.state}"
