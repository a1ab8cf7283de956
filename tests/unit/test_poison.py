"""Poison among innocent prompts: found after a bounded number of deaths, whatever the batch; the rest is answered.

The governor and its clients are real; the engine is one that dies of some prompts, as its unit would tell.
"""

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalwindow.engines.replay import ReplayEngine
from evalwindow.engines.retry import Backoff
from evalwindow.errors import EngineDied
from evalwindow.evaluate import Evaluator
from evalwindow.lanes.client import GovernorClient
from evalwindow.lanes.limits import LaneLimits
from evalwindow.lanes.server import GovernorServer
from evalwindow.model import Candidate, Tier
from evalwindow.poison import ALONE_AT
from evalwindow.recorder import Ledger, Recorder
from evalwindow.work import Interrupted, ShardWork, Slots
from tests.unit.test_recorder import Rows
from tests.unit.worlds import make_suite, rows

LIMITS = LaneLimits(
    sequences=6, regression=6, beside_smoke=6, held_back=1.0, team_share={Tier.SMOKE: 1.0, Tier.REGRESSION: 1.0}
)


class Mortal(ReplayEngine):
    """Dies as it takes a prompt of `poison` in, with all that are in it; the governor's keeper sees and starts anew.

    A start takes long: until all that are not done wait for it.
    """

    def __init__(self, samples, *, poison, governor, undone, told=True):
        answers = {(f"s{n}", epoch): str(n) for n in range(samples) for epoch in range(3)}
        super().__init__(answers, digest="d")
        self.poison, self.governor, self.undone, self.told = set(poison), governor, undone, told
        self.deaths, self.asked, self._lives = 0, [], asyncio.Event()

    async def complete(self, request):
        self.asked.append(request.sample_id)
        life = self._lives
        for _ in range(3):
            await asyncio.sleep(0)
            if life.is_set():
                raise EngineDied("it died")
        if request.sample_id in self.poison:
            self._die()
            raise EngineDied("it died")
        return await super().complete(request)

    def _die(self):
        self.deaths += 1
        self._lives.set()
        self._lives = asyncio.Event()
        if self.told:
            self.governor.mourn()
        else:
            self.governor.shut()
        self._starting = asyncio.create_task(self._start())

    async def _start(self):
        while self.governor._governor.waiting < self.undone():
            await asyncio.sleep(0.001)
        self.governor.open(LIMITS, engine="d")


class Counted(Recorder):
    """Knows how many results are not there yet."""

    def __init__(self, *parts, undone, **fields):
        super().__init__(*parts, **fields)
        self.undone = undone

    async def add(self, result):
        self.undone -= 1
        await super().add(result)


class Place:
    """A governor, and consumers that each work on a shard with one engine, one store."""

    def __init__(self, folder, suite, *, poison=(), told=True, kind=Mortal):
        self.suite, self.store = suite, Rows()
        self.server = GovernorServer(folder / "lanes", LIMITS, patience_s=60.0)
        self.clients, self.working = [], set()
        self.engine = kind(len(suite.samples), poison=poison, governor=self.server, undone=self._undone, told=told)

    async def __aenter__(self):
        await self.server.start()
        self.server.open(LIMITS, engine="d")
        return self

    async def __aexit__(self, *_):
        for client in self.clients:
            client.close()
        await self.server.stop()

    async def work(self, sample_ids, *, ledger=None, run="r", ends=()):
        """One consumer's shard."""
        client = GovernorClient(self.server._socket, pool="p", retry=lambda ask: ask())
        self.clients.append(client)
        undone = len(sample_ids) * self.suite.spec.epochs
        recorder = Counted(self.store, run_id=run, shard_id=run, token=1, ledger=ledger, undone=undone)
        evaluator = Evaluator(
            suite=self.suite,
            candidate=Candidate(model="m"),
            engine_of=lambda model: self.engine,
            cache=None,
            slots=Slots(client, *ends, team="a"),
            backoff=Backoff(base_s=0.001, patience_s=5.0),
            docket=recorder,
        )
        work = ShardWork(suite=self.suite, evaluator=evaluator, recorder=recorder, info=await evaluator.info())
        self.working.add(recorder)
        try:
            await work.run(sample_ids, done=())
        finally:
            self.working.discard(recorder)

    def _undone(self):
        return sum(each.undone for each in self.working)

    @property
    def results(self):
        return {each.sample_id: each for pages in self.store.calls for page in pages for each in page.results}


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory(prefix="ew-") as folder:
        yield Path(folder)


def ids(*numbers):
    return [f"s{n}" for n in numbers]


async def test_the_innocent_are_answered_and_the_poison_is_proven_by_its_third_death(folder):
    async with Place(folder, make_suite(folder, rows(12)), poison=ids(4)) as place:
        await asyncio.gather(place.work(ids(*range(6))), place.work(ids(*range(6, 12))))
        assert place.engine.deaths == ALONE_AT + 1
        assert [sample for sample, result in place.results.items() if result.quarantined] == ["s4"]
        assert all(place.results[sample].completion for sample in place.results if sample != "s4")
        assert "not asked: this prompt has ended engines" in place.results["s4"].error
        assert all(held.quarantined for held in place.store.held.values())  # nothing is held against the others


async def test_a_second_run_never_asks_it(folder):
    suite = make_suite(folder, rows(3))
    async with Place(folder, suite, poison=ids(1)) as place:
        await place.work(ids(0, 1, 2))
        deaths, place.engine.asked = place.engine.deaths, []
        await place.work(ids(0, 1, 2), run="again", ledger=Ledger())
        assert sorted(place.engine.asked) == ids(0, 2)
        assert place.engine.deaths == deaths


async def test_what_ends_engines_is_the_prompt_whatever_its_seed(folder):
    suite = make_suite(folder, rows(4), epochs=3, sampling={"temperature": 1})
    async with Place(folder, suite, poison=ids(2)) as place:
        await place.work(ids(0, 1, 2, 3))
        assert place.engine.deaths <= ALONE_AT + 1
        results = [each for pages in place.store.calls for page in pages for each in page.results]
        assert len(results) == 12
        assert {each.sample_id for each in results if each.quarantined} == {"s2"}
        assert sum(each.quarantined for each in results) == 3


async def test_deaths_that_were_planned_are_held_against_nobody(folder):
    async with Place(folder, make_suite(folder, rows(4)), poison=ids(2), told=False) as place:
        with pytest.raises(EngineDied):
            await place.work(ids(0, 1, 2, 3))
        assert place.store.held == {}


async def test_who_was_struck_twice_before_its_consumer_died_is_asked_alone_at_once(folder):
    suite = make_suite(folder, rows(6))
    async with Place(folder, suite, poison=ids(0)) as place:
        ended = asyncio.Event()
        place.store.strike = _until_two(place.store.strike, ended)
        with pytest.raises(Interrupted):
            await place.work(ids(*range(6)), ends=[ended.is_set])
        before = place.engine.deaths
        await place.work(ids(*range(6)), ledger=Ledger())
        assert place.engine.deaths == before + 1
        assert place.results["s0"].quarantined


def _until_two(strike, ended):
    """The consumer is to end once the poison has two strikes."""

    def call(suspect, **fields):
        found = strike(suspect, **fields)
        if suspect.sample_id == "s0" and found[suspect.key].strikes == ALONE_AT:
            ended.set()
        return found

    return call


async def test_a_strike_outlasts_an_outage_of_the_database(folder):
    async with Place(folder, make_suite(folder, rows(3)), poison=ids(1)) as place:
        place.store.outages = 1
        await place.work(ids(0, 1, 2))
        assert place.results["s1"].quarantined
        assert place.store.outages == 0


class Loading(Mortal):
    """Dies of the adapter, which the first prompt of each life loads while the others wait for it."""

    async def complete(self, request):
        life = self._lives
        await asyncio.sleep(0)
        if life.is_set():
            raise EngineDied("it died while others asked it", had="")
        self._die()
        raise EngineDied("it died", had="adapter")


async def test_an_adapter_that_ends_engines_ends_the_run_unscored_after_as_many_deaths_as_one_prompt(folder):
    async with Place(folder, make_suite(folder, rows(9)), kind=Loading) as place:
        await asyncio.gather(place.work(ids(0, 1, 2, 3, 4)), place.work(ids(5, 6, 7, 8)))
        assert place.engine.deaths <= ALONE_AT + 2  # each consumer learns of it by a death of its own, at worst
        assert all(result.quarantined for result in place.results.values())
        assert len(place.results) == 9
        assert [held.quarantined for held in place.store.held.values()] == [True]


async def test_a_judge_whose_prompt_ends_engines_leaves_its_sample_unscored_and_says_so(folder):
    grader = {"type": "model_graded", "judge": "j", "rubric": "Is it a number?"}
    async with Place(folder, make_suite(folder, rows(3), scorers=["exact", grader]), poison=[""]) as place:
        await place.work(ids(0, 1, 2))
        results = place.results
        assert all(result.completion and result.quarantined for result in results.values())
        assert all(result.scores["exact"].value == 1 for result in results.values())
        assert all(result.scores["model_graded"].value is None for result in results.values())


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 30), st.data())
def test_whatever_is_poison_all_others_are_answered_and_deaths_are_bounded(count, data):
    poison = data.draw(st.sets(st.integers(0, count - 1), max_size=5))
    cut = data.draw(st.integers(1, count))

    async def story(folder):
        async with Place(folder, make_suite(folder, rows(count)), poison=ids(*poison)) as place:
            shards = [part for part in (ids(*range(cut)), ids(*range(cut, count))) if part]
            await asyncio.wait_for(asyncio.gather(*(place.work(part) for part in shards)), 60)
            return place.engine.deaths, place.results

    with tempfile.TemporaryDirectory(prefix="ew-") as folder:
        deaths, results = asyncio.run(story(Path(folder)))
    quarantined = {sample for sample, result in results.items() if result.quarantined}
    assert quarantined == set(ids(*poison))
    assert len(results) == count
    assert deaths <= (ALONE_AT + 1) * len(poison)
