"""What happened to a breaker, as a mail: text and HTML, both short."""

from __future__ import annotations

import datetime as dt
import shlex
from dataclasses import dataclass
from email.message import EmailMessage

from evalwindow.breakers import What
from evalwindow.mail.envelope import ENCODING, envelope
from evalwindow.mail.facts import Fact
from evalwindow.mail.html import styled
from evalwindow.mail.phrases import moment, oneline
from evalwindow.mail.text import paragraphs
from evalwindow.mailbox import mailbox
from evalwindow.report import words
from evalwindow.report.breakers import by_itself, effect, guarded, trouble
from evalwindow.report.headline import Tone
from evalwindow.settings import Settings
from evalwindow.store import Store
from evalwindow.store.breaker_rows import BreakerEvent

REASON_CHARACTERS, SUBJECT_CHARACTERS, NAME_CHARACTERS = 300, 120, 60
_WORDS = {What.OPENED: "BREAKER OPEN", What.CLOSED: "BREAKER CLOSED", What.RESET: "BREAKER RESET"}
_TONES = {What.OPENED: Tone.BAD, What.CLOSED: Tone.GOOD, What.RESET: Tone.IDLE}


@dataclass(frozen=True, kw_only=True)
class Alert:
    """All of a mail about one event."""

    subject: str
    word: str
    tone: Tone
    headline: str
    summary: str
    facts: tuple[Fact, ...]
    links: tuple[tuple[str, str], ...]
    why: str


def alert_mail(store: Store, settings: Settings, event_id: str, *, address: str, sender: str) -> EmailMessage:
    """The mail to one address; raises NotFound, BadInput."""
    event = store.breaker_event(event_id)
    alert = alert_of(event, opening=_opening(store, event), base_url=settings.base_url, address=address)
    message = envelope(
        subject=alert.subject, sender=mailbox(sender), address=address, about=event.id, list_name="breakers"
    )
    message["X-Evalwindow-Breaker"] = oneline(event.breaker_id, SUBJECT_CHARACTERS)
    message.set_content(text(alert), cte=ENCODING)
    message.add_alternative(styled("alert.html", mail=alert), subtype="html", cte=ENCODING)
    return message


def alert_of(event: BreakerEvent, *, opening: BreakerEvent | None, base_url: str, address: str) -> Alert:
    """`opening`: of a breaker that is closed now the event with which it had opened."""
    what, word = guarded(event.breaker_id), _WORDS[event.what]
    reason = oneline(event.reason, REASON_CHARACTERS)
    headlines = {
        What.OPENED: trouble(event.breaker_id),
        What.CLOSED: f"In order again: {what}",
        What.RESET: f"Reset by {oneline(event.by or '', NAME_CHARACTERS)}: {what}",
    }
    told = {
        What.OPENED: effect(event.breaker_id),
        What.CLOSED: "What waited goes on.",
        What.RESET: "What waited goes on at once; if it still fails, it opens again.",
    }
    url = f"{base_url}/pools#breakers"
    return Alert(
        subject=oneline(f"{word} {headlines[event.what]} · {reason}", SUBJECT_CHARACTERS),
        word=word,
        tone=_TONES[event.what],
        headline=oneline(headlines[event.what], SUBJECT_CHARACTERS),
        summary=told[event.what],
        facts=_facts(event, opening, reason=reason),
        links=(("What is open now", url),) if url.startswith(("https://", "http://")) else (),
        why=f"Sent to {address} when a breaker opens, closes or is reset, as alerts.to in evalwindow.yaml says.",
    )


def text(alert: Alert) -> str:
    """As complete as the HTML, for a terminal of 80 columns."""
    return paragraphs(
        [f"{alert.word}  {alert.headline}", alert.summary],
        [(fact.name, fact.text) for fact in alert.facts],
        [f"{what}: {url}" for what, url in alert.links],
        alert.why,
    )


def _facts(event: BreakerEvent, opening: BreakerEvent | None, *, reason: str) -> tuple[Fact, ...]:
    told = [
        Fact(name="Breaker", text=oneline(event.breaker_id, SUBJECT_CHARACTERS), code=True),
        Fact(name="When", text=moment(event.at, dt.UTC)),
    ]
    if opening is not None:
        told.append(Fact(name="Open for", text=words.roughly(event.at - opening.at)))
    told.append(Fact(name="Reason" if event.what is not What.CLOSED else "It had been", text=reason))
    if event.what is What.OPENED:
        told.append(Fact(name="By itself", text=by_itself(event.breaker_id)))
        told.append(Fact(name="By hand", text=_command(event.breaker_id), code=True))
    return tuple(fact for fact in told if fact.text)


def _command(breaker_id: str) -> str:
    """Whole, or it would be of no use; in quotes where a shell wants them."""
    return f"evalwindow breakers reset {words.visible(shlex.quote(breaker_id))} --by YOU"


def _opening(store: Store, event: BreakerEvent) -> BreakerEvent | None:
    if event.what is What.OPENED:
        return None
    earlier = store.breaker_events(1, breaker_id=event.breaker_id, until=event.at, what=What.OPENED)
    return earlier[0] if earlier else None
