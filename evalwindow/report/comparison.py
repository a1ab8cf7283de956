"""Two runs of a suite side by side: what the gate says, what flipped, and where the answers differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from evalwindow.comparable import Compared, compare
from evalwindow.config import Config
from evalwindow.errors import BadInput
from evalwindow.model import RunState, SampleResult
from evalwindow.report.gather import run_url
from evalwindow.report.links import Links
from evalwindow.report.page import render
from evalwindow.report.plot import axis_of
from evalwindow.report.view import Flip, RunView, SampleView, build_view
from evalwindow.report.worddiff import Part, word_diff
from evalwindow.report.words import visible
from evalwindow.store import Store
from evalwindow.store.rows import RunRow

PAGE = 200  # samples
SHOWS = {"down": "Lost", "up": "Won", "text": "Same side, other words", "same": "The same words"}


@dataclass(frozen=True, kw_only=True)
class AnswerPair:
    """One epoch of both runs."""

    here: SampleResult | None
    there: SampleResult | None
    here_parts: tuple[Part, ...]  # of the answer's text
    there_parts: tuple[Part, ...]


@dataclass(frozen=True, kw_only=True)
class SampleDiff:
    """One sample of both runs; the prompt is that of `run`."""

    sample: SampleView
    kind: str  # a key of SHOWS

    @property
    def pairs(self) -> tuple[AnswerPair, ...]:
        """Epochs in order, worked out when asked for: only a page of them is shown."""
        return tuple(_pair(*pair) for pair in zip_longest(self.sample.results, self.sample.baseline))


@dataclass(frozen=True, kw_only=True)
class ComparisonView:
    """`view` is the run with the verdict that it would have if `other` were the baseline."""

    view: RunView
    other: RunRow
    paired: int  # samples that both runs answered
    counts: dict[str, int]  # by key of SHOWS; "all": every sample
    show: str
    page: int  # from 1
    pages: int
    samples: tuple[SampleDiff, ...]  # of this page: what was lost first


def comparison_page(
    store: Store,
    config: Config,
    *,
    run: str,
    other: str,
    team: str | None,
    links: Links,
    show: str | None = None,
    page: int = 1,
) -> str:
    """`show` is a key of SHOWS or "all". Raises NotFound, and BadInput for runs that can't be compared."""
    compared = compare(store, run=run, other=other, team=team)
    view = comparison_view(compared, config, show=show or "all", page=page)
    return render(
        "compare.html", comparison=view, view=view.view, axis=axis_of(view.view.checks), links=links, shows=SHOWS
    )


def comparison_view(compared: Compared, config: Config, *, show: str, page: int) -> ComparisonView:
    if show not in SHOWS and show != "all":
        raise BadInput(f"show {show!r} is no filter; choose one of all, {', '.join(SHOWS)}")
    view = _view(compared, config)
    diffs = [SampleDiff(sample=sample, kind=_kind(sample)) for sample in view.samples]
    diffs.sort(key=lambda diff: tuple(SHOWS).index(diff.kind))
    counts = {kind: sum(diff.kind == kind for diff in diffs) for kind in SHOWS} | {"all": len(diffs)}
    chosen = [diff for diff in diffs if show in ("all", diff.kind)]
    pages = max(1, -(-len(chosen) // PAGE))
    page = min(max(page, 1), pages)
    return ComparisonView(
        view=view,
        other=compared.other,
        paired=len({result.sample_id for result in compared.results} & {result.sample_id for result in compared.known}),
        counts=counts,
        show=show,
        page=page,
        pages=pages,
        samples=tuple(chosen[(page - 1) * PAGE : page * PAGE]),
    )


def _view(compared: Compared, config: Config) -> RunView:
    """The run as if it had been judged against the other; what voided its own verdict says nothing about this one."""
    judged = replace(
        compared.run, state=RunState.CONCLUDED, verdict=compared.verdict, answer=compared.verdict.answer, void=None
    )
    return build_view(
        run=judged,
        suite=compared.suite,
        results=compared.results,
        baseline=compared.known,
        pool=config.pools.get(compared.run.pool),
        url=run_url(compared.run.id, base_url=""),
    )


def _kind(sample: SampleView) -> str:
    if sample.flip is not Flip.NONE:
        return "down" if sample.flip is Flip.DOWN else "up"
    if any(result.removed_after_days is not None for result in (*sample.results, *sample.baseline)):
        return "same"  # as far as can be told: one of the texts is kept no longer
    return "same" if _texts(sample.results) == _texts(sample.baseline) else "text"


def _texts(results: Sequence[SampleResult]) -> list[str | None]:
    return [_text(result) for result in results]


def _text(result: SampleResult | None) -> str | None:
    if result is None or result.completion is None or result.removed_after_days is not None:
        return None
    return result.completion.text


def _pair(here: SampleResult | None, there: SampleResult | None) -> AnswerPair:
    mine, theirs = _text(here), _text(there)
    if mine is None or theirs is None:  # nothing to compare with: nothing is marked
        parts = tuple(() if text is None else (Part(visible(text), False),) for text in (mine, theirs))
        return AnswerPair(here=here, there=there, here_parts=parts[0], there_parts=parts[1])
    here_parts, there_parts = word_diff(visible(mine), visible(theirs))
    return AnswerPair(here=here, there=there, here_parts=here_parts, there_parts=there_parts)
