"""Engines: since when, which generation, what they did; a model change that goes from one engine to the next."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
ROLLOUT_STATES = "state IN ('requested', 'rolling', 'done', 'halted', 'superseded')"
STEP_STATES = "state IN ('rolling', 'done', 'failed', 'lost')"


def upgrade() -> None:
    op.add_column("engine", sa.Column("since", TIME, server_default=sa.text("now()"), nullable=False))
    op.add_column("engine", sa.Column("generation", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("engine", sa.Column("load", JSONB(), nullable=True))
    _rollouts()
    _steps()


def _rollouts() -> None:
    op.create_table(
        "rollout",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("requested_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", TIME, nullable=True),
        sa.CheckConstraint(ROLLOUT_STATES, name=op.f("rollout_state_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("rollout_pkey")),
    )
    op.create_index("rollout_pool_idx", "rollout", ["pool", "id"], unique=False)
    is_open = sa.text("state IN ('requested', 'rolling')")
    op.create_index("rollout_open_key", "rollout", ["pool"], unique=True, postgresql_where=is_open)


def _steps() -> None:
    op.create_table(
        "rollout_step",
        sa.Column("rollout_id", sa.Text(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("model_digest", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("started_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", TIME, nullable=True),
        sa.Column("lease_until", TIME, nullable=True),
        sa.CheckConstraint(STEP_STATES, name=op.f("rollout_step_state_check")),
        sa.ForeignKeyConstraint(
            ["rollout_id"], ["rollout.id"], name=op.f("rollout_step_rollout_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("rollout_id", "worker", name=op.f("rollout_step_pkey")),
    )


def downgrade() -> None:
    op.drop_table("rollout_step")
    op.drop_table("rollout")
    for name in ("load", "generation", "since"):
        op.drop_column("engine", name)
