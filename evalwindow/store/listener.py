"""One connection of a process that hears wake-ups, for as long as there is a way to have one."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.conninfo import make_conninfo
from sqlalchemy import func, select

from evalwindow.errors import ServiceDown
from evalwindow.store.database import CONNECT_S, Database

log = logging.getLogger(__name__)

PROOF_S = 5.0  # a wake-up of one's own arrives within this time, or none will
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 10.0  # before the next attempt
#: A peer that is gone without a word is noticed within half a minute.
KEEPALIVES = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}


class Deaf(Exception):
    """Nothing is heard on a connection that listens: a pooler of transactions may sit in between."""


class Listener:
    """Calls `heard` with the payload of every notification of a channel.

    `changed` is called whenever `listening` has changed: what was told meanwhile is lost, so look then. Both are
    called on the loop that `run` is on.
    """

    def __init__(
        self, store: Database, channel: str, heard: Callable[[str], None], *, changed: Callable[[], None]
    ) -> None:
        self._store, self._channel = store, channel
        self._heard, self._changed = heard, changed
        self.listening = False

    async def run(self) -> None:
        """Until it is cancelled; a connection that ends is replaced, and its end is said once."""
        warned, pause = False, FIRST_PAUSE_S
        while True:
            try:
                await self._listen()
            except (psycopg.Error, OSError, ServiceDown, Deaf) as error:
                if self.listening:
                    warned, pause = False, FIRST_PAUSE_S
                if not warned:
                    log.warning("no wake-ups from PostgreSQL, so it is asked often: %s", " ".join(str(error).split()))
                    warned = True
            finally:
                self._set(False)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    async def _listen(self) -> None:
        connection = await AsyncConnection.connect(_dsn(self._store), autocommit=True)
        async with connection, aclosing(_payloads(connection)) as told:
            await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
            await self._prove(told)
            log.info("wake-ups of %s are heard", self._channel)
            self._set(True)
            async for payload in told:
                self._heard(payload)

    async def _prove(self, told: AsyncIterator[str]) -> None:
        """LISTEN succeeds through a pooler, too, and nothing ever comes: so wait for a word of one's own."""
        word = f"proof {secrets.token_hex(8)}"
        await asyncio.to_thread(_say, self._store, self._channel, word)
        try:
            async with asyncio.timeout(PROOF_S):
                async for payload in told:
                    if payload == word:
                        return
        except TimeoutError:
            raise Deaf(f"LISTEN {self._channel} works, but notifications don't arrive") from None

    def _set(self, listening: bool) -> None:
        if self.listening != listening:
            self.listening = listening
            self._changed()


async def _payloads(connection: AsyncConnection) -> AsyncGenerator[str]:
    """Of notifications as they come. Raises psycopg.OperationalError when the connection ends.

    AsyncConnection.notifies() looks at its connection ten times a second instead.
    """
    descriptor, readable = connection.fileno(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, readable.set)
    try:
        while True:
            while (told := connection.pgconn.notifies()) is not None:
                yield told.extra.decode()
            await readable.wait()
            readable.clear()
            connection.pgconn.consume_input()
    finally:
        loop.remove_reader(descriptor)


def _say(store: Database, channel: str, word: str) -> None:
    with store._transaction() as connection:
        connection.execute(select(func.pg_notify(channel, word)))


def _dsn(store: Database) -> str:
    url = store.url.set(drivername="postgresql").render_as_string(hide_password=False)
    return make_conninfo(url, connect_timeout=CONNECT_S, **KEEPALIVES)
