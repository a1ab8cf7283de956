"""The store: SQL is the truth about every run (docs/adr/0001-sql-is-the-truth.md)."""

from __future__ import annotations

from evalwindow.store.admissions import Admissions
from evalwindow.store.agenda import Agendas
from evalwindow.store.artifacts import Artifacts
from evalwindow.store.baselines import Baselines
from evalwindow.store.breakers import Breakers
from evalwindow.store.deliveries import Deliveries
from evalwindow.store.dispatch import Dispatch
from evalwindow.store.endings import Endings
from evalwindow.store.events import Events
from evalwindow.store.figures import Figures
from evalwindow.store.nights import Nights
from evalwindow.store.noise import Noise
from evalwindow.store.overview import Overview
from evalwindow.store.pools import Pools
from evalwindow.store.reports import Reports
from evalwindow.store.results import Results
from evalwindow.store.retention import Retention
from evalwindow.store.roles import Roles
from evalwindow.store.rollouts import Rollouts
from evalwindow.store.runs import Runs
from evalwindow.store.schema import Schema
from evalwindow.store.shards import Shards
from evalwindow.store.strikes import Strikes
from evalwindow.store.submissions import Submissions
from evalwindow.store.suites import Suites
from evalwindow.store.tokens import Tokens
from evalwindow.store.troubles import Troubles
from evalwindow.store.usage import Usages

__all__ = ["Store"]


class Store(
    Schema,
    Roles,
    Events,
    Suites,
    Admissions,
    Runs,
    Shards,
    Results,
    Strikes,
    Endings,
    Dispatch,
    Agendas,
    Deliveries,
    Breakers,
    Submissions,
    Figures,
    Baselines,
    Artifacts,
    Tokens,
    Pools,
    Rollouts,
    Nights,
    Noise,
    Reports,
    Overview,
    Retention,
    Troubles,
    Usages,
):
    """Everything that evalwindow remembers. Synchronous and thread-safe; every method is one short transaction.

    Errors: ServiceDown when PostgreSQL is away (every method), and what the methods say.
    """
