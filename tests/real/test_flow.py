"""The use-cases over real SQL: a run's whole way, with recorded outputs as the engine."""

import asyncio
import datetime as dt
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import event, update

from evalwindow import flow
from evalwindow.admission import Submission
from evalwindow.config import Config, ReplayModel, Team
from evalwindow.engines.replay import ReplayEngine
from evalwindow.errors import BadInput, EngineUnavailable, SuiteInvalid, UnknownName
from evalwindow.lanes.hold import Hold
from evalwindow.model import Answer, Candidate, RunState, ShardState, Source
from evalwindow.queue import Queue
from evalwindow.services import build
from evalwindow.settings import Settings
from evalwindow.store.night_rows import NewNight
from evalwindow.store.tables import run as run_table
from tests.unit.worlds import rows, write_outputs, write_suite

SAMPLES = 60
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def services(tmp_path, database_url, redis):
    """Services of a team with two recorded models: `good` answers all, `bad` has forgotten the first 30."""
    suites = tmp_path / "suites"
    suites.mkdir()
    write_suite(suites, rows(SAMPLES), policy={"max_unscored": 0.05, "margin": 0.1})
    write_suite(suites, rows(5, must_pass=True), suite="trip", tier="smoke")
    right = {f"s{n}": str(n) for n in range(SAMPLES)}
    wrong = right | {f"s{n}": "?" for n in range(30)}
    models = {
        "good": write_outputs(tmp_path / "good.jsonl", right),
        "bad": write_outputs(tmp_path / "bad.jsonl", wrong),
        "partial": write_outputs(tmp_path / "partial.jsonl", {f"s{n}": str(n) for n in range(50)}),
    }
    config = Config(
        suites=suites,
        models={name: ReplayModel(engine="replay", outputs=path) for name, path in models.items()},
        teams={"search": Team(repos=("acme/search",))},
    )
    settings = Settings(database_url=database_url, redis_url=redis.url, home=tmp_path, max_attempts=3)
    built = build(settings, config=config)
    yield built
    asyncio.run(built.aclose())


def wish(model, suite="echo", **fields):
    key = fields.pop("key", f"{suite}:{model}")
    return Submission(key=key, team="search", suite=suite, candidate=Candidate(model=model), **fields)


async def through(services, submission):
    """Submit, run every shard, and the run as it is then."""
    run = await asyncio.to_thread(flow.submit, services, submission)
    for shard in services.store.shards(run.id):
        await flow.run_shard(services, shard.id)
    return services.store.run(run.id)


async def promoted(services, model="good", suite="echo"):
    run = await through(services, wish(model, suite, key=f"baseline {model}"))
    services.store.promote(suite, "main", run.id, "ada", "first")
    return run


async def test_a_run_without_a_baseline_is_inconclusive_and_says_how_to_get_one(services):
    run = await through(services, wish("good"))
    assert (run.state, run.answer) == (RunState.CONCLUDED, Answer.INCONCLUSIVE)
    assert "evalwindow baseline promote" in run.verdict.title


async def test_a_candidate_as_good_as_the_baseline_passes(services):
    baseline = await promoted(services)
    run = await through(services, wish("good"))
    assert run.answer is Answer.PASS
    assert run.verdict.baseline_run == baseline.id


async def test_a_candidate_that_forgot_half_fails_and_says_by_how_much(services):
    await promoted(services)
    run = await through(services, wish("bad"))
    paired = next(check for check in run.verdict.checks if check.kind == "paired")
    assert run.answer is Answer.FAIL
    assert paired.delta == pytest.approx(-0.5)
    assert paired.low < -0.5 < paired.high < -paired.margin
    assert paired.flips_down == 30


async def test_outputs_that_are_missing_are_unscored_and_never_a_pass(services):
    await promoted(services)
    run = await through(services, wish("partial"))
    assert run.answer is Answer.INCONCLUSIVE
    assert "10 of 60 results unscored" in run.verdict.title


async def test_the_same_key_is_the_same_run(services):
    first = await asyncio.to_thread(flow.submit, services, wish("good"))
    second = await asyncio.to_thread(flow.submit, services, wish("good"))
    assert first.id == second.id
    assert len(services.store.runs()) == 1


async def test_bad_input_leaves_nothing_behind(services):
    with pytest.raises(UnknownName, match="did you mean 'good'"):
        flow.submit(services, wish("goood"))
    assert services.store.runs() == []


async def test_a_sound_suite_is_admitted_while_another_is_broken(services, tmp_path):
    (tmp_path / "suites" / "trip.yaml").write_text("suite: trip\ntier: [")
    run = await through(services, wish("good"))
    assert run.state is RunState.CONCLUDED
    with pytest.raises(SuiteInvalid, match=r"trip\.yaml:2: not valid YAML"):
        flow.submit(services, wish("good", "trip"))
    with pytest.raises(UnknownName, match="did you mean 'echo'"):
        flow.submit(services, wish("good", "ecco"))


async def test_a_run_is_judged_against_the_run_that_it_names_and_not_the_promoted_one(services):
    good = await promoted(services)
    bad = await through(services, wish("bad", key="bad before"))
    run = await through(services, wish("bad", baseline_run=bad.id))
    assert run.answer is Answer.PASS
    assert (run.baseline_run, run.verdict.baseline_run) == (bad.id, bad.id)
    assert (await through(services, wish("bad", key="against the promoted"))).verdict.baseline_run == good.id


async def test_a_run_to_be_judged_against_has_to_be_concluded_of_the_same_suite_and_count(services):
    trip = await through(services, wish("good", "trip"))
    waiting = await asyncio.to_thread(flow.submit, services, wish("good", key="waiting"))
    void = await through(services, wish("good", key="void"))
    with services.store._transaction() as connection:
        connection.execute(update(run_table).where(run_table.c.id == void.id).values(void="A/A failed"))
    complaints = {
        "nobody": "There is no run 'nobody'",
        trip.id: "is of suite 'trip' and concluded",
        waiting.id: "is of suite 'echo' and queued",
        void.id: "is of suite 'echo' and void",
    }
    for run_id, complaint in complaints.items():
        with pytest.raises(BadInput, match=f"baseline_run: .*{complaint}.*concluded run of suite 'echo'"):
            flow.submit(services, wish("good", key=f"against {run_id}", baseline_run=run_id))


async def test_what_a_submission_says_of_its_night_is_kept_with_the_run(services):
    end = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    run = await asyncio.to_thread(flow.submit, services, wish("good", owner="task 1", window_end=end))
    assert (run.owner, run.window_end) == ("task 1", end)


async def test_a_shard_is_run_once_however_often_its_message_comes(services):
    run = await asyncio.to_thread(flow.submit, services, wish("good"))
    shards = services.store.shards(run.id)
    await asyncio.gather(*(flow.run_shard(services, shard.id) for shard in shards for _ in range(4)))
    assert len(services.store.results(run.id)) == SAMPLES
    assert services.store.run(run.id).state is RunState.CONCLUDED
    assert [shard.attempts for shard in services.store.shards(run.id)] == [1] * len(shards)


async def test_a_shard_claimed_again_skips_what_is_recorded(services):
    run = await asyncio.to_thread(flow.submit, services, wish("good"))
    shard = services.store.shards(run.id)[0]
    services.stopping.set()
    await flow.run_shard(services, shard.id)  # handed back before its first prompt
    assert services.store.shards(run.id)[0].state is ShardState.PENDING
    assert services.store.shards(run.id)[0].attempts == 0
    services.stopping.clear()
    for each in services.store.shards(run.id):
        await flow.run_shard(services, each.id)
    assert services.store.run(run.id).state is RunState.CONCLUDED
    assert len(services.store.results(run.id)) == SAMPLES


async def test_an_engine_that_never_comes_ends_in_a_verdict_with_the_reason(services):
    class Gone(ReplayEngine):
        async def complete(self, request):
            raise EngineUnavailable("the engine is gone")

    services._engines["model good"] = Gone({}, digest="gone")
    run = await asyncio.to_thread(flow.submit, services, wish("good", "trip"))
    [shard] = services.store.shards(run.id)
    for _ in range(services.settings.max_attempts):
        await flow.run_shard(services, shard.id)
    [shard] = services.store.shards(run.id)
    run = services.store.run(run.id)
    assert (shard.state, shard.error) == (ShardState.FAILED, "the engine is gone")
    assert (run.state, run.answer) == (RunState.CONCLUDED, Answer.INCONCLUSIVE)


async def test_an_engine_that_goes_with_its_window_is_no_failed_attempt(services):
    class Leaving(ReplayEngine):
        async def complete(self, request):
            services.store.close_night(night.id, "by hand")
            [lease] = services.leases._held.values()
            await asyncio.wait_for(lease.closing.wait(), 60)
            raise EngineUnavailable("the engine is gone")

    now = dt.datetime.now(dt.UTC)
    new = NewNight(key="one", window="nightly", team="search", branch="main", starts_at=now, ends_at=now + HOUR)
    night = services.store.open_night(new)
    services._engines["model good"] = Leaving({}, digest="leaving")
    services.leases._longest = 0.02
    run = await asyncio.to_thread(flow.submit, services, wish("good", night_id=night.id))
    await flow.run_shard(services, services.store.shards(run.id)[0].id)
    shard = services.store.shards(run.id)[0]
    assert (shard.state, shard.attempts, shard.error) == (ShardState.PENDING, 0, None)
    assert services.store.run(run.id).state is RunState.RUNNING


async def test_a_cancelled_run_stops_its_work_and_keeps_no_verdict(services):
    started = asyncio.Event()

    class Slow(ReplayEngine):
        async def complete(self, request):
            started.set()
            await asyncio.sleep(60)

    services._engines["model good"] = Slow({}, digest="slow")
    services.leases._longest = 0.02
    run = await asyncio.to_thread(flow.submit, services, wish("good"))
    work = asyncio.create_task(flow.run_shard(services, services.store.shards(run.id)[0].id))
    await started.wait()
    services.store.cancel_run(run.id, "no longer wanted")
    await asyncio.wait_for(work, 20)
    assert services.store.run(run.id).state is RunState.CANCELLED
    assert services.store.results(run.id) == []


async def test_one_failed_tripwire_is_asked_again_and_the_re_asks_are_kept_apart(services, tmp_path):
    outputs = {(f"s{n}", epoch): str(n) for n in range(5) for epoch in range(20)} | {("s3", 0): "?"}
    services._engines["model good"] = ReplayEngine.load(write_outputs(tmp_path / "flaky.jsonl", outputs))
    run = await through(services, wish("good", "trip"))
    results = services.store.results(run.id)
    assert run.answer is Answer.PASS
    assert sum(result.reask for result in results) == 10
    assert run.summary.results == 5


async def test_the_second_of_two_equal_runs_is_answered_by_the_cache(services):
    await through(services, wish("good"))
    run = await through(services, wish("good", key="again"))
    fresh = await through(services, wish("good", key="fresh", use_cache=False))
    assert run.summary.cache_hits == SAMPLES
    assert fresh.summary.cache_hits == 0


async def test_provenance_names_what_answered(services):
    run = await through(services, wish("good"))
    [info] = run.provenance
    assert info.engine == "replay"
    assert len(info.model_digest) == 64


async def test_a_baseline_on_another_dataset_compares_only_what_is_the_same(services, tmp_path):
    await promoted(services)
    write_suite(
        tmp_path / "suites", [*rows(59), {"id": "s59", "input": "say it", "target": "59"}], policy={"margin": 0.1}
    )
    run = await through(services, wish("good"))
    checks = {check.kind: check for check in run.verdict.checks}
    assert checks["paired"].n == 59


async def test_a_baseline_judged_by_another_scorer_is_no_baseline(services, tmp_path):
    await promoted(services)
    write_suite(tmp_path / "suites", rows(SAMPLES), scorers=["includes"], policy={"margin": 0.1})
    run = await through(services, wish("good"))
    assert run.answer is Answer.INCONCLUSIVE
    assert "0 of 60" in run.verdict.title


async def test_the_page_of_a_concluded_run_is_written_once(services):
    run = await through(services, wish("good"))
    delivery = services.store.claim_delivery(60)
    assert (delivery.run_id, delivery.channel) == (run.id, "page")
    await flow.publish(services, delivery)
    assert services.store.claim_delivery(60) is None
    [sent] = services.store.deliveries(run.id)
    assert sent.state == "sent"
    assert _read(sent.external_id).startswith("<!doctype html>")


async def test_a_page_that_cannot_be_written_is_tried_again(services, tmp_path):
    await through(services, wish("good"))
    (tmp_path / "reports").write_text("in the way")
    delivery = services.store.claim_delivery(60)
    await flow.publish(services, delivery)
    [waiting] = services.store.deliveries(delivery.run_id)
    assert (waiting.state, waiting.attempts) == ("waiting", 1)
    assert "reports" in waiting.error


def _read(path):
    return Path(path).read_text()


async def test_an_event_that_names_no_pull_request_is_refused_with_the_missing_key(services):
    event_id = services.store.add_event("d1", "pull_request", {"action": "opened"})
    event = services.store.claim_event(event_id, 60)
    await flow.handle_event(services, event)
    assert services.store.claim_event(None, 60) is None
    [state, error] = _event(services, event_id)
    assert state == "refused"
    assert error == "pull_request event: repository: Field required"


async def test_smoke_whose_message_cannot_be_sent_is_left_to_the_dispatcher(services):
    services.queue = Queue("redis://127.0.0.1:1/0")
    run = await asyncio.to_thread(flow.submit, services, wish("good", "trip"))
    [shard] = services.store.shards(run.id)
    assert shard.state is ShardState.PENDING


def _event(services, event_id):
    with psycopg.connect(services.store.url.set(drivername="postgresql").render_as_string(False)) as connection:
        return connection.execute("SELECT state, error FROM event WHERE id = %s", [event_id]).fetchone()


def test_channels_follow_from_the_source():
    assert flow.channels_of(Source()) == ("page",)
    assert flow.channels_of(Source(repo="a/b", head_sha="c")) == ("page", "check")
    assert flow.channels_of(Source(repo="a/b", head_sha="c", pull_request=1)) == ("page", "check", "comment")


@pytest.mark.parametrize("use_cache", [True, False])
async def test_a_shard_costs_a_handful_of_statements_however_many_samples_it_has(services, use_cache):
    run = await asyncio.to_thread(flow.submit, services, wish("good", use_cache=use_cache))
    costs = [await cost_of(services, flow.run_shard(services, each.id)) for each in services.store.shards(run.id)]
    sizes = [len(each.sample_ids) for each in services.store.shards(run.id)]
    assert sizes == [50, 10]
    looked_up = int(use_cache)
    first, conclusion = 3, 8  # once a process the suite, and a word to itself; the engine once a run; once a run
    assert costs[0] <= 3 + looked_up + first  # claim, results with the end, is it the last?
    assert costs[1] <= 3 + looked_up + conclusion
    assert len(services.store.results(run.id)) == SAMPLES


class Together(ReplayEngine):
    """Answers nobody before `parties` shards have been claimed."""

    parties = 10

    async def info(self, model):
        self.claimed = getattr(self, "claimed", None) or asyncio.Barrier(self.parties)
        await self.claimed.wait()
        return await super().info(model)


async def test_shards_that_a_process_has_at_work_together_cost_two_statements_each(services):
    many = 500
    write_suite(services.config.suites, rows(many), suite="many")
    services._engines["model good"] = Together({(f"s{n}", 0): str(n) for n in range(many)}, digest="d")
    run = await asyncio.to_thread(flow.submit, services, wish("good", "many", use_cache=False))
    shards = services.store.shards(run.id)
    services.store.suite(run.suite_digest)
    cost = await cost_of(services, asyncio.gather(*(flow.run_shard(services, shard.id) for shard in shards)))
    assert (len(shards), len(services.store.results(run.id))) == (10, many)
    once = 11  # a word to itself, the engine, whether it is the last, and the conclusion's eight
    assert cost <= 2 * len(shards) + once  # claim, results with the end


async def cost_of(services, work):
    """Statements that reach PostgreSQL: each of an executemany is one."""
    count = 0

    def note(connection, cursor, statement, parameters, context, executemany):
        nonlocal count
        count += len(parameters) if executemany else 1

    event.listen(services.store._engine, "before_cursor_execute", note)
    try:
        await work
    finally:
        event.remove(services.store._engine, "before_cursor_execute", note)
    return count


class Rolled(ReplayEngine):
    """Is replaced after it has told who it is."""

    told = False

    async def info(self, model):
        info = await super().info(model)
        now, self.told = ("next" if self.told else info.model_digest), True
        return replace(info, model_digest=now)


class NextEngine:
    """Lanes of an engine that was replaced meanwhile."""

    @asynccontextmanager
    async def hold(self, model, ticket):
        yield Hold(engine="next")

    async def aclose(self):
        pass


async def test_a_run_that_two_engines_answered_names_both(services, tmp_path):
    services._engines["model good"] = Rolled({(f"s{n}", 0): str(n) for n in range(SAMPLES)}, digest="first")
    services.lanes = NextEngine()
    run = await through(services, wish("good"))
    assert {info.model_digest for info in run.provenance} == {"first", "next"}
