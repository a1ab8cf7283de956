"""The page of one night: what it was to run, what became of it, what it cost, and where to look further."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from evalwindow.config import Config
from evalwindow.errors import NotFound
from evalwindow.report.links import Links
from evalwindow.report.listing import score_of
from evalwindow.report.night import NightLine, NightView, gather_night
from evalwindow.report.night_words import headline, sentence
from evalwindow.report.page import render
from evalwindow.report.words import without_answer
from evalwindow.store import Store


@dataclass(frozen=True, kw_only=True)
class NightRowView:
    """An entry with where to look further."""

    line: NightLine
    before: str | None  # the run that the night before had for the same question

    @property
    def done(self) -> int:
        return self.line.samples - self.line.samples_left

    @property
    def score(self) -> float | None:
        return score_of(self.line.run) if self.line.run else None

    @property
    def sentence(self) -> str:
        """What the verdict said, also where it does not count: why it does not stands above."""
        run = self.line.run
        voided = run is not None and run.void is not None and run.verdict is not None
        return without_answer(run.verdict.title) if voided and run and run.verdict else self.line.title

    @property
    def note(self) -> str:
        """What the entry's note says beyond the sentence: a line for each further finding."""
        note = self.line.entry.note or ""
        first, _, rest = note.partition("\n")
        return rest if first == self.sentence else note

    @property
    def baseline(self) -> str | None:
        """The run that it was judged against."""
        run = self.line.run
        return run.verdict.baseline_run if run is not None and run.verdict is not None else None

    @property
    def difference(self) -> float | None:
        """Of the mean score over all samples to the baseline's."""
        run = self.line.run
        checks = run.verdict.checks if run is not None and run.verdict is not None else ()
        return next((check.delta for check in checks if check.kind == "paired" and check.slice == "all"), None)


@dataclass(frozen=True, kw_only=True)
class DagRun:
    """Where the night was opened."""

    dag_id: str
    run_id: str
    url: str | None  # None: where it is shown no link could lead there


def night_page(
    store: Store,
    config: Config,
    night_id: str,
    *,
    links: Links,
    team: str | None,
    home: Path,
    framed: bool = False,
) -> str:
    """`home` holds the Data Docs; `team` None sees all. Raises NotFound.

    `framed`: the page stands inside Airflow's own, whose frame lets no link out, so none to Airflow is offered.
    """
    view = gather_night(store, config, night_id, base_url="", samples=False)
    if team is not None and view.night.team != team:
        raise NotFound(kind="night", name=night_id)
    rows = {line.entry.id: _row(store, line) for line in (*view.lines, *view.aa)}
    return render(
        "night.html",
        view=view,
        headline=headline(view),
        sentence=sentence(view),
        candidates=[rows[line.entry.id] for line in view.lines],
        aa=[rows[line.entry.id] for line in view.aa],
        docs=_docs(store, sorted({line.entry.suite for line in view.lines}), home=home),
        dag_run=_dag_run(view, framed=framed),
        links=links,
    )


def _row(store: Store, line: NightLine) -> NightRowView:
    judged = line.run is not None and line.run.verdict is not None
    return NightRowView(line=line, before=store.run_before(line.run.id) if line.run is not None and judged else None)


def _docs(store: Store, suites: Iterable[str], *, home: Path) -> Mapping[str, str]:
    """Suite -> its dataset's pages below <home>/datadocs, of the latest validation, where they are still there."""
    documents = store.dataset_documents(list(suites))
    paths = {suite: document.get("docs") for suite, document in documents.items()}
    return {suite: path.partition("/")[2] for suite, path in paths.items() if path and (home / path).is_file()}


def _dag_run(view: NightView, *, framed: bool) -> DagRun | None:
    """A night of an orchestrator has <DAG>/<run> as its key."""
    dag_id, _, run_id = view.night.key.partition("/")
    if view.night.url is None or not run_id:
        return None
    return DagRun(dag_id=dag_id, run_id=run_id, url=None if framed else view.night.url)
