"""Two weeks of nights as they might have been, through the store's own methods; then their times are moved back."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import delete, select, text

from evalwindow.comparable import comparable_results
from evalwindow.config import Limits
from evalwindow.gate import judge
from evalwindow.metrics import summarise
from evalwindow.model import (
    Candidate,
    Completion,
    EngineInfo,
    EntryState,
    Purpose,
    Sample,
    SampleResult,
    Score,
    Source,
    Usage,
)
from evalwindow.store import Store
from evalwindow.store.night_rows import EntryRow, NewEntry, NewNight, NightRow
from evalwindow.store.night_tables import night, night_entry
from evalwindow.store.rows import ClaimedShard, NewRun
from evalwindow.store.tables import baseline, run
from evalwindow.suites import Suite, load_suite
from tests.airflow.answers import answer_to, difficulty, evenly, skill_of
from tests.fixtures.results import mark_done, write_down

ROOT = Path(__file__).parents[2]
ZONE = ZoneInfo("Europe/Berlin")
SUITES = ("demo-regression", "gsm8k")
MODELS = ("demo-as-good", "demo-lost-sort")
BASE_MODEL = "demo"
SHARDS = 2  # a run
HOURS = dt.timedelta(hours=8)

INVALID_NOTE = (
    "dataset of gsm8k: 2 of 9 checks failed\n"
    "line 112 (gsm8k-0112): target is empty\n"
    "line 301 (gsm8k-0301): the prompt is the same as in line 17 (gsm8k-0017)"
)
VOID = (
    "the A/A comparison failed: demo-regression's baseline, run again, lost against itself (all fell by 4.1 points "
    "(−6.0 … −2.2) where 3 are tolerated); engine, weights or hardware changed, so no verdict of this night counts"
)


@dataclass(frozen=True, kw_only=True)
class Story:
    """In which night what happens, counted from 0."""

    cut: int = 5  # its window ends before the last run is done
    void: int = 8  # the engine drifted: the A/A fails
    invalid: int = 9  # a dataset is
    unchanged: int = 10  # one candidate
    lost_sort: int = 11  # from this night on another one


@dataclass
class Seeded:
    """What was written, oldest first."""

    nights: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    baselines: dict[str, str] = field(default_factory=dict)  # suite -> run
    counted: dict[tuple[str, str], str] = field(
        default_factory=dict
    )  # (suite, model) -> the latest verdict that counts


@dataclass(frozen=True)
class Seed:
    """A store to fill, with so many samples a suite."""

    store: Store
    nights: int = 14
    samples: Mapping[str, int] = field(default_factory=lambda: {"demo-regression": 240, "gsm8k": 120})
    window: str = "nightly"
    team: str = "search"
    story: Story = Story()
    chance: random.Random = field(default_factory=lambda: random.Random(7))

    def sow(self, *, open_night: bool = True) -> Seeded:
        """The nights; the last one is under way where `open_night`."""
        seeded, suites = Seeded(), [self._suite(name) for name in SUITES]
        now = dt.datetime.now(ZONE)
        today = now.replace(hour=22, minute=0, second=0, microsecond=0)
        for suite in suites:
            run_id = self._first_baseline(suite, at=today - dt.timedelta(days=self.nights + 1))
            self.store.promote(suite.name, "main", run_id, "ann", "release 4")
            seeded.baselines[suite.name] = run_id
        for number in range(self.nights):
            under_way = open_night and number == self.nights - 1
            start = now - dt.timedelta(minutes=50) if under_way else today - dt.timedelta(days=self.nights - number)
            self._night(number, suites, seeded, start=start, under_way=under_way)
        return seeded

    def open_by_hand(self, key: str) -> NightRow:
        """A night without entries."""
        return self._open(dt.datetime.now(ZONE), key=key)

    def reap(self) -> None:
        """Delete the window's nights, and all runs and baselines that were sown for it."""
        ours = select(night.c.id).where(night.c.window == self.window)
        sown = select(run.c.id).where(run.c.key.startswith(f"{self.window}:"))
        with self.store._transaction() as connection:
            connection.execute(delete(night_entry).where(night_entry.c.night_id.in_(ours)))
            connection.execute(delete(baseline).where(baseline.c.run_id.in_(sown)))
            connection.execute(delete(run).where(run.c.id.in_(sown)))
            connection.execute(delete(night).where(night.c.window == self.window))

    def _suite(self, name: str) -> Suite:
        whole = load_suite(ROOT / "suites" / f"{name}.yaml", Limits())
        count = self.samples[name]
        suite = replace(whole, samples=evenly(whole.samples, count), dataset_digest=f"{count:064x}")
        self.store.put_suite(suite)
        return suite

    def _first_baseline(self, suite: Suite, *, at: dt.datetime) -> str:
        run_id = self._admit(suite, BASE_MODEL, key=f"{self.window}:baseline:{suite.name}", night=None, baseline=None)
        self._answer(suite, run_id, skill=skill_of(suite, BASE_MODEL, 0), drift=0.0)
        self._conclude(suite, run_id, baseline=None)
        self._move(run_id, start=at, minutes=6)
        return run_id

    def _night(
        self, number: int, suites: Sequence[Suite], seeded: Seeded, *, start: dt.datetime, under_way: bool
    ) -> None:
        night = self._open(start, key=f"{self.window}_regression/scheduled__{start.isoformat()}")
        aa = [
            NewEntry(suite=suite.name, model=BASE_MODEL, purpose=Purpose.AA, baseline_run=seeded.baselines[suite.name])
            for suite in suites
        ]
        candidates = [NewEntry(suite=suite.name, model=model) for suite in suites for model in MODELS]
        named = {suite.name: suite for suite in suites}
        entries = self.store.plan(night.id, [*aa, *candidates])
        for position, entry in enumerate(entries):
            reached = not under_way or position < len(entries) - 2
            half = under_way and position == len(entries) - 3
            if reached:
                self._entry(number, named[entry.suite], entry, seeded, half=half, start=start)
        if not under_way:
            self.store.settle(night.id, void=VOID if number == self.story.void else None)
        self._move_night(night.id, start)
        seeded.nights.append(night.id)

    def _entry(
        self, number: int, suite: Suite, entry: EntryRow, seeded: Seeded, *, half: bool, start: dt.datetime
    ) -> None:
        store, candidate = self.store, entry.purpose is Purpose.CANDIDATE
        if candidate and number == self.story.invalid and suite.name == "gsm8k":
            store.set_entry(entry.id, EntryState.INVALID, note=INVALID_NOTE)
            return
        if candidate and number == self.story.unchanged and entry.model == "demo-as-good":
            earlier = seeded.counted[suite.name, entry.model]
            note = f"unchanged since run {earlier}: suite, data, model, engine and baseline are the same"
            store.set_entry(entry.id, EntryState.UNCHANGED, run_id=earlier, note=note)
            return
        baseline = seeded.baselines[suite.name]
        run_id = self._admit(
            suite, entry.model, key=f"{self.window}:{entry.id}", night=entry.night_id, baseline=baseline
        )
        store.set_entry(entry.id, EntryState.STARTED, run_id=run_id)
        skill = skill_of(suite, entry.model, number)
        drift = 0.05 if number == self.story.void else 0.002 if not candidate else 0.008
        cut = half or (
            candidate and number == self.story.cut and (suite.name, entry.model) == ("gsm8k", "demo-lost-sort")
        )
        lost = "sort" if self._loses_sort(number, entry) else ""
        self._answer(suite, run_id, skill=skill, drift=drift, lost=lost, half=cut)
        if not cut:
            self._conclude(suite, run_id, baseline=baseline)
            if candidate and number != self.story.void:
                seeded.counted[suite.name, entry.model] = run_id
        self._move(run_id, start=start + dt.timedelta(minutes=4 + entry.seq * 9), minutes=8)
        seeded.runs.append(run_id)

    def _loses_sort(self, number: int, entry: EntryRow) -> bool:
        return (entry.suite, entry.model) == ("demo-regression", "demo-lost-sort") and number >= self.story.lost_sort

    def _open(self, start: dt.datetime, *, key: str) -> NightRow:
        now = dt.datetime.now(dt.UTC)
        dag_run = key.partition("/")[2].replace("+", "%2B")
        return self.store.open_night(
            NewNight(
                key=key,
                window=self.window,
                team=self.team,
                branch="main",
                starts_at=now,
                ends_at=now + HOURS,
                budget_gpu_s=3600,
                url=f"http://127.0.0.1:8080/dags/{self.window}_regression/runs/{dag_run}",
            )
        )

    def _admit(self, suite: Suite, model: str, *, key: str, night: str | None, baseline: str | None) -> str:
        new = NewRun(
            key=key,
            team=self.team,
            suite=suite.name,
            suite_digest=suite.digest,
            tier=suite.tier,
            pool="warm",
            model=model,
            candidate=Candidate(model=model),
            source=Source(branch="main"),
            night_id=night,
            baseline_run=baseline,
        )
        ids = [sample.id for sample in suite.samples]
        size = -(-len(ids) // SHARDS)
        run_id, _ = self.store.admit(new, [ids[at : at + size] for at in range(0, len(ids), size)])
        engine = EngineInfo(engine="vllm", version="0.32.0", model_digest="c0ffee" * 10, dtype="float32")
        self.store.note_engine(run_id, engine)
        return run_id

    def _answer(
        self, suite: Suite, run_id: str, *, skill: float, drift: float, lost: str = "", half: bool = False
    ) -> None:
        """Answers to every sample, or to the first half; `lost` names the slice that is always wrong."""
        shards = self.store.shards(run_id)
        for shard in shards[: len(shards) // 2] if half else shards:
            claimed = self.store.claim(shard.id, "seed", 600)
            assert claimed is not None
            found = self._results(suite, claimed, skill, drift, lost)
            write_down(self.store, run_id, claimed.id, claimed.token, found)
            mark_done(self.store, claimed)

    def _results(
        self, suite: Suite, claimed: ClaimedShard, skill: float, drift: float, lost: str
    ) -> Iterator[SampleResult]:
        for sample_id in claimed.sample_ids:
            sample = suite.sample(sample_id)
            right = difficulty(sample) < skill and lost not in sample.slices
            if self.chance.random() < drift:
                right = not right
            yield self._result(suite, sample, right=right)

    def _result(self, suite: Suite, sample: Sample, *, right: bool) -> SampleResult:
        answer = answer_to(sample, right=right)
        busy = self.chance.lognormvariate(-3.2, 0.4)
        usage = Usage(prompt_tokens=60, cached_tokens=32, output_tokens=20, queue_s=0.01, engine_s=busy, gpu_s=busy / 3)
        return SampleResult(
            sample_id=sample.id,
            epoch=0,
            scores={suite.primary: Score(value=float(right), reason="" if right else "differs from the target")},
            completion=Completion(text=answer, usage=usage),
            latency_s=busy + 0.02,
        )

    def _conclude(self, suite: Suite, run_id: str, *, baseline: str | None) -> None:
        results = self.store.results(run_id)
        known = comparable_results(self.store, suite, baseline) if baseline else None
        verdict = judge(suite, results, known, baseline_run=baseline)
        assert self.store.conclude(run_id, summarise(suite, results, wall_s=300.0), verdict, ())

    def _move(self, run_id: str, *, start: dt.datetime, minutes: float) -> None:
        end = start + dt.timedelta(minutes=minutes)
        self._execute(
            "UPDATE run SET created_at = :start, started_at = :start,"
            " concluded_at = CASE WHEN concluded_at IS NOT NULL THEN CAST(:end AS timestamptz) END WHERE id = :id",
            start=start,
            end=end,
            id=run_id,
        )
        self._execute("UPDATE result SET at = :end WHERE run_id = :id", end=end, id=run_id)

    def _move_night(self, night_id: str, start: dt.datetime) -> None:
        self._execute("UPDATE run SET window_end = :end WHERE night_id = :id", end=start + HOURS, id=night_id)
        self._execute(
            "UPDATE night SET starts_at = :start, created_at = :start, ends_at = :end,"
            " settled_at = CASE WHEN settled_at IS NOT NULL THEN CAST(:end AS timestamptz) END WHERE id = :id",
            start=start,
            end=start + HOURS,
            id=night_id,
        )

    def _execute(self, statement: str, **values: object) -> None:
        with self.store._transaction() as connection:
            connection.execute(text(statement), values)
