"""Settings -> everything wired. The only place that knows all adapters."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from evalwindow.circuit import Circuit
from evalwindow.config import ApiModel, Config, ReplayModel, WarmModel
from evalwindow.config_file import read_config
from evalwindow.engines.base import Engine
from evalwindow.engines.paths import EnginePaths
from evalwindow.engines.replay import ReplayEngine
from evalwindow.engines.retry import Backoff, patiently
from evalwindow.engines.vllm import VllmEngine
from evalwindow.errors import ConfigInvalid, EngineRefused
from evalwindow.github.client import GitHub
from evalwindow.lanes.client import RoutedLanes
from evalwindow.leases import Leases
from evalwindow.library import SuiteLibrary
from evalwindow.model import Tier
from evalwindow.processes import worker_name
from evalwindow.queue import Queue
from evalwindow.settings import PREFIX, Settings
from evalwindow.store import Store
from evalwindow.store.listener import Listener
from evalwindow.store.wakes import RUNS
from evalwindow.tokens import PromptCounter

API_PATIENCE_S = 90.0  # with an API that throttles or is away, at most; then its breaker counts it


class Hints(Protocol):
    """Tells consumers that there is a shard to claim."""

    def send_shard(self, shard_id: str, pool: str, tier: Tier) -> bool: ...

    def check(self) -> None: ...


@dataclass(kw_only=True)
class Services:
    """What a process of evalwindow works with. Build one a process; close it at the end."""

    settings: Settings
    config: Config
    store: Store
    queue: Hints
    library: SuiteLibrary
    github: GitHub | None
    leases: Leases
    lanes: RoutedLanes
    worker: str  # names this process in leases
    stopping: asyncio.Event = field(default_factory=asyncio.Event)  # set: hand shards back between prompts
    _engines: dict[str, Engine] = field(default_factory=dict)
    _counters: dict[str, PromptCounter | None] = field(default_factory=dict)

    def engine_of(self, model: str) -> Engine:
        """The engine behind a model's name: one for a pool, one for each other model, made at first use."""
        if model not in self.config.models:
            raise EngineRefused(f"model {model!r} is not in this worker's {self.settings.config}")
        chosen = self.config.models[model]
        name = f"pool {chosen.pool}" if isinstance(chosen, WarmModel) else f"model {model}"
        if name not in self._engines:
            self._engines[name] = _engine(self, model)
        return self._engines[name]

    def counter_of(self, pool: str) -> PromptCounter | None:
        if pool not in self._counters:
            chosen = self.config.pools.get(pool)
            self._counters[pool] = PromptCounter.of(chosen.model) if chosen else None
        return self._counters[pool]

    @property
    def breakers(self) -> Circuit:
        """What is left alone for a while because it failed too often."""
        return Circuit(self.store, self.config)

    @property
    def backoff(self) -> Backoff:
        """How long a prompt waits for an engine that restarts."""
        return _backoff(self.settings)

    async def aclose(self) -> None:
        await self.leases.aclose()
        await self.lanes.aclose()
        for engine in self._engines.values():
            await engine.aclose()
        if self.github is not None:
            await self.github.aclose()
        self.store.close()


def build(settings: Settings, *, config: Config | None = None, queue: Hints | None = None) -> Services:
    """Services for this process; raises ConfigInvalid or ServiceDown with what to do."""
    config = config or read_config(settings.config)
    _check_breakers(settings, config)
    store = Store(settings.database_url)
    return Services(
        settings=settings,
        config=config,
        store=store,
        queue=queue or Queue(settings.redis_url),
        library=SuiteLibrary(config.suites, config.limits),
        github=GitHub.from_settings(settings),
        leases=_leases(settings, store),
        lanes=_lanes(settings, config),
        worker=worker_name(os.getpid()),
    )


def _check_breakers(settings: Settings, config: Config) -> None:
    """A breaker has to open before the only shard of a run has spent its attempts: an outage ends no run."""
    rules = {"engines": (WarmModel, config.breakers.engines), "providers": (ApiModel, config.breakers.providers)}
    most, models = settings.max_attempts, config.models.values()
    for kind, (served_by_it, rule) in rules.items():
        if rule.failures > most and any(isinstance(model, served_by_it) for model in models):
            raise ConfigInvalid(
                f"{settings.config}: breakers.{kind}.failures: {rule.failures} is more than {PREFIX}MAX_ATTEMPTS "
                f"({most}), so an outage could fail a shard before the breaker opens; set it to {most} or less, or "
                f"{PREFIX}MAX_ATTEMPTS to {rule.failures} or more"
            )


def _leases(settings: Settings, store: Store) -> Leases:
    def wakes_of(heard: Callable[[str], None]) -> Listener:
        return Listener(store, RUNS, heard, changed=lambda: None)

    return Leases(partial(store.renew, lease_s=settings.lease_s), lease_s=settings.lease_s, wakes_of=wakes_of)


def _backoff(settings: Settings) -> Backoff:
    return Backoff(base_s=0.1, cap_s=2.0, patience_s=settings.engine_patience_s)


def _lanes(settings: Settings, config: Config) -> RoutedLanes:
    return RoutedLanes(
        config,
        socket_of=lambda pool: EnginePaths(home=settings.home.resolve(), pool=pool).governor,
        retry=lambda ask: patiently(ask, _backoff(settings)),
    )


def _engine(services: Services, model: str) -> Engine:
    chosen, config, settings = services.config.models[model], services.config, services.settings
    if isinstance(chosen, WarmModel):
        artifact = services.store.artifact
        return VllmEngine(
            home=settings.home, pool=chosen.pool, config=config, artifact=artifact, backoff=services.backoff
        )
    if isinstance(chosen, ReplayModel):
        return ReplayEngine.load(chosen.outputs)
    from evalwindow.engines.openai import OpenAIEngine  # a second of imports that only APIs need

    patience_s = min(API_PATIENCE_S, settings.engine_patience_s)
    backoff = Backoff(base_s=0.5, cap_s=20.0, patience_s=patience_s)
    return OpenAIEngine(config=config, environ=os.environ, backoff=backoff)
