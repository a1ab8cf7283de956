import datetime as dt
import email
import email.policy
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalwindow.errors import BadInput
from evalwindow.mail.content import content_of
from evalwindow.mail.envelope import message_id, unencoded
from evalwindow.mail.message import MOST_PICTURES, compose
from evalwindow.mail.phrases import oneline
from evalwindow.mailbox import mailbox
from tests.unit.mail.examples import READER, SENDER, entry_of, good, judged, lost_sort, mail_of, night_view

FAILED, PASSED = judged(lost_sort, model="bad"), judged(good)
NIGHT = night_view(FAILED, PASSED)


def _received(message):
    """As it is read at the other end."""
    return email.message_from_bytes(message.as_bytes(), policy=email.policy.default)


def test_text_comes_first_then_html_with_its_pictures():
    parts = [part.get_content_type() for part in _received(mail_of(NIGHT)).walk()]
    assert parts == [
        *("multipart/alternative", "text/plain", "multipart/related", "text/html"),
        *("image/png", "image/png"),
    ]


def test_every_picture_is_named_by_the_html_and_decodes():
    received = _received(mail_of(NIGHT))
    page = received.get_body(("html",)).get_content()
    pictures = [part for part in received.walk() if part.get_content_maintype() == "image"]
    assert len(pictures) == page.count('src="cid:') == 2
    for part in pictures:
        assert f'src="cid:{part["Content-ID"].strip("<>")}"' in page
        assert part.get_content_disposition() == "inline"
        assert part.get_content().startswith(b"\x89PNG")


def test_headers_say_what_programs_need():
    received = _received(mail_of(NIGHT))
    assert str(received["To"]) == READER
    assert str(received["From"]) == "Evals <evals@acme.example>"
    assert received["Auto-Submitted"] == "auto-generated"
    assert received["List-Id"] == "<nightly.evalwindow.acme.example>"
    assert received["X-Evalwindow-Night"] == NIGHT.night.id
    assert received["X-Evalwindow-Verdict"] == "FAIL"
    assert abs(received["Date"].datetime - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=5)


def test_the_subject_survives_the_way():
    message = mail_of(NIGHT)
    assert _received(message)["Subject"] == message["Subject"]
    assert all(len(line) < 998 for line in message.as_bytes().split(b"\r\n"))
    assert message.as_bytes().isascii()


def test_a_mail_that_is_sent_again_is_the_same_mail():
    first, again = mail_of(NIGHT), mail_of(NIGHT)
    assert first["Message-ID"] == again["Message-ID"]
    assert first["Message-ID"] != mail_of(NIGHT, address="other@acme.example")["Message-ID"]
    other = replace(NIGHT, night=replace(NIGHT.night, id="01jnight0000000000000000bb"))
    assert first["Message-ID"] != mail_of(other)["Message-ID"]
    assert READER not in message_id("01j", READER, domain="acme.example")


@pytest.mark.parametrize("address", ["", "nobody", "a@b\r\nBcc: c@d", "a@b, c@d", "a b@c", "a@", "a@x..example"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(BadInput, match="no mail address"):
        compose(NIGHT, NIGHT.lines, address=address, sender=SENDER)


def test_a_sender_may_have_a_name_and_a_domain_with_letters_of_its_own():
    sender = mailbox("Prüfstand <evals@bücher.example>")
    received = _received(compose(NIGHT, NIGHT.lines, address=READER, sender=sender))
    assert received["From"].addresses[0].display_name == "Prüfstand"
    assert received["Message-ID"].endswith("@xn--bcher-kva.example>")


def test_a_long_night_has_few_pictures():
    lines = [replace(FAILED, entry=entry_of(f"suite-{n}")) for n in range(20)]
    message = mail_of(night_view(*lines))
    assert sum(part.get_content_maintype() == "image" for part in message.walk()) == MOST_PICTURES
    assert len(message.as_bytes()) < 1_000_000


def test_a_mail_that_was_shortened_carries_no_picture_that_it_does_not_show():
    note = "\n".join(['"<&' * 3_000] * 20)
    lines = [replace(FAILED, entry=entry_of(f"suite-{n}", note=note)) for n in range(30)]
    message = mail_of(night_view(*lines))
    shown = message.get_body(("html",)).get_content().count('src="cid:')
    assert 0 < shown < MOST_PICTURES
    assert sum(part.get_content_maintype() == "image" for part in message.walk()) == shown


def test_the_mail_of_an_earlier_night_knows_nothing_of_later_ones():
    (last,) = FAILED.trend[-1:]
    later = replace(last, at=last.at + dt.timedelta(days=1), score=1.0)
    content = content_of(NIGHT, [replace(FAILED, trend=(*FAILED.trend, later))], address=READER)
    assert content.sections[0].trend.points == FAILED.trend


INJECTED = ["=?utf-8?q?a=0D=0ABcc:_x@evil.example?=", "=?utf-8?b?DQpCY2M6IHhAeQ==?=", "a\r\nBcc: x@evil.example"]


@pytest.mark.parametrize("name", INJECTED)
def test_no_name_gets_a_header_of_its_own(name):
    received = _received(mail_of(night_view(judged(lost_sort, model=name))))
    assert received["Bcc"] is None
    assert received["Message-ID"] is not None
    assert "\n" not in received["Subject"]


@given(
    st.lists(st.sampled_from(["=?", "?=", "utf-8", "?q?", "?b?", "=0D=0A", "DQo=", "Bcc:", "\r\n", " "]) | st.text())
)
def test_no_text_of_a_subject_gets_a_header_of_its_own(parts):
    message = email.message.EmailMessage(policy=email.policy.SMTP)
    message["Subject"] = unencoded(oneline("".join(parts), 120))
    message["X-Last"] = "x"
    received = email.message_from_bytes(message.as_bytes(), policy=email.policy.default)
    assert received.keys() == ["Subject", "X-Last"]
    assert received.get_payload() == ""
