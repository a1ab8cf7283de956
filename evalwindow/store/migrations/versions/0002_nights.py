"""Nights: windows that opened, what they were to run, dataset reports, and mail about a night."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
ENTRY_STATES = "state IN ('planned', 'started', 'resumed', 'unchanged', 'invalid', 'refused')"


def upgrade() -> None:
    _nights()
    _runs()
    _entries()
    _reports()
    _deliveries()


def _nights() -> None:
    op.create_table(
        "night",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("window", sa.Text(), nullable=False),
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("branch", sa.Text(), nullable=False),
        sa.Column("starts_at", TIME, nullable=False),
        sa.Column("ends_at", TIME, nullable=False),
        sa.Column("budget_gpu_s", sa.Double(), nullable=True),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("closed_at", TIME, nullable=True),
        sa.Column("close_reason", sa.Text(), nullable=True),
        sa.Column("settled_at", TIME, nullable=True),
        sa.Column("void", sa.Text(), nullable=True),
        sa.Column("created_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("night_pkey")),
        sa.UniqueConstraint("key", name=op.f("night_key_key")),
    )
    op.create_index("night_window_idx", "night", ["window", "id"], unique=False)
    unsettled = sa.text("closed_at IS NULL AND settled_at IS NULL")
    op.create_index("night_open_idx", "night", ["id"], unique=False, postgresql_where=unsettled)


def _runs() -> None:
    for name in ("night_id", "baseline_run", "void"):
        op.add_column("run", sa.Column(name, sa.Text(), nullable=True))
    op.create_foreign_key(op.f("run_night_id_fkey"), "run", "night", ["night_id"], ["id"])
    of_nights = sa.text("night_id IS NOT NULL")
    op.create_index("run_night_idx", "run", ["night_id"], unique=False, postgresql_where=of_nights)


def _entries() -> None:
    op.create_table(
        "night_entry",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("night_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("suite", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("baseline_run", sa.Text(), nullable=True),
        sa.Column("provenance_key", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.CheckConstraint(ENTRY_STATES, name=op.f("night_entry_state_check")),
        sa.ForeignKeyConstraint(["night_id"], ["night.id"], name=op.f("night_entry_night_id_fkey"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("night_entry_run_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("night_entry_pkey")),
        sa.UniqueConstraint(
            "night_id", "suite", "model", "purpose", name=op.f("night_entry_night_id_suite_model_purpose_key")
        ),
    )
    op.create_index("night_entry_run_idx", "night_entry", ["run_id"], unique=False)


def _reports() -> None:
    op.create_table(
        "dataset_report",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("suite", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("ok", sa.Boolean(), nullable=False),
        sa.Column("document", JSONB(), nullable=False),
        sa.Column("at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("dataset_report_pkey")),
    )
    op.create_index("dataset_report_suite_idx", "dataset_report", ["suite", "at"], unique=False)


def _deliveries() -> None:
    """A delivery tells of a run or of a night: its key becomes an id that names either."""
    op.add_column("delivery", sa.Column("id", sa.Text(), nullable=True))
    op.execute("UPDATE delivery SET id = run_id || ':' || channel")
    op.drop_constraint("delivery_pkey", "delivery", type_="primary")
    op.alter_column("delivery", "id", nullable=False)
    op.create_primary_key(op.f("delivery_pkey"), "delivery", ["id"])
    op.alter_column("delivery", "run_id", nullable=True)
    op.add_column("delivery", sa.Column("night_id", sa.Text(), nullable=True))
    op.create_foreign_key(op.f("delivery_night_id_fkey"), "delivery", "night", ["night_id"], ["id"], ondelete="CASCADE")
    op.create_check_constraint(op.f("delivery_subject_check"), "delivery", "num_nonnulls(run_id, night_id) = 1")
    for name in ("run_id", "night_id"):
        there = sa.text(f"{name} IS NOT NULL")
        op.create_index(f"delivery_{name[:-3]}_idx", "delivery", [name], unique=False, postgresql_where=there)


def downgrade() -> None:
    op.execute("DELETE FROM delivery WHERE run_id IS NULL")
    op.drop_index("delivery_run_idx", "delivery")
    op.drop_constraint("delivery_pkey", "delivery", type_="primary")
    op.drop_column("delivery", "night_id")
    op.drop_column("delivery", "id")
    op.alter_column("delivery", "run_id", nullable=False)
    op.create_primary_key(op.f("delivery_pkey"), "delivery", ["run_id", "channel"])
    op.drop_table("dataset_report")
    op.drop_table("night_entry")
    for name in ("void", "baseline_run", "night_id"):
        op.drop_column("run", name)
    op.drop_table("night")
