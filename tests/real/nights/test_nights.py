"""A night's use-cases over real SQL, with recorded outputs as the engine."""

import asyncio
import datetime as dt
import json
from dataclasses import replace

import pytest
from sqlalchemy import update

from evalwindow import flow
from evalwindow.admission import Submission
from evalwindow.config import Config, Quota, ReplayModel, Team, Window
from evalwindow.errors import BadInput, NotFound, UnknownName
from evalwindow.model import Answer, Candidate, EntryState, Purpose, RunState
from evalwindow.nights.opening import open_night
from evalwindow.nights.settling import settle
from evalwindow.nights.starting import start_entry
from evalwindow.nights.validation import validate_night
from evalwindow.nights.watching import watch
from evalwindow.report.night import gather_night
from evalwindow.services import build
from evalwindow.settings import Settings
from evalwindow.store.night_tables import night as night_table
from tests.unit.worlds import rows, write_outputs, write_suite

SAMPLES = 60
RIGHT = {f"s{n}": str(n) for n in range(SAMPLES)}
WRONG = RIGHT | {f"s{n}": "?" for n in range(30)}
OWNER = "task 1"


class House:
    """A folder with suites and recorded outputs, and services over it."""

    def __init__(self, folder, database_url, redis_url):
        self.folder, self._urls = folder, (database_url, redis_url)
        (folder / "suites").mkdir()
        self.write_suite()
        self.write_suite(suite="other")
        self.outputs = {name: write_outputs(folder / f"{name}.jsonl", RIGHT) for name in ("good", "next")}
        self.outputs["bad"] = write_outputs(folder / "bad.jsonl", WRONG)
        self._opened = []
        self.services = self.build()

    def write_suite(self, **spec):
        write_suite(self.folder / "suites", rows(SAMPLES), policy={"margin": 0.1}, **spec)

    def build(self, **window):
        """Services as a process that has just started has them."""
        fields = {"suites": ("echo",), "models": ("next",), "team": "search", "cron": "0 22 * * *"}
        config = Config(
            suites=self.folder / "suites",
            models={name: ReplayModel(engine="replay", outputs=path) for name, path in self.outputs.items()},
            teams={"search": Team()},
            windows={"nightly": Window(**{**fields, "duration_minutes": 60, **window})},
        )
        settings = Settings(database_url=self._urls[0], redis_url=self._urls[1], home=self.folder)
        services = build(settings, config=config)
        self._opened.append(services)
        self.services = services
        return services

    def write_rows(self, suite, samples):
        """Other data under a suite that stays as it is."""
        path = self.folder / "suites" / f"{suite}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in samples))

    async def promoted(self, model="good", suite="echo"):
        wish = Submission(key=f"base {suite}", team="search", suite=suite, candidate=Candidate(model=model))
        run = await asyncio.to_thread(flow.submit, self.services, wish)
        await self.work(run.id)
        self.services.store.promote(suite, "main", run.id, "ada", "first")
        return run.id

    async def work(self, run_id, *, shards=None):
        for shard in self.services.store.shards(run_id)[:shards]:
            await flow.run_shard(self.services, shard.id)

    def open(self, key="one", *, minutes=60, **fields):
        now = dt.datetime.now(dt.UTC)
        return open_night(
            self.services, "nightly", key=key, starts_at=now, ends_at=now + dt.timedelta(minutes=minutes), **fields
        )

    async def play(self, night_id):
        """Start every entry and work until all of them are done."""
        for entry in self.services.store.entries(night_id):
            started = start_entry(self.services, entry.id, owner=OWNER)
            if started.run is not None:
                await self.work(started.run.id)
        return settle(self.services, night_id)

    def entries(self, night_id):
        return self.services.store.entries(night_id)

    def over(self, night_id):
        """The night's window has ended."""
        with self.services.store._transaction() as connection:
            past = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)
            connection.execute(update(night_table).where(night_table.c.id == night_id).values(ends_at=past))

    def view(self, night_id):
        return gather_night(self.services.store, self.services.config, night_id, base_url="http://x")

    def close(self):
        for services in self._opened:
            asyncio.run(services.aclose())


@pytest.fixture
def house(tmp_path, database_url, redis):
    built = House(tmp_path, database_url, redis.url)
    yield built
    built.close()


async def test_a_night_runs_its_candidates_and_each_baseline_against_itself_first(house):
    baseline = await house.promoted()
    night = house.open()
    entries = house.entries(night.id)
    assert [(entry.purpose, entry.suite, entry.model) for entry in entries] == [
        (Purpose.AA, "echo", "good"),
        (Purpose.CANDIDATE, "echo", "next"),
    ]
    settled = await house.play(night.id)
    assert not settled.void
    assert settled.passed == (house.entries(night.id)[1].run_id,)
    assert house.services.store.run(settled.passed[0]).verdict.baseline_run == baseline


async def test_without_a_baseline_there_is_no_aa_and_nothing_passes(house):
    settled = await house.play(house.open().id)
    assert (settled.passed, settled.failed, len(settled.inconclusive)) == ((), (), 1)


async def test_an_aa_is_never_answered_by_the_cache(house):
    await house.promoted()
    night = house.open()
    await house.play(night.id)
    aa = house.services.store.run(house.entries(night.id)[0].run_id)
    assert aa.use_cache is False and aa.summary.cache_hits == 0


async def test_a_baseline_that_loses_against_itself_voids_the_whole_night(house):
    await house.promoted()
    write_outputs(house.outputs["good"], WRONG)  # what serves production answers otherwise now
    house.build()
    night = house.open()
    settled = await house.play(night.id)
    candidate = house.services.store.run(house.entries(night.id)[1].run_id)
    assert settled.void and settled.passed == ()
    assert "lost against itself" in candidate.void and "echo" in candidate.void
    assert house.view(night.id).word == "VOID"
    with pytest.raises(BadInput, match="lost against itself"):
        house.services.store.promote("echo", "main", candidate.id, "ada", "so what")


async def test_opening_and_starting_again_changes_nothing(house):
    await house.promoted()
    night = house.open()
    assert house.open() == night
    entry = house.entries(night.id)[1]
    first = start_entry(house.services, entry.id, owner="task 1")
    second = start_entry(house.services, entry.id, owner="task 2")
    assert first.run.id == second.run.id and second.run.owner == "task 2"
    assert len(house.services.store.runs(suite="echo")) == 2  # the baseline's and this one


async def test_a_crash_between_admission_and_its_note_admits_nothing_twice(house, monkeypatch):
    night = house.open()
    entry = house.entries(night.id)[0]
    with monkeypatch.context() as crash:
        crash.setattr(house.services.store, "set_entry", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            start_entry(house.services, entry.id, owner="task 1")
    started = start_entry(house.services, entry.id, owner="task 2")
    assert started.run.owner == "task 2"
    assert len(house.services.store.runs(suite="echo")) == 1


async def test_only_who_waits_for_a_run_may_cancel_it_and_its_successor_is_another_run(house):
    night = house.open()
    entry = house.entries(night.id)[0]
    first = start_entry(house.services, entry.id, owner="task 1").run
    start_entry(house.services, entry.id, owner="task 2")
    assert not house.services.store.cancel_owned(first.id, "task 1", "an old task died")
    assert house.services.store.cancel_owned(first.id, "task 2", "marked failed")
    assert house.services.store.run(first.id).state is RunState.CANCELLED
    second = start_entry(house.services, entry.id, owner="task 3").run
    assert second.id != first.id and house.entries(night.id)[0].run_id == second.id


async def test_what_a_window_leaves_goes_on_in_the_next_one_from_where_it_stopped(house):
    first = house.open("one")
    run = start_entry(house.services, house.entries(first.id)[0].id, owner=OWNER).run
    await house.work(run.id, shards=1)
    house.services.store.close_night(first.id, "ended")
    assert watch(house.services.store, run.id).status == "window_closed"
    assert settle(house.services, first.id).unfinished == (run.id,)
    line = house.view(first.id).lines[0]
    assert (line.word, line.title) == ("UNFINISHED", "50 of 60 samples are done")

    second = house.open("two")
    resumed = start_entry(house.services, house.entries(second.id)[0].id, owner="task 2")
    assert resumed.run.id == run.id and resumed.entry.state is EntryState.RESUMED
    assert "goes on after 50 of 60 samples" in resumed.entry.note
    await house.work(run.id)
    assert settle(house.services, second.id).inconclusive == (run.id,)
    assert len(house.services.store.results(run.id)) == SAMPLES


async def test_what_a_window_left_is_dropped_when_the_suite_changed_meanwhile(house):
    first = house.open("one")
    old = start_entry(house.services, house.entries(first.id)[0].id, owner=OWNER).run
    house.services.store.close_night(first.id, "ended")
    house.write_suite(description="another question")
    second = house.open("two")
    fresh = start_entry(house.services, house.entries(second.id)[0].id, owner=OWNER)
    assert fresh.run.id != old.id and fresh.entry.state is EntryState.STARTED
    assert house.services.store.run(old.id).state is RunState.CANCELLED


async def test_an_entry_that_comes_after_the_windows_end_says_that_it_was_too_late(house):
    night = house.open()
    house.over(night.id)
    started = start_entry(house.services, house.entries(night.id)[0].id, owner=OWNER)
    assert started.run is None and "over before it could start" in started.entry.note
    assert house.view(night.id).word == "NOT STARTED"


async def test_one_broken_suite_stops_itself_alone(house):
    (house.folder / "suites" / "other.yaml").write_text("suite: other\ntier: regression\nscorers: [exat]\n")
    night = house.open(suites=("echo", "other"))
    for entry in house.entries(night.id):
        start_entry(house.services, entry.id, owner=OWNER)
    broken, sound = sorted(house.view(night.id).lines, key=lambda line: line.entry.suite, reverse=True)
    assert broken.word == "REFUSED" and "other.yaml" in broken.title
    assert sound.run is not None and sound.run.state is RunState.QUEUED


async def test_an_entry_over_the_team_s_quota_is_refused_with_the_reason(house):
    night = house.open()
    quota = Quota(queued_samples=SAMPLES - 1)
    config = house.services.config.model_copy(update={"teams": {"search": Team(quota=quota)}})
    [entry] = house.entries(night.id)
    started = start_entry(replace(house.services, config=config), entry.id, owner=OWNER)
    assert (started.run, started.entry.state) == (None, EntryState.REFUSED)
    assert "and this run has 60; its quota is 59 (quota.queued_samples): try again" in started.entry.note
    [line] = house.view(night.id).lines
    assert (line.word, line.title) == ("REFUSED", started.entry.note)
    assert house.services.store.runs() == []


async def test_a_dry_run_starts_nothing(house):
    night = house.open(dry_run=True)
    assert start_entry(house.services, house.entries(night.id)[0].id, owner=OWNER).run is None
    assert house.services.store.runs() == []


async def test_a_run_can_be_judged_against_another_than_the_promoted_one(house):
    await house.promoted("good")
    wish = Submission(key="bad", team="search", suite="echo", candidate=Candidate(model="bad"))
    bad = await asyncio.to_thread(flow.submit, house.services, wish)
    await house.work(bad.id)
    night = house.open(baseline=bad.id, models=("bad",))
    settled = await house.play(night.id)
    run = house.services.store.run(settled.passed[0])
    assert run.verdict.baseline_run == bad.id and run.answer is Answer.PASS


@pytest.mark.parametrize(
    "fields, error, words",
    [
        ({"models": ("nxt",)}, UnknownName, "did you mean 'next'"),
        ({"baseline": "gone"}, NotFound, "run 'gone'"),
        ({"minutes": 0}, BadInput, "can't start at"),
    ],
)
async def test_a_night_that_cannot_be_is_refused_before_anything_is_written(house, fields, error, words):
    with pytest.raises(error, match=words):
        house.open(**fields)
    assert house.services.store.nights() == []


async def test_a_change_of_the_verdict_shows(house):
    await house.promoted()
    first, second = house.open("one"), None
    await house.play(first.id)
    assert house.view(first.id).lines[0].changed  # it says something for the first time
    second = house.open("two")
    await house.play(second.id)
    assert not house.view(second.id).lines[0].changed
    write_outputs(house.outputs["next"], WRONG)
    house.build()
    third = house.open("three")
    await house.play(third.id)
    line = house.view(third.id).lines[0]
    assert line.changed and (line.before, line.word) == ("PASS", "FAIL")
    assert [point.score for point in line.trend] == [1.0, 1.0, 0.5]


async def test_an_invalid_dataset_stops_its_suite_alone_and_the_note_names_the_rows(house):
    house.write_rows("other", [*rows(SAMPLES), {"id": "again", "input": "say 7", "target": "7"}])
    night = house.open(suites=("echo", "other"))
    found = validate_night(house.services, night.id)
    assert (found.valid, found.invalid, found.cached) == (("echo",), ("other",), 0)
    settled = await house.play(night.id)
    assert len(settled.inconclusive) == 1
    stopped = next(line for line in house.view(night.id).lines if line.entry.suite == "other")
    assert stopped.word == "INVALID DATASET" and stopped.run is None
    assert "line 8 (s7)" in stopped.entry.note or "line 61 (again)" in stopped.entry.note


async def test_a_repaired_dataset_is_free_again_and_one_that_was_seen_is_not_read_twice(house):
    house.write_rows("echo", [*rows(SAMPLES), {"id": "again", "input": "say 7", "target": "7"}])
    night = house.open()
    assert validate_night(house.services, night.id).invalid == ("echo",)
    house.write_rows("echo", rows(SAMPLES))
    assert validate_night(house.services, night.id).valid == ("echo",)
    again = validate_night(house.services, night.id)
    assert again.valid == ("echo",) and again.cached == 1
    assert (house.folder / again.docs["echo"]).is_file()
    assert start_entry(house.services, house.entries(night.id)[0].id, owner=OWNER).run is not None
