"""A known incident: one team submits 4,000 runs as fast as they are taken, while two others work as usual."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from evalwindow.model import RunState, Tier
from evalwindow.report.document import RunDocument
from evalwindow.store import Store
from soak.invariants import Received, check, settle
from tests.faults.flood import Flood, flood, watch
from tests.faults.town import FLOODER, OTHERS, SAMPLES, SLOTS, Town, usual_work
from tests.real.house import House, until

FLOODED, FIRST = 4_000, 1_000
LEAST = 3  # smoke and regression runs of each other team
SMOKE_RUNS, QUEUED_SAMPLES = 6, 200
SUBMISSIONS = 300  # a minute: up to there each is refused by a count of what the team has, then by its breaker
QUOTA: Mapping[str, int] = {
    "smoke_runs": SMOKE_RUNS,
    "queued_samples": QUEUED_SAMPLES,
    "submissions_per_minute": SUBMISSIONS,
}
MEMORY = 12 * 2**20  # bytes; 3,000 refusals that each left 4 KiB behind would not fit
SOME_ROWS = 50  # of tables that know teams, suites and breakers
BYTES_A_RUN, SOME_BYTES = 64 * 2**10, 2 * 2**20
SAYS_USAGE = re.compile(r"^team 'ads' .*\d.*(quota\.(smoke_runs|queued_samples|submissions_per_minute))")


@pytest.fixture
def town(house: House, store: Store) -> Iterator[Town]:
    town = Town(house, store, quota=QUOTA)
    town.open()
    yield town
    town.close()


@dataclass(frozen=True, kw_only=True)
class Incident:
    """What was seen of it."""

    flood: Flood
    others: list[RunDocument]
    most: tuple[int, int]  # open smoke runs, queued samples
    early: Mapping[str, int]  # memory after FIRST
    late: Mapping[str, int]  # and at the end


async def _incident(town: Town) -> Incident:
    came, over = Flood(), asyncio.Event()
    others = [asyncio.create_task(usual_work(town, team, over=over, least=LEAST)) for team in OTHERS]
    watching = asyncio.create_task(watch(town, over=over))
    await flood(town, range(FIRST), into=came)
    early = town.memory()
    await flood(town, range(FIRST, FLOODED), into=came)
    late = town.memory()
    over.set()
    done = [run for runs in await asyncio.gather(*others) for run in runs]
    return Incident(flood=came, others=done, most=await watching, early=early, late=late)


def test_a_flood_is_bounded_accounted_and_refused_politely_and_the_others_notice_nothing(town: Town) -> None:
    rows, size = town.rows(), town.database_bytes()
    seen = asyncio.run(_incident(town))
    until(lambda: not settle(town.store.url, seconds=60))
    _was_polite(seen.flood)
    _was_accounted(town, seen)
    _stayed_within_its_quota(seen)
    _others_had_their_runs(seen.others)
    _others_had_their_turns(town)
    _grew_by_what_was_admitted(town, seen, rows=rows, size=size)
    broken = check(town.store.url, Received(runs=[*seen.flood.admitted, *(run.id for run in seen.others)]))
    assert not broken, broken


def _was_polite(came: Flood) -> None:
    assert came.other == []
    assert len(came.admitted) + len(came.refusals) == FLOODED
    for refusal in came.refusals:
        assert SAYS_USAGE.search(refusal.text), refusal.text
        assert refusal.retry_after is not None
        assert int(refusal.retry_after) >= 1
    kinds = Counter(refusal.kind for refusal in came.refusals)
    assert set(kinds) == {"QuotaExceeded", "BreakerOpen"}
    assert len(came.admitted) >= SMOKE_RUNS  # who floods still gets its quota


def _was_accounted(town: Town, seen: Incident) -> None:
    counted = {
        team: counts for team, *counts in town.select("SELECT team, sum(runs), sum(refused) FROM usage GROUP BY 1")
    }
    assert counted.pop(FLOODER) == [len(seen.flood.admitted), len(seen.flood.refusals)]
    assert counted == {team: [sum(run.team == team for run in seen.others), 0] for team in OTHERS}


def _stayed_within_its_quota(seen: Incident) -> None:
    smokes, samples = seen.most
    assert 0 < smokes <= SMOKE_RUNS
    assert 0 < samples <= QUEUED_SAMPLES


def _others_had_their_runs(runs: list[RunDocument]) -> None:
    assert min(Counter((run.team, run.tier) for run in runs).values()) >= LEAST
    for run in runs:
        assert (run.state, run.error) == (RunState.CONCLUDED, None)
        assert run.summary is not None
        assert run.summary.results == SAMPLES[run.tier]
        assert run.summary.slices[0].metrics[0].value == 1.0


def _others_had_their_turns(town: Town) -> None:
    """A team that has nothing under way waits for one shard a slot of the flood at most, however many there are."""
    flooding = town.select("SELECT tier, started_at FROM shard WHERE team = :team", team=FLOODER)
    assert len(flooding) > 10 * SLOTS
    for team, tier, ready, began in town.select(_BEGUN, team=FLOODER):
        before = sum(lane == tier and ready < at < began for lane, at in flooding)
        assert before <= SLOTS, (team, tier, ready, began, before)


#: Runs of the others: each team waits for one before it submits the next.
_BEGUN = """
    SELECT run.team, run.tier, run.created_at, min(shard.started_at) FROM run JOIN shard ON shard.run_id = run.id
    WHERE run.team <> :team GROUP BY run.id
"""


def _grew_by_what_was_admitted(town: Town, seen: Incident, *, rows: Mapping[str, int], size: int) -> None:
    """Refusals leave neither rows, nor bytes, nor memory behind: there are many times more of them."""
    runs = len(seen.flood.admitted) + len(seen.others)
    assert len(seen.flood.refusals) > 4 * runs
    allowed = runs * (
        2 + 2 * SAMPLES[Tier.REGRESSION] + SAMPLES[Tier.REGRESSION]
    )  # run and page; results, cache; shards
    new = {table: count - rows[table] for table, count in town.rows().items()}
    assert new["run"] == runs
    assert sum(new.values()) <= allowed + SOME_ROWS, new
    assert town.database_bytes() - size <= runs * BYTES_A_RUN + SOME_BYTES
    for kind in ("web", "dispatcher"):
        assert seen.late[kind] - seen.early[kind] <= MEMORY, (kind, seen.early, seen.late)
