"""Results: exactly one row for each (run, sample, epoch), whoever answers first."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, Update, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert

from evalwindow.model import Completion, SampleResult, Score, Usage
from evalwindow.store.database import Database
from evalwindow.store.documents import from_document, to_document
from evalwindow.store.endings import OPEN
from evalwindow.store.tables import completion_cache, result, run

_USAGE = tuple(Usage.__dataclass_fields__)
TOUCHED_EVERY = dt.timedelta(days=1)


class Results(Database):
    def record(self, run_id: str, shard_id: str, token: int, results: Sequence[SampleResult]) -> int:
        """Write results down; how many were new.

        What is there stays as it is, and nothing is added to a final run. The token says which claim answered; an
        old one is welcome: the answer was paid for, and it is the only one so far.
        """
        if not results:
            return 0
        still_open = select(run.c.id).where(run.c.id == run_id, run.c.state.in_(OPEN)).with_for_update(read=True)
        by_key = sorted(results, key=lambda each: (each.sample_id, each.epoch))  # one lock order for all writers
        rows = [{"run_id": run_id, "shard_id": shard_id, "token": token, **_columns(each)} for each in by_key]
        statement = insert(result).on_conflict_do_nothing().returning(result.c.epoch)
        with self._transaction() as connection:
            if connection.execute(still_open).first() is None:
                return 0
            return len(connection.execute(statement, rows).all())

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

    def cache_get(self, keys: Iterable[str]) -> dict[str, Completion]:
        """Completions of those keys that are known, exactly as they were put; they count as asked for now."""
        wanted = completion_cache.c.key.in_(list(keys))
        statement = select(completion_cache.c.key, completion_cache.c.document).where(wanted)
        with self._transaction() as connection:
            rows = connection.execute(statement).all()
            if rows:
                connection.execute(_touch(row.key for row in rows))
        return {row.key: from_document(Completion, row.document) for row in rows}

    def cache_put(self, completions: Mapping[str, Completion]) -> None:
        """Keep completions; the first one of a key stays."""
        rows = [{"key": key, "document": to_document(each)} for key, each in sorted(completions.items())]
        if rows:
            with self._transaction() as connection:
                connection.execute(insert(completion_cache).on_conflict_do_nothing(), rows)


def _touch(keys: Iterable[str]) -> Update:
    """A use a day is noted; rows that somebody else is noting are left to them, so nobody waits."""
    long_ago = completion_cache.c.at < func.now() - literal(TOUCHED_EVERY)
    forgotten = select(completion_cache.c.key).where(completion_cache.c.key.in_(list(keys)), long_ago)
    chosen = forgotten.with_for_update(skip_locked=True).cte("chosen")
    return update(completion_cache).where(completion_cache.c.key == chosen.c.key).values(at=func.now())


def _columns(given: SampleResult) -> dict[str, Any]:
    completion = given.completion
    usage = completion.usage if completion else Usage()
    return {
        "sample_id": given.sample_id,
        "epoch": given.epoch,
        "reask": given.reask,
        "scores": {name: to_document(score) for name, score in given.scores.items()},
        "text": completion.text if completion else None,
        "finish_reason": completion.finish_reason if completion else None,
        "choice_logprobs": list(completion.choice_logprobs) if completion else None,
        "choice_tokens": list(completion.choice_tokens) if completion else None,
        "cached": completion.cached if completion else False,
        "error": given.error,
        "latency_s": given.latency_s,
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
