"""What A/A runs of nights say of a baseline is heeded wherever a candidate is measured against it."""

import asyncio
import datetime as dt

import pytest

from evalwindow import flow
from evalwindow.admission import Submission
from evalwindow.config import Config, Pool, Team, WarmModel, Window
from evalwindow.model import Answer, Candidate, Completion, EngineInfo, Purpose, SampleResult, Score
from evalwindow.nights.opening import open_night
from evalwindow.nights.settling import settle
from evalwindow.nights.starting import start_entry
from evalwindow.report.document import run_document
from evalwindow.report.files import write_report
from evalwindow.report.gather import gather
from evalwindow.services import build
from evalwindow.settings import Settings
from tests.fixtures.results import mark_done, write_down
from tests.unit.worlds import rows, write_suite

SAMPLES = 200
ENGINE = EngineInfo(engine="vllm", version="0.32.0", model_digest="abc", dtype="float32")


class House:
    """A warm pool with two models; the test answers for it."""

    def __init__(self, services):
        self.services, self.store = services, services.store

    def answered(self, run_id, *, wrong=()):
        """The run, concluded, with these samples wrong."""
        for shard in self.store.shards(run_id):
            claimed = self.store.claim(shard.id, "worker", 60.0)
            found = [
                SampleResult(
                    sample_id=sample_id,
                    epoch=0,
                    scores={"exact": Score(value=float(int(sample_id[1:]) not in wrong))},
                    completion=Completion(text=sample_id),
                )
                for sample_id in claimed.sample_ids
            ]
            write_down(self.store, run_id, shard.id, claimed.token, found)
            mark_done(self.store, claimed)
        self.store.note_engine(run_id, ENGINE)
        asyncio.run(flow.conclude(self.services, run_id))
        return self.store.run(run_id)

    def run(self, key, *, model="next", wrong=()):
        wish = Submission(key=key, team="search", suite="echo", candidate=Candidate(model=model))
        return self.answered(flow.submit(self.services, wish).id, wrong=wrong)

    def night(self, key, *, wrong=()):
        """The A/A run of a night in which only the baseline was run, and the night."""
        now = dt.datetime.now(dt.UTC)
        night = open_night(self.services, "nightly", key=key, starts_at=now, ends_at=now + dt.timedelta(hours=1))
        [entry] = [each for each in self.store.entries(night.id) if each.purpose is Purpose.AA]
        run = start_entry(self.services, entry.id, owner="task").run
        return self.answered(run.id, wrong=wrong), settle(self.services, night.id)


@pytest.fixture
def house(tmp_path, database_url, redis):
    (tmp_path / "suites").mkdir()
    write_suite(tmp_path / "suites", rows(SAMPLES))
    nightly = Window(cron="0 22 * * *", duration_minutes=60, team="search", suites=("echo",), models=("next",))
    config = Config(
        suites=tmp_path / "suites",
        pools={"warm": Pool(model="none")},
        models={name: WarmModel(engine="vllm", pool="warm") for name in ("base", "next")},
        teams={"search": Team()},
        windows={"nightly": nightly},
    )
    services = build(Settings(database_url=database_url, redis_url=redis.url, home=tmp_path), config=config)
    house = House(services)
    baseline = house.run("base", model="base")
    services.store.promote("echo", "main", baseline.id, "ada", "first")
    yield house
    asyncio.run(services.aclose())


def test_a_fall_that_the_baseline_makes_at_night_is_not_the_pull_requests_fault(house, tmp_path):
    before = house.run("before", wrong=range(26))
    again, _ = house.night("one", wrong=range(24))
    after = house.run("after", wrong=range(26))
    assert (before.answer, after.answer) == (Answer.FAIL, Answer.INCONCLUSIVE)
    assert after.verdict.noise.runs == (again.id,)
    assert "24 of 200 samples fell and 0 rose in 1 A/A run" in after.verdict.title
    document = run_document(after, url="http://x")
    assert document.verdict.noise.rates.down == 24
    page = write_report(gather(house.store, house.services.config, after.id, base_url="http://x"), tmp_path / "report")
    assert "Noise floor: 24 of 200 samples fell" in page.read_text()


def test_a_fall_on_top_of_it_still_is(house):
    house.night("one", wrong=range(10))
    assert house.run("after", wrong=range(40)).answer is Answer.FAIL


def test_a_baseline_that_falls_voids_each_night_however_often_it_fell_before(house):
    for key in ("one", "two"):
        again, settled = house.night(key, wrong=range(24))
        assert again.answer is Answer.FAIL
        assert again.verdict.noise is None
        assert settled.void


def test_a_steady_baseline_takes_nothing_from_a_verdict(house):
    house.night("one")
    passed, failed = house.run("same"), house.run("worse", wrong=range(26))
    assert (passed.answer, failed.answer) == (Answer.PASS, Answer.FAIL)
    assert passed.verdict.noise.rates.down == 0
