"""What a mail shows of one run: the gate's comparisons slice by slice, and the worst flips. All of it bounded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evalwindow.mail.phrases import oneline
from evalwindow.metrics import value_of
from evalwindow.model import Answer, Check, SampleResult
from evalwindow.report import words
from evalwindow.report.headline import Tone
from evalwindow.report.outputs import shown
from evalwindow.report.slices import SliceView
from evalwindow.report.view import Flip, RunView, SampleView

MOST_LOST = 5
NAME_CHARACTERS, PROMPT_CHARACTERS, ANSWER_CHARACTERS, SENTENCE_CHARACTERS = 64, 240, 160, 400
TONES = {Answer.PASS: Tone.GOOD, Answer.FAIL: Tone.BAD, Answer.INCONCLUSIVE: Tone.UNSURE}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One slice beside the baseline's; shares in percent, differences in points, as they are shown."""

    slice: str
    note: str  # advisory; not judged; nothing
    here: str
    baseline: str
    delta: str
    interval: str
    margin: str
    word: str  # PASS, FAIL, INCONCLUSIVE; empty: not judged
    tone: Tone


@dataclass(frozen=True, kw_only=True)
class Remark:
    """One check that compares nothing, in a sentence."""

    word: str
    tone: Tone
    text: str


@dataclass(frozen=True, kw_only=True)
class Lost:
    """One sample that was answered rightly by the baseline and wrongly here."""

    id: str
    slices: str
    asked: str
    wanted: str
    baseline: str
    got: str


def comparisons(view: RunView) -> list[Comparison]:
    """What the gate compared, what explains the verdict first; then the slices that nobody asked it to judge."""
    judged = [check for check in view.checks if check.delta is not None]
    names = {check.slice for check in judged}
    others = [piece for piece in view.slices if piece.name not in names and piece.delta is not None]
    return [*map(_judged, judged), *map(_unjudged, others)]


def remarks(view: RunView) -> list[Remark]:
    """The other checks that did not pass: a floor, too much unscored, no baseline."""
    told = (check for check in view.checks if check.delta is None and check.answer is not Answer.PASS)
    return [_remark(check) for check in told]


def lost(view: RunView) -> tuple[int, list[Lost]]:
    """How many flipped to the worse, and the worst MOST_LOST of them."""
    flipped = [sample for sample in view.samples if sample.flip is Flip.DOWN]
    return len(flipped), [_lost(sample, view) for sample in flipped[:MOST_LOST]]


def _judged(check: Check) -> Comparison:
    return Comparison(
        slice=oneline(check.slice, NAME_CHARACTERS),
        note="" if check.blocking else "advisory",
        here=words.percent(check.candidate),
        baseline=words.percent(check.baseline),
        delta=words.points(check.delta),
        interval=words.interval(check),
        margin=words.NOTHING if check.margin is None else f"{check.margin * 100:g}",
        word=check.answer.upper(),
        tone=TONES[check.answer],
    )


def _unjudged(piece: SliceView) -> Comparison:
    return Comparison(
        slice=oneline(piece.name, NAME_CHARACTERS),
        note="not judged",
        here=words.percent(piece.value),
        baseline=words.percent(piece.baseline_value),
        delta=words.points(piece.delta),
        interval=words.NOTHING,
        margin=words.NOTHING,
        word="",
        tone=Tone.IDLE,
    )


def _remark(check: Check) -> Remark:
    text = oneline(words.without_answer(check.text), SENTENCE_CHARACTERS)
    return Remark(word=check.answer.upper(), tone=TONES[check.answer], text=text)


def _lost(sample: SampleView, view: RunView) -> Lost:
    primary = view.suite.primary
    return Lost(
        id=oneline(sample.id, NAME_CHARACTERS),
        slices=oneline(", ".join(sample.slices), NAME_CHARACTERS),
        asked=oneline(_asked(sample, view), PROMPT_CHARACTERS),
        wanted=oneline(sample.target, ANSWER_CHARACTERS),
        baseline=_answer(sample.baseline, primary, right=True),
        got=_answer(sample.results, primary, right=False),
    )


def _asked(sample: SampleView, view: RunView) -> str:
    """The turns that are this sample's own."""
    own = sample.prompt[len(view.shared_prompt) :] or sample.prompt[-1:]
    return "\n".join(turn.content for turn in own)


def _answer(results: Sequence[SampleResult], primary: str, *, right: bool) -> str:
    """What the scorer read out of the first answer of that kind, or the answer itself."""
    asked = [result for result in results if not result.reask]
    chosen = next((result for result in asked if (value_of(result, primary) == 1) is right), None) or asked[0]
    score = chosen.scores.get(primary)
    if score is not None and score.answer is not None:
        return oneline(score.answer, ANSWER_CHARACTERS) or "(empty)"
    if chosen.completion is None:
        return oneline(f"(no answer: {chosen.error})", ANSWER_CHARACTERS)
    if chosen.removed_after_days is not None:
        return shown(chosen)
    return oneline(chosen.completion.text, ANSWER_CHARACTERS) or "(empty)"
