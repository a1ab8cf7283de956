"""The smoke gate: a tripwire of must-pass prompts and hard assertions. Not a measurement."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from evalwindow.gate.distributions import binomial_at_least
from evalwindow.gate.power import unseen_drop
from evalwindow.gate.sprt import Reasked, sprt
from evalwindow.gate.words import bare, listed, points, verdict
from evalwindow.metrics import Suite, mean, value_of
from evalwindow.model import Answer, Check, Sample, SampleResult
from evalwindow.policy import SmokePolicy

BROKEN_RATE = 0.3  # the failure rate of the power line's example


@dataclass(frozen=True, kw_only=True)
class Tripwire:
    """The first calls and re-asks of a smoke suite, read."""

    must_pass: int
    failed: tuple[str, ...]  # must-pass prompts that failed, in the suite's order
    unscored: tuple[str, ...]  # must-pass prompts with a call that is missing or unscored
    reasked: dict[str, Reasked]  # by failed prompt, where re-asks can decide
    policy: SmokePolicy

    @property
    def red(self) -> bool:
        return len(self.failed) >= self.policy.red_at


def false_alarm(*, prompts: int, red_at: int, failure_rate: float) -> float:
    """Chance that at least `red_at` of the prompts fail: 1.6 % for 2 of 10 at a failure rate of 2 %."""
    return binomial_at_least(red_at, prompts, failure_rate)


def read(suite: Suite, results: Sequence[SampleResult]) -> Tripwire:
    """Where the tripwire stands."""
    smoke = suite.spec.policy.smoke
    prompts = [sample for sample in suite.samples if sample.must_pass]
    outcomes = {sample.id: _first_outcome(suite, sample, results) for sample in prompts}
    failed = tuple(sample_id for sample_id, passed in outcomes.items() if passed is False)
    undecided = failed if len(failed) < smoke.red_at else ()
    return Tripwire(
        must_pass=len(prompts),
        failed=failed,
        unscored=tuple(sample_id for sample_id, passed in outcomes.items() if passed is None),
        reasked={sample_id: sprt(_reask_outcomes(suite, sample_id, results), smoke) for sample_id in undecided},
        policy=smoke,
    )


def next_reask(suite: Suite, results: Sequence[SampleResult]) -> str | None:
    """The id of the must-pass prompt to ask once more; None when the verdict is decided or can't become a pass.

    `results` are all of the run so far, re-asks (reask=True) among them with epochs that rise in the order of asking.
    Nothing is re-asked before every prompt has its first calls.
    """
    wire = read(suite, results)
    if wire.red or wire.unscored or any(check.answer is not Answer.PASS for check in assertion_checks(suite, results)):
        return None
    if any(reasked.answer is Answer.FAIL for reasked in wire.reasked.values()):
        return None
    return next((sample_id for sample_id, reasked in wire.reasked.items() if _goes_on(reasked, wire.policy)), None)


def smoke_checks(suite: Suite, results: Sequence[SampleResult]) -> list[Check]:
    """Must-pass prompts, the re-asks of those that failed, and assertions. Never empty."""
    wire = read(suite, results)
    checks = [_must_pass_check(wire)] if wire.must_pass else []
    checks += [_reask_check(sample_id, reasked) for sample_id, reasked in wire.reasked.items()]
    checks += assertion_checks(suite, results)
    return checks or [_check("must-pass", Answer.INCONCLUSIVE, "the suite has no must-pass prompt and no assertion")]


def assertion_checks(suite: Suite, results: Sequence[SampleResult]) -> list[Check]:
    """One check for each scorer that is an assertion, over the first calls of every prompt."""
    first = [result for result in results if not result.reask]
    labels = [scorer.label for scorer in suite.spec.scorers if scorer.assertion]
    return [_assertion_check(label, suite, first) for label in labels]


def smoke_power(suite: Suite) -> str:
    """The line of a report: what this tripwire can see."""
    n, smoke = sum(sample.must_pass for sample in suite.samples), suite.spec.policy.smoke
    if n < smoke.red_at:
        return ""
    alarm = false_alarm(prompts=n, red_at=smoke.red_at, failure_rate=1 - smoke.p0)
    seen = false_alarm(prompts=n, red_at=smoke.red_at, failure_rate=BROKEN_RATE)
    return (
        f"{n} must-pass prompts, red at {smoke.red_at} failures: false alarm {points(alarm)} %, a failure rate of "
        f"{bare(BROKEN_RATE)} % is caught at once in {100 * seen:.0f} %. All {n} right only bounds the failure rate "
        f"below {points(unseen_drop(n=n, confidence=suite.spec.policy.confidence))} %."
    )


def _first_outcome(suite: Suite, sample: Sample, results: Sequence[SampleResult]) -> bool | None:
    """Whether the mean over epochs reached pass_at; None while a call is missing or unscored."""
    calls = [result for result in results if result.sample_id == sample.id and not result.reask]
    values = [value_of(call, suite.primary) for call in calls]
    scored = [value for value in values if value is not None]
    if len(scored) < max(suite.spec.epochs, len(values)):
        return None
    return mean(scored) >= suite.spec.policy.pass_at


def _reask_outcomes(suite: Suite, sample_id: str, results: Iterable[SampleResult]) -> list[bool | None]:
    calls = [result for result in results if result.sample_id == sample_id and result.reask]
    return [_reask_outcome(suite, call) for call in sorted(calls, key=lambda call: call.epoch)]


def _reask_outcome(suite: Suite, call: SampleResult) -> bool | None:
    """A further call passes by its score and by every assertion."""
    assertions = [value_of(call, scorer.label) for scorer in suite.spec.scorers if scorer.assertion]
    value = value_of(call, suite.primary)
    if value is None or None in assertions:
        return None
    return value >= suite.spec.policy.pass_at and all(held == 1 for held in assertions)


def _goes_on(reasked: Reasked, policy: SmokePolicy) -> bool:
    return reasked.answer is Answer.INCONCLUSIVE and reasked.calls < policy.max_calls


def _must_pass_check(wire: Tripwire) -> Check:
    """Fewer failures than red_at pass here: the re-asks of each are a check of their own."""
    if wire.red:
        return _must_pass(wire, Answer.FAIL, f"failed ({listed(wire.failed)})", len(wire.failed))
    if wire.unscored:
        return _must_pass(wire, Answer.INCONCLUSIVE, f"unscored ({listed(wire.unscored)})", len(wire.unscored))
    return _must_pass(wire, Answer.PASS, "passed", wire.must_pass - len(wire.failed))


def _must_pass(wire: Tripwire, answer: Answer, what: str, count: int) -> Check:
    return _check("must-pass", answer, f"{count} of {wire.must_pass} must-pass prompts {what}", n=wire.must_pass)


def _reask_check(sample_id: str, reasked: Reasked) -> Check:
    if not reasked.calls:
        return _check("must-pass", reasked.answer, f"{sample_id} failed and was not asked again", test="sprt")
    outcome = {
        Answer.PASS: "so it counts as chance",
        Answer.FAIL: "so it is broken",
        Answer.INCONCLUSIVE: "which decides nothing",
    }[reasked.answer]
    text = f"{sample_id} failed, {reasked.passed} of {reasked.calls} re-asks passed, {outcome}"
    return _check("must-pass", reasked.answer, text, n=reasked.calls, test="sprt")


def _assertion_check(label: str, suite: Suite, first: Sequence[SampleResult]) -> Check:
    values = {(result.sample_id, result.epoch): value_of(result, label) for result in first}
    broken = sorted({sample_id for (sample_id, _), value in values.items() if value is not None and value < 1})
    calls = len(suite.samples) * suite.spec.epochs
    held = sum(value == 1 for value in values.values())
    if broken:
        return _check("assertion", Answer.FAIL, f"assertion {label} is broken by {listed(broken)}", n=calls)
    answer = Answer.PASS if held >= calls else Answer.INCONCLUSIVE
    return _check("assertion", answer, f"assertion {label} held in {held} of {calls} calls", n=calls)


def _check(kind: str, answer: Answer, text: str, *, n: int = 0, test: str = "count") -> Check:
    return Check(kind=kind, slice="all", answer=answer, blocking=True, text=verdict(text, answer), n=n, test=test)
