"""The connection pool, transactions, and what a database that is away looks like to callers."""

from __future__ import annotations

import datetime as dt
import select as sockets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import URL, ColumnElement, Connection, create_engine, event, func, literal, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InvalidatePoolError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from evalwindow.errors import ConfigInvalid, Conflict, ServiceDown

DRIVER = "postgresql+psycopg"
FORM = f"{DRIVER}://user@host/name, with @ : / ? # % of a password as %40 ..."
CONNECT_S = 5
TOOK_TOO_LONG = "57014"  # SQLSTATE: the server ended a statement
#: SQLSTATEs: connection lost; server stopping or starting; its disk or memory is full, too many connections.
AWAY = ("08", "57P", "53100", "53200", "53300")


class Database:
    """One pool of connections; a statement that takes longer than `statement_timeout_s` is ended by the server."""

    def __init__(
        self, url: str, *, statement_timeout_s: float = 30.0, pool_size: int = 10, pool_timeout_s: float = 30.0
    ) -> None:
        self.url = _checked(url)
        self._engine = create_engine(
            self.url,
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_timeout=pool_timeout_s,
            connect_args={"connect_timeout": CONNECT_S, "options": _options(statement_timeout_s)},
        )
        event.listen(self._engine, "checkout", _still_there)

    def close(self) -> None:
        """Close the pool; a later call opens it again."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """A short transaction (READ COMMITTED).

        Raises ServiceDown when PostgreSQL is away or goes away, or all connections of this process stay in use.
        """
        try:
            with self._engine.begin() as connection:
                yield connection
        except DBAPIError as error:
            if not _is_away(error):
                raise
            raise self._down(error) from error
        except PoolTimeout as error:
            reason = "all connections of this process are in use"
            advice = "try again; with one more process of this kind there are more"
            raise ServiceDown(service="PostgreSQL", host=host_of(self.url), reason=reason, advice=advice) from error

    @contextmanager
    def _lock(self, *names: object) -> Iterator[None]:
        """Hold the lock of these names without a transaction, so that it may be held while another service works.

        It goes with its connection, however this process ends. Raises Conflict when somebody else has it for longer
        than a statement may take, ServiceDown as a transaction does.
        """
        try:
            connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            connection.execute(func.pg_advisory_lock(_lock_number(*names)).select())
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) == TOOK_TOO_LONG:
                raise Conflict(f"somebody else holds {' '.join(map(str, names))}; try again later") from error
            raise self._down(error) from error
        try:
            yield
        finally:
            connection.invalidate()  # the pool must never get a connection back that still holds the lock
            connection.close()

    def _down(self, error: DBAPIError) -> ServiceDown:
        reason = " ".join(str(error.orig).split())
        advice = "start it, or set EVALWINDOW_DATABASE_URL to the right one"
        return ServiceDown(service="PostgreSQL", host=host_of(self.url), reason=reason, advice=advice)


def host_of(url: URL) -> str:
    """Where a URL points to, without its secrets."""
    host = str(url.host or url.query.get("host") or "localhost")
    return host if host.startswith("/") else f"{host}:{url.port or 5432}"


def lease(seconds: float) -> ColumnElement[dt.datetime]:
    """The moment so many seconds from now, by the server's clock."""
    moment: ColumnElement[dt.datetime] = func.clock_timestamp() + literal(dt.timedelta(seconds=seconds))
    return moment


def advisory_lock(connection: Connection, *names: object) -> None:
    """Wait for the lock of these names; held until the transaction ends."""
    connection.execute(func.pg_advisory_xact_lock(_lock_number(*names)).select())


def try_advisory_lock(connection: Connection, *names: object) -> bool:
    """The lock of these names if nobody has it; held until the transaction ends."""
    return bool(connection.scalar(func.pg_try_advisory_xact_lock(_lock_number(*names)).select()))


def _lock_number(*names: object) -> ColumnElement[Any]:
    return func.hashtextextended("evalwindow " + " ".join(map(repr, names)), 0)


def _checked(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # neither the URL nor its cause is shown: a password may be anywhere in it
        raise ConfigInvalid(f"EVALWINDOW_DATABASE_URL: not a URL; expected {FORM}") from None
    if parsed.drivername != DRIVER:
        shown = parsed.render_as_string(hide_password=True)
        raise ConfigInvalid(f"database URL {shown!r}: expected {DRIVER}://user@host/name")
    return parsed


def _still_there(connection: Any, *_: object) -> None:
    """Raises where the server has closed a pooled connection: the pool then makes new ones.

    A server that ends a connection says so on its socket, which is quiet else; so only one that has something to say
    is asked. A ping for each transaction would be a statement more for each.
    """
    poll = sockets.poll()
    poll.register(connection.fileno(), sockets.POLLIN)
    if poll.poll(0) and not _answers(connection):
        raise InvalidatePoolError("the server has closed this connection")


def _answers(connection: Any) -> bool:
    try:
        connection.execute("SELECT 1")
        connection.rollback()
    except psycopg.Error:
        return False
    return True


def _options(statement_timeout_s: float) -> str:
    milliseconds = int(statement_timeout_s * 1000)
    return f"-c statement_timeout={milliseconds} -c idle_in_transaction_session_timeout={milliseconds}"


def _is_away(error: DBAPIError) -> bool:
    state = getattr(error.orig, "sqlstate", None)
    if state is None:  # never reached the server, or lost it
        return error.connection_invalidated or type(error).__name__ in ("OperationalError", "InterfaceError")
    return str(state).startswith(AWAY) and state != "57P04"  # 57P04: the database itself was dropped
