"""The noise floor from real runs in the database."""

import datetime as dt
from dataclasses import replace

import pytest
from sqlalchemy import event

from evalwindow.comparable import compare
from evalwindow.gate import judge
from evalwindow.metrics import ALL
from evalwindow.model import Answer, Candidate, EngineInfo, SampleResult, Score, Verdict
from evalwindow.noise import MOST_RUNS, noise_floor, noise_for
from evalwindow.store.rows import NewRun
from tests.fixtures.results import mark_done, write_down
from tests.real.store.world import SUMMARY
from tests.unit.worlds import make_suite, rows

SAMPLES = 200
PROD, NEW = Candidate(model="prod"), Candidate(model="new")
ENGINE = EngineInfo(engine="vllm", version="0.11", model_digest="abc", dtype="bfloat16", details={"kv": "auto"})


class World:
    """A store in which runs are concluded by the gate itself."""

    def __init__(self, store, folder):
        self.store, self.folder = store, folder
        self.suite = self.written()
        self._count = 0

    def written(self, *, count=SAMPLES, edited=(), **spec):
        """A version of the suite; some of its samples ask something else."""
        sliced = [row | {"slices": ["low"] if n < 150 else []} for n, row in enumerate(rows(count))]
        sliced = [row | {"input": "say it"} if n in edited else row for n, row in enumerate(sliced)]
        suite = make_suite(self.folder, sliced, **{"policy": {"margin": 0.03, "blocking": ["low"]}} | spec)
        self.store.put_suite(suite)
        return suite

    def run(self, *, wrong=(), against=None, candidate=PROD, engine=ENGINE, suite=None, cache=False, values=None):
        """A concluded run that answers these samples wrong."""
        suite = suite or self.suite
        self._count += 1
        new = NewRun(
            key=f"run {self._count}",
            team="red",
            suite=suite.name,
            suite_digest=suite.digest,
            tier=suite.tier,
            pool="warm",
            model=candidate.model,
            candidate=candidate,
            use_cache=cache,
        )
        run_id, _ = self.store.admit(new, [[sample.id for sample in suite.samples]])
        [shard] = self.store.shards(run_id)
        claimed = self.store.claim(shard.id, "worker", 60.0)
        found = [
            SampleResult(sample_id=sample.id, epoch=0, scores={"exact": Score(value=value)})
            for sample in suite.samples
            for value in [(values or {}).get(sample.id, 0.0 if int(sample.id[1:]) in wrong else 1.0)]
        ]
        write_down(self.store, run_id, shard.id, claimed.token, found)
        self.store.note_engine(run_id, engine)
        mark_done(self.store, claimed)
        known = self.store.results(against) if against else None
        verdict = judge(suite, found, known, baseline_run=against)
        self.store.conclude(run_id, SUMMARY, verdict, ())
        return run_id

    def floor(self, baseline, *, suite=None):
        return noise_floor(self.store, suite or self.suite, self.store.run(baseline))


@pytest.fixture
def world(store, tmp_path):
    return World(store, tmp_path)


def test_a_baseline_that_never_ran_again_has_no_floor(world):
    baseline = world.run()
    world.run(against=baseline, candidate=NEW)
    world.run(against=baseline, cache=True)  # answered by the cache: it compares nothing
    assert world.floor(baseline) is None


def test_flips_of_its_a_a_runs_are_pooled(world):
    baseline = world.run(wrong={0, 1})
    first = world.run(wrong={1, 2, 3}, against=baseline)  # one up, two down
    second = world.run(wrong={0, 1, 160}, against=baseline)  # one down
    floor = world.floor(baseline)
    assert (floor.runs, floor.left_out) == ((second, first), 0)
    assert (floor.rates.samples, floor.rates.down, floor.rates.up) == (2 * SAMPLES, 3, 1)
    assert (floor.rates.lost, floor.rates.gained, floor.rates.squares) == (3, 1, 4)
    assert (floor.slices["low"].samples, floor.slices["low"].down, floor.slices["low"].up) == (300, 2, 1)
    assert floor.since == dt.datetime.now(dt.UTC).date().isoformat()
    assert ALL not in floor.slices


def test_graded_scores_are_summed(world):
    baseline = world.run(values={"s0": 0.5, "s1": 0.5, "s2": 0.5})
    world.run(values={"s0": 0.25, "s1": 0.75, "s2": 0.5}, against=baseline)
    rates = world.floor(baseline).rates
    assert (rates.down, rates.up, rates.lost, rates.gained, rates.squares) == (1, 1, 0.25, 0.25, 0.125)


def test_what_was_scored_on_one_side_only_is_no_pair(world):
    baseline = world.run(values={"s0": None})
    world.run(values={"s1": None, "s2": float("nan")}, against=baseline)
    assert world.floor(baseline).rates.samples == SAMPLES - 3


@pytest.mark.parametrize(
    "changed", [{"version": "0.12"}, {"model_digest": "def"}, {"dtype": "float32"}, {"details": {"kv": "fp8"}}]
)
def test_another_engine_is_not_the_same_thing(world, changed):
    baseline = world.run()
    world.run(wrong={1}, against=baseline, engine=replace(ENGINE, **changed))
    assert world.floor(baseline) is None


def test_its_capacity_makes_no_other_engine(world):
    baseline = world.run()
    world.run(wrong={1}, against=baseline, engine=replace(ENGINE, max_num_seqs=7))
    assert world.floor(baseline).rates.down == 1


def test_a_run_that_lost_while_most_did_not_was_a_broken_night(world):
    baseline = world.run()
    broken = world.run(wrong=range(60), against=baseline)
    assert world.floor(baseline).rates.down == 60  # one of one: nobody knows better
    once = world.run(wrong={5}, against=baseline)
    assert world.floor(baseline).runs == (once, broken)  # one of two
    again = world.run(wrong={7, 8}, against=baseline)
    floor = world.floor(baseline)
    assert (floor.runs, floor.left_out, floor.rates.down) == ((again, once), 1, 3)


def test_a_baseline_that_loses_most_times_does_so_by_itself(world):
    baseline = world.run()
    for wrong in (range(40), range(50), {3}):
        world.run(wrong=wrong, against=baseline)
    floor = world.floor(baseline)
    assert (len(floor.runs), floor.left_out, floor.rates.down) == (3, 0, 91)


def test_a_new_baseline_has_the_floor_of_those_before_it_until_it_ran_again_itself(world):
    before = world.run()
    of_before = world.run(wrong={1, 2}, against=before)
    other = world.run(candidate=NEW)
    world.run(wrong={1}, against=other, candidate=NEW)
    baseline = world.run()
    assert world.floor(baseline).runs == (of_before,)
    own = world.run(wrong={4}, against=baseline)
    assert world.floor(baseline).runs == (own,)


def test_a_run_that_was_judged_against_something_else_repeats_nothing(world):
    baseline, other = world.run(), world.run(candidate=NEW)
    world.run(wrong={1}, against=other)
    assert world.floor(baseline) is None


def test_what_another_baseline_did_on_another_engine_says_nothing_of_this_one(world):
    older = replace(ENGINE, version="0.10")
    before = world.run(engine=older)
    world.run(wrong={1}, against=before, engine=older)
    assert world.floor(world.run()) is None


def test_its_own_runs_are_found_behind_newer_ones_of_others(world):
    baseline, other = world.run(), world.run()
    own = world.run(wrong={4}, against=baseline)
    world.run(wrong={5}, against=other)
    [row] = world.store.repeats(baseline, limit=1)
    assert row.run_id == own


def test_a_sample_that_was_edited_says_nothing(world):
    baseline = world.run()
    world.run(wrong={1, 2}, against=baseline)
    edited = world.written(edited={1})
    rates = world.floor(baseline, suite=edited).rates
    assert (rates.samples, rates.down) == (SAMPLES - 1, 1)


def test_only_the_latest_count(world):
    baseline = world.run()
    runs = [world.run(wrong={n}, against=baseline) for n in range(MOST_RUNS + 2)]
    assert world.floor(baseline).runs == tuple(runs[:1:-1])


def test_a_policy_may_change_but_not_what_is_asked(world):
    baseline = world.run()
    world.run(wrong={1, 2}, against=baseline)
    stricter = world.written(policy={"margin": 0.01})
    longer = world.written(count=SAMPLES + 40)
    colder = world.written(sampling={"temperature": 0.5})
    assert world.floor(baseline, suite=stricter).rates.down == 2
    assert world.floor(baseline, suite=longer).rates.samples == SAMPLES
    assert world.floor(baseline, suite=colder) is None


def test_an_a_a_run_is_judged_without_the_floor_that_it_measures(world):
    baseline = world.run()
    again = world.run(wrong={1}, against=baseline)
    asked = [world.store.run(world.run(candidate=NEW)), world.store.run(world.run(cache=True))]
    assert noise_for(world.store, world.store.run(again), world.suite, baseline) is None
    assert all(noise_for(world.store, run, world.suite, baseline) for run in asked)
    assert noise_for(world.store, asked[0], world.suite, None) is None


def test_two_runs_are_compared_beside_the_floor(world):
    """The baseline falls by itself, so the fall of what is measured against it is nobody's fault."""
    baseline = world.run()
    world.run(wrong=range(24), against=baseline)
    candidate = world.run(wrong=range(10, 36), candidate=NEW, against=baseline)
    assert world.store.run(candidate).answer is Answer.FAIL  # judged without it
    found: Verdict = compare(world.store, run=candidate, other=baseline, team=None).verdict
    assert found.answer is Answer.INCONCLUSIVE
    assert "24 of 150 samples fell and 0 rose in 1 A/A run" in found.title


def test_it_takes_few_statements(world):
    baseline = world.run()
    for n in range(MOST_RUNS):
        world.run(wrong={n}, against=baseline)
    run = world.store.run(world.run(candidate=NEW))
    statements = []
    event.listen(world.store._engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    assert noise_for(world.store, run, world.suite, baseline) is not None
    assert len(statements) <= 3
