"""What limits teams and guards engines: usage, breakers, strikes; shards, runs and events that wait or give way."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
NOW, ZERO = sa.text("now()"), sa.text("0")
ONE_SUBJECT = "num_nonnulls(run_id, night_id, breaker_event_id) = 1"
QUARANTINED = sa.text("quarantined_at IS NOT NULL")


def upgrade() -> None:
    _usage()
    _breakers()
    _strikes()
    op.add_column("shard", sa.Column("not_before", TIME, nullable=True))
    op.add_column("run", sa.Column("joined_to", sa.Text(), nullable=True))
    op.create_foreign_key("run_joined_to_fkey", "run", "run", ["joined_to"], ["id"], ondelete="SET NULL")
    op.create_index("run_joined_to_idx", "run", ["joined_to"], postgresql_where=sa.text("joined_to IS NOT NULL"))
    op.add_column("result", sa.Column("quarantined", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    _alerts()
    _events()


def _usage() -> None:
    counted = [sa.Column(name, sa.BigInteger(), server_default=ZERO, nullable=False) for name in ("results", "runs")]
    op.create_table(
        "usage",
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("gpu_s", sa.Double(), server_default=ZERO, nullable=False),
        sa.Column("cost", sa.Double(), server_default=ZERO, nullable=False),
        *counted,
        sa.Column("refused", sa.BigInteger(), server_default=ZERO, nullable=False),
        sa.PrimaryKeyConstraint("team", "day", name=op.f("usage_pkey")),
    )


def _breakers() -> None:
    op.create_table(
        "breaker",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), server_default=ZERO, nullable=False),
        sa.Column("since", TIME, nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("trips", sa.Integer(), server_default=ZERO, nullable=False),
        sa.Column("opened_at", TIME, nullable=True),
        sa.Column("retry_at", TIME, nullable=True),
        sa.Column("at", TIME, server_default=NOW, nullable=False),
        sa.CheckConstraint("state IN ('closed', 'open', 'half_open')", name=op.f("breaker_state_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("breaker_pkey")),
    )
    op.create_table(
        "breaker_event",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("breaker_id", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=True),
        sa.Column("at", TIME, server_default=NOW, nullable=False),
        sa.CheckConstraint("what IN ('opened', 'closed', 'reset')", name=op.f("breaker_event_what_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("breaker_event_pkey")),
    )
    op.create_index("breaker_event_breaker_idx", "breaker_event", ["breaker_id", "id"])


def _strikes() -> None:
    texts = ("suite", "sample_id", "model", "team", "run_id")
    op.create_table(
        "strike",
        sa.Column("key", sa.Text(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in texts),
        sa.Column("strikes", sa.Integer(), server_default=ZERO, nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("at", TIME, server_default=NOW, nullable=False),
        sa.Column("quarantined_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("strike_pkey")),
    )
    op.create_index("strike_quarantined_idx", "strike", ["quarantined_at"], postgresql_where=QUARANTINED)


def _alerts() -> None:
    op.add_column("delivery", sa.Column("breaker_event_id", sa.Text(), nullable=True))
    op.create_foreign_key(
        "delivery_breaker_event_id_fkey", "delivery", "breaker_event", ["breaker_event_id"], ["id"], ondelete="CASCADE"
    )
    op.create_index(
        "delivery_breaker_event_idx",
        "delivery",
        ["breaker_event_id"],
        postgresql_where=sa.text("breaker_event_id IS NOT NULL"),
    )
    op.drop_constraint(op.f("delivery_subject_check"), "delivery")
    op.create_check_constraint(op.f("delivery_subject_check"), "delivery", ONE_SUBJECT)


def _events() -> None:
    op.add_column("event", sa.Column("subject", sa.Text(), nullable=True))
    op.add_column("event", sa.Column("ordinal", sa.BigInteger(), nullable=True))
    op.add_column("event", sa.Column("told_at", TIME, nullable=True))
    ordered, told = sa.text("ordinal IS NOT NULL"), sa.text("told_at IS NOT NULL")
    op.create_index("event_subject_idx", "event", ["subject", "ordinal", "id"], postgresql_where=ordered)
    op.create_index("event_told_idx", "event", ["told_at"], postgresql_where=told)


def downgrade() -> None:
    for name in ("subject", "ordinal", "told_at"):
        op.drop_column("event", name)
    op.execute("DELETE FROM delivery WHERE breaker_event_id IS NOT NULL")
    op.drop_constraint(op.f("delivery_subject_check"), "delivery")
    op.drop_column("delivery", "breaker_event_id")
    op.create_check_constraint(op.f("delivery_subject_check"), "delivery", "num_nonnulls(run_id, night_id) = 1")
    op.drop_column("result", "quarantined")
    op.drop_column("run", "joined_to")
    op.drop_column("shard", "not_before")
    for table in ("strike", "breaker_event", "breaker", "usage"):
        op.drop_table(table)
