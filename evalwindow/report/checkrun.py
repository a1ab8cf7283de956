"""A run as a GitHub check run or, for tokens that may not write those, as a commit status."""

from __future__ import annotations

from typing import Any

from evalwindow.model import Answer, RunState
from evalwindow.report import words
from evalwindow.report.headline import answer_of
from evalwindow.report.markdown import block, checks_of, fit, plain, sample_details
from evalwindow.report.view import RunView

CONFIG_CHECK = "evalwindow/config"
TITLE_CHARACTERS = 255
SUMMARY_BYTES = 65_535
STATUS_CHARACTERS = 140
SHOWN_SAMPLES = 10

#: A required check that is neutral lets a pull request in; one that asks for a person does not.
_CONCLUSIONS = {Answer.PASS: "success", Answer.FAIL: "failure", Answer.INCONCLUSIVE: "action_required"}
_STATUS_STATES = {Answer.PASS: "success", Answer.FAIL: "failure", Answer.INCONCLUSIVE: "error"}


def check_name(view: RunView) -> str:
    return f"evalwindow/{view.suite.name}"


def check_run(view: RunView) -> dict[str, Any]:
    """Body of POST and PATCH /repos/{repo}/check-runs, without head_sha."""
    body: dict[str, Any] = {
        "name": check_name(view),
        "external_id": view.run.id,
        "details_url": view.url,
        "status": _status(view),
        "output": {"title": _shortened(_title(view), TITLE_CHARACTERS), "summary": check_summary(view)},
    }
    if view.run.state.final:
        body["conclusion"] = conclusion(view)
    return body


def conclusion(view: RunView) -> str:
    """success, failure, action_required or cancelled. A run that broke down is a failure: an error is never a pass."""
    if view.run.state in (RunState.SUPERSEDED, RunState.CANCELLED):
        return "cancelled"
    if view.run.state is RunState.FAILED:
        return "failure"
    answer = answer_of(view.run)
    return _CONCLUSIONS[answer] if answer else "action_required"


def commit_status(view: RunView) -> dict[str, str]:
    """Body of POST /repos/{repo}/statuses/{sha}. What is inconclusive is an error there."""
    return {
        "context": check_name(view),
        "state": _status_state(view),
        "description": _shortened(_title(view), STATUS_CHARACTERS),
        "target_url": view.url,
    }


def refusal_check(message: str) -> dict[str, Any]:
    """A neutral check that says why nothing was run."""
    return {
        "name": CONFIG_CHECK,
        "external_id": CONFIG_CHECK,
        "status": "completed",
        "conclusion": "neutral",
        "output": {"title": _shortened(message, TITLE_CHARACTERS), "summary": block(message, limit=10_000)},
    }


def refusal_status(message: str) -> dict[str, str]:
    return {"context": CONFIG_CHECK, "state": "error", "description": _shortened(message, STATUS_CHARACTERS)}


def check_summary(view: RunView) -> str:
    """Markdown of at most 65,535 bytes; what did not fit is said at its end."""
    parts = [f"**{view.word}** · {plain(view.title)}", *_verdict_parts(view), cost_line(view), *_sample_parts(view)]
    notice = f"… cut here: GitHub takes {SUMMARY_BYTES:,} bytes. The whole report: {view.url}"
    return fit(parts, limit=SUMMARY_BYTES, notice=notice)


def cost_line(view: RunView) -> str:
    """What it cost beside what a cold job would have cost, in one line."""
    cost, parts = view.cost, [f"{view.cost.gpu_s:.1f} GPU-seconds"]
    if cost.cold_gpu_s is not None:
        parts.append(f"a cold job of its own: {cost.cold_gpu_s:.0f}")
    if cost.cache_hits:
        parts.append(words.counted(cost.cache_hits, "cached answer"))
    if view.latency.total_s is not None:
        parts.append(f"answered in {words.seconds(view.latency.total_s)}")
    return " · ".join(parts)


def _verdict_parts(view: RunView) -> list[str]:
    return [checks_of(view.checks), plain(view.verdict.power)] if view.verdict else []


def _sample_parts(view: RunView) -> list[str]:
    failing = view.failing
    if not failing:
        return []
    more = len(failing) - SHOWN_SAMPLES
    rest = [f"… and {words.counted(more, 'more failing prompt')}: {view.url}"] if more > 0 else []
    return [
        f"### {words.counted(len(failing), 'failing prompt')}",
        *map(sample_details, failing[:SHOWN_SAMPLES]),
        *rest,
    ]


def _status(view: RunView) -> str:
    if view.run.state.final:
        return "completed"
    return "in_progress" if view.run.state is RunState.RUNNING else "queued"


def _status_state(view: RunView) -> str:
    if not view.run.state.final:
        return "pending"
    answer = answer_of(view.run)
    return _STATUS_STATES[answer] if answer else "error"


def _title(view: RunView) -> str:
    return f"{view.word}: {view.title}"


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
