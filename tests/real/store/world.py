"""Runs, results and verdicts for the store's tests."""

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from sqlalchemy import text

from evalwindow.model import (
    Answer,
    Candidate,
    Check,
    Completion,
    Metric,
    SampleResult,
    Score,
    SliceSummary,
    Source,
    Summary,
    Tier,
    Usage,
    Verdict,
)
from evalwindow.store import Store
from evalwindow.store.rows import ClaimedShard, NewRun
from evalwindow.suites import Suite
from tests.fixtures.results import mark_done

LEASE_S = 30.0
OVER = -1.0  # a lease that ran out before it began
T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """A store that knows one suite, and short ways to the states that tests need."""

    store: Store
    suite: Suite

    def new_run(self, key: str = "k", **fields: Any) -> NewRun:
        new = NewRun(
            key=key,
            team="red",
            suite=self.suite.name,
            suite_digest=self.suite.digest,
            tier=Tier.REGRESSION,
            pool="warm",
            model="base",
            candidate=Candidate(model="base", system=f"run {key}"),  # each asks something else: none is joined
        )
        return replace(new, **fields)

    def admit(self, key: str = "k", *, shards: Sequence[Sequence[str]] = (("s0",), ("s1",)), **fields: Any) -> str:
        return self.store.admit(self.new_run(key, **fields), shards)[0]

    def of_commit(self, sha: str, *, channels: Iterable[str] = (), **fields: Any) -> str:
        """A run of pull request 7 at a commit."""
        source = Source(repo="acme/app", pull_request=7, head_sha=sha, branch="main")
        new = self.new_run(f"key of {sha}", source=source, **fields)
        return self.store.admit(new, [["s0"], ["s1"]], channels)[0]

    def shard_ids(self, run_id: str) -> list[str]:
        return [shard.id for shard in self.store.shards(run_id)]

    def claim(self, shard_id: str, *, lease_s: float = LEASE_S) -> ClaimedShard:
        claimed = self.store.claim(shard_id, "worker", lease_s)
        assert claimed is not None
        return claimed

    def claim_all(self, run_id: str) -> list[ClaimedShard]:
        return [self.claim(shard_id) for shard_id in self.shard_ids(run_id)]

    def conclude(self, run_id: str, *, channels: Iterable[str] = ()) -> str:
        """Take a run to its end."""
        for claimed in self.claim_all(run_id):
            mark_done(self.store, claimed)
        assert self.store.conclude(run_id, SUMMARY, VERDICT, channels)
        return run_id

    def count(self, table: str) -> int:
        with self.store._transaction() as connection:
            return connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()  # noqa: S608


def result(sample_id: str = "s0", epoch: int = 0, *, text: str = "yes", **fields: Any) -> SampleResult:
    usage = Usage(prompt_tokens=12, cached_tokens=4, output_tokens=3, queue_s=0.1, engine_s=0.2, gpu_s=0.05, cost=0.01)
    given = SampleResult(
        sample_id=sample_id,
        epoch=epoch,
        scores={"exact": Score(value=1.0, reason="equal", answer="yes"), "f1": Score.unscored("no target")},
        completion=Completion(text=text, usage=usage, choice_logprobs=(-0.5, -2.0), choice_tokens=(1, 2)),
        latency_s=0.4,
    )
    return replace(given, **fields)


def at_once(call: Callable[[int], T], times: int = 20) -> list[T]:
    """Call from so many threads, let go at the same moment; errors are raised."""
    barrier = threading.Barrier(times)

    def one(number: int) -> T:
        barrier.wait()
        return call(number)

    with ThreadPoolExecutor(times) as threads:
        return list(threads.map(one, range(times)))


SUMMARY = Summary(
    slices=(SliceSummary(slice="all", metrics=(Metric(name="exact", value=0.5, stderr=0.1, n=2),)),),
    samples=2,
    results=2,
    unscored=0,
    cache_hits=0,
    prompt_tokens=24,
    cached_tokens=8,
    output_tokens=6,
    gpu_s=0.1,
    cost=0.0,
    wall_s=1.0,
)
VERDICT = Verdict(
    answer=Answer.FAIL,
    title="worse",
    checks=(Check(kind="paired", slice="all", answer=Answer.FAIL, blocking=True, text="-0.1", delta=-0.1, n=2),),
    power="sees 0.05",
)
