"""Tokens: what they may do, until when, when they were last used, what took their place."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
AS_BEFORE = sa.text("'{promote,submit}'")  # what every token could do until now


def upgrade() -> None:
    op.add_column("team_token", sa.Column("scopes", ARRAY(sa.Text()), server_default=AS_BEFORE, nullable=False))
    op.add_column("team_token", sa.Column("expires_at", TIME, nullable=True))
    op.add_column("team_token", sa.Column("last_used_at", TIME, nullable=True))
    op.add_column("team_token", sa.Column("replaced_by", sa.Text(), nullable=True))


def downgrade() -> None:
    for name in ("replaced_by", "last_used_at", "expires_at", "scopes"):
        op.drop_column("team_token", name)
