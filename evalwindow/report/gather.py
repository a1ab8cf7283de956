"""A run's view from the store."""

from __future__ import annotations

from evalwindow.comparable import comparable_results
from evalwindow.config import Config
from evalwindow.report.holds import Holds
from evalwindow.report.view import RunView, build_view
from evalwindow.store import Store


def gather(store: Store, config: Config, run_id: str, *, base_url: str) -> RunView:
    """Everything that a report shows; raises NotFound. The baseline is the run that the verdict was judged against."""
    run = store.run(run_id)
    suite = store.suite(run.suite_digest)
    baseline_run = run.verdict.baseline_run if run.verdict else None
    return build_view(
        run=run,
        suite=suite,
        results=store.results(run.id),
        baseline=comparable_results(store, suite, baseline_run) if baseline_run else (),
        pool=config.pools.get(run.pool),
        url=run_url(run.id, base_url=base_url),
        held=Holds(store, config).of(run, judges=suite.judges),
    )


def run_url(run_id: str, *, base_url: str) -> str:
    """Of the page that a person opens."""
    return f"{base_url}/runs/{run_id}"
