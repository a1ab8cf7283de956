"""What a mail says of the night as a whole: when, at what cost, whether the baseline agreed with itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from evalwindow.mail.phrases import gpu_time, moment, oneline, share, span, zone_of
from evalwindow.mail.policy import rules_of
from evalwindow.report import words
from evalwindow.report.breakers import brief, guarded
from evalwindow.report.links import Links
from evalwindow.report.night import NightLine, NightView

REASON_CHARACTERS = 200
MOST_OPENINGS = 5
_WHEN = {
    "always": "every night",
    "change": "when a verdict differs from the night before",
    "failure": "when something did not pass",
}


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One thing to know, under its name."""

    name: str
    text: str
    code: bool = False  # to be typed as it stands


def facts_of(view: NightView) -> tuple[Fact, ...]:
    told = [
        ("Window", _window(view)),
        ("A/A", _aa(view)),
        ("GPU time", _cost(view)),
        ("A GPU per job", _cold(view)),
        ("From the cache", _cache(view)),
        ("Budget", _budget(view)),
        ("Left alone", _openings(view)),
        ("Next window", moment(view.next_start, zone_of(view)) if view.next_start else ""),
    ]
    return tuple(Fact(name=name, text=text) for name, text in told if text)


def links_of(view: NightView) -> tuple[tuple[str, str], ...]:
    """(what, URL); only what a browser opens."""
    night = Links(base=view.url.removesuffix("/runs")).night(view.night.id)
    links = (("This night", night), ("All runs", view.url), ("In Airflow", view.night.url or ""))
    return tuple((what, url) for what, url in links if url.startswith(("https://", "http://")))


def why(view: NightView, lines: Sequence[NightLine], *, address: str) -> str:
    """Who asked for this mail, and what it leaves out."""
    rules = next((mine for known, mine in rules_of(view).items() if known.casefold() == address.casefold()), ())
    when = " and ".join(dict.fromkeys(_WHEN[rule.when] for rule in rules))
    asked = f"windows.{view.night.window}.mail in evalwindow.yaml"
    told = f"Sent to {address} {when}, as {asked} says." if when else f"Sent to {address}."
    left_out = len(view.lines) - len(lines)
    return f"{told} Not in this mail: {words.counted(left_out, 'more result')} of the night." if left_out else told


def _openings(view: NightView) -> str:
    """Breakers that opened meanwhile: what failed too often, when, and why."""
    zone = zone_of(view)
    latest = {event.breaker_id: event for event in view.openings}
    times = Counter(event.breaker_id for event in view.openings)
    told = [
        f"{guarded(event.breaker_id)}{f' ({times[name]} times)' if times[name] > 1 else ''}, "
        f"{'last ' if times[name] > 1 else ''}at {event.at.astimezone(zone):%H:%M}: "
        f"{oneline(brief(name, event.reason), REASON_CHARACTERS)}"
        for name, event in latest.items()
    ]
    more = len(told) - MOST_OPENINGS
    return "; ".join(told[:MOST_OPENINGS]) + (f"; and {more} more" if more > 0 else "")


def _window(view: NightView) -> str:
    night, zone = view.night, zone_of(view)
    text = f"{night.window}, {span(night.starts_at, night.ends_at, zone)}"
    if night.closed_at is not None:
        reason = oneline(night.close_reason or "", REASON_CHARACTERS)
        text += f"; closed early at {night.closed_at.astimezone(zone):%H:%M}: {reason}"
    return text


def _aa(view: NightView) -> str:
    if view.aa:
        return "; ".join(map(_against_itself, view.aa))
    if view.window is not None and not view.window.aa:
        return "switched off for this window"
    return "not run: no suite had a baseline"


def _against_itself(line: NightLine) -> str:
    """The gate's own answer, also where it made the night void."""
    run = line.run
    word = run.answer.upper() if run and run.answer else line.word
    checks = run.verdict.checks if run and run.verdict else ()
    for check in checks:
        if check.kind == "paired" and check.slice == "all" and check.n:
            flips = f"{check.flips_down + check.flips_up} of {words.counted(check.n, 'sample')} changed sides"
            return f"{line.entry.suite} {word}, {flips}"
    return f"{line.entry.suite} {word}"


def _cost(view: NightView) -> str:
    cost = view.cost
    return gpu_time(cost.gpu_s) + (f", at a price of {words.money(cost.money)}" if cost.money else "")


def _cold(view: NightView) -> str:
    cost = view.cost
    if not cost.cold_gpu_s:
        return ""
    text = gpu_time(cost.cold_gpu_s) + (f", at a price of {words.money(cost.cold_money)}" if cost.cold_money else "")
    saved = cost.saved
    return f"would have taken {text}" + (f"; {share(saved, 1)} of that saved" if saved and saved > 0 else "")


def _cache(view: NightView) -> str:
    return f"{view.cost.cache_hits:,} of {view.cost.results:,} answers" if view.cost.results else ""


def _budget(view: NightView) -> str:
    budget = view.night.budget_gpu_s
    if not budget:
        return ""
    return f"{share(view.cost.gpu_s, budget)} of {gpu_time(budget)} used"
