"""How runs come to be: once per key, and the newest commit of a pull request wins."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from evalwindow.config import Quota
from evalwindow.errors import BadInput, NotFound, QuotaExceeded
from evalwindow.model import RunState, ShardState, Tier
from evalwindow.quota import refusal
from evalwindow.store.breaker_waits import put_off_until
from evalwindow.store.database import Database, advisory_lock
from evalwindow.store.deliveries import queue_deliveries, queue_known
from evalwindow.store.documents import to_document
from evalwindow.store.endings import OPEN, end_runs
from evalwindow.store.ids import new_id
from evalwindow.store.joined import to_join
from evalwindow.store.keys import run_of
from evalwindow.store.night_tables import night
from evalwindow.store.rows import NewRun
from evalwindow.store.tables import run, shard
from evalwindow.store.usage import count, standing
from evalwindow.store.wakes import Topic, waking


class Admissions(Database):
    def admit(
        self,
        new: NewRun,
        shards: Sequence[Sequence[str]],
        channels: Iterable[str] = (),
        *,
        quota: Quota | None = None,
    ) -> tuple[str, bool]:
        """Write a run and its shards (lists of sample ids) in one transaction: (run id, whether it is new).

        The same key again gives the first run and changes nothing, unless a higher ordinal says that the pull request
        is back at that commit: then it is the newest, and if its run was superseded there is another one. Unfinished
        runs of the same pull request at another commit are superseded, whatever their suite (the new commit may have
        dropped it), and their check, if they have one, is told. Webhooks may arrive out of order: `ordinal` (say the
        pull request's updated_at in seconds) orders commits, and a run that comes after one with a higher ordinal is
        itself admitted as superseded. Without ordinals arrival order counts. `channels` are told that the run exists.
        A run of a night may start prompts no longer than the night; NotFound for a night that does not exist.

        Raises QuotaExceeded where the team would have more than `quota` allows, whoever else submits at the same
        moment; older commits are superseded all the same. A run that asks what an open one of the team asks already is
        joined to it: see joined.py.
        """
        if not shards or not all(shards):
            raise BadInput(f"run {new.key!r} needs at least one shard, and each shard at least one sample")
        with self._transaction() as connection:
            known = _known(connection, new)
            if known is not None and not _is_wanted_again(connection, new, known):
                return known, False
            window_end, late = _window_end(connection, new), _newer_exists(connection, new)
            if not late:
                _supersede(connection, new)
            refused = None if late or quota is None else _refusal(connection, new, shards, quota)
            if refused is None:
                return _add(connection, new, shards, channels, late=late, window_end=window_end)
            count(connection, new.team, refused=1)
        raise refused

    def check_quota(self, *, key: str, team: str, quota: Quota, tier: Tier, samples: int) -> None:
        """Raises QuotaExceeded, and counts it, where a run of so many samples would not be admitted as things are.

        Without a lock and before the run is made ready: `admit` still decides. A key that was admitted is let through.
        """
        with self._transaction() as connection:
            if run_of(connection, key) is not None:
                return
            now = standing(connection, team, quota)
            refused = refusal(team=team, quota=quota, standing=now, tier=tier, samples=samples)
            if refused is None:
                return
            count(connection, team, refused=1)
        raise refused


def _known(connection: Connection, new: NewRun) -> str | None:
    """The run of this key. From now on nobody else admits one of the team, or of the pull request, at the same time."""
    if new.source.pull_request is not None:
        advisory_lock(connection, "pull request", new.source.repo, new.source.pull_request)
    advisory_lock(connection, "team", new.team)
    return run_of(connection, new.key)


def _is_wanted_again(connection: Connection, new: NewRun, known: str) -> bool:
    """After a push back to its commit: the known run is the newest again. True: it was superseded, no answer."""
    row = connection.execute(select(run.c.state, run.c.ordinal).where(run.c.id == known)).one()
    if new.ordinal is None or row.ordinal is None or row.ordinal >= new.ordinal or _newer_exists(connection, new):
        return False
    superseded = bool(row.state == RunState.SUPERSEDED)
    if not superseded:
        _supersede(connection, new)
        queue_known(connection, [known], "comment")
    values = {"key": f"{new.key} superseded {known}"} if superseded else {"ordinal": new.ordinal}
    connection.execute(update(run).where(run.c.id == known).values(values))
    return superseded


def _refusal(
    connection: Connection, new: NewRun, shards: Sequence[Sequence[str]], quota: Quota
) -> QuotaExceeded | None:
    now = standing(connection, new.team, quota)
    return refusal(team=new.team, quota=quota, standing=now, tier=new.tier, samples=sum(map(len, shards)))


def _add(
    connection: Connection,
    new: NewRun,
    shards: Sequence[Sequence[str]],
    channels: Iterable[str],
    *,
    late: bool,
    window_end: dt.datetime | None,
) -> tuple[str, bool]:
    joined_to = None if late else to_join(connection, new)
    run_id = connection.scalar(_insert(new, late=late, window_end=window_end, joined_to=joined_to))
    if run_id is None:  # another team took the key just now
        return connection.execute(select(run.c.id).where(run.c.key == new.key)).scalar_one(), False
    _add_shards(connection, new, run_id, shards, late=late)
    queue_deliveries(connection, run_id, channels)
    count(connection, new.team, runs=1)
    return run_id, True


def _window_end(connection: Connection, new: NewRun) -> dt.datetime | None:
    """With the night locked: whoever closes it closes this run too, or has closed it before."""
    if new.night_id is None:
        return new.window_end
    statement = select(func.least(night.c.ends_at, night.c.closed_at, new.window_end)).where(night.c.id == new.night_id)
    found = connection.execute(statement.with_for_update(read=True, of=night)).one_or_none()
    if found is None:
        raise NotFound(kind="night", name=new.night_id)
    end: dt.datetime = found[0]
    return end


def _insert(new: NewRun, *, late: bool, window_end: dt.datetime | None, joined_to: str | None) -> Any:
    values = {
        "id": new_id(),
        "key": new.key,
        "team": new.team,
        "suite": new.suite,
        "suite_digest": new.suite_digest,
        "tier": new.tier,
        "pool": new.pool,
        "model": new.model,
        "state": RunState.SUPERSEDED if late else RunState.QUEUED,
        "candidate": to_document(new.candidate),
        "source": to_document(new.source),
        "repo": new.source.repo,
        "pull_request": new.source.pull_request,
        "head_sha": new.source.head_sha,
        "branch": new.source.branch,
        "ordinal": new.ordinal,
        "use_cache": new.use_cache,
        "error": "a newer commit of the pull request came first" if late else None,
        "concluded_at": func.now() if late else None,
        "owner": new.owner,
        "night_id": new.night_id,
        "window_end": window_end,
        "baseline_run": new.baseline_run,
        "joined_to": joined_to,
    }
    return upsert(run).values(values).on_conflict_do_nothing(index_elements=[run.c.key]).returning(run.c.id)


def _add_shards(
    connection: Connection, new: NewRun, run_id: str, shards: Sequence[Sequence[str]], *, late: bool
) -> None:
    state = ShardState.CANCELLED if late else ShardState.PENDING
    same = {"run_id": run_id, "tier": new.tier, "team": new.team, "pool": new.pool, "state": state}
    rows = [{**same, "id": new_id(), "seq": seq, "sample_ids": list(ids)} for seq, ids in enumerate(shards)]
    told = waking(Topic.SHARDS) if new.tier is Tier.REGRESSION else shard.c.id  # smoke is sent by whoever admits it
    statement = insert(shard).returning(told)  # with RETURNING it is one statement for all rows
    if new.tier is Tier.REGRESSION and new.night_id is None:
        statement = statement.values(not_before=put_off_until(new.team))
    connection.execute(statement, rows)


def _other_commits(new: NewRun) -> ColumnElement[bool]:
    """Runs of the same pull request at another commit."""
    return and_(
        run.c.repo == new.source.repo,
        run.c.pull_request == new.source.pull_request,
        run.c.head_sha.is_distinct_from(new.source.head_sha),
    )


def _newer_exists(connection: Connection, new: NewRun) -> bool:
    if new.source.pull_request is None or new.ordinal is None:
        return False
    newer = select(run.c.id).where(_other_commits(new), run.c.ordinal > new.ordinal).limit(1)
    return connection.execute(newer).first() is not None


def _supersede(connection: Connection, new: NewRun) -> None:
    if new.source.pull_request is None:
        return
    older = select(run.c.id).where(_other_commits(new), run.c.state.in_(OPEN)).order_by(run.c.id)
    run_ids = list(connection.scalars(older.with_for_update(key_share=True)))
    reason = {"error": f"superseded by commit {new.source.head_sha}"}
    queue_known(connection, end_runs(connection, run_ids, state=RunState.SUPERSEDED, values=reason), "check")
