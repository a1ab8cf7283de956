"""What happened to a run, in a word, a colour and a line."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum

from evalwindow.model import Answer, RunState, Verdict
from evalwindow.report.words import without_answer
from evalwindow.store.rows import RunRow


class Tone(StrEnum):
    """How a headline looks: one of four colours."""

    GOOD = "good"
    BAD = "bad"
    UNSURE = "unsure"
    IDLE = "idle"


def answer_of(run: RunRow) -> Answer | None:
    """The verdict's answer, as far as it counts: a void run decided nothing. None while there is no verdict."""
    verdict = _concluded(run)
    if verdict is None:
        return None
    return verdict.answer if run.void is None else Answer.INCONCLUSIVE


def is_paused(state: RunState, window_end: dt.datetime | None) -> bool:
    """Not done when its window ended: it goes on in the next one."""
    return not state.final and window_end is not None and dt.datetime.now(dt.UTC) >= window_end


def waits_for(state: RunState, joined_to: str | None) -> str | None:
    """Why a run that nobody works on yet is not asked for; None: it waits for no other one."""
    if joined_to is None or state is not RunState.QUEUED:
        return None
    return f"waits for run {joined_to}, which asks the same"


def word_of(run: RunRow) -> str:
    """The verdict, or the state while there is none."""
    if run.void is not None:
        return "Void"
    if is_paused(run.state, run.window_end):
        return "Paused"
    verdict = _concluded(run)
    return _ANSWER_WORDS[verdict.answer] if verdict else _STATE_WORDS[run.state]


def tone_of(run: RunRow) -> Tone:
    if run.void is not None:
        return Tone.UNSURE
    verdict = _concluded(run)
    if verdict:
        return _ANSWER_TONES[verdict.answer]
    return Tone.BAD if run.state is RunState.FAILED else Tone.IDLE


def title_of(run: RunRow, *, held: str | None = None) -> str:
    """`held`: why nothing of it is asked just now, see holds.py."""
    if run.void is not None:
        return run.void
    if is_paused(run.state, run.window_end):
        return "The window is over; it goes on in the next one"
    verdict = _concluded(run)
    if verdict:
        return without_answer(verdict.title)
    title = _STATE_TITLES[run.state]
    waits = waits_for(run.state, run.joined_to) or held
    if waits:
        title = waits[0].upper() + waits[1:]
    return f"{title}: {run.error}" if run.error else title


def _concluded(run: RunRow) -> Verdict | None:
    return run.verdict if run.state is RunState.CONCLUDED else None


_ANSWER_WORDS = {Answer.PASS: "Passed", Answer.FAIL: "Failed", Answer.INCONCLUSIVE: "Inconclusive"}
_ANSWER_TONES = {Answer.PASS: Tone.GOOD, Answer.FAIL: Tone.BAD, Answer.INCONCLUSIVE: Tone.UNSURE}
_STATE_WORDS = {
    RunState.QUEUED: "Queued",
    RunState.RUNNING: "Running",
    RunState.CONCLUDED: "Concluded",
    RunState.SUPERSEDED: "Superseded",
    RunState.CANCELLED: "Cancelled",
    RunState.FAILED: "Error",
}
_STATE_TITLES = {
    RunState.QUEUED: "Waiting for a free slot on a warm engine",
    RunState.RUNNING: "Prompts are being answered",
    RunState.CONCLUDED: "Measured; no gate was asked for",
    RunState.SUPERSEDED: "A newer commit of this pull request took its place",
    RunState.CANCELLED: "Somebody cancelled it before it was done",
    RunState.FAILED: "Not evaluated",
}
