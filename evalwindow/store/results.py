"""Results: exactly one row for each (run, sample, epoch), whoever answers first."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sqlalchemy import Row, Update, func, literal, select, text, update

from evalwindow.model import Completion, SampleResult, Score, Usage
from evalwindow.poison import Known
from evalwindow.recorder import NO_RENEWAL, Page, Renewal, Written
from evalwindow.store.database import Database
from evalwindow.store.documents import from_document, to_document
from evalwindow.store.shards import ANSWERS, ASKED, is_last
from evalwindow.store.strikes import standing_of
from evalwindow.store.tables import completion_cache, result, run
from evalwindow.store.types import clean_document, finite_document
from evalwindow.store.usage import TODAY

_USAGE = tuple(Usage.__dataclass_fields__)
TOUCHED_EVERY = dt.timedelta(days=1)
NOTHING: Mapping[str, Completion] = MappingProxyType({})

#: All of a batch in one statement: the runs are locked first, then shards, each in their order, and rows are written in
#: one order by all writers, so none can deadlock; the teams' usage comes last, for the rows that were really added. One
#: JSON document is cheaper than a parameter for each value of each row.
_WRITE = text(f"""
    WITH still_open AS (
        SELECT id, team FROM run WHERE id = ANY (CAST(:runs AS text[])) AND state IN ('queued', 'running')
        ORDER BY id FOR NO KEY UPDATE
    ),
    added AS (
        INSERT INTO result (
            run_id, shard_id, token, sample_id, epoch, reask, scores, text, finish_reason, choice_logprobs,
            choice_tokens, error, cached, prompt_tokens, cached_tokens, output_tokens, queue_s, engine_s, gpu_s,
            cost, latency_s, quarantined
        )
        SELECT given.* FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS given (
            run_id text, shard_id text, token bigint, sample_id text, epoch integer, reask boolean, scores jsonb,
            text text, finish_reason text, choice_logprobs float8[], choice_tokens integer[], error text,
            cached boolean, prompt_tokens integer, cached_tokens integer, output_tokens integer, queue_s float8,
            engine_s float8, gpu_s float8, cost float8, latency_s float8, quarantined boolean
        ) JOIN still_open ON still_open.id = given.run_id
        ORDER BY given.run_id, given.sample_id, given.epoch
        ON CONFLICT DO NOTHING RETURNING run_id, gpu_s, cost
    ),
    used AS (
        INSERT INTO usage (team, day, gpu_s, cost, results)
        SELECT still_open.team, {TODAY}, sum(added.gpu_s), sum(added.cost), count(*)
        FROM added JOIN still_open ON still_open.id = added.run_id
        GROUP BY still_open.team ORDER BY still_open.team
        ON CONFLICT (team, day) DO UPDATE SET gpu_s = usage.gpu_s + excluded.gpu_s,
            cost = usage.cost + excluded.cost, results = usage.results + excluded.results
    ),
    {ASKED},
    mine AS (
        SELECT id, run_id FROM shard JOIN asked USING (id, token)
        WHERE state = 'running' AND (SELECT count(*) FROM still_open) >= 0 ORDER BY id FOR NO KEY UPDATE OF shard
    ),
    closed AS (
        UPDATE shard SET state = 'done', error = NULL, finished_at = clock_timestamp(), lease_until = NULL
        FROM mine JOIN still_open ON still_open.id = mine.run_id
        WHERE shard.id = mine.id AND mine.id = CAST(:done AS text)
        RETURNING shard.*
    ),
    held AS (
        UPDATE shard SET lease_until = clock_timestamp() + CAST(:lease AS interval)
        FROM mine WHERE shard.id = mine.id AND mine.id IS DISTINCT FROM CAST(:done AS text)
        RETURNING shard.id
    ),
    kept AS (
        INSERT INTO completion_cache (key, document)
        SELECT given.key, given.document::json
        FROM unnest(CAST(:keys AS text[]), CAST(:documents AS text[])) AS given (key, document)
        ON CONFLICT DO NOTHING
    )
    SELECT (SELECT count(*) FROM added) AS added, closed.id IS NOT NULL AS closed,
        EXISTS (SELECT FROM mine WHERE mine.run_id = closed.run_id AND mine.id <> closed.id) AS more,
        CASE WHEN EXISTS (
            SELECT FROM shard next WHERE next.pool = closed.pool AND next.tier = closed.tier AND next.state = 'pending'
        ) THEN pg_notify('evalwindow_work', 'shards') END,
        (SELECT jsonb_object_agg(id, answer) FROM ({ANSWERS}) AS given
            WHERE id IS DISTINCT FROM CAST(:done AS text)) AS leases
    FROM (SELECT) AS once LEFT JOIN closed ON true
""")  # noqa: S608 - constants of shards.py and usage.py


_LOOK_UP = text("""
    SELECT key, document, NULL AS strikes, NULL AS error, NULL AS quarantined_at
    FROM completion_cache WHERE key = ANY (CAST(:keys AS text[])) AND CAST(:completions AS boolean)
    UNION ALL
    SELECT key, NULL, strikes, error, quarantined_at FROM strike
    WHERE key = ANY (CAST(:keys AS text[]))
""")


class Results(Database):
    def write(
        self,
        pages: Sequence[Page],
        completions: Mapping[str, Completion] = NOTHING,
        *,
        done: Page | None = None,
        renewal: Renewal = NO_RENEWAL,
    ) -> Written:
        """Write results of some shards and completions for the cache down.

        What is there stays as it is, the first completion of a key too, and nothing is added to a final run. A page's
        token says which claim answered; an old one is welcome: the answer was paid for, and it is the only one so far.
        The shard of the page `done` is marked done if it is held. The leases of `renewal` are renewed; one of the same
        run among them saves the question whether anything of the run remains.
        """
        rows = [_columns(page, each) for page in pages for each in page.results]
        documents = {key: finite_document(to_document(each)) for key, each in sorted(completions.items())}
        if not rows and not documents and done is None:
            return Written()
        tokens = {**renewal.tokens, **({done.shard_id: done.token} if done else {})}
        values = {
            "rows": json.dumps(clean_document(rows)),
            "runs": sorted({page.run_id for page in (*pages, *([done] if done else []))}),
            "keys": list(documents),
            "documents": [json.dumps(document) for document in documents.values()],
            "done": done and done.shard_id,
            "ids": list(tokens),
            "tokens": list(tokens.values()),
            "lease": dt.timedelta(seconds=renewal.lease_s),
        }
        with self._transaction() as connection:
            row = connection.execute(_WRITE, values).one()
            last = done is not None and row.closed and not row.more and is_last(connection, done.shard_id)
        return Written(added=row.added, last=last, leases=row.leases or {})

    def done(self, run_id: str, sample_ids: Iterable[str]) -> set[tuple[str, int]]:
        """(sample id, epoch) of the results that these samples have."""
        keys = select(result.c.sample_id, result.c.epoch)
        keys = keys.where(result.c.run_id == run_id, result.c.sample_id.in_(list(sample_ids)))
        with self._transaction() as connection:
            return {(row.sample_id, row.epoch) for row in connection.execute(keys)}

    def results(self, run_id: str) -> list[SampleResult]:
        """All results of a run by sample id and epoch; those of a trimmed run have lost their texts."""
        statement = select(result, run.c.concluded_at, run.c.trimmed_at).join(run, run.c.id == result.c.run_id)
        statement = statement.where(result.c.run_id == run_id).order_by(result.c.sample_id, result.c.epoch)
        with self._transaction() as connection:
            return [_result(row) for row in connection.execute(statement)]

    def look_up(self, keys: Iterable[str], *, completions: bool = True) -> Known:
        """What is known of these keys, in one statement: completions, exactly as they were put, and strikes.

        Completions count as asked for now.
        """
        with self._transaction() as connection:
            rows = connection.execute(_LOOK_UP, {"keys": list(keys), "completions": completions}).all()
            answered = {row.key: row.document for row in rows if row.document is not None}
            if answered:
                connection.execute(_touch(answered))
        return Known(
            completions={key: from_document(Completion, document) for key, document in answered.items()},
            standings={row.key: standing_of(row) for row in rows if row.document is None},
        )


def _touch(keys: Iterable[str]) -> Update:
    """A use a day is noted; rows that somebody else is noting are left to them, so nobody waits."""
    long_ago = completion_cache.c.at < func.now() - literal(TOUCHED_EVERY)
    forgotten = select(completion_cache.c.key).where(completion_cache.c.key.in_(list(keys)), long_ago)
    chosen = forgotten.with_for_update(skip_locked=True).cte("chosen")
    return update(completion_cache).where(completion_cache.c.key == chosen.c.key).values(at=func.now())


def _columns(page: Page, given: SampleResult) -> dict[str, Any]:
    completion = given.completion
    usage = completion.usage if completion else Usage()
    return {
        "run_id": page.run_id,
        "shard_id": page.shard_id,
        "token": page.token,
        "sample_id": given.sample_id,
        "epoch": given.epoch,
        "reask": given.reask,
        "scores": {name: to_document(score) for name, score in given.scores.items()},
        "text": completion.text if completion else None,
        "finish_reason": completion.finish_reason if completion else None,
        "choice_logprobs": completion.choice_logprobs if completion else None,
        "choice_tokens": completion.choice_tokens if completion else None,
        "cached": completion.cached if completion else False,
        "error": given.error,
        "latency_s": given.latency_s,
        "quarantined": given.quarantined,
        **{name: getattr(usage, name) for name in _USAGE},
    }


def _result(row: Row[Any]) -> SampleResult:
    return SampleResult(
        sample_id=row.sample_id,
        epoch=row.epoch,
        scores={name: from_document(Score, score) for name, score in row.scores.items()},
        completion=None if row.choice_logprobs is None else _completion(row),
        error=row.error,
        reask=row.reask,
        latency_s=row.latency_s,
        removed_after_days=_removed_after_days(row),
        quarantined=row.quarantined,
    )


def _removed_after_days(row: Row[Any]) -> int | None:
    """Of an answer without its text."""
    if row.choice_logprobs is None or row.text is not None:
        return None
    return int((row.trimmed_at - row.concluded_at).days)


def _completion(row: Row[Any]) -> Completion:
    return Completion(
        text=row.text or "",
        finish_reason=row.finish_reason,
        choice_logprobs=tuple(row.choice_logprobs),
        choice_tokens=tuple(row.choice_tokens),
        usage=Usage(**{name: getattr(row, name) for name in _USAGE}),
        cached=row.cached,
    )
