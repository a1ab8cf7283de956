"""A suite over its nights: score, latency and GPU-seconds of each candidate, and what the A/A runs say of the noise."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from evalwindow.errors import NotFound
from evalwindow.model import Purpose
from evalwindow.report import words
from evalwindow.report.chart import Chart, Reading, chart
from evalwindow.report.links import Links
from evalwindow.report.listing import score_of
from evalwindow.report.page import render
from evalwindow.store import Store
from evalwindow.store.night_rows import TrendPoint
from evalwindow.store.overview import NightSuite
from evalwindow.store.rows import RunRow

NIGHTS = 30


@dataclass(frozen=True, kw_only=True)
class Trend:
    """One model's line."""

    model: str
    points: tuple[TrendPoint, ...]  # oldest first
    charts: tuple[Chart, ...]


@dataclass(frozen=True, kw_only=True)
class TrendsView:
    """The trends of one suite on one branch."""

    suites: tuple[NightSuite, ...]  # that there are trends of
    chosen: NightSuite | None
    baseline: RunRow | None  # the active one
    candidates: tuple[Trend, ...]
    aa: tuple[Trend, ...]  # the baselines against themselves; by the baseline's model


def trends_page(store: Store, *, links: Links, team: str | None, suite: str | None, branch: str | None) -> str:
    """`suite` None is the first that there is; `team` None sees all. Raises NotFound for a suite without nights."""
    view = gather_trends(store, links=links, team=team, suite=suite, branch=branch)
    return render("trends.html", view=view, links=links)


def gather_trends(
    store: Store, *, links: Links, team: str | None, suite: str | None = None, branch: str | None = None
) -> TrendsView:
    suites = tuple(store.night_suites(team=team))
    chosen = _chosen(suites, suite=suite, branch=branch)
    if chosen is None:
        return TrendsView(suites=(), chosen=None, baseline=None, candidates=(), aa=())
    trend = partial(store.trend, chosen.suite, branch=chosen.branch, team=team, limit=NIGHTS)
    by_model = {model: trend(model=model) for model in chosen.models}
    aa = trend(purpose=Purpose.AA)
    baseline = _baseline(store, chosen)
    times = _times([*aa, *(point for points in by_model.values() for point in points)])
    return TrendsView(
        suites=suites,
        chosen=chosen,
        baseline=baseline,
        candidates=tuple(
            Trend(
                model=model,
                points=tuple(points),
                charts=_candidate_charts(points, times=times, baseline=baseline, links=links),
            )
            for model, points in by_model.items()
        ),
        aa=tuple(
            Trend(model=model, points=points, charts=_aa_charts(points, times=times, links=links))
            for model, points in _by_model(aa).items()
        ),
    )


def _chosen(suites: Sequence[NightSuite], *, suite: str | None, branch: str | None) -> NightSuite | None:
    if suite is None:
        return suites[0] if suites else None
    fitting = (each for each in suites if each.suite == suite and branch in (None, each.branch))
    found = next(fitting, None)
    if found is None:
        raise NotFound(kind="trend of suite", name=suite)
    return found


def _baseline(store: Store, chosen: NightSuite) -> RunRow | None:
    """A promoted run is everybody's reference, whosever it is."""
    row = store.baseline(chosen.suite, chosen.branch)
    return store.run(row.run_id) if row else None


def _by_model(points: Sequence[TrendPoint]) -> dict[str, tuple[TrendPoint, ...]]:
    return {
        model: tuple(point for point in points if point.model == model)
        for model in sorted({point.model for point in points})
    }


def _times(points: Sequence[TrendPoint]) -> tuple[dt.datetime, dt.datetime]:
    """One span for all charts, so that they can be read below each other."""
    moments = [point.at for point in points] or [dt.datetime.now(dt.UTC)]
    return min(moments), max(moments)


def _candidate_charts(
    points: Sequence[TrendPoint],
    *,
    times: tuple[dt.datetime, dt.datetime],
    baseline: RunRow | None,
    links: Links,
) -> tuple[Chart, ...]:
    level = score_of(baseline) if baseline else None
    charts = (
        chart(
            "Score",
            [_reading(point, point.score, words.percent(point.score), links) for point in points],
            times=times,
            show=words.short_percent,
            level=None if level is None else ("baseline", level),
            ceiling=1.0,
        ),
        chart(
            "Median latency",
            [_reading(point, point.latency_s, words.seconds(point.latency_s), links) for point in points],
            times=times,
            show=words.short_seconds,
            from_zero=True,
        ),
        chart(
            "GPU time",
            [_reading(point, point.gpu_s, words.seconds(point.gpu_s), links) for point in points],
            times=times,
            show=words.short_seconds,
            from_zero=True,
        ),
    )
    return tuple(each for each in charts if each is not None)


def _aa_charts(
    points: Sequence[TrendPoint], *, times: tuple[dt.datetime, dt.datetime], links: Links
) -> tuple[Chart, ...]:
    readings = [_reading(point, point.flips, words.percent(point.flips), links) for point in points]
    title = "Samples that changed sides"
    drawn = chart(title, readings, times=times, show=words.short_percent, from_zero=True, ceiling=1.0)
    return (drawn,) if drawn else ()


def _reading(point: TrendPoint, value: float | None, shown: str, links: Links) -> Reading:
    kind = "void" if point.void else point.answer.value if point.answer else "none"
    label = f"{shown}, {kind}, {words.moment(point.at)}"
    return Reading(at=point.at, value=value, kind=kind, label=label, url=links.run(point.run_id))
