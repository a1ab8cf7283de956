"""The tables of what limits teams and guards engines: usage, breakers, prompts that ended an engine."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, Date, Double, Index, Integer, Table, func, text

from evalwindow.store.tables import Time, metadata
from evalwindow.store.types import String

usage = Table(
    "usage",
    metadata,
    Column("team", String, primary_key=True),
    Column("day", Date, primary_key=True),  # UTC
    Column("gpu_s", Double, nullable=False, server_default=text("0")),
    Column("cost", Double, nullable=False, server_default=text("0")),
    Column("results", BigInteger, nullable=False, server_default=text("0")),
    Column("runs", BigInteger, nullable=False, server_default=text("0")),  # admitted
    Column("refused", BigInteger, nullable=False, server_default=text("0")),  # by a quota or a breaker
)

breaker = Table(
    "breaker",
    metadata,
    Column("id", String, primary_key=True),  # what it guards: pool:<name>, provider:<model>, team:<name>/errors, ...
    Column("state", String, nullable=False),
    Column("failures", Integer, nullable=False, server_default=text("0")),  # that count towards the next opening
    Column("since", Time),  # when the first of them was
    Column("reason", String),  # of the latest failure
    Column("trips", Integer, nullable=False, server_default=text("0")),  # openings in a row, without a close between
    Column("forgotten", Integer, nullable=False, server_default=text("0")),  # openings whose events are kept no longer
    Column("opened_at", Time),
    Column("retry_at", Time),  # when a probe may try; of a half-open one, when the next may
    Column("at", Time, nullable=False, server_default=func.now()),
    CheckConstraint("state IN ('closed', 'open', 'half_open')", name="state"),
)

breaker_event = Table(
    "breaker_event",
    metadata,
    Column("id", String, primary_key=True),
    Column("breaker_id", String, nullable=False),
    Column("what", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("by", String),  # who reset it; null: it happened by itself
    Column("at", Time, nullable=False, server_default=func.now()),
    CheckConstraint("what IN ('opened', 'closed', 'reset')", name="what"),
    Index("breaker_event_breaker_idx", "breaker_id", "id"),
)

strike = Table(
    "strike",
    metadata,
    Column(
        "key", String, primary_key=True
    ),  # of the result cache: the prompt with everything that its answer depends on
    Column("suite", String, nullable=False),
    Column("sample_id", String, nullable=False),
    Column("model", String, nullable=False),
    Column("team", String, nullable=False),
    Column("run_id", String, nullable=False),  # the latest; it may be gone
    Column("strikes", Integer, nullable=False, server_default=text("0")),  # engines that died while it was in them
    Column("error", String, nullable=False),
    Column("at", Time, nullable=False, server_default=func.now()),
    Column("quarantined_at", Time),  # not asked any more
    Index("strike_quarantined_idx", "quarantined_at", postgresql_where=text("quarantined_at IS NOT NULL")),
)
