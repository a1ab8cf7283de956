"""Markdown that shows a model's output and can't be steered by it: no mention, image, link or markup comes through."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from evalwindow.model import Check, SampleResult
from evalwindow.report import words
from evalwindow.report.outputs import shown
from evalwindow.report.view import SampleView
from evalwindow.report.words import visible, without_answer

SHOWN_CHARACTERS = 400  # of one prompt or output; the page has all of it
APART = "\u200b"  # a zero-width space
ANSWER_MARKS = {"pass": "✅", "fail": "❌", "inconclusive": "⚠️"}


def inline(text: str) -> str:
    """One line of foreign text as inline code that fits into a table cell."""
    flat = " ".join(visible(text).split())
    fence = "`" * (_longest_backticks(flat) + 1)
    padding = " " if "`" in flat else ""
    return f"{fence}{padding}{_quiet(flat)}{padding}{fence}".replace("|", "\\|") if flat else "(empty)"


def block(text: str, *, limit: int = SHOWN_CHARACTERS) -> str:
    """Foreign text as a fenced block; the fence is longer than any in the text."""
    shown = visible(text)
    rest = len(shown) - limit
    if rest > 0:
        shown = f"{shown[:limit]}\n… {words.counted(rest, 'more character')}"
    fence = "`" * max(3, _longest_backticks(shown) + 1)
    return f"{fence}text\n{_quiet(shown)}\n{fence}"


def plain(text: str) -> str:
    """One line of our own sentences, which may quote foreign names: all markup is escaped, and nothing gets a link."""
    flat = " ".join(visible(text).split())
    return _unlinked(_quiet(re.sub(r"([\\`*_\[\]<>#|~&!()])", r"\\\1", flat)))


def checks_of(checks: Sequence[Check]) -> str:
    """The gate's questions: a table where they compare (in percentage points), else a sentence each."""
    if all(check.delta is None for check in checks):
        return "\n".join(f"- {ANSWER_MARKS[check.answer]} {plain(without_answer(check.text))}" for check in checks)
    head = "| | check | slice | here | baseline | difference | bounds | margin |\n|---|---|---|---|---|---|---|---|"
    return "\n".join([head, *map(_check_row, checks)])


def sample_details(sample: SampleView) -> str:
    """One sample: what was asked, expected and answered."""
    user_turn = sample.prompt[-1].content if sample.prompt else ""
    parts = [f"**{inline(sample.id)}** · {_facts(sample)}", "asked", block(user_turn)]
    if sample.target:
        parts += ["expected", block(sample.target)]
    parts += ["got", block(output_of(sample.results))]
    if sample.baseline:
        parts += ["the baseline said", block(output_of(sample.baseline))]
    return "\n\n".join(parts)


def output_of(results: Sequence[SampleResult]) -> str:
    """The answer that explains a sample's score best: of several epochs the worst scored."""
    if not results:
        return "(no answer yet)"
    worst = min((result for result in results if not result.reask), key=_lowest_value, default=results[0])
    return shown(worst)


def fit(parts: Iterable[str], *, limit: int, notice: str) -> str:
    """Join the parts that fit into `limit` BYTES of UTF-8; whole parts are left out, and `notice` then says so."""
    chosen: list[str] = []
    wanted = [part for part in parts if part]
    for part in wanted:
        longer = "\n\n".join([*chosen, part])
        if len(longer.encode()) + len(notice.encode()) + 2 > limit:
            return "\n\n".join([*chosen, notice])
        chosen.append(part)
    return "\n\n".join(chosen)


def _check_row(check: Check) -> str:
    cells: Iterable[str] = (
        ANSWER_MARKS[check.answer],
        f"{check.kind}{'' if check.blocking else ' (advisory)'}",
        inline(check.slice),
        words.percent(check.candidate),
        words.percent(check.baseline),
        words.points(check.delta),
        words.interval(check),
        words.points(None if check.margin is None else -check.margin),
    )
    return f"| {' | '.join(cells)} |"


def _facts(sample: SampleView) -> str:
    facts = [sample.outcome.value, "must pass" if sample.must_pass else "", *map(inline, sample.slices)]
    reasons = {score.reason for result in sample.results for score in result.scores.values() if score.reason}
    return " · ".join([*filter(None, facts), *map(inline, sorted(reasons)[:2])])


def _lowest_value(result: SampleResult) -> float:
    values = [score.value for score in result.scores.values() if score.value is not None]
    return min(values, default=-1.0)


def _longest_backticks(text: str) -> int:
    return max((len(run) for run in re.findall(r"`+", text)), default=0)


def _unlinked(text: str) -> str:
    """A zero-width space in what GitHub makes a link of by itself: URLs, www., #12, GH-12, commits."""
    text = re.sub(r"(:)(/)|(www)(\.)|(mailto|xmpp)(:)|(#|gh-)(\d)", _parted, text, flags=re.IGNORECASE)
    return re.sub(r"\b([0-9a-f]{6})(?=[0-9a-f]{1,58}\b)", rf"\1{APART}", text, flags=re.IGNORECASE)


def _parted(found: re.Match[str]) -> str:
    return APART.join(filter(None, found.groups()))


def _quiet(text: str) -> str:
    """A zero-width space behind each @ keeps GitHub from notifying anybody, wherever the text lands."""
    return text.replace("@", f"@{APART}")
