"""Time that passes without waiting for it, and clocks that are wrong."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import text

from evalwindow.store import Store

_MOMENTS = text(r"""
    SELECT table_name, string_agg(format('%1$I = %1$I - CAST(\:by AS interval)', column_name), ', ') AS earlier
    FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
    WHERE table_schema = 'public' AND data_type = 'timestamp with time zone' AND table_type = 'BASE TABLE'
    GROUP BY table_name ORDER BY table_name
""")


def let_pass(store: Store, by: dt.timedelta) -> None:
    """Everything that is written down happened so much earlier, as if the clock of PostgreSQL's host had jumped on.

    Less than no time: as if it had jumped back.
    """
    with store._transaction() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))  # no trigger takes it for news
        for table, earlier in connection.execute(_MOMENTS).all():
            connection.execute(text(f"UPDATE {table} SET {earlier}"), {"by": by})  # noqa: S608 - names of our tables
        connection.execute(text("SELECT pg_notify('evalwindow_work', 'later')"))
