from pathlib import Path

import pytest

from evalwindow.errors import ConfigInvalid
from evalwindow.settings import read_settings
from evalwindow.smtp_url import Security, SmtpUrl, parse_smtp_url

FROM = {"EVALWINDOW_MAIL_FROM": "Evals <evals@acme.example>"}


def _read(url, **others):
    return read_settings({"EVALWINDOW_SMTP_URL": url, **FROM, **others})


@pytest.mark.parametrize(
    "url, server",
    [
        ("smtp://relay.example", SmtpUrl(host="relay.example", port=25, security=Security.STARTTLS)),
        ("smtp://relay.example:2525?starttls=never", SmtpUrl(host="relay.example", port=2525, security=Security.NONE)),
        ("smtp://127.0.0.1:1025", SmtpUrl(host="127.0.0.1", port=1025, security=Security.NONE)),
        ("smtp://[::1]:1025", SmtpUrl(host="::1", port=1025, security=Security.NONE)),
        ("smtp://localhost?starttls=required", SmtpUrl(host="localhost", port=25, security=Security.STARTTLS)),
        ("smtps://mx.example/", SmtpUrl(host="mx.example", port=465, security=Security.TLS)),
        (
            "smtp://lea%40acme:p%40ss%3Aword%2F@mx.example",
            SmtpUrl(host="mx.example", port=587, security=Security.STARTTLS, user="lea@acme", password="p@ss:word/"),
        ),
    ],
)
def test_a_url_says_where_and_how(url, server):
    assert parse_smtp_url(url) == server
    assert _read(url).smtp == server


def test_whom_to_trust_is_a_file(tmp_path):
    path = tmp_path / "ca.pem"
    path.write_text("x")
    assert parse_smtp_url(f"smtps://mx.example?ca={path}").ca == Path(path)
    with pytest.raises(ConfigInvalid, match="EVALWINDOW_SMTP_URL: ca: there is no file"):
        _read("smtps://mx.example?ca=/none/ca.pem")


@pytest.mark.parametrize(
    "url, advice",
    [
        ("http://relay.example", "write smtp://"),
        ("relay.example:25", "write smtp://"),
        ("smtp://", "write smtp://"),
        ("smtp://relay.example/inbox", "write smtp://"),
        ("smtp://relay.example:port", "can't be read"),
        ("smtp://[::1", "can't be read"),
        ("smtp://user@relay.example", "come together"),
        ("smtp://relay.example?starttls=maybe", "required or never"),
        ("smtps://relay.example?starttls=never", "leave starttls out"),
        ("smtp://relay.example?tls=1", "starttls and ca"),
        ("smtp://relay.example?starttls=never&starttls=required", "once each"),
        ("smtp://relay.example?starttls", "can't be read"),
    ],
)
def test_what_is_wrong_is_said_with_what_is_right(url, advice):
    with pytest.raises(ConfigInvalid, match="EVALWINDOW_SMTP_URL") as error:
        _read(url)
    assert advice in str(error.value)


@pytest.mark.parametrize(
    "url", ["smtp://lea:hun#ter2@mx", "smtp://lea:hun/ter2@mx", "smtp://lea:hun?ter2@mx", "lea:hunter2"]
)
def test_a_password_is_in_no_error_and_in_no_picture_of_the_settings(url):
    with pytest.raises(ConfigInvalid) as error:
        _read(url)
    assert "ter2" not in str(error.value)
    assert error.value.__cause__ is None  # pydantic's own error shows its input
    settings = _read("smtp://lea:hunter2@mx.example")
    assert "hunter2" not in repr(settings) + str(settings) + repr(settings.smtp)


def test_a_server_needs_a_sender():
    with pytest.raises(ConfigInvalid, match=r"EVALWINDOW_MAIL_FROM='': .*write evals@example\.com"):
        read_settings({"EVALWINDOW_SMTP_URL": "smtp://relay.example"})
    assert read_settings({}).smtp is None


@pytest.mark.parametrize(
    "sender", ["nobody", "a@b, c@d", "a@b\r\nBcc: c@d", "<>", "Evals <evals>", "a@", "group: a@b;", "a@x..example"]
)
def test_a_sender_is_one_address(sender):
    with pytest.raises(ConfigInvalid, match="EVALWINDOW_MAIL_FROM"):
        _read("smtp://relay.example", EVALWINDOW_MAIL_FROM=sender)
