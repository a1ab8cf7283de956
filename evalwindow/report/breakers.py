"""Breakers in words: what each guards, how it is, what happens next. For the page, the command line and mails."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from evalwindow.breakers import GITHUB, SMTP, Phase, What
from evalwindow.breakers.ids import POOL, PROVIDER, Kind, kind_of, team_of
from evalwindow.report import words
from evalwindow.report.headline import Tone
from evalwindow.store import Store
from evalwindow.store.breaker_rows import BreakerEvent, BreakerRow

LATEST = 10  # events on a page
_TONES = {Phase.CLOSED: Tone.IDLE, Phase.HALF_OPEN: Tone.UNSURE, Phase.OPEN: Tone.BAD}
_WORST = (Phase.OPEN, Phase.HALF_OPEN, Phase.CLOSED)
_WORDS = {Phase.CLOSED: "closed", Phase.HALF_OPEN: "on trial", Phase.OPEN: "open"}
_EVENT_TONES = {What.OPENED: Tone.BAD, What.CLOSED: Tone.GOOD, What.RESET: Tone.IDLE}
_EFFECTS = {
    Kind.ENGINES: "Runs on this pool wait. None of them loses an attempt, and none ends for it.",
    Kind.PROVIDERS: "Runs that ask it, also as a judge, wait. None of them loses an attempt, and none ends for it.",
    Kind.NOTIFIERS: "What is to be told there waits. Nothing is lost, and each thing is told once.",
    Kind.TEAM_ERRORS: "The team's new runs are refused, except for one that finds out. Those that are open go on.",
    Kind.TEAM_SUBMISSIONS: (
        "The team's new runs are refused, and its regression runs wait, except for a window's own. Smoke that is open "
        "goes on."
    ),
}


@dataclass(frozen=True, kw_only=True)
class BreakerView:
    """A breaker that has something to say."""

    row: BreakerRow
    reason: str  # as its reader may see it

    @property
    def id(self) -> str:
        return self.row.id

    @property
    def what(self) -> str:
        return guarded(self.row.id)

    @property
    def word(self) -> str:
        return _WORDS[self.row.standing.phase]

    @property
    def tone(self) -> Tone:
        return _TONES[self.row.standing.phase]

    @property
    def since(self) -> dt.datetime | None:
        """When it opened; of a closed one when the first failure was."""
        standing = self.row.standing
        return standing.opened_at or standing.since

    @property
    def lasts(self) -> str:
        """How long that is now."""
        return words.roughly(self.row.now - self.since) if self.since else ""

    @property
    def effect(self) -> str:
        """What it means for those who wait; of a closed one nothing."""
        return "" if self.row.standing.phase is Phase.CLOSED else effect(self.row.id)

    @property
    def next(self) -> str:
        """What happens when."""
        standing = self.row.standing
        if standing.phase is Phase.CLOSED:
            return f"{words.counted(standing.failures, 'failure')} in a row so far"
        if standing.retry_at is None:
            return "submissions are counted for a minute; it closes if they keep to the limit"
        if standing.phase is Phase.HALF_OPEN:
            return f"one is trying; if it says nothing, the next one may at {self._retry_at}"
        if standing.retry_at <= self.row.now:
            return "whoever comes next may try"
        if kind_of(self.row.id) is Kind.TEAM_SUBMISSIONS:
            return f"submissions are taken again at {self._retry_at}, unless as many keep coming"
        return f"one may try at {self._retry_at}"

    @property
    def _retry_at(self) -> str:
        retry_at, now = self.row.standing.retry_at, self.row.now
        if retry_at is None or retry_at <= now:
            return words.moment(retry_at)
        return f"{words.moment(retry_at)} (in {words.roughly(retry_at - now)})"


@dataclass(frozen=True, kw_only=True)
class EventView:
    """Something that happened to a breaker."""

    event: BreakerEvent
    reason: str  # as its reader may see it

    @property
    def what(self) -> str:
        return guarded(self.event.breaker_id)

    @property
    def tone(self) -> Tone:
        return _EVENT_TONES[self.event.what]


def gather_breakers(store: Store, *, team: str | None) -> list[BreakerView]:
    """Those that are open or count failures, the worst first; of teams' own only this team's, or all for None."""
    rows = [row for row in _of(store.breakers(), team=team) if _speaks(row)]
    rows.sort(key=lambda row: (_WORST.index(row.standing.phase), row.id))
    return [BreakerView(row=row, reason=_shown(row.id, row.standing.reason or "", team=team)) for row in rows]


def gather_events(store: Store, *, team: str | None, limit: int = LATEST) -> list[EventView]:
    """The newest first."""
    found = store.breaker_events(limit if team is None else 10 * limit)
    mine = [event for event in found if team_of(event.breaker_id) in (None, team) or team is None]
    return [EventView(event=event, reason=_shown(event.breaker_id, event.reason, team=team)) for event in mine[:limit]]


def brief(breaker_id: str, reason: str) -> str:
    """As much of a reason as every team may read: the rest may name others' repositories or quote their prompts."""
    kind = kind_of(breaker_id)
    if kind is Kind.NOTIFIERS:
        return "it does not answer"
    return ": ".join(reason.split(": ")[:2]) if kind in (Kind.ENGINES, Kind.PROVIDERS) else reason


def _shown(breaker_id: str, reason: str, *, team: str | None) -> str:
    return reason if team is None else brief(breaker_id, reason)


def guarded(breaker_id: str) -> str:
    """What it guards, for a person."""
    if breaker_id.startswith(POOL):
        return f"the engines of pool {breaker_id.removeprefix(POOL)}"
    if breaker_id.startswith(PROVIDER):
        return f"the API of model {breaker_id.removeprefix(PROVIDER)}"
    whole = {GITHUB: "GitHub", SMTP: "the mail server"}
    if breaker_id in whole:
        return whole[breaker_id]
    about = {Kind.TEAM_ERRORS: "runs that are mostly errors", Kind.TEAM_SUBMISSIONS: "submissions"}
    return f"team {team_of(breaker_id)}: {about[kind_of(breaker_id)]}"


def trouble(breaker_id: str) -> str:
    """Why it opened, in a sentence without its reason."""
    kind, what = kind_of(breaker_id), guarded(breaker_id)
    if kind is Kind.TEAM_ERRORS:
        return f"Team {team_of(breaker_id)}: one run after another is mostly errors"
    if kind is Kind.TEAM_SUBMISSIONS:
        return f"Team {team_of(breaker_id)} submits too much"
    return f"{what[0].upper()}{what[1:]} failed too often"


def by_itself(breaker_id: str) -> str:
    """How it closes if nobody does anything."""
    kind = kind_of(breaker_id)
    if kind is Kind.TEAM_SUBMISSIONS:
        return "Submissions are taken again after a pause that lasts as long as too many keep coming."
    tried = "One run of the team is let in" if kind is Kind.TEAM_ERRORS else "It is tried again"
    return f"{tried} after a pause that grows; when that works, all go on."


def effect(breaker_id: str) -> str:
    """What it means that this one is open."""
    return _EFFECTS[kind_of(breaker_id)]


def _of(rows: Iterable[BreakerRow], *, team: str | None) -> list[BreakerRow]:
    return [row for row in rows if team is None or team_of(row.id) in (None, team)]


def _speaks(row: BreakerRow) -> bool:
    """A count of submissions is no news while it is below its limit."""
    if kind_of(row.id) is Kind.TEAM_SUBMISSIONS:
        return row.standing.phase is not Phase.CLOSED
    return row.standing.troubled
