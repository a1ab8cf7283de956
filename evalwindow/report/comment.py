"""The one comment of a pull request: all its suites at the newest commit."""

from __future__ import annotations

from collections.abc import Sequence

from evalwindow.report import words
from evalwindow.report.checkrun import cost_line
from evalwindow.report.headline import Tone
from evalwindow.report.markdown import checks_of, fit, inline, plain, sample_details
from evalwindow.report.view import RunView

MARKER = "<!-- evalwindow: one comment per pull request -->"
COMMENT_BYTES = 65_535
SHOWN_SAMPLES = 5
_MARKS = {Tone.GOOD: "✅", Tone.BAD: "❌", Tone.UNSURE: "⚠️", Tone.IDLE: "⏳"}


def comment(views: Sequence[RunView]) -> str:
    """Markdown that starts with MARKER; at most 65,535 bytes."""
    head = f"{MARKER}\n## Evals of {_commit(views)}"
    parts = [head, _overview(views), *(part for view in views for part in _suite_parts(view))]
    return fit(parts, limit=COMMENT_BYTES, notice="… cut here; the whole reports are behind the links above.")


def _commit(views: Sequence[RunView]) -> str:
    sha = views[0].run.source.head_sha if views else None
    return inline(sha[:10]) if sha else "this pull request"


def _overview(views: Sequence[RunView]) -> str:
    rows = [
        f"| {_MARKS[view.tone]} | [{plain(view.suite.name)}]({view.url}) | {view.suite.tier} "
        f"| **{view.word}** | {plain(view.title)} | {cost_line(view)} |"
        for view in views
    ]
    return "\n".join(["| | suite | tier | verdict | | cost |", "|---|---|---|---|---|---|", *rows])


def _suite_parts(view: RunView) -> list[str]:
    """Details of a suite that did not simply pass."""
    if view.tone in (Tone.GOOD, Tone.IDLE):
        return []
    parts = [f"### {plain(view.suite.name)}"]
    if view.verdict is not None:
        parts += [checks_of(view.checks), plain(view.verdict.power)]
    return [*parts, _failing(view)]


def _failing(view: RunView) -> str:
    failing = view.failing
    if not failing:
        return ""
    shown = "\n\n".join(map(sample_details, failing[:SHOWN_SAMPLES]))
    more = len(failing) - SHOWN_SAMPLES
    rest = f"\n\n[… and {more} more]({view.url})" if more > 0 else ""
    title = words.counted(len(failing), "failing prompt")
    return f"<details open><summary>{title}</summary>\n\n{shown}{rest}\n\n</details>"
