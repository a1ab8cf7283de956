"""A verdict and failing samples as tables."""

from __future__ import annotations

from collections.abc import Sequence

from evalwindow.cli.show import say, say_table
from evalwindow.model import Check, Verdict
from evalwindow.report import words
from evalwindow.report.document import AnswerDocument, SampleDocument
from evalwindow.report.outputs import removed

_NUMBERS = ("n", "candidate", "baseline", "difference", "bounds", "margin")
_HEADS = ("answer", "check", "slice", *_NUMBERS)
SHOWN_CHARACTERS = 300


def say_checks(verdict: Verdict) -> None:
    """Every question of the gate; differences and bounds in percentage points."""
    say_table(_HEADS, map(_check_row, verdict.checks), right=_NUMBERS)
    if verdict.power:
        say(verdict.power)


def say_samples(samples: Sequence[SampleDocument], *, total: int) -> None:
    """What was asked, expected and answered."""
    for sample in samples:
        say()
        say(f"{sample.id} · {sample.outcome}{_facts(sample)}", style="bold")
        _say_text("asked", sample.prompt[-1].content if sample.prompt else "")
        _say_text("expected", sample.target)
        _say_text("got", _output(sample.answers))
        if sample.baseline_answers:
            _say_text("baseline", _output(sample.baseline_answers))
    if total > len(samples):
        say()
        say(f"… and {total - len(samples)} more; --all shows them")


def _check_row(check: Check) -> tuple[str, ...]:
    return (
        check.answer.upper() if check.blocking else f"({check.answer})",
        check.kind,
        check.slice,
        str(check.n),
        words.percent(check.candidate),
        words.percent(check.baseline),
        words.points(check.delta),
        words.interval(check),
        words.NOTHING if check.margin is None else f"{check.margin * 100:g}",
    )


def _facts(sample: SampleDocument) -> str:
    facts = ["must pass"] if sample.must_pass else []
    facts += ["right in the baseline"] if sample.flip == "down" else []
    return "".join(f" · {fact}" for fact in [*facts, *sample.slices])


def _output(answers: Sequence[AnswerDocument]) -> str:
    """The first answer that was not wholly right, or why there is none."""
    asked = [answer for answer in answers if not answer.reask] or list(answers)
    if not asked:
        return "(no answer yet)"
    chosen = next((each for each in asked if any(score.value != 1 for score in each.scores.values())), asked[0])
    if chosen.removed_after_days is not None:
        return removed(chosen.removed_after_days)
    return f"(no answer: {chosen.error})" if chosen.output is None else chosen.output or "(empty)"


def _say_text(label: str, text: str) -> None:
    shown = text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
    first, *rest = shown.splitlines() or [""]
    say(f"  {label:<9} {first}")
    for line in rest:
        say(f"  {'':<9} {line}")
