"""Claims, deaths, late answers and reaping in any order: each (sample, epoch) has one result, each run one end."""

import itertools
import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from evalwindow.recorder import Page, Renewal
from evalwindow.store.tables import shard
from tests.fixtures.results import mark_done, write_down
from tests.real.store.world import LEASE_S, OVER, SUMMARY, VERDICT, World, at_once, result

SHARDS = [["a", "b", "c"], ["d", "e"], ["f"]]
EPOCHS = 2
EVERYTHING = sorted((sample, epoch) for sample in "abcdef" for epoch in range(EPOCHS))
PATIENCE = 10_000  # attempts: no shard is given up here

_keys = itertools.count()
workers, numbers = st.integers(0, 2), st.integers(0, 2)
step_of_story = st.one_of(
    st.tuples(st.just("claim"), workers, numbers),
    st.tuples(st.just("record"), workers, st.integers(1, 6)),
    st.tuples(st.just("finish"), workers, st.none()),
    st.tuples(st.just("release"), workers, st.none()),
    st.tuples(st.just("die"), workers, st.none()),
    st.tuples(st.just("hang"), workers, st.none()),  # it lives on, its lease doesn't
    st.tuples(st.just("reap"), st.just(0), st.none()),
    st.tuples(st.just("top up"), st.just(0), numbers),
)


class Story:
    """One run and the workers that fight over it."""

    def __init__(self, world: World) -> None:
        self.world, self.store = world, world.store
        self.run_id = world.admit(f"story {next(_keys)}", shards=SHARDS)
        self.shard_ids = world.shard_ids(self.run_id)
        self.held = {}
        self.last = 0  # how often somebody was told that nothing remains

    def play(self, step, worker, number):
        held = self.held.get(worker)
        if step == "claim" and held is None:
            self.held[worker] = self.store.claim(self.shard_ids[number], f"worker {worker}", LEASE_S)
        elif step == "reap":
            self.store.reap(OVER, PATIENCE)
        elif step == "top up":
            self.store.top_up("warm", self.store.run(self.run_id).tier, number)
        elif held is not None:
            self._work(step, worker, held, number)

    def _work(self, step, worker, held, number):
        if step == "record":
            self._record(held, number)
        elif step == "finish":
            self._record(held, len(EVERYTHING))
            page = Page(run_id=self.run_id, shard_id=held.id, token=held.token, results=[])
            self.last += self.store.write([page], done=page, renewal=self._renewal(but=worker)).last
        elif step == "release":
            self.store.release(held.id, held.token)
        else:
            expire(self.world, held)
        if step in ("finish", "release", "die"):
            self.held[worker] = None

    def _renewal(self, *, but):
        """Of what the other workers hold, or held once, as if all were of one process."""
        others = [held for worker, held in self.held.items() if held and worker != but]
        return Renewal(tokens={each.id: each.token for each in others}, lease_s=LEASE_S)

    def _record(self, held, most):
        """As a worker does: what is there already is left out."""
        done = self.store.done(self.run_id, held.sample_ids)
        todo = [(sample, epoch) for sample in held.sample_ids for epoch in range(EPOCHS) if (sample, epoch) not in done]
        write_down(self.store, self.run_id, held.id, held.token, [result(*each) for each in todo[:most]])

    def end(self):
        """A healthy worker comes last and does what is left."""
        for held in filter(None, self.held.values()):
            expire(self.world, held)
        self.store.reap(OVER, PATIENCE)
        for shard_id in self.shard_ids:
            if held := self.store.claim(shard_id, "healthy", LEASE_S):
                self._record(held, len(EVERYTHING))
                self.last += mark_done(self.store, held)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=st.lists(step_of_story, max_size=40))
def test_any_story_ends_with_one_result_for_each_sample_and_epoch(world, script):
    story = Story(world)
    for step in script:
        story.play(*step)
    story.end()
    assert [(each.sample_id, each.epoch) for each in world.store.results(story.run_id)] == EVERYTHING
    assert story.last == 1
    assert world.store.conclude(story.run_id, SUMMARY, VERDICT) is True
    assert world.store.conclude(story.run_id, SUMMARY, VERDICT) is False


def test_workers_that_die_at_once_and_at_random_leave_one_result_each(world):
    shards = [[f"s{number}-{sample}" for sample in range(5)] for number in range(12)]
    run_id = world.admit(shards=shards)
    shard_ids = world.shard_ids(run_id)

    def worker(number):
        """Until nothing is left; how often it was told that it was the last."""
        chance, last = random.Random(number), 0
        while world.store.backlog():
            world.store.reap(OVER, PATIENCE)
            held = world.store.claim(chance.choice(shard_ids), f"worker {number}", chance.choice([OVER, LEASE_S]))
            if held is None:
                continue
            answers = [result(sample) for sample in held.sample_ids]
            if chance.random() < 0.4:  # dies after a part of its work
                write_down(world.store, run_id, held.id, held.token, answers[: chance.randrange(5)])
                expire(world, held)
            else:
                write_down(world.store, run_id, held.id, held.token, answers)
                last += mark_done(world.store, held)
        return last

    assert sum(at_once(worker, 6)) == 1
    assert sorted(each.sample_id for each in world.store.results(run_id)) == sorted(itertools.chain(*shards))


def expire(world, held):
    """End a lease now, if it is still the one."""
    mine = (shard.c.id == held.id) & (shard.c.token == held.token) & shard.c.lease_until.is_not(None)
    with world.store._transaction() as connection:
        connection.execute(update(shard).where(mine).values(lease_until="-infinity"))
