"""The pools: what is served by whom, how busy it is, and how far a change of the model has got."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from evalwindow.config import Config, Pool
from evalwindow.model import Tier
from evalwindow.report import words
from evalwindow.report.breakers import gather_breakers, gather_events
from evalwindow.report.headline import Tone
from evalwindow.report.links import Links
from evalwindow.report.page import render
from evalwindow.store import Store
from evalwindow.store.engine_rows import EngineLoad, EngineRow, LaneLoad, Rollout, RolloutStep
from evalwindow.store.pools import AVAILABLE, ENGINE_SEEN_S, STOPPED

SILENT = "silent"  # of an engine that gave no sign of life and did not say that it ends
SILENT_FOR = dt.timedelta(days=1)  # then nobody looks for it any more
LATEST = 5  # rollouts of a pool
DIGEST = 12  # characters of a digest that are shown

_TONES: dict[str, Tone] = {"ready": Tone.GOOD, "resting": Tone.IDLE, "starting": Tone.UNSURE, SILENT: Tone.BAD}
_ROLLOUT_TONES: dict[str, Tone] = {
    "requested": Tone.UNSURE,
    "rolling": Tone.UNSURE,
    "done": Tone.GOOD,
    "halted": Tone.BAD,
    "superseded": Tone.IDLE,
}


@dataclass(frozen=True, kw_only=True)
class EngineView:
    """One engine of a pool."""

    row: EngineRow
    state: str  # as the unit said, or silent
    turn: RolloutStep | None  # in the pool's latest rollout
    waits: bool  # for its turn

    @property
    def tone(self) -> Tone:
        return _TONES.get(self.state, Tone.IDLE)

    @property
    def load(self) -> EngineLoad:
        return self.row.load or EngineLoad()

    @property
    def digest(self) -> str:
        return self.row.info.model_digest[:DIGEST] if self.row.info else words.NOTHING

    @property
    def version(self) -> str:
        return f"{self.row.info.engine} {self.row.info.version}" if self.row.info else words.NOTHING

    @property
    def roll(self) -> str:
        """Its place in the latest rollout, in a word."""
        if self.turn is not None:
            return self.turn.state
        return "waits" if self.waits else words.NOTHING


@dataclass(frozen=True, kw_only=True)
class PoolView:
    """A pool of evalwindow.yaml with its engines."""

    name: str
    pool: Pool
    models: tuple[str, ...]  # of evalwindow.yaml that it serves
    engines: tuple[EngineView, ...]
    rollouts: tuple[Rollout, ...]  # the newest first

    @property
    def tone(self) -> Tone:
        if any(engine.state in AVAILABLE for engine in self.engines):
            return Tone.GOOD
        return Tone.UNSURE if any(engine.state != SILENT for engine in self.engines) else Tone.BAD

    @property
    def digests(self) -> tuple[str, ...]:
        """Of the models that are served now: more than one while a rollout goes on, or after it was halted."""
        return tuple(sorted({engine.digest for engine in self.engines if engine.row.info}))

    @property
    def lanes(self) -> dict[str, LaneLoad]:
        """Of all its engines together, by tier."""
        return {tier.value: _sum(engine.load.lanes.get(tier.value) for engine in self.engines) for tier in Tier}

    @property
    def busy_s(self) -> float:
        return sum(engine.load.busy_s for engine in self.engines)

    @property
    def lost_s(self) -> float:
        return sum(engine.load.lost_s for engine in self.engines)

    @property
    def held_back_s(self) -> float:
        return sum(engine.load.held_back_s for engine in self.engines)

    @property
    def cached_share(self) -> float | None:
        """Of all prompt tokens: those that the prefix cache had."""
        lanes = self.lanes.values()
        prompt = sum(lane.prompt_tokens for lane in lanes)
        return sum(lane.cached_tokens for lane in lanes) / prompt if prompt else None

    @property
    def warmth(self) -> str:
        """When its engines rest, in words."""
        keep = self.pool.keep_warm
        if keep is None:
            return "always warm"
        how = "sleeps" if keep.rest == "sleep" else "stops"
        return f"{how} after {keep.idle_minutes:g} min without a prompt"


def gather_pools(store: Store, config: Config, *, now: dt.datetime) -> list[PoolView]:
    """All pools of evalwindow.yaml, in its order."""
    engines = store.engines()
    return [
        _pool(name, pool, config, [row for row in engines if row.pool == name], store.rollouts(name, limit=LATEST), now)
        for name, pool in config.pools.items()
    ]


def pools_page(store: Store, config: Config, *, links: Links, now: dt.datetime, team: str | None = None) -> str:
    """With the breakers that all share, and this team's own; None: every team's."""
    return render(
        "pools.html",
        pools=gather_pools(store, config, now=now),
        breakers=gather_breakers(store, team=team),
        events=gather_events(store, team=team),
        links=links,
        rollout_tone=rollout_tone,
    )


def rollout_tone(rollout: Rollout) -> Tone:
    return _ROLLOUT_TONES.get(rollout.state, Tone.IDLE)


def short(digest: str | None) -> str:
    """A digest as it is shown."""
    return digest[:DIGEST] if digest else words.NOTHING


def _pool(
    name: str, pool: Pool, config: Config, rows: Sequence[EngineRow], rollouts: Sequence[Rollout], now: dt.datetime
) -> PoolView:
    latest = rollouts[0] if rollouts else None
    return PoolView(
        name=name,
        pool=pool,
        models=tuple(model for model, entry in config.models.items() if entry.pool == name),
        engines=tuple(_engine(row, latest, now) for row in rows if _is_shown(row, now)),
        rollouts=tuple(rollouts),
    )


def _engine(row: EngineRow, rollout: Rollout | None, now: dt.datetime) -> EngineView:
    silent = now - row.seen_at > dt.timedelta(seconds=ENGINE_SEEN_S)
    steps = {step.worker: step for step in rollout.steps} if rollout else {}
    turn = steps.get(row.worker)
    waits = rollout is not None and rollout.open and turn is None and not silent
    return EngineView(row=row, state=SILENT if silent else row.state, turn=turn, waits=waits)


def _is_shown(row: EngineRow, now: dt.datetime) -> bool:
    return row.state != STOPPED and now - row.seen_at < SILENT_FOR


def _sum(lanes: Iterable[LaneLoad | None]) -> LaneLoad:
    known = [lane for lane in lanes if lane is not None]
    names = LaneLoad.__dataclass_fields__
    return LaneLoad(**{name: sum(getattr(lane, name) for lane in known) for name in names})
