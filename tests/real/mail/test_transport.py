"""Mails handed in to real servers that take them, refuse them, hang or lie."""

import datetime as dt
import ipaddress
import socket
import ssl
import threading
from contextlib import contextmanager
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY

import pytest
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from evalwindow.errors import MailRefused, MailUnavailable
from evalwindow.mail.transport import send
from evalwindow.smtp_url import parse_smtp_url
from tests.real.mail.conftest import READER, Inbox

FROM = "evals@acme.example"
PASSWORD = "hunter2"


def _message():
    message = EmailMessage(policy=SMTP_POLICY)
    message["From"], message["To"], message["Subject"] = FROM, READER, "Verdict −3.1"
    message["Message-ID"] = "<1@acme.example>"
    message.set_content("sort −96.0 points\n", cte="quoted-printable")
    return message


def _send(url, **options):
    send(_message(), READER, server=parse_smtp_url(url), sender=FROM, **{"timeout_s": 30.0, **options})


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A PEM file with the key and the certificate of 127.0.0.1, signed by itself."""
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail")])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("certificate") / "mail.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + signed.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def serving(certificate):
    """A server with TLS: `serving(starttls=True)`."""
    opened = []

    def start(**options):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
        chosen = (
            {"tls_context": context, "require_starttls": True} if options.pop("starttls") else {"ssl_context": context}
        )
        server = Inbox()
        server.start(**chosen, **options)
        opened.append(server)
        return server

    yield start
    for server in opened:
        server.stop()


def _only_lea(server, session, envelope, mechanism, data):
    known = (data.login, data.password) == (b"lea", PASSWORD.encode())
    return AuthResult(success=known, handled=False)  # not handled: the server says no itself


def test_a_mail_arrives_as_it_was_written(inbox):
    _send(inbox.url)
    [(to, message)] = inbox.received
    assert (to, message["Subject"], message["Message-ID"]) == (READER, "Verdict −3.1", "<1@acme.example>")
    assert message.get_content().splitlines() == ["sort −96.0 points"]


def test_a_server_that_is_not_there_is_named_with_its_variable(inbox):
    inbox.stop()
    with pytest.raises(MailUnavailable, match=rf"127\.0\.0\.1:{inbox.port} \(EVALWINDOW_SMTP_URL\) can't be used"):
        _send(inbox.url)


def test_a_host_without_an_address_is_named():
    with pytest.raises(MailUnavailable, match=r"mail\.invalid:25"):
        _send("smtp://mail.invalid?starttls=never")


@pytest.mark.parametrize("where", ["to_recipients", "to_data"])
@pytest.mark.parametrize("answer, error", [("451 greylisted", MailUnavailable), ("550 no such user here", MailRefused)])
def test_what_the_server_says_decides_how_long_we_try(inbox, where, answer, error):
    setattr(inbox, where, [answer])
    with pytest.raises(error) as raised:
        _send(inbox.url)
    assert READER in str(raised.value)
    assert answer in str(raised.value)
    assert inbox.received == []


def test_a_server_that_is_busy_at_the_door_is_tried_again():
    with _talking(b"421 too many connections\r\n") as port, pytest.raises(MailUnavailable, match="421 too many"):
        _send(f"smtp://127.0.0.1:{port}")


def test_what_a_server_says_is_one_line_without_tricks(inbox):
    inbox.to_recipients = ["550 \u202eno\x1b[2K " + "x" * 400]
    with pytest.raises(MailRefused) as raised:
        _send(inbox.url)
    assert "\n" not in str(raised.value) and "\x1b" not in str(raised.value)
    assert len(str(raised.value)) < 500


def test_a_login_goes_over_starttls(serving, certificate):
    server = serving(starttls=True, auth_required=True, authenticator=_only_lea)
    _send(f"smtp://lea:{PASSWORD}@127.0.0.1:{server.port}?starttls=required&ca={certificate}")
    assert len(server.received) == 1


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")  # aiosmtpd counts STARTTLS only
def test_a_login_goes_over_tls_from_the_first_byte(serving, certificate):
    server = serving(starttls=False, auth_required=True, auth_require_tls=False, authenticator=_only_lea)
    _send(f"smtps://lea:{PASSWORD}@127.0.0.1:{server.port}?ca={certificate}")
    assert len(server.received) == 1


def test_a_wrong_password_is_tried_again_once_it_is_mended_and_never_shown(serving, certificate):
    server = serving(starttls=True, auth_required=True, authenticator=_only_lea)
    with pytest.raises(MailUnavailable, match="refuses our login: 535") as raised:
        _send(f"smtp://lea:wr0ng@127.0.0.1:{server.port}?starttls=required&ca={certificate}")
    assert "wr0ng" not in str(raised.value)
    assert server.received == []


@pytest.mark.parametrize("scheme, option", [("smtp", "?starttls=required"), ("smtps", "")])
def test_a_certificate_that_nobody_vouches_for_stops_everything(serving, scheme, option):
    server = serving(starttls=scheme == "smtp")
    with pytest.raises(MailUnavailable, match=r"(?i)certificate verify failed"):
        _send(f"{scheme}://127.0.0.1:{server.port}{option}")
    assert server.received == []


def test_where_encryption_was_asked_for_nothing_goes_without_it(inbox):
    with pytest.raises(MailUnavailable, match="offers no STARTTLS; add \\?starttls=never"):
        _send(f"{inbox.url}?starttls=required")
    assert inbox.asked == 0


def test_a_server_that_hangs_is_left_in_time():
    with _talking(b"") as port, pytest.raises(MailUnavailable, match="can't be used"):
        _send(f"smtp://127.0.0.1:{port}", timeout_s=0.3)


def test_a_server_that_answers_one_byte_at_a_time_is_cut_off():
    """Each byte is in time for the socket; all of them never are."""
    cut_off = pytest.raises(MailUnavailable, match=r"longer than 0\.5 s")
    with _talking(b"220 hello\r\n250-", drip=b"x") as port, cut_off:
        _send(f"smtp://127.0.0.1:{port}", timeout_s=0.5)


def test_a_server_that_forgets_to_say_goodbye_has_the_mail_all_the_same():
    talk = b"220 hi\r\n250 hi\r\n250 ok\r\n250 ok\r\n354 go\r\n250 taken\r\n"
    with _talking(talk, close=True) as port:
        _send(f"smtp://127.0.0.1:{port}")


@contextmanager
def _talking(said, *, drip=b"", close=False):
    """A server that says this whatever it hears, then drips, hangs or closes."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_talk, args=(listener, said, drip, close, ended))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            ended.set()
            thread.join()


def _talk(listener, said, drip, close, ended):
    peer, _ = listener.accept()
    with peer:
        lines = said.splitlines(keepends=True)
        for number, line in enumerate(lines):
            peer.sendall(line)
            if close and line.startswith(b"354"):
                _read_until(peer, b"\r\n.\r\n")
            elif close and number < len(lines) - 1:
                _read_until(peer, b"\r\n")
        while not close and not ended.wait(0.05):
            try:
                peer.sendall(drip)
            except OSError:
                return


def _read_until(peer, end):
    heard = b""
    while not heard.endswith(end):
        heard += peer.recv(65536)
