"""The tables of nights and of what they are to run."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Double, ForeignKey, Index, Integer, Table, UniqueConstraint, text

from evalwindow.model import EntryState
from evalwindow.store.tables import Time, metadata, moment, one_of
from evalwindow.store.types import String

night = Table(
    "night",
    metadata,
    Column("id", String, primary_key=True),
    Column("key", String, nullable=False),  # idempotency
    Column("window", String, nullable=False),
    Column("team", String, nullable=False),
    Column("branch", String, nullable=False),
    Column("starts_at", Time, nullable=False),
    Column("ends_at", Time, nullable=False),
    Column("budget_gpu_s", Double),
    Column("dry_run", Boolean, nullable=False),
    Column("url", String),  # of whoever runs it, for people
    Column("closed_at", Time),  # before ends_at, for close_reason
    Column("close_reason", String),
    Column("settled_at", Time),  # its verdicts are known and told
    Column("void", String),  # why none of its verdicts counts
    moment("created_at"),
    UniqueConstraint("key"),
    Index("night_window_idx", "window", "id"),
    Index("night_open_idx", "id", postgresql_where=text("closed_at IS NULL AND settled_at IS NULL")),
)

night_entry = Table(
    "night_entry",
    metadata,
    Column("id", String, primary_key=True),
    Column("night_id", ForeignKey("night.id", ondelete="CASCADE"), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("suite", String, nullable=False),
    Column("model", String, nullable=False),
    Column("purpose", String, nullable=False),
    Column("state", String, nullable=False),
    Column("run_id", ForeignKey("run.id")),
    Column("baseline_run", String),  # that it is to be judged against; null: the promoted one
    Column("provenance_key", String),  # all that its answer depends on
    Column("note", String),  # for people: why it is in this state
    UniqueConstraint("night_id", "suite", "model", "purpose"),
    one_of(*EntryState),
    Index("night_entry_run_idx", "run_id"),
)
