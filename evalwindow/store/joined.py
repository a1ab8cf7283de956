"""Runs that ask what another open run of their team asks already: they wait for its answers and judge them themselves.

A joined run is a run like any other, with its own shards and verdict. Its shards stay pending while the first is open
and its window is not over; then they find everything in the result cache, or ask what is not there.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, text

from evalwindow.config import REPLAY_POOL
from evalwindow.model import RunState
from evalwindow.store.documents import to_document
from evalwindow.store.rows import NewRun
from evalwindow.store.tables import run
from evalwindow.store.wakes import Topic, waking

_OPEN = tuple(state for state in RunState if not state.final)

#: Of a `run`: nothing of it is sent yet.
WAITS = """EXISTS (
    SELECT FROM run first
    WHERE first.id = run.joined_to AND first.state IN ('queued', 'running')
        AND (first.window_end IS NULL OR first.window_end > now())
)"""

#: When the first has left answers out, the oldest of those that wait asks for them, and the others wait for that one.
#: A run that somebody else holds just now is left alone: nothing waits for a lock here, and it runs by itself.
_GO_ON = text("""
    WITH waiting AS (
        SELECT id, joined_to FROM run
        WHERE joined_to = ANY (CAST(:ended AS text[])) AND state IN ('queued', 'running')
        ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
    ),
    heir AS (SELECT joined_to, min(id) AS id FROM waiting GROUP BY joined_to)
    UPDATE run SET joined_to = nullif(heir.id, run.id)
    FROM waiting JOIN heir USING (joined_to) WHERE run.id = waiting.id
""")


def to_join(connection: Connection, new: NewRun) -> str | None:
    """Id of the oldest open run of the team that asks the same, through the cache, and waits for none itself.

    With the team's lock held, so of two that come at once one finds the other.
    """
    if not new.use_cache or new.pool == REPLAY_POOL:  # a recording is worked on by whoever submits it
        return None
    same_question = and_(
        run.c.team == new.team,
        run.c.suite_digest == new.suite_digest,
        run.c.model == new.model,
        run.c.pool == new.pool,
        run.c.candidate == to_document(new.candidate),
        run.c.use_cache,
    )
    goes_on = and_(run.c.state.in_(_OPEN), or_(run.c.window_end.is_(None), run.c.window_end > func.now()))
    statement = select(run.c.id).where(same_question, goes_on, run.c.joined_to.is_(None)).order_by(run.c.id).limit(1)
    found: str | None = connection.scalar(statement)
    return found


def awaited() -> ColumnElement[bool]:
    """A column for RETURNING of a `run`: some wait for its answers."""
    other = run.alias("other")
    return select(other.c.id).where(other.c.joined_to == run.c.id, other.c.state.in_(_OPEN)).exists()


def go_on(connection: Connection, ended: Sequence[str], *, answered: bool) -> None:
    """These runs have ended, or their window has: those that wait for them are sent.

    `answered`: the cache has all that they will ask.
    """
    if not answered:
        connection.execute(_GO_ON, {"ended": list(ended)})
    connection.execute(select(waking(Topic.SHARDS)))
