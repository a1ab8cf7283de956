"""The nights and the latest regression runs: the page that one starts from."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evalwindow.config import Config
from evalwindow.errors import BadInput
from evalwindow.model import Answer, Purpose, Tier
from evalwindow.report.links import Links
from evalwindow.report.listing import ListedRun
from evalwindow.report.night import NightLine, NightView, is_over, night_view
from evalwindow.report.night_words import headline, sentence
from evalwindow.report.page import render
from evalwindow.store import Store
from evalwindow.store.night_rows import EntryRow, NightRow
from evalwindow.store.rows import RunRow
from evalwindow.windows import next_occurrence

NIGHTS, RUNS = 14, 25  # on a page
SHOWN_SUITES = 6  # of a night, the worst first
VERDICTS = (*(answer.value for answer in Answer), "void")


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What of the nights and runs is to be shown; None: all."""

    before: str | None = None  # nights before this one
    runs_before: str | None = None
    suite: str | None = None
    model: str | None = None
    verdict: str | None = None  # one of VERDICTS

    @property
    def filters(self) -> dict[str, str | None]:
        return {"suite": self.suite, "model": self.model, "verdict": self.verdict}


@dataclass(frozen=True, kw_only=True)
class ListedNight:
    """A night as a row."""

    view: NightView
    suites: tuple[tuple[str, tuple[NightLine, ...]], ...]  # (name, entries) of those with the worst entries
    more: int  # suites that are not shown

    @property
    def samples(self) -> int:
        """Of the runs that it has begun."""
        return sum(line.samples for line in self._begun)

    @property
    def done(self) -> int:
        return self.samples - sum(line.samples_left for line in self._begun)

    @property
    def waiting(self) -> int:
        """Entries that have no run yet."""
        return sum(line.word == "PLANNED" for line in (*self.view.lines, *self.view.aa))

    @property
    def _begun(self) -> tuple[NightLine, ...]:
        return tuple(line for line in (*self.view.lines, *self.view.aa) if line.run is not None)


@dataclass(frozen=True, kw_only=True)
class NightsView:
    """The page's content."""

    nights: tuple[ListedNight, ...]
    older_nights: str | None  # before which the next page starts
    runs: tuple[ListedRun, ...]
    older_runs: str | None
    suites: tuple[str, ...]  # to filter by
    models: tuple[str, ...]
    wish: Wish
    first_start: dt.datetime | None  # of any window, for who has no night yet


def nights_page(store: Store, config: Config, *, links: Links, team: str | None, wish: Wish, notice: str = "") -> str:
    """`team` None sees all; `notice` is a sentence for the top. Raises BadInput for a filter that does not exist."""
    view = gather_nights(store, config, team=team, wish=wish)
    latest = view.nights[0].view if view.nights and wish.before is None else None
    return render(
        "nights.html",
        view=view,
        links=links,
        notice=notice,
        verdicts=VERDICTS,
        latest=latest,
        headline=headline(latest) if latest else "",
        sentence=sentence(latest) if latest else "",
    )


def gather_nights(
    store: Store, config: Config, *, team: str | None, wish: Wish, now: dt.datetime | None = None
) -> NightsView:
    """Summaries only: no sample is read, and the number of statements does not depend on the number of nights."""
    now = now or dt.datetime.now(dt.UTC)
    nights = store.nights(NIGHTS + 1, team=team, before=wish.before)
    runs = store.runs(
        RUNS + 1,
        team=team,
        tier=Tier.REGRESSION,
        suite=wish.suite,
        model=wish.model,
        before=wish.runs_before,
        answer=_answer(wish.verdict),
        void=None if wish.verdict is None else wish.verdict == "void",
    )
    suites, models = store.run_names(team=team)
    return NightsView(
        nights=_listed(store, config, nights[:NIGHTS], now=now),
        older_nights=nights[NIGHTS - 1].id if len(nights) > NIGHTS else None,
        runs=tuple(ListedRun(run=run) for run in runs[:RUNS]),
        older_runs=runs[RUNS - 1].id if len(runs) > RUNS else None,
        suites=suites,
        models=models,
        wish=wish,
        first_start=_first_start(config, team=team, now=now),
    )


def _answer(verdict: str | None) -> Answer | None:
    if verdict is None or verdict == "void":
        return None
    if verdict not in VERDICTS:
        raise BadInput(f"verdict {verdict!r} is none; filter by {', '.join(VERDICTS)}")
    return Answer(verdict)


def _listed(store: Store, config: Config, nights: list[NightRow], *, now: dt.datetime) -> tuple[ListedNight, ...]:
    night_ids = [night.id for night in nights]
    entries, spent = store.entries_of(night_ids), store.spent_of(night_ids)
    runs = store.runs_by_id({entry.run_id for of_night in entries.values() for entry in of_night if entry.run_id})
    left = store.left_of(run.id for run in runs.values() if not run.state.final)
    return tuple(
        _row(
            night_view(
                night,
                [_line(entry, runs, left, over=is_over(night, now)) for entry in entries.get(night.id, ())],
                config=config,
                spent_s=spent[night.id],
                base_url="",
                now=now,
            )
        )
        for night in nights
    )


def _line(entry: EntryRow, runs: Mapping[str, RunRow], left: Mapping[str, tuple[int, int]], *, over: bool) -> NightLine:
    run = runs[entry.run_id] if entry.run_id else None
    samples_left, samples = left.get(run.id, (0, 0)) if run else (0, 0)
    if run is not None and run.summary is not None:
        samples = run.summary.samples
    return NightLine(
        entry=entry, over=over, run=run, view=None, before=None, samples=samples, samples_left=samples_left, trend=()
    )


def _row(view: NightView) -> ListedNight:
    lines = (*view.lines, *view.aa)
    suites = tuple(dict.fromkeys(line.entry.suite for line in lines))
    shown = tuple((suite, _of_suite(lines, suite)) for suite in sorted(suites[:SHOWN_SUITES]))
    return ListedNight(view=view, suites=shown, more=len(suites) - len(shown))


def _of_suite(lines: Sequence[NightLine], suite: str) -> tuple[NightLine, ...]:
    """By model, the A/A entry last: each night's row reads alike."""
    mine = (line for line in lines if line.entry.suite == suite)
    return tuple(sorted(mine, key=lambda line: (line.entry.purpose is Purpose.AA, line.entry.model)))


def _first_start(config: Config, *, team: str | None, now: dt.datetime) -> dt.datetime | None:
    """When the next window opens; None: there is none for the team."""
    windows = [window for window in config.windows.values() if team in (None, window.team)]
    upcoming = [next_occurrence(window, now) for window in windows]
    return min((each.start for each in upcoming if each is not None), default=None)
