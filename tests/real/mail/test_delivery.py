"""A night's mails on their whole way: told, claimed by real dispatchers, handed in to a real server, read there."""

import asyncio
import io
import logging
import re
from contextlib import asynccontextmanager

import pytest
from matplotlib.image import imread
from pydantic import SecretStr

from evalwindow import flow
from evalwindow.channels import tell as deliver
from evalwindow.config import MailTo
from evalwindow.nights.telling import tell
from tests.real.mail.conftest import READER, SENDER, TEAM
from workers.dispatcher import Dispatcher

NIGHT_WAITS_S = 240


@asynccontextmanager
async def _dispatching(*several):
    """Dispatchers at work, each over services of its own."""
    running = [asyncio.create_task(Dispatcher(services).run()) for services in several]
    try:
        yield
    finally:
        for services in several:
            services.stopping.set()
        await asyncio.gather(*running)


async def _until(condition):
    async with asyncio.timeout(NIGHT_WAITS_S):
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.02)


async def _attempt(services):
    """Everything that is due, once."""
    claimed = []
    while (delivery := services.store.claim_delivery(60)) is not None:
        claimed.append(delivery)
    for delivery in claimed:
        await flow.publish(services, delivery)
    return [delivery for delivery in claimed if delivery.night_id]


def _mails(services, night_id):
    return {row.channel.removeprefix("mail:"): row for row in services.store.deliveries(night_id)}


def _all_sent(services, night_id):
    return lambda: {row.state for row in services.store.deliveries(night_id)} == {"sent"}


async def test_a_night_is_mailed_to_who_asked_for_it_each_once(town, inbox):
    services = town.services()
    night_id = await town.night(services)
    assert tell(services, night_id) == (f"mail:{READER}", f"mail:{TEAM}")
    async with _dispatching(town.services()):
        await _until(_all_sent(services, night_id))
    assert sorted(to for to, _ in inbox.received) == [READER, TEAM]
    assert tell(services, night_id)  # again
    assert await _attempt(services) == []
    assert len(inbox.received) == 2


async def test_the_mail_as_it_is_received(town, inbox):
    services = town.services()
    night_id = await town.night(services)
    tell(services, night_id)
    await _attempt(services)
    [mail] = inbox.to(READER)
    assert re.fullmatch(
        r"FAIL echo \(worse\): odd −100\.0 points; 1 passed · nightly \d{4}-\d{2}-\d{2}", str(mail["Subject"])
    )
    assert (str(mail["From"]), str(mail["To"])) == (SENDER, READER)
    assert mail["Message-ID"] == _mails(services, night_id)[READER].external_id
    assert [part.get_content_type() for part in mail.walk()] == [
        *("multipart/alternative", "text/plain", "multipart/related", "text/html", "image/png", "image/png"),
    ]
    page = mail.get_body(("html",)).get_content()
    worse = next(entry for entry in services.store.entries(night_id) if entry.model == "worse")
    assert f'href="https://evals.example/runs/{worse.run_id}"' in page
    assert 'href="https://airflow.example/x"' in page
    pictures = {
        part["Content-ID"].strip("<>"): part.get_content() for part in mail.walk() if "image" in part["Content-Type"]
    }
    assert sorted(re.findall(r'src="cid:([^"]+)"', page)) == sorted(pictures)
    assert all(imread(io.BytesIO(png)).shape == (440, 1200, 4) for png in pictures.values())
    text = mail.get_body(("plain",)).get_content()
    assert text.startswith("FAIL  echo (worse): odd −100.0 points")
    assert "asked     say 1" in text
    assert "echo PASS, 0 of 60 samples changed sides" in text


async def test_who_asked_for_failures_is_told_of_those_alone(town, inbox):
    services = town.services()
    night_id = await town.night(services)
    tell(services, night_id)
    await _attempt(services)
    [mail] = inbox.to(TEAM)
    text = mail.get_body(("plain",)).get_content()
    assert "echo · worse" in text
    assert "echo · good" not in text
    assert "Not in this mail: 1 more result of the night." in " ".join(text.split())


async def test_the_second_night_shows_what_changed_and_how_it_went_before(town, inbox):
    services = town.services(mail=(MailTo(to=(READER,), when="change"),))
    first, second = await town.night(services, "one"), await town.night(services, "two")
    tell(services, first)
    assert tell(services, second) == ()  # as in the night before
    await _attempt(services)
    assert len(inbox.received) == 1


async def test_what_is_unfinished_goes_on_in_the_next_window_and_the_mail_says_when(town, inbox):
    services = town.services()
    night_id = await town.night(services, unfinished="worse")
    tell(services, night_id)
    await _attempt(services)
    [mail] = inbox.to(READER)
    assert str(mail["Subject"]).startswith("UNFINISHED echo (worse): 50 of 60 samples are done; 1 passed")
    text = " ".join(mail.get_body(("plain",)).get_content().split())
    assert re.search(r"50 of 60 samples are done; goes on in the next window, \d{4}-\d\d-\d\d 22:00 CES?T", text)
    assert "the budget is used up" in text


async def test_a_server_that_was_away_gets_every_mail_once_when_it_is_back(town, inbox):
    services = town.services()
    night_id = await town.night(services)
    inbox.stop()
    tell(services, night_id)
    async with _dispatching(town.services()):
        await _until(lambda: all(row.error for row in services.store.deliveries(night_id)))
        assert inbox.received == []
        inbox.start()
        await _until(_all_sent(services, night_id))
    assert sorted(to for to, _ in inbox.received) == [READER, TEAM]


async def test_a_mail_that_is_put_off_twice_arrives_once(town, inbox, due):
    services = town.services(mail=(MailTo(to=(READER,)),))
    inbox.to_recipients = ["451 greylisted", "451 greylisted"]
    night_id = await town.night(services)
    tell(services, night_id)
    for attempts in (1, 2):
        assert [delivery.attempts for delivery in await _attempt(services)] == [attempts]
        row = _mails(services, night_id)[READER]
        assert (row.state, row.external_id) == ("waiting", None)
        assert "451 greylisted" in row.error
        due(services)
    await _attempt(services)
    assert _mails(services, night_id)[READER].state == "sent"
    assert len(inbox.to(READER)) == 1


async def test_one_reader_who_is_refused_keeps_no_other_from_the_mail(town, inbox):
    services = town.services()
    night_id = await town.night(services)
    tell(services, night_id)
    inbox.to_recipients = ["550 no such user here"]
    await _attempt(services)
    states = {row.state for row in _mails(services, night_id).values()}
    assert states == {"sent", "waiting"}
    [refused] = [row for row in _mails(services, night_id).values() if row.state == "waiting"]
    address = refused.channel.removeprefix("mail:")
    assert f"doesn't take mail for {address}: 550 no such user here" in refused.error
    assert len(inbox.received) == 1


async def test_two_dispatchers_at_once_send_one(town, inbox):
    readers = tuple(f"reader{n}@acme.example" for n in range(8))
    services = town.services(mail=(MailTo(to=readers),))
    night_id = await town.night(services)
    tell(services, night_id)
    mail = (MailTo(to=readers),)
    async with _dispatching(town.services(mail=mail), town.services(mail=mail)):
        await _until(_all_sent(services, night_id))
    assert sorted(to for to, _ in inbox.received) == sorted(readers)


async def test_a_crash_after_the_server_took_it_sends_the_same_mail_again(town, inbox):
    """Nobody can know; whoever reads it sees one mail, for both have one Message-ID."""
    services = town.services(mail=(MailTo(to=(READER,)),))
    night_id = await town.night(services)
    tell(services, night_id)
    for _ in range(2):
        delivery = _claim_mail(services)
        await deliver(services, delivery)  # and the process dies before it is noted
    assert len(inbox.received) == 2
    assert len({mail["Message-ID"] for mail in inbox.to(READER)}) == 1


def _claim_mail(services):
    """With a lease that is over at once."""
    while True:
        delivery = services.store.claim_delivery(-1.0)
        if delivery.night_id:
            return delivery
        services.store.sent(delivery.subject, delivery.channel, None)


async def test_without_a_server_a_mail_waits_for_one_and_says_so_once(town, inbox, due, caplog):
    services = town.services(smtp_url=SecretStr(""))
    night_id = await town.night(services)
    tell(services, night_id)
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            await _attempt(services)
            due(services)
    row = _mails(services, night_id)[READER]
    assert (row.state, row.attempts) == ("waiting", 5)
    assert row.error == "no mail server is configured: set EVALWINDOW_SMTP_URL and EVALWINDOW_MAIL_FROM"
    assert sum(READER in record.getMessage() for record in caplog.records) == 1
    await _attempt(town.services())
    assert len(inbox.to(READER)) == 1


async def test_a_reader_that_this_process_does_not_know_yet_is_told_all_of_it(town, inbox):
    """Who queued it may have read a newer evalwindow.yaml."""
    newer = town.services(mail=(MailTo(to=("new@acme.example",), when="failure"),))
    night_id = await town.night(newer)
    tell(newer, night_id)
    await _attempt(town.services(mail=()))
    [mail] = inbox.to("new@acme.example")
    assert "1 passed" in str(mail["Subject"])


@pytest.mark.parametrize(
    "channel, why",
    [
        ("pager:lea", "use check, comment, page for a run, mail:<address> for a night"),
        ("check", "tells of a run"),
        ("mail:nobody", "no mail address"),
    ],
)
async def test_a_channel_that_nobody_serves_is_told_in_its_row(town, channel, why):
    services = town.services()
    night_id = await town.night(services)
    services.store.tell_night(night_id, [channel])
    await _attempt(services)
    [row] = services.store.deliveries(night_id)
    assert row.state == "waiting"
    assert why in row.error
