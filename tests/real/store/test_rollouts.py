from dataclasses import dataclass

import pytest
from sqlalchemy import text

from evalwindow.errors import Conflict, NotFound
from evalwindow.model import EngineInfo
from evalwindow.store import Store
from tests.real.store.world import OVER, at_once

LEASE_S = 600.0
INFO = EngineInfo(engine="vllm", version="1", model_digest="old")
OLD, FRESH = 3600.0, -3600.0  # seconds since a worker read its config: long before, and after, any request


@dataclass(frozen=True)
class Pool:
    """Workers of pool "warm"."""

    store: Store

    def live(self, *workers: str, state: str = "ready") -> None:
        for worker in workers:
            self.store.heartbeat("warm", worker, INFO, state)

    def silent(self, worker: str) -> None:
        with self.store._transaction() as connection:
            gone = text("UPDATE engine SET seen_at = now() - interval '1 hour' WHERE worker = :worker")
            connection.execute(gone, {"worker": worker})

    def roll(self, reason: str = "new weights") -> str:
        return self.store.request_rollout("warm", by="lea", reason=reason).id

    def take(
        self, worker: str, *, config_age_s: float = OLD, lease_s: float = LEASE_S, pool: str = "warm"
    ) -> str | None:
        return self.store.take_turn(pool, worker, config_age_s=config_age_s, model_digest="new", lease_s=lease_s)

    def end(self, rollout_id: str, worker: str) -> None:
        self.store.end_turn(rollout_id, "warm", worker, model_digest="new")

    def steps(self, rollout_id: str) -> list[tuple[str, str]]:
        return [(step.worker, step.state) for step in self.store.rollout(rollout_id).steps]


@pytest.fixture
def pool(store: Store) -> Pool:
    return Pool(store)


def test_one_worker_after_another_has_its_turn(pool, store):
    pool.live("a", "b")
    rollout_id = pool.roll()
    assert store.rollout(rollout_id).state == "requested"
    assert pool.take("a") == rollout_id
    assert pool.take("b") is None, "a has its turn"
    assert store.rollout(rollout_id).state == "rolling"
    pool.end(rollout_id, "a")
    assert pool.take("b") == rollout_id
    pool.end(rollout_id, "b")
    done = store.rollout(rollout_id)
    assert (done.state, done.error, done.reason, done.requested_by) == ("done", None, "new weights", "lea")
    assert done.ended_at is not None
    assert [(step.worker, step.state, step.model_digest) for step in done.steps] == [
        ("a", "done", "new"),
        ("b", "done", "new"),
    ]
    assert store.open_rollout("warm") is None
    assert pool.take("a") is None


def test_of_many_that_ask_at_once_one_has_the_turn(pool):
    workers = [f"w{number}" for number in range(8)]
    pool.live(*workers)
    rollout_id = pool.roll()
    turns = at_once(lambda number: pool.take(workers[number]), len(workers))
    assert (turns.count(rollout_id), turns.count(None)) == (1, 7)


def test_a_worker_that_started_after_the_request_needs_no_turn(pool, store):
    pool.live("a", "new")
    rollout_id = pool.roll()
    assert pool.take("new", config_age_s=FRESH) is None
    before = store.rollout(rollout_id).steps
    assert pool.take("new", config_age_s=FRESH) is None
    assert store.rollout(rollout_id).steps == before, "what is done is not done again"
    assert pool.steps(rollout_id) == [("new", "done")]
    assert pool.take("a") == rollout_id
    pool.end(rollout_id, "a")
    assert store.rollout(rollout_id).state == "done"


def test_a_failure_halts_it_and_nobody_goes_on(pool, store):
    pool.live("a", "b")
    rollout_id = pool.roll()
    pool.take("a")
    store.halt_rollout(rollout_id, "warm", "a", error="wrong answer to the canary")
    assert pool.take("b") is None
    halted = store.rollout(rollout_id)
    assert (halted.state, halted.error) == ("halted", "a: wrong answer to the canary")
    assert [(step.state, step.error) for step in halted.steps] == [("failed", "wrong answer to the canary")]


def test_a_turn_whose_holder_died_goes_to_the_next(pool, store):
    pool.live("a", "b")
    rollout_id = pool.roll()
    pool.take("a", lease_s=OVER)
    assert pool.take("b") == rollout_id
    assert pool.steps(rollout_id) == [("a", "lost"), ("b", "rolling")]
    assert not store.keep_turn(rollout_id, "a", lease_s=LEASE_S)
    pool.end(rollout_id, "b")
    assert store.rollout(rollout_id).state == "rolling", "a may be back"
    pool.silent("a")
    pool.take("b", config_age_s=FRESH)
    assert store.rollout(rollout_id).state == "done"


def test_a_turn_is_kept_by_renewing_its_lease(pool, store):
    pool.live("a", "b")
    rollout_id = pool.roll()
    pool.take("a", lease_s=OVER)
    assert store.keep_turn(rollout_id, "a", lease_s=LEASE_S)
    assert pool.take("b") is None


def test_a_worker_that_is_stopped_in_its_turn_frees_it(pool, store):
    pool.live("a", "b")
    rollout_id = pool.roll()
    pool.take("a")
    store.leave_turn(rollout_id, "a")
    pool.live("a", state="stopped")
    assert pool.take("b") == rollout_id
    pool.end(rollout_id, "b")
    assert store.rollout(rollout_id).state == "done", "nobody waits for what was stopped"
    assert [step.error for step in store.rollout(rollout_id).steps] == ["its unit was stopped in its turn", None]


def test_a_new_one_supersedes_an_unfinished_one_but_not_the_turn_that_goes_on(pool, store):
    pool.live("a", "b")
    first = pool.roll()
    pool.take("a")
    second = pool.roll("other weights")
    assert store.rollout(first).state == "superseded"
    assert pool.take("b") is None, "a still loads: one engine of a pool at a time"
    pool.end(first, "a")
    assert store.rollout(first).state == "superseded"
    assert pool.take("b") == second
    pool.end(second, "b")
    assert pool.take("a") == second, "what it loaded was asked for before"
    assert [each.id for each in store.rollouts("warm")] == [second, first]


def test_a_pool_where_nobody_lives_is_not_rolled(pool, store):
    with pytest.raises(Conflict, match="no unit of pool 'warm' lives"):
        pool.roll()
    pool.live("a", state="stopped")
    with pytest.raises(Conflict, match="no unit of pool 'warm' lives"):
        pool.roll()
    assert store.rollouts() == []


def test_pools_roll_beside_each_other(pool, store):
    pool.live("a")
    store.heartbeat("other", "c", INFO, "ready")
    first, second = pool.roll(), store.request_rollout("other", by="lea", reason="").id
    assert pool.take("a") == first
    assert pool.take("c", pool="other") == second
    assert {each.id for each in store.rollouts()} == {first, second}


def test_an_unknown_one_is_named(store):
    with pytest.raises(NotFound, match="There is no rollout 'nope'"):
        store.rollout("nope")
