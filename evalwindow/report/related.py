"""What is worth a look beside a run."""

from __future__ import annotations

from evalwindow.model import RunState, Tier
from evalwindow.report.links import Links
from evalwindow.store import Store
from evalwindow.store.rows import RunRow


def related(store: Store, run: RunRow, *, links: Links) -> tuple[tuple[str, str], ...]:
    """(label, URL): the run that it joined, comparisons with the baseline and the night before, its night and trend."""
    found: list[tuple[str, str]] = []
    if run.joined_to is not None:
        found.append(("The run that asked the same first", links.run(run.joined_to)))
    if run.state is RunState.CONCLUDED and run.tier is Tier.REGRESSION:
        baseline = run.verdict.baseline_run if run.verdict else None
        before = store.run_before(run.id)
        if baseline is not None:
            found.append(("Compare with its baseline", links.compare(run.id, baseline)))
        if before is not None and before != baseline:
            found.append(("Compare with the night before", links.compare(run.id, before)))
    if run.night_id is not None:
        found.append(("Its night", links.night(run.night_id)))
        found.append((f"Trend of {run.suite}", links.trends(run.suite, run.source.branch)))
    return tuple(found)
