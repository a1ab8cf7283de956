"""The gate: what a run may be told, in three answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evalwindow.gate.limits import Values, baseline_check, floor_checks, quarantine_checks, unscored_check
from evalwindow.gate.noise import noise_line
from evalwindow.gate.paired import Evidence, pair_up, power_of
from evalwindow.gate.slices import paired_checks
from evalwindow.gate.smoke import smoke_checks, smoke_power
from evalwindow.gate.words import bare
from evalwindow.metrics import Suite, values_by_sample
from evalwindow.model import Answer, Check, NoiseFloor, SampleResult, Tier, Verdict


def judge(
    suite: Suite,
    candidate: Sequence[SampleResult],
    baseline: Sequence[SampleResult] | None = None,
    *,
    baseline_run: str | None = None,
    noise: NoiseFloor | None = None,
) -> Verdict:
    """The verdict on a run. Pure: the same results in any order give the same verdict, to the letter.

    A smoke suite needs no baseline, and its tripwire has its own allowance for chance. `baseline` of None means that
    none was promoted. `noise` is what the baseline does when it runs again (None: not known); it turns a fail that it
    explains into inconclusive, and nothing else. Results may be partial: what is missing counts as unscored. Results of
    prompts that end engines keep a run from passing.
    """
    values = values_by_sample(candidate, suite.primary)
    if suite.tier is Tier.SMOKE:
        return _smoke(suite, candidate, values)
    known = None if baseline is None else values_by_sample(baseline, suite.primary)
    return _regression(
        suite, values, known, held_up=quarantine_checks(candidate), baseline_run=baseline_run, noise=noise
    )


def combine(checks: Sequence[Check]) -> Answer:
    """FAIL if any blocking check fails, PASS if there are some and all pass, else INCONCLUSIVE."""
    answers = {check.answer for check in checks if check.blocking}
    if Answer.FAIL in answers:
        return Answer.FAIL
    return Answer.PASS if answers == {Answer.PASS} else Answer.INCONCLUSIVE


def _smoke(suite: Suite, results: Sequence[SampleResult], values: Values) -> Verdict:
    checks = [*smoke_checks(suite, results), *floor_checks(suite, values)]
    passed = "no evidence of breakage: " + _without_answer(checks[0].text)
    checks = [*quarantine_checks(results), *checks]
    return Verdict(
        answer=combine(checks), title=_title(checks, passed=passed), checks=tuple(checks), power=smoke_power(suite)
    )


def _regression(
    suite: Suite,
    values: Values,
    known: Values | None,
    *,
    held_up: Sequence[Check],
    baseline_run: str | None,
    noise: NoiseFloor | None,
) -> Verdict:
    compared, power = _compared(suite, values, known, noise)
    checks = [baseline_check(suite, known, run=baseline_run), *floor_checks(suite, values), *compared]
    counted = unscored_check(suite, values)
    if counted.answer is not Answer.PASS:  # then nothing else may decide: errors prefer some prompts to others
        checks = [replace(check, blocking=False) for check in checks]
    checks = [*held_up, counted, *checks]
    return Verdict(
        answer=combine(checks),
        title=_title(checks, passed=f"no drop beyond the margin of {bare(suite.spec.policy.margin)} points"),
        checks=tuple(checks),
        power=power,
        baseline_run=baseline_run,
        noise=noise,
    )


def _compared(suite: Suite, values: Values, known: Values | None, noise: NoiseFloor | None) -> tuple[list[Check], str]:
    """The paired checks and the power line; nothing without a baseline."""
    if known is None:
        return [], ""
    pairs = pair_up(suite.samples, candidate=values, baseline=known, epochs=suite.spec.epochs)
    checks, whole = paired_checks(suite.samples, pairs, suite.spec.policy, noise)
    return checks, _power(whole) if whole else ""


def _power(whole: Evidence) -> str:
    """What the comparison could see, and what hides from it."""
    line = power_of(whole)
    if whole.noise is None:
        return line
    return f"{line} {noise_line(whole.noise, samples=whole.n, confidence=whole.question.confidence)}"


def _title(checks: Sequence[Check], *, passed: str) -> str:
    """The check that weighs most: of those that gave the run's answer the one with the deepest fall."""
    answer = combine(checks)
    telling = [check for check in checks if check.blocking and check.answer is answer]
    if answer is Answer.PASS or not telling:
        return passed
    deepest = min(telling, key=lambda check: check.delta or 0.0)
    more = len(telling) - 1
    return deepest.text + (f" (and {more} more)" if more else "")


def _without_answer(text: str) -> str:
    return text.rsplit(": ", 1)[0]
