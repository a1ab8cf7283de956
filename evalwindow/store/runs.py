"""Reading runs, and noting which engines answered for them."""

from __future__ import annotations

import json
from collections import OrderedDict
from threading import Lock
from typing import Any

from sqlalchemy import Row, select, text

from evalwindow.errors import NotFound
from evalwindow.model import Answer, Candidate, EngineInfo, RunState, ShardState, Source, Summary, Tier, Verdict
from evalwindow.store.database import Database
from evalwindow.store.documents import from_document, to_document
from evalwindow.store.keys import run_of
from evalwindow.store.rows import RunRow, ShardRow
from evalwindow.store.tables import run, shard
from evalwindow.store.types import clean_document

_SAME = ("id", "key", "team", "suite", "suite_digest", "pool", "model", "use_cache", "ordinal", "error", "owner")
_NIGHT = ("night_id", "baseline_run", "void", "joined_to")
_TIMES = ("created_at", "started_at", "concluded_at", "window_end")


#: The row is locked by the update alone, so of many first claims at once each engine is added by one.
_NOTE = text("""
    UPDATE run SET provenance = provenance || jsonb_build_array(CAST(:info AS jsonb))
    WHERE id = :id AND NOT EXISTS (
        SELECT FROM jsonb_array_elements(provenance) AS known WHERE known = CAST(:info AS jsonb)
    )
""")
NOTED = 256  # runs and engines in memory


class Runs(Database):
    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, **options)
        self._noted: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._noting = Lock()

    def runs(
        self,
        limit: int = 50,
        *,
        team: str | None = None,
        suite: str | None = None,
        model: str | None = None,
        state: RunState | None = None,
        answer: Answer | None = None,
        void: bool | None = None,
        tier: Tier | None = None,
        repo: str | None = None,
        pull_request: int | None = None,
        branch: str | None = None,
        before: str | None = None,
    ) -> list[RunRow]:
        """The newest runs that match all that is given; `before` an id gives the next page."""
        wanted = {
            run.c.team: team,
            run.c.suite: suite,
            run.c.model: model,
            run.c.state: state,
            run.c.answer: answer,
            run.c.void.isnot(None): void,
            run.c.tier: tier,
            run.c.repo: repo,
            run.c.pull_request: pull_request,
            run.c.branch: branch,
        }
        statement = select(run).order_by(run.c.id.desc()).limit(limit)
        statement = statement.where(*(column == value for column, value in wanted.items() if value is not None))
        if before is not None:
            statement = statement.where(run.c.id < before)
        with self._transaction() as connection:
            return [read_run(row) for row in connection.execute(statement)]

    def run(self, run_id: str) -> RunRow:
        """One run; raises NotFound."""
        with self._transaction() as connection:
            row = connection.execute(select(run).where(run.c.id == run_id)).one_or_none()
        if row is None:
            raise NotFound(kind="run", name=run_id)
        return read_run(row)

    def is_admitted(self, key: str) -> bool:
        """Whether a run of this key was admitted before."""
        with self._transaction() as connection:
            return run_of(connection, key) is not None

    def shards(self, run_id: str) -> list[ShardRow]:
        """A run's shards in the order of its samples."""
        statement = select(shard).where(shard.c.run_id == run_id).order_by(shard.c.seq)
        with self._transaction() as connection:
            return [read_shard(row) for row in connection.execute(statement)]

    def note_engine(self, run_id: str, info: EngineInfo) -> None:
        """Add what answers to the run's provenance; nothing happens when it is there.

        What this process has noted it asks no more about.
        """
        document = json.dumps(clean_document(to_document(info)), sort_keys=True)
        with self._noting:  # a run's first shards are claimed at once
            if (run_id, document) in self._noted:
                return
            with self._transaction() as connection:
                connection.execute(_NOTE, {"id": run_id, "info": document})
            self._noted[run_id, document] = None
            while len(self._noted) > NOTED:
                self._noted.popitem(last=False)


def read_run(row: Row[Any]) -> RunRow:
    fields = row._mapping
    return RunRow(
        **{name: fields[name] for name in (*_SAME, *_TIMES, *_NIGHT)},
        tier=Tier(fields["tier"]),
        state=RunState(fields["state"]),
        candidate=from_document(Candidate, fields["candidate"]),
        source=from_document(Source, fields["source"]),
        provenance=_engines(fields["provenance"]),
        summary=_optional(Summary, fields["summary"]),
        verdict=_optional(Verdict, fields["verdict"]),
        answer=None if fields["answer"] is None else Answer(fields["answer"]),
    )


def _engines(documents: list[Any] | None) -> tuple[EngineInfo, ...]:
    return tuple(from_document(EngineInfo, document) for document in documents or ())


def _optional(kind: type[Any], document: Any) -> Any:
    return None if document is None else from_document(kind, document)


def read_shard(row: Row[Any]) -> ShardRow:
    fields = row._mapping
    changed: dict[str, Any] = {
        "sample_ids": tuple(fields["sample_ids"]),
        "tier": Tier(fields["tier"]),
        "state": ShardState(fields["state"]),
    }
    same: dict[str, Any] = {name: fields[name] for name in ShardRow.__dataclass_fields__ if name not in changed}
    return ShardRow(**same, **changed)
