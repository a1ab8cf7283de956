"""quotas."""

from __future__ import annotations

import typer

from evalwindow.cli.remote import connected
from evalwindow.cli.show import AsJson, say, say_json, say_table
from evalwindow.quota import PERIOD_WORDS
from evalwindow.report import words
from evalwindow.web.documents import LimitDocument, QuotaDocument

_WORDS = {
    "smoke_runs": "smoke runs that are not final",
    "queued_samples": "samples of regression runs, waiting or running",
    "gpu_minutes": "GPU-minutes",
    "api_cost": "money for API models",
}


def register(app: typer.Typer) -> None:
    app.command()(quotas)


def quotas(json: AsJson = False) -> None:
    """Your team's limits, and what is used of them."""
    found = connected(lambda client: client.quotas())
    if json:
        say_json(found)
        return
    last = found.period_end.strftime("%Y-%m-%d %H:%M UTC")
    say(f"team {found.team} · a {found.period} in UTC, this one ends {last}")
    heads = ("what", "used", "limit", "", "key")
    say_table(heads, [_row(limit, found) for limit in found.limits], right=("used", "limit"))
    say(f"{PERIOD_WORDS[found.period]}: {_counts(found)}")


def _row(limit: LimitDocument, of: QuotaDocument) -> tuple[str, ...]:
    what = _WORDS.get(limit.name, limit.name)
    if limit.until is not None:
        what = f"{what}, {PERIOD_WORDS[of.period]}"
    most = words.NOTHING if limit.limit is None else f"{limit.limit:,g}"
    return what, f"{limit.used:,.10g}", most, "full" if limit.full else "", f"quota.{limit.name}"


def _counts(found: QuotaDocument) -> str:
    return " · ".join(
        (
            words.counted(found.runs, "run") + " admitted",
            words.counted(found.refused, "submission") + " refused",
            words.counted(found.results, "answer"),
        )
    )
