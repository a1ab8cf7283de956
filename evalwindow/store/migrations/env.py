"""Alembic's entry: migrations run inside the transaction that Store.migrate opened."""

from alembic import context

from evalwindow.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
