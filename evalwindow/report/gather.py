"""A run's view from the store."""

from __future__ import annotations

from evalwindow.config import Config
from evalwindow.report.view import RunView, build_view
from evalwindow.store import Store
from evalwindow.store.rows import RunRow


def gather(store: Store, config: Config, run_id: str, *, base_url: str) -> RunView:
    """Everything that a report shows; raises NotFound. The baseline is the run that the verdict was judged against."""
    run = store.run(run_id)
    baseline_run = run.verdict.baseline_run if run.verdict else None
    return build_view(
        run=run,
        suite=store.suite(run.suite_digest),
        results=store.results(run.id),
        baseline=store.results(baseline_run) if baseline_run else (),
        pool=config.pools.get(run.pool),
        url=run_url(run, base_url=base_url),
    )


def run_url(run: RunRow, *, base_url: str) -> str:
    """Of the page that a person opens."""
    return f"{base_url}/runs/{run.id}"
