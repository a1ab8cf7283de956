"""How many samples a slice needs is what the gate itself says."""

import pytest

from evalwindow.datasets.slices import slice_counts
from evalwindow.gate.paired import Pair, decide, weigh
from evalwindow.gate.slices import questions
from evalwindow.model import Answer, Sample
from evalwindow.suites import SuiteSpec


def spec(tier="regression", **policy):
    return SuiteSpec.model_validate(
        {"suite": "s", "tier": tier, "dataset": {"path": "x"}, "scorers": ["exact"], "policy": policy}
    )


@pytest.mark.parametrize("margin, confidence", [(0.03, 0.95), (0.15, 0.95), (0.05, 0.99), (0.3, 0.9)])
def test_with_so_many_unchanged_samples_the_gate_passes_and_with_one_less_it_does_not(margin, confidence):
    suite = spec(margin=margin, confidence=confidence)
    (everything,) = slice_counts(suite, [])
    (question,) = questions(suite.policy)
    answers = {}
    for n in (everything.needed - 1, everything.needed):
        pairs = [Pair(sample=Sample(id=str(i), input="x"), baseline=1, candidate=1, worst=1) for i in range(n)]
        evidence = weigh(pairs, question)
        assert evidence is not None
        answers[n] = decide(evidence, 1.0)
    assert list(answers.values()) == [Answer.INCONCLUSIVE, Answer.PASS]


def test_every_slice_of_the_policy_is_counted_once_with_its_own_margin():
    suite = spec(margin=0.03, slice_margin=0.15, blocking=["a"], advisory=["b"], floors={"all": 0.5, "c": 0.5})
    samples = [Sample(id="1", input="x", slices=("a", "b")), Sample(id="2", input="x", slices=("a",))]
    counts = {each.name: (each.samples, each.needed, each.margin) for each in slice_counts(suite, samples)}
    assert counts == {"all": (2, 99, 0.03), "a": (2, 19, 0.15), "b": (1, 19, 0.15), "c": (0, 1, None)}


def test_a_smoke_suite_compares_nothing_so_presence_is_all_it_needs():
    counts = slice_counts(spec(tier="smoke", blocking=["a"]), [Sample(id="1", input="x", slices=("a",))])
    assert [(each.name, each.needed) for each in counts] == [("a", 1)]
