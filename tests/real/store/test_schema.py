import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text

from evalwindow.errors import ConfigInvalid, ServiceDown
from evalwindow.store import Store
from evalwindow.store.tables import metadata
from tests.real.store.world import at_once

#: Everything that Alembic's comparison leaves out: checks, partial indexes, defaults.
DEFINITIONS = text("""
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT table_name, column_name, concat_ws(' ', data_type, udt_name, is_nullable, column_default)
    FROM information_schema.columns WHERE table_schema = 'public'
    ORDER BY 1, 2, 3
""")


def _definitions(url: str) -> list[tuple[str, ...]]:
    engine = create_engine(url)
    with engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(DEFINITIONS)]
    engine.dispose()
    return [row for row in rows if not row[0].startswith("alembic_version")]


def test_migrating_an_empty_database_gives_the_tables_of_the_code(empty_url):
    store = Store(empty_url)
    store.migrate()
    store.check()
    with store._transaction() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    store.close()


def test_migrated_checks_indexes_and_defaults_are_those_of_the_code(empty_url, database_url):
    engine = create_engine(empty_url)
    metadata.create_all(engine)
    engine.dispose()
    assert _definitions(database_url) == _definitions(empty_url)


def test_many_processes_may_migrate_at_once(empty_url):
    def migrate(_: int) -> None:
        store = Store(empty_url)
        store.migrate()
        store.check()
        store.close()

    at_once(migrate, 5)


def test_a_database_without_the_schema_says_what_to_run(empty_url):
    store = Store(empty_url)
    with pytest.raises(ServiceDown, match=r"schema none, this version needs \d+; run `evalwindow migrate`"):
        store.check()
    store.close()


def test_a_server_that_is_away_is_named_with_what_to_do():
    store = Store("postgresql+psycopg://me:secret@127.0.0.1:1/evalwindow")
    with pytest.raises(ServiceDown, match=r"127\.0\.0\.1:1 .*refused.*EVALWINDOW_DATABASE_URL") as caught:
        store.runs()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "not a url", "postgresql://me:secret@host/db", "sqlite:///x"])
def test_a_url_of_something_else_is_refused_with_the_form_that_is_right(url):
    with pytest.raises(ConfigInvalid, match=r"expected postgresql\+psycopg://user@host/name") as caught:
        Store(url)
    assert "secret" not in str(caught.value)


def test_a_connection_that_the_server_ended_is_replaced(store):
    store.runs()
    with store._transaction() as connection:
        pid = connection.scalar(text("SELECT pg_backend_pid()"))
    other = create_engine(store.url)
    with other.connect() as connection:
        assert connection.scalar(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
    other.dispose()
    assert store.runs() == []


def test_a_statement_that_hangs_is_ended(database_url):
    store = Store(database_url, statement_timeout_s=0.2)
    with pytest.raises(Exception, match="statement timeout"), store._transaction() as connection:
        connection.execute(text("SELECT pg_sleep(60)"))
    store.close()
