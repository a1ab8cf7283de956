"""The tables. Every statement of the store is written against these; migrations/ builds them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from evalwindow.model import RunState, ShardState
from evalwindow.store.types import Document, Exact, String

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)

Time = DateTime(timezone=True)


def one_of(*states: str) -> CheckConstraint:
    return CheckConstraint("state IN (" + ", ".join(f"'{state}'" for state in states) + ")", name="state")


def moment(name: str) -> Column[object]:
    return Column(name, Time, nullable=False, server_default=func.now())


def _count(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default=text("0"))


event = Table(
    "event",
    metadata,
    Column("id", String, primary_key=True),
    Column("delivery", String, nullable=False),  # the sender's id of it: the same delivery is one event
    Column("kind", String, nullable=False),
    Column("payload", Document, nullable=False),
    Column("state", String, nullable=False, server_default="received"),
    Column("lease_until", Time),
    _count("attempts"),
    Column("error", String),
    moment("received_at"),
    Column("subject", String),  # what it tells of: owner/name#number
    Column("ordinal", BigInteger),  # a later event of the subject says all that this one says; null: none does
    Column("told_at", Time),  # when GitHub was told that it was refused
    UniqueConstraint("delivery"),
    one_of("received", "processing", "done", "refused", "failed"),
    Index("event_open_idx", "id", postgresql_where=text("state IN ('received', 'processing')")),
    Index("event_subject_idx", "subject", "ordinal", "id", postgresql_where=text("ordinal IS NOT NULL")),
    Index("event_told_idx", "told_at", postgresql_where=text("told_at IS NOT NULL")),
)

suite_version = Table(
    "suite_version",
    metadata,
    Column("digest", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("document", Exact, nullable=False),
)

run = Table(
    "run",
    metadata,
    Column("id", String, primary_key=True),
    Column("key", String, nullable=False),  # idempotency
    Column("team", String, nullable=False),
    Column("suite", String, nullable=False),
    Column("suite_digest", ForeignKey("suite_version.digest"), nullable=False),
    Column("tier", String, nullable=False),
    Column("pool", String, nullable=False),
    Column("model", String, nullable=False),
    Column("state", String, nullable=False),
    Column("candidate", Document, nullable=False),
    Column("source", Document, nullable=False),
    Column("repo", String),
    Column("pull_request", Integer),
    Column("head_sha", String),
    Column("branch", String),
    Column("ordinal", BigInteger),  # orders the commits of a pull request
    Column("use_cache", Boolean, nullable=False),
    Column("provenance", Document, nullable=False, server_default="[]"),  # distinct EngineInfo
    Column("summary", Document),
    Column("verdict", Document),
    Column("answer", String),
    Column("error", String),
    moment("created_at"),
    Column("started_at", Time),
    Column("concluded_at", Time),
    Column("owner", String),  # who waits for it outside, e.g. an orchestrator's task: only that one may cancel it
    Column("night_id", ForeignKey("night.id")),  # the latest night that it belongs to
    Column("window_end", Time),  # no prompt of it starts after this, until a later night takes it over
    Column("baseline_run", String),  # judged against this run; null: against the promoted one
    Column("void", String),  # why its verdict doesn't count
    Column("trimmed_at", Time),  # its outputs were removed; scores, usage and latency stay
    Column("joined_to", ForeignKey("run.id", ondelete="SET NULL")),  # asks the same: this one waits for its answers
    UniqueConstraint("key"),
    one_of(*RunState),
    Index("run_pull_request_idx", "repo", "pull_request", "suite"),
    Index("run_suite_idx", "suite", "id"),
    Index("run_team_idx", "team", "id"),
    Index("run_open_idx", "id", postgresql_where=text("state IN ('queued', 'running')")),
    Index("run_night_idx", "night_id", postgresql_where=text("night_id IS NOT NULL")),
    Index("run_joined_to_idx", "joined_to", postgresql_where=text("joined_to IS NOT NULL")),
    Index("run_untrimmed_idx", "concluded_at", postgresql_where=text("trimmed_at IS NULL")),
    Index(
        "run_adapter_idx",
        text("(candidate ->> 'adapter'::text)"),
        postgresql_where=text("(candidate ->> 'adapter'::text) IS NOT NULL"),
    ),
)

dataset_report = Table(
    "dataset_report",
    metadata,
    Column("key", String, primary_key=True),  # content hash of data, checks and tokenizer
    Column("suite", String, nullable=False),
    Column("digest", String, nullable=False),  # sha256 of the dataset's bytes
    Column("ok", Boolean, nullable=False),
    Column("document", Document, nullable=False),
    moment("at"),
    Index("dataset_report_suite_idx", "suite", "at"),
)

shard = Table(
    "shard",
    metadata,
    Column("id", String, primary_key=True),
    Column("run_id", ForeignKey("run.id", ondelete="CASCADE"), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("sample_ids", ARRAY(String), nullable=False),
    Column("tier", String, nullable=False),
    Column("team", String, nullable=False),
    Column("pool", String, nullable=False),
    Column("state", String, nullable=False),
    Column("token", BigInteger, nullable=False, server_default=text("0")),  # counts claims: fences old holders off
    Column("lease_until", Time),
    _count("attempts"),
    _count("dispatches"),  # messages sent since the last claim
    Column("dispatched_at", Time),
    Column("not_before", Time),  # handed back by somebody who knew that it is of no use before
    Column("started_at", Time),
    Column("finished_at", Time),
    Column("worker", String),
    Column("error", String),
    UniqueConstraint("run_id", "seq"),
    one_of(*ShardState),
    Index("shard_pending_idx", "pool", "tier", "team", "id", postgresql_where=text("state = 'pending'")),
    Index("shard_inflight_idx", "pool", "tier", "team", postgresql_where=text("state IN ('dispatched', 'running')")),
    Index("shard_lease_idx", "lease_until", postgresql_where=text("state = 'running'")),
    Index("shard_dispatched_idx", "dispatched_at", postgresql_where=text("state = 'dispatched'")),
)

result = Table(
    "result",
    metadata,
    Column("run_id", ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
    Column("sample_id", String, primary_key=True),
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("shard_id", String, nullable=False),
    Column("token", BigInteger, nullable=False),  # which claim of the shard answered
    Column("reask", Boolean, nullable=False),
    Column("scores", Document, nullable=False),
    Column("text", String),  # null: no completion, or the run was trimmed
    Column("finish_reason", String),
    Column("choice_logprobs", ARRAY(Double)),  # null: no completion
    Column("choice_tokens", ARRAY(Integer)),
    Column("error", String),
    Column("cached", Boolean, nullable=False),
    Column("prompt_tokens", Integer, nullable=False),
    Column("cached_tokens", Integer, nullable=False),
    Column("output_tokens", Integer, nullable=False),
    Column("queue_s", Double, nullable=False),
    Column("engine_s", Double, nullable=False),
    Column("gpu_s", Double, nullable=False),
    Column("cost", Double, nullable=False),
    Column("latency_s", Double, nullable=False),
    Column("quarantined", Boolean, nullable=False, server_default=text("false")),  # not asked: it ends engines
    moment("at"),
)

completion_cache = Table(
    "completion_cache",
    metadata,
    Column("key", String, primary_key=True),
    Column("document", Exact, nullable=False),
    moment("at"),  # when it was last asked for, give or take a day
    Index("completion_cache_at_idx", "at"),
)

artifact = Table(
    "artifact",
    metadata,
    Column("digest", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("name", String, nullable=False),
    Column("size", BigInteger, nullable=False),  # bytes of all files
    moment("created_at"),  # when it was last put
)

artifact_file = Table(
    "artifact_file",
    metadata,
    Column("digest", ForeignKey("artifact.digest", ondelete="CASCADE"), primary_key=True),
    Column("path", String, primary_key=True),
    Column("content", LargeBinary, nullable=False),
)

baseline = Table(
    "baseline",
    metadata,
    Column("id", String, primary_key=True),
    Column("suite", String, nullable=False),
    Column("branch", String, nullable=False),
    Column("run_id", ForeignKey("run.id"), nullable=False),
    Column("promoted_by", String, nullable=False),
    Column("reason", String, nullable=False),
    moment("at"),
    Column("retired_at", Time),
    Index("baseline_active_key", "suite", "branch", unique=True, postgresql_where=text("retired_at IS NULL")),
)

delivery = Table(
    "delivery",
    metadata,
    Column("id", String, primary_key=True),  # of what it tells, and the channel
    Column("run_id", ForeignKey("run.id", ondelete="CASCADE")),  # what it tells of: this
    Column("night_id", ForeignKey("night.id", ondelete="CASCADE")),  # or this
    Column("breaker_event_id", ForeignKey("breaker_event.id", ondelete="CASCADE")),  # or this
    Column("channel", String, nullable=False),
    Column("state", String, nullable=False),
    Column("again", Boolean, nullable=False, server_default=text("false")),  # news came while it was being sent
    _count("attempts"),
    moment("next_at"),
    Column("lease_until", Time),
    Column("external_id", String),  # of the check or comment, to edit it in place
    Column("error", String),
    moment("created_at"),
    Column("sent_at", Time),
    one_of("waiting", "sending", "sent", "failed"),
    CheckConstraint("num_nonnulls(run_id, night_id, breaker_event_id) = 1", name="subject"),
    Index("delivery_run_idx", "run_id", postgresql_where=text("run_id IS NOT NULL")),
    Index("delivery_night_idx", "night_id", postgresql_where=text("night_id IS NOT NULL")),
    Index("delivery_breaker_event_idx", "breaker_event_id", postgresql_where=text("breaker_event_id IS NOT NULL")),
    Index("delivery_due_idx", "next_at", postgresql_where=text("state IN ('waiting', 'sending')")),
)

team_token = Table(
    "team_token",
    metadata,
    Column("id", String, primary_key=True),
    Column("team", String, nullable=False),
    Column("hash", String, nullable=False),  # SHA-256 of the secret, hex
    Column("scopes", ARRAY(String), nullable=False, server_default=text("'{promote,submit}'")),
    moment("created_at"),
    Column("expires_at", Time),  # null: never
    Column("last_used_at", Time),
    Column("revoked_at", Time),
    Column("replaced_by", String),  # id of the token that it was rotated to
)
