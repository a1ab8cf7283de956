"""The tables of engines and of their rolling replacement."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, Table, func, text

from evalwindow.store.tables import Time, metadata
from evalwindow.store.types import Document, String

engine = Table(
    "engine",
    metadata,
    Column("pool", String, primary_key=True),
    Column("worker", String, primary_key=True),
    Column("info", Document, nullable=False),
    Column("state", String, nullable=False),
    Column("seen_at", Time, nullable=False),
    Column("since", Time, nullable=False, server_default=func.now()),  # when its state or generation was new
    Column("generation", Integer, nullable=False, server_default=text("0")),  # of the unit's engines, from 1
    Column("load", Document),  # EngineLoad; null: nothing was measured yet
)

rollout = Table(
    "rollout",
    metadata,
    Column("id", String, primary_key=True),
    Column("pool", String, nullable=False),
    Column("requested_by", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("state", String, nullable=False),
    Column("error", String),  # why it was halted
    Column("requested_at", Time, nullable=False, server_default=func.now()),
    Column("ended_at", Time),
    CheckConstraint("state IN ('requested', 'rolling', 'done', 'halted', 'superseded')", name="state"),
    Index("rollout_pool_idx", "pool", "id"),
    Index("rollout_open_key", "pool", unique=True, postgresql_where=text("state IN ('requested', 'rolling')")),
)

rollout_step = Table(
    "rollout_step",
    metadata,
    Column("rollout_id", ForeignKey("rollout.id", ondelete="CASCADE"), primary_key=True),
    Column("worker", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("model_digest", String),  # that it serves after its turn
    Column("error", String),
    Column("started_at", Time, nullable=False, server_default=func.now()),
    Column("ended_at", Time),
    Column("lease_until", Time),  # of the turn: it goes with its holder
    CheckConstraint("state IN ('rolling', 'done', 'failed', 'lost')", name="state"),
)
