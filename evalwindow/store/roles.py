"""PostgreSQL roles with what each kind of process needs and no more; login roles are made members of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from evalwindow.errors import ConfigInvalid
from evalwindow.store.database import Database, advisory_lock
from evalwindow.store.limit_tables import breaker, breaker_event, strike, usage
from evalwindow.store.tables import metadata, team_token

NOT_ALLOWED = "42501"  # SQLSTATE
READ, WRITE, ALL = "SELECT", "SELECT, INSERT, UPDATE", "SELECT, INSERT, UPDATE, DELETE"
FORGET = "SELECT, DELETE, UPDATE (id)"  # rows are locked before they go, and a lock needs the right to some column
VERSION = "alembic_version"  # every process looks whether the schema is its own

OWNS = text("SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = 'public.team_token'::regclass")


class Role(StrEnum):
    """Names of the roles; none of them can log in itself."""

    WEB = "evalwindow_web"  # python -m evalwindow.web
    WORKER = "evalwindow_worker"  # python -m workers.dispatcher, python -m workers.gpu
    AIRFLOW = "evalwindow_airflow"  # Airflow's tasks and pages, `evalwindow upkeep`
    READER = "evalwindow_reader"  # a person with a SQL prompt, a dashboard


_SUBMITS = dict.fromkeys(
    (
        *("suite_version", "run", "shard", "delivery", "artifact", "artifact_file"),
        *(usage.name, breaker.name, breaker_event.name),
    ),
    WRITE,
)

#: Tables that a role may write; it may read all others. Tokens are a case of their own, see `_statements`.
WRITES: Mapping[Role, Mapping[str, str]] = {
    Role.WEB: {**_SUBMITS, "event": WRITE, "baseline": WRITE},
    Role.WORKER: {
        **_SUBMITS,
        **dict.fromkeys(("event", "result", "completion_cache", "engine", "rollout", "rollout_step"), WRITE),
        strike.name: ALL,
    },
    Role.AIRFLOW: {
        **_SUBMITS,
        **dict.fromkeys(("night", "night_entry", "result", "baseline"), WRITE),
        **dict.fromkeys(("dataset_report", "artifact", "artifact_file", "completion_cache", "engine"), ALL),
        "event": FORGET,
        breaker_event.name: ALL,
    },
    Role.READER: {},
}


class Roles(Database):
    def grant_roles(self) -> None:
        """Make the roles, and give them exactly what they need of this database's tables; again after each migration.

        Raises ConfigInvalid where this user may not make roles.
        """
        try:
            with self._transaction() as connection:
                advisory_lock(connection, "migration")
                if not connection.scalar(OWNS):  # PostgreSQL only warns of grants that somebody else may not make
                    raise ConfigInvalid(
                        "the user of EVALWINDOW_DATABASE_URL may not make roles: the tables aren't its own"
                    )
                for statement in _statements(connection):
                    connection.execute(text(statement))
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != NOT_ALLOWED:
                raise
            raise ConfigInvalid(
                f"the user of EVALWINDOW_DATABASE_URL may not make roles ({' '.join(str(error.orig).split())}); "
                f"use the tables' owner, with CREATEROLE"
            ) from error


def _statements(connection: Connection) -> Iterator[str]:
    known = set(connection.scalars(text("SELECT rolname FROM pg_roles")))
    database = connection.dialect.identifier_preparer.quote(str(connection.scalar(text("SELECT current_database()"))))
    yield f"REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC"
    yield "REVOKE CREATE ON SCHEMA public FROM PUBLIC"
    for role in Role:
        if role not in known:
            yield f"CREATE ROLE {role} NOLOGIN"
        yield f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role}"
        yield f"GRANT CONNECT ON DATABASE {database} TO {role}"
        yield f"GRANT USAGE ON SCHEMA public TO {role}"
        for table in (VERSION, *metadata.tables):
            if table != team_token.name:
                yield f"GRANT {WRITES[role].get(table, READ)} ON {table} TO {role}"
    # Whether a token is right, and that it was used: whoever has the web app's role makes no token of his own.
    yield f"GRANT SELECT, UPDATE (last_used_at) ON {team_token.name} TO {Role.WEB}"
