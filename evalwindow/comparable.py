"""Which results of another run may stand beside a suite's."""

from __future__ import annotations

from evalwindow.model import SampleResult
from evalwindow.scorers import AnyScorer
from evalwindow.store import Store
from evalwindow.suites import Suite


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


def _judging(suite: Suite) -> AnyScorer:
    return next(scorer for scorer in suite.spec.scorers if scorer.label == suite.primary)
