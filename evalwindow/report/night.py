"""NightView: everything that a mail or a page shows of a night, from rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace

from evalwindow.breakers import What
from evalwindow.breakers.ids import team_of
from evalwindow.config import Config, Window
from evalwindow.model import Answer, EntryState, Purpose, RunState
from evalwindow.report.cost import cost_of
from evalwindow.report.gather import gather
from evalwindow.report.headline import Tone
from evalwindow.report.view import RunView
from evalwindow.report.words import without_answer
from evalwindow.store import Store
from evalwindow.store.breaker_rows import BreakerEvent
from evalwindow.store.night_rows import EntryRow, NightRow, TrendPoint
from evalwindow.store.rows import RunRow
from evalwindow.windows import next_occurrence

TREND = 30  # nights
MOST_OPENINGS = 200  # of breakers in one night


@dataclass(frozen=True, kw_only=True)
class NightLine:
    """One entry of a night with what became of it."""

    entry: EntryRow
    over: bool  # the night is: nothing of it runs any more
    run: RunRow | None  # for an unchanged entry the earlier run whose verdict stands
    view: RunView | None  # of a concluded run, where samples were asked for
    before: str | None  # its word in the night before; None: it was in none
    samples: int  # of the run
    samples_left: int  # in shards that are not finished
    trend: tuple[TrendPoint, ...]  # of the candidate, oldest first

    @property
    def word(self) -> str:
        """PASS, FAIL, INCONCLUSIVE, or why there is no such answer."""
        return word_of(self.entry, self.run, over=self.over)

    @property
    def answer(self) -> Answer | None:
        """A void verdict counts as inconclusive; None: there is no verdict."""
        if self.run is None or self.run.state is not RunState.CONCLUDED:
            return None
        return Answer.INCONCLUSIVE if self.run.void else self.run.answer

    @property
    def tone(self) -> Tone:
        return _TONES.get(self.word, Tone.UNSURE)

    @property
    def changed(self) -> bool:
        """It says something else than the night before."""
        return self.word != self.before

    @property
    def title(self) -> str:
        """A sentence."""
        if self.run is not None and self.run.void:
            return self.run.void
        if self.run is not None and self.run.verdict is not None:
            return without_answer(self.run.verdict.title)
        if self.word == "UNFINISHED":
            return f"{self.samples - self.samples_left} of {self.samples} samples are done"
        reason = self.entry.note or (self.run.error if self.run else None)
        return reason.splitlines()[0] if reason else ""


@dataclass(frozen=True, kw_only=True)
class NightCost:
    """What the night's own runs used, and what a GPU job for each of them would have."""

    gpu_s: float
    money: float
    cold_gpu_s: float
    cold_money: float
    cache_hits: int
    results: int

    @property
    def saved(self) -> float | None:
        """Share of the cold jobs' GPU-seconds that were not spent, 0..1."""
        return 1 - self.gpu_s / self.cold_gpu_s if self.cold_gpu_s else None


@dataclass(frozen=True, kw_only=True)
class NightView:
    """A night as its readers see it."""

    night: NightRow
    window: Window | None  # None: evalwindow.yaml has none of this name any more
    lines: tuple[NightLine, ...]  # candidates, the worst first
    aa: tuple[NightLine, ...]  # the baselines against themselves
    cost: NightCost
    over: bool
    next_start: dt.datetime | None  # of the window, after this night
    url: str  # of the run pages' list
    openings: tuple[BreakerEvent, ...] = ()  # of breakers, while it went on; of its own team and of what all share

    @property
    def timezone(self) -> str:
        """IANA name of the window's."""
        return self.window.timezone if self.window else "UTC"

    @property
    def worst(self) -> NightLine | None:
        return self.lines[0] if self.lines else None

    @property
    def word(self) -> str:
        """VOID, or the worst line's word."""
        if self.night.void:
            return "VOID"
        return self.worst.word if self.worst else "EMPTY"

    @property
    def tone(self) -> Tone:
        return _TONES.get(self.word, Tone.UNSURE)


def gather_night(
    store: Store,
    config: Config,
    night_id: str,
    *,
    base_url: str,
    samples: bool = True,
    now: dt.datetime | None = None,
) -> NightView:
    """Everything that is shown of a night; raises NotFound. `samples` False leaves out views and trends."""
    night = store.night(night_id)
    now = now or dt.datetime.now(dt.UTC)
    lines = []
    for entry in store.entries(night_id):
        line = _line(store, entry, night=night, over=is_over(night, now))
        lines.append(_with_samples(store, config, line, branch=night.branch, base_url=base_url) if samples else line)
    view = night_view(night, lines, config=config, spent_s=store.spent(night_id), base_url=base_url, now=now)
    return replace(view, openings=_openings(store, night, now=now))


def night_view(
    night: NightRow, lines: Sequence[NightLine], *, config: Config, spent_s: float, base_url: str, now: dt.datetime
) -> NightView:
    """The view of a night whose lines and GPU-seconds are known."""
    window = config.windows.get(night.window)
    upcoming = next_occurrence(window, max(now, night.starts_at)) if window else None
    candidates = [line for line in lines if line.entry.purpose is Purpose.CANDIDATE]
    return NightView(
        night=night,
        window=window,
        lines=tuple(sorted(candidates, key=_urgency)),
        aa=tuple(line for line in lines if line.entry.purpose is Purpose.AA),
        cost=_cost(lines, config=config, spent_s=spent_s),
        over=is_over(night, now),
        next_start=upcoming.start if upcoming else None,
        url=f"{base_url}/runs",
    )


def _openings(store: Store, night: NightRow, *, now: dt.datetime) -> tuple[BreakerEvent, ...]:
    """The oldest first."""
    until = min(now, night.end)
    found = store.breaker_events(MOST_OPENINGS, what=What.OPENED, since=night.starts_at, until=until)
    return tuple(event for event in reversed(found) if team_of(event.breaker_id) in (None, night.team))


def is_over(night: NightRow, now: dt.datetime) -> bool:
    """Nothing of it runs any more."""
    return night.settled_at is not None or now >= night.end


def word_of(entry: EntryRow, run: RunRow | None, *, over: bool) -> str:
    """An entry's outcome in a word or two, upper case."""
    if run is None:
        words = {EntryState.INVALID: "INVALID DATASET", EntryState.REFUSED: "REFUSED"}
        return words.get(entry.state, "NOT STARTED" if over else "PLANNED")
    if run.state is RunState.CONCLUDED:
        return "VOID" if run.void else run.answer.upper() if run.answer else "CONCLUDED"
    if not run.state.final:
        return "UNFINISHED" if over else "RUNNING"
    return {RunState.FAILED: "ERROR"}.get(run.state, run.state.upper())


def _line(store: Store, entry: EntryRow, *, night: NightRow, over: bool) -> NightLine:
    run = store.run(entry.run_id) if entry.run_id else None
    left, samples = store.left(run.id) if run else (0, 0)
    return NightLine(
        entry=entry,
        over=over,
        run=run,
        view=None,
        before=_before(store, entry, window=night.window),
        samples=samples,
        samples_left=left,
        trend=(),
    )


def _with_samples(store: Store, config: Config, line: NightLine, *, branch: str, base_url: str) -> NightLine:
    concluded = line.run is not None and line.run.state is RunState.CONCLUDED
    view = gather(store, config, line.run.id, base_url=base_url) if line.run is not None and concluded else None
    return replace(line, view=view, trend=_trend(store, line.entry, branch=branch))


def _before(store: Store, entry: EntryRow, *, window: str) -> str | None:
    last = store.last_entry(entry, window=window, states=EntryState)
    if last is None:
        return None
    return word_of(last, store.run(last.run_id) if last.run_id else None, over=True)


def _trend(store: Store, entry: EntryRow, *, branch: str) -> tuple[TrendPoint, ...]:
    if entry.purpose is not Purpose.CANDIDATE:
        return ()
    return tuple(store.trend(entry.suite, branch=branch, model=entry.model, limit=TREND))


def _cost(lines: Sequence[NightLine], *, config: Config, spent_s: float) -> NightCost:
    """What an unchanged entry stands by cost nothing this night; a job of its own would have run it."""
    runs = [(line, line.run) for line in lines if line.run is not None and line.run.summary is not None]
    judged = [(line, cost_of((), pool=config.pools.get(run.pool), summary=run.summary)) for line, run in runs]
    own = [cost for line, cost in judged if line.entry.state.runs]
    summaries = [run.summary for line, run in runs if run.summary is not None and line.entry.state.runs]
    return NightCost(
        gpu_s=spent_s,
        money=sum(cost.money for cost in own),
        cold_gpu_s=sum(cost.cold_gpu_s or 0.0 for _, cost in judged),
        cold_money=sum(cost.cold_money or 0.0 for _, cost in judged),
        cache_hits=sum(summary.cache_hits for summary in summaries),
        results=sum(summary.results for summary in summaries),
    )


def _urgency(line: NightLine) -> tuple[int, str, str]:
    known = _ORDER.index(line.word) if line.word in _ORDER else len(_ORDER)
    return (known, line.entry.suite, line.entry.model)


_ORDER = (
    *("FAIL", "INVALID DATASET", "ERROR", "REFUSED", "CANCELLED", "VOID", "NOT STARTED", "UNFINISHED"),
    *("INCONCLUSIVE", "SUPERSEDED", "RUNNING", "PLANNED", "CONCLUDED", "PASS"),
)
_TONES = {
    "PASS": Tone.GOOD,
    "FAIL": Tone.BAD,
    "ERROR": Tone.BAD,
    "INVALID DATASET": Tone.BAD,
    "REFUSED": Tone.BAD,
    "PLANNED": Tone.IDLE,
    "RUNNING": Tone.IDLE,
    "EMPTY": Tone.IDLE,
}
