"""Retention: which runs were trimmed, and what finds old rows quickly."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ADAPTER = "(candidate ->> 'adapter'::text)"


def upgrade() -> None:
    op.add_column("run", sa.Column("trimmed_at", sa.DateTime(timezone=True), nullable=True))
    untrimmed = sa.text("trimmed_at IS NULL")
    op.create_index("run_untrimmed_idx", "run", ["concluded_at"], unique=False, postgresql_where=untrimmed)
    adapted = sa.text(f"{ADAPTER} IS NOT NULL")
    op.create_index("run_adapter_idx", "run", [sa.text(ADAPTER)], unique=False, postgresql_where=adapted)
    op.create_index("completion_cache_at_idx", "completion_cache", ["at"], unique=False)


def downgrade() -> None:
    op.drop_index("completion_cache_at_idx", "completion_cache")
    op.drop_index("run_adapter_idx", "run")
    op.drop_index("run_untrimmed_idx", "run")
    op.drop_column("run", "trimmed_at")
