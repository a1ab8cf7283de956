"""The mail server's breaker, alerts about any breaker, and what a night's mail says of them."""

from __future__ import annotations

import pytest_asyncio
from pydantic import SecretStr
from sqlalchemy import text

from evalwindow import flow
from evalwindow.breakers import SMTP, Phase, What
from evalwindow.config import Alerts, Breaker, Breakers, Pool
from evalwindow.nights.telling import tell
from tests.real.mail.conftest import READER

OPS = "ops@acme.example"
RULE = Breaker(failures=2, cooldown_s=600, longest_s=1000)


@pytest_asyncio.fixture
async def services(town):
    """Of a town that alerts OPS."""
    breakers = Breakers(engines=RULE, notifiers=RULE)
    fields = {"alerts": Alerts(to=(OPS,)), "breakers": breakers, "pools": {"warm": Pool(model="m")}}
    town.config = town.config.model_copy(update=fields)
    return town.services()


async def attempt(services):
    """Everything that is due, once."""
    claimed = []
    while (delivery := services.store.claim_delivery(60)) is not None:
        claimed.append(delivery)
    for delivery in claimed:
        await flow.publish(services, delivery)
    return claimed


def due(services):
    with services.store._transaction() as connection:
        for statement in (
            "UPDATE breaker SET retry_at = clock_timestamp() WHERE state <> 'closed'",
            "UPDATE delivery SET next_at = clock_timestamp() WHERE state = 'waiting'",
        ):
            connection.execute(text(statement))


def mails(services, subject):
    return {row.channel.removeprefix("mail:"): row for row in services.store.deliveries(subject)}


def alarms(services, count=6):
    """So many alerts: mails that are quickly made."""
    for number in range(count):
        for _ in range(RULE.failures):
            services.breakers.failed(f"pool:{number}", "no engine answers")
    return [event.id for event in services.store.breaker_events(count)]


async def test_a_mail_server_that_is_away_costs_no_attempt_and_each_mail_comes_once(services, inbox):
    inbox.stop()
    events = alarms(services)
    for _ in range(60):  # more often than a mail may fail
        await attempt(services)
        due(services)
    rows = [row for event_id in events for row in services.store.deliveries(event_id)]
    assert len(rows) == 6 and {row.state for row in rows} == {"waiting"}
    assert max(row.attempts for row in rows) <= RULE.failures - 1
    assert services.store.breaker(SMTP).standing.phase is Phase.OPEN
    [opened] = services.store.breaker_events(10, breaker_id=SMTP)
    assert opened.what is What.OPENED

    inbox.start()
    due(services)
    while await attempt(services):  # the probe, then the others
        pass
    ids = [str(mail["Message-ID"]) for mail in inbox.to(OPS)]
    assert len(ids) == len(set(ids)) == 6 + 2  # with those about itself
    assert [event.what for event in services.store.breaker_events(1, breaker_id=SMTP)] == [What.CLOSED]


async def test_while_it_is_open_nothing_connects_and_then_one_mail_does(services, inbox):
    inbox.to_recipients = ["451 busy"] * 1000
    alarms(services)
    await attempt(services)
    assert services.store.breaker(SMTP).standing.phase is Phase.OPEN
    for _ in range(3):
        inbox.asked = 0
        due(services)
        await attempt(services)
        assert inbox.asked == 1
    inbox.asked = 0
    await attempt(services)
    assert inbox.asked == 0


async def test_a_server_that_refuses_one_reader_is_there(services, inbox):
    inbox.to_recipients = ["550 no such user"] * 1000
    [event_id] = alarms(services, 1)
    for _ in range(5):
        await attempt(services)
        due(services)
    assert services.store.breaker(SMTP) is None
    assert mails(services, event_id)[OPS].attempts == 5


async def test_without_a_mail_server_there_is_nothing_to_probe(services, town):
    [event_id] = alarms(services, 1)
    await attempt(town.services(smtp_url=SecretStr("")))
    assert services.store.breaker(SMTP) is None
    assert "EVALWINDOW_SMTP_URL" in mails(services, event_id)[OPS].error


async def test_an_opening_a_close_and_a_reset_are_mailed_once_each(services, inbox):
    why = "the GPU unit is not running <b>&</b> =?utf-8?q?=0aBcc:_x?= \n@all"
    for _ in range(3):
        services.breakers.failed("pool:warm", why)
    due(services)
    assert services.breakers.ask(["pool:warm"], probe_s=60).probes
    services.breakers.succeeded("pool:warm", probe=True)
    services.breakers.failed("pool:warm", why)
    assert services.breakers.reset("pool:warm", by="lea", reason="restarted it")
    await attempt(services)
    assert await attempt(services) == []
    sent = sorted(inbox.to(OPS), key=lambda mail: str(mail["X-Evalwindow-Breaker"]) + str(mail["Subject"]))
    assert [str(mail["Subject"]).split(" · ")[0] for mail in sent] == [
        "BREAKER CLOSED In order again: the engines of pool warm",
        "BREAKER OPEN The engines of pool warm failed too often",
        "BREAKER RESET Reset by lea: the engines of pool warm",
    ]
    opened = sent[1]
    assert (str(opened["To"]), opened["Bcc"]) == (OPS, None)
    page, plain = (opened.get_body((kind,)).get_content() for kind in ("html", "plain"))
    assert "&lt;b&gt;&amp;&lt;/b&gt;" in page and "<b>&</b>" not in page
    for form in (page, plain):
        assert "None of them loses an attempt" in " ".join(form.split())
        assert "evalwindow breakers reset pool:warm --by YOU" in form
        assert "https://evals.example/pools#breakers" in form
    assert "Open for" in sent[0].get_body(("plain",)).get_content()


async def test_a_nights_mail_names_what_opened_meanwhile_and_nothing_else(services, town, inbox):
    for _ in range(2):
        services.breakers.failed("pool:before", "long ago")
    with services.store._transaction() as connection:
        connection.execute(text("UPDATE breaker_event SET at = at - interval '1 day'"))
    night_id = await town.night(services)
    for name in ("pool:warm", "team:ads/errors"):
        for _ in range(20):
            services.breakers.failed(name, "no engine answers")
    tell(services, night_id)
    await attempt(services)
    [mail] = inbox.to(READER)
    for form in ("plain", "html"):
        body = " ".join(mail.get_body((form,)).get_content().split())
        assert "Left alone" in body and "the engines of pool warm, at " in body and "no engine answers" in body
        assert "pool before" not in body and "team ads" not in body
