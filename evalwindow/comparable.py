"""Which results of another run may stand beside a suite's, and what the gate says of two runs."""

from __future__ import annotations

from dataclasses import dataclass

from evalwindow.errors import BadInput, NotFound
from evalwindow.gate import judge
from evalwindow.model import SampleResult, Tier, Verdict
from evalwindow.noise import noise_for
from evalwindow.scorers import AnyScorer
from evalwindow.store import Store
from evalwindow.store.rows import RunRow
from evalwindow.suites import Suite


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Two runs of a suite through its gate, as if `other` were the baseline."""

    run: RunRow
    other: RunRow
    suite: Suite  # that `run` was admitted with
    results: tuple[SampleResult, ...]  # of `run`
    known: tuple[SampleResult, ...]  # of `other`, on the samples that both have
    verdict: Verdict


def compare(store: Store, *, run: str, other: str, team: str | None) -> Compared:
    """The paired gate on the fly, under the policy that `run` was admitted with; nothing is written.

    `team` None may see all; a team sees its own runs and those that were promoted. Raises NotFound, and BadInput for
    two suites, a smoke suite or a run that is not final.
    """
    candidate, reference = own_run(store, run, team), _readable(store, other, team)
    _check_comparable(candidate, reference)
    suite = store.suite(candidate.suite_digest)
    results, known = store.results(candidate.id), comparable_results(store, suite, reference.id)
    noise = noise_for(store, candidate, suite, reference.id)
    verdict = judge(suite, results, known, baseline_run=reference.id, noise=noise)
    return Compared(
        run=candidate, other=reference, suite=suite, results=tuple(results), known=tuple(known), verdict=verdict
    )


def own_run(store: Store, run_id: str, team: str | None) -> RunRow:
    """The run; NotFound also where it is another team's. `team` None may see all."""
    run = store.run(run_id)
    if team is not None and run.team != team:
        raise NotFound(kind="run", name=run_id)
    return run


def comparable_results(store: Store, suite: Suite, run_id: str) -> list[SampleResult]:
    """The run's results on samples that `suite` has to the letter; none if another scorer judged them.

    Prompts may differ: that is what a candidate changes. What is asked and how it is judged may not.
    """
    other = store.suite(store.run(run_id).suite_digest)
    if _judging(other) != _judging(suite):
        return []
    same = {sample.id for sample in other.samples} & {sample.id for sample in suite.samples}
    same = {sample_id for sample_id in same if other.sample(sample_id) == suite.sample(sample_id)}
    return [result for result in store.results(run_id) if result.sample_id in same]


def _readable(store: Store, run_id: str, team: str | None) -> RunRow:
    """The team's own run, or one of another team that was promoted: everybody is measured against that."""
    try:
        return own_run(store, run_id, team)
    except NotFound:
        if run_id not in {row.run_id for row in store.baselines(retired=True)}:
            raise
        return store.run(run_id)


def _check_comparable(candidate: RunRow, other: RunRow) -> None:
    if candidate.suite != other.suite:
        raise BadInput(
            f"run {candidate.id} is of suite {candidate.suite!r} and run {other.id} of {other.suite!r}; "
            f"compare two runs of one suite"
        )
    if candidate.tier is Tier.SMOKE:
        raise BadInput(
            f"suite {candidate.suite!r} is a smoke suite, which is judged without a baseline; compare regression runs"
        )
    for run in (candidate, other):
        if not run.state.final:
            raise BadInput(f"run {run.id} is {run.state}; wait until it is concluded")


def _judging(suite: Suite) -> AnyScorer:
    return next(scorer for scorer in suite.spec.scorers if scorer.label == suite.primary)
