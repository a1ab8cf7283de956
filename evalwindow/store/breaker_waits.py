"""What waits for a breaker: shards and deliveries are put off together, and go on together.

So a queue of thousands is not claimed and handed back one by one while nothing can come of it.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import Connection, ScalarSelect, TextClause, func, select, text

from evalwindow.breakers import Phase
from evalwindow.breakers.ids import GITHUB, POOL, PROVIDER, SMTP, SUBMISSIONS, of_submissions, team_of
from evalwindow.store.limit_tables import breaker
from evalwindow.store.wakes import Topic, waking

#: Which shards and deliveries a breaker guards. Those of a judge are put off one by one as they are claimed.
_OF_POOL = "s.pool = :name"
_OF_PROVIDER = "s.pool = 'api' AND run.model = :name"
_OF_TEAM = "s.team = :name AND s.tier = 'regression' AND run.night_id IS NULL"
_OF_GITHUB = "channel IN ('check', 'comment')"
_OF_SMTP = "channel LIKE 'mail:%'"


def _put_off_shards(whose: str) -> TextClause:
    return text(f"""
        WITH chosen AS (
            SELECT s.id FROM shard s JOIN run ON run.id = s.run_id
            WHERE s.state = 'pending' AND (s.not_before IS NULL OR s.not_before < :until) AND {whose}
            ORDER BY s.id FOR UPDATE OF s SKIP LOCKED
        )
        UPDATE shard SET not_before = :until FROM chosen WHERE shard.id = chosen.id
    """)  # noqa: S608 - constants of this module


def _give_back_attempts(whose: str) -> TextClause:
    return text(f"""
        WITH chosen AS (
            SELECT s.id, CASE s.state WHEN 'running' THEN 1 ELSE 0 END AS least
            FROM shard s JOIN run ON run.id = s.run_id
            WHERE s.state IN ('pending', 'dispatched', 'running') AND s.attempts > 0
                AND ({whose} OR position(:quoted in s.error) > 0)
            ORDER BY s.id FOR UPDATE OF s SKIP LOCKED
        )
        UPDATE shard SET attempts = greatest(shard.attempts - :most, chosen.least)
        FROM chosen WHERE shard.id = chosen.id
    """)  # noqa: S608 - constants of this module


#: Of a shard that failed for its engine; `until` null: the attempt counts, and it may be tried again at once.
_HAND_BACK = text("""
    UPDATE shard SET state = 'pending', lease_until = NULL, error = :reason, not_before = :until,
        attempts = CASE WHEN CAST(:until AS timestamptz) IS NULL THEN attempts ELSE 0 END
    WHERE id = :id AND state = 'running' AND token = :token
    RETURNING pg_notify('evalwindow_work', CASE WHEN CAST(:until AS timestamptz) IS NULL THEN 'shards' ELSE 'later' END)
""")


def _put_off_deliveries(whose: str) -> TextClause:
    return text(f"""
        WITH chosen AS (
            SELECT id FROM delivery WHERE state = 'waiting' AND next_at < :until AND {whose}
            ORDER BY id FOR UPDATE SKIP LOCKED
        )
        UPDATE delivery SET next_at = :until FROM chosen WHERE delivery.id = chosen.id
    """)  # noqa: S608 - constants of this module


def _wake_deliveries(whose: str) -> TextClause:
    """Only those that were put off for the breaker: one that has failed for a reason of its own keeps its pause."""
    return text(f"""
        WITH chosen AS (
            SELECT id FROM delivery WHERE state = 'waiting' AND next_at = :was AND {whose} ORDER BY id FOR UPDATE
        )
        UPDATE delivery SET next_at = clock_timestamp() FROM chosen WHERE delivery.id = chosen.id
    """)  # noqa: S608 - constants of this module


_PUT_OFF = {
    POOL: _put_off_shards(_OF_POOL),
    PROVIDER: _put_off_shards(_OF_PROVIDER),
    SUBMISSIONS: _put_off_shards(_OF_TEAM),
    GITHUB: _put_off_deliveries(_OF_GITHUB),
    SMTP: _put_off_deliveries(_OF_SMTP),
}
_ATTEMPTS = {POOL: _give_back_attempts(_OF_POOL), PROVIDER: _give_back_attempts(_OF_PROVIDER)}
_SHARDS = (*_ATTEMPTS, SUBMISSIONS)
_DELIVERIES = {GITHUB: _wake_deliveries(_OF_GITHUB), SMTP: _wake_deliveries(_OF_SMTP)}

#: Whatever waits for a breaker, unless another one still holds it. Which breaker a shard waits for is not written down:
#: it may be that of a judge. What is woken too early is put off again as it is claimed.
_WAKE_SHARDS = text("""
    WITH chosen AS (
        SELECT s.id FROM shard s JOIN run ON run.id = s.run_id
        WHERE s.state = 'pending' AND s.not_before > clock_timestamp() AND NOT EXISTS (
            SELECT FROM breaker b
            WHERE b.state <> 'closed' AND b.retry_at > clock_timestamp()
                AND (b.id IN ('pool:' || s.pool, 'provider:' || run.model)
                    OR b.id = 'team:' || s.team || '/submissions' AND s.tier = 'regression' AND run.night_id IS NULL)
        )
        ORDER BY s.id FOR UPDATE OF s
    )
    UPDATE shard SET not_before = NULL FROM chosen WHERE shard.id = chosen.id
""")


def put_off(connection: Connection, breaker_id: str, *, until: dt.datetime) -> None:
    """Nobody takes what it guards before that moment."""
    kind, name = _split(breaker_id)
    if kind in _PUT_OFF:
        connection.execute(_PUT_OFF[kind], _values(kind, name, until=until))
        _notify(connection, Topic.LATER)


def put_off_until(team: str) -> ScalarSelect[dt.datetime]:
    """Until when a regression run waits that was let in just before its team's breaker of submissions opened."""
    shut = select(breaker.c.retry_at).where(breaker.c.id == of_submissions(team), breaker.c.state == Phase.OPEN)
    return shut.where(breaker.c.retry_at > func.clock_timestamp()).scalar_subquery()


def give_back_attempts(connection: Connection, breaker_id: str, *, most: int) -> None:
    """Attempts that its shards lost while nobody knew yet that all fail, `most` each. The error tells a judge's."""
    kind, name = _split(breaker_id)
    if kind in _ATTEMPTS:
        connection.execute(_ATTEMPTS[kind], {"name": name, "most": most, "quoted": f"model {name!r}"})


def hand_back(connection: Connection, shard_id: str, token: int, *, reason: str, until: dt.datetime | None) -> None:
    """A held shard failed for its engine. `until`: that is away, so no attempt of the shard has ever been its own."""
    connection.execute(_HAND_BACK, {"id": shard_id, "token": token, "reason": reason, "until": until})


def wake(connection: Connection, breaker_id: str, *, was: dt.datetime | None) -> None:
    """What waited goes on now. `was`: until when the breaker had put it off."""
    kind, _ = _split(breaker_id)
    if kind in _SHARDS:
        connection.execute(_WAKE_SHARDS)
        _notify(connection, Topic.SHARDS)
    elif kind in _DELIVERIES and was is not None:
        connection.execute(_DELIVERIES[kind], {"was": was})
        _notify(connection, Topic.DELIVERIES)


def _split(breaker_id: str) -> tuple[str, str]:
    """What kind of thing it guards, and its name where there are several."""
    for kind in (POOL, PROVIDER):
        if breaker_id.startswith(kind):
            return kind, breaker_id.removeprefix(kind)
    team = team_of(breaker_id)
    return (SUBMISSIONS, team) if team and breaker_id.endswith(SUBMISSIONS) else (breaker_id, "")


def _values(kind: str, name: str, **others: Any) -> dict[str, Any]:
    return {**others, "name": name} if kind in _SHARDS else others


def _notify(connection: Connection, topic: Topic) -> None:
    connection.execute(select(waking(topic)))
