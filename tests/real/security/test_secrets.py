"""Real processes with recognisable secrets, and everything that can refuse them: nobody hears, sees or keeps one."""

from __future__ import annotations

import json
import subprocess
import threading
import traceback
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest
from redis import Redis
from sqlalchemy import make_url

from evalwindow.errors import EvalwindowError, MailUnavailable
from evalwindow.mail.transport import send
from evalwindow.model import RunState
from evalwindow.services import build
from evalwindow.settings import read_settings
from evalwindow.smtp_url import parse_smtp_url
from evalwindow.store.tables import metadata
from tests.real import house as houses
from tests.real.house import TEAM, House, ended, until
from tests.real.mail.conftest import Inbox
from tests.real.web.helpers import signed
from tests.unit.github.examples import SHA, pull_request

PG, HOOK, GITHUB, SMTP, API = (f"s3cret{word}{'0123456789abcdef'}" for word in ("pg", "hook", "gh", "smtp", "api"))
SECRETS = (PG, HOOK, GITHUB, SMTP, API)


class _Refusing(BaseHTTPRequestHandler):
    """GitHub or a provider, to which no credential is right; it quotes what it was given, as some do."""

    def do_GET(self) -> None:
        self._refuse()

    def do_POST(self) -> None:
        self._refuse()

    def do_PATCH(self) -> None:
        self._refuse()

    def _refuse(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        given = self.headers.get("Authorization", "nothing") if "/v1/" in self.path else "nothing"
        body = json.dumps({"message": "Bad credentials", "error": {"message": f"Incorrect API key provided: {given}"}})
        self.send_response(401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def refusing() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Refusing)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


class _ApiOf:
    """What the house asks for its API."""

    def __init__(self, url: str) -> None:
        self.url = f"{url}/v1"


def _asked(url: str, *, headers: dict[str, str] | None = None, body: bytes | None = None) -> tuple[int, str]:
    request = urllib.request.Request(url, data=body, headers=headers or {})  # noqa: S310 - our own
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return answer.status, answer.read().decode() + str(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode() + str(error.headers)


def _said_by(process: subprocess.Popen[bytes], house: House, text: str) -> bool:
    assert process.poll() is None, house.said()
    return text in house.said()


def _command_lines(processes: list[subprocess.Popen[bytes]]) -> str:
    roots = [psutil.Process(process.pid) for process in processes]
    every = [*roots, *(child for root in roots for child in root.children(recursive=True))]
    return "\n".join(" ".join(one.cmdline()) for one in every)


def test_no_process_tells_a_secret(
    tmp_path, database_url, redis, store, refusing, free_port, monkeypatch: pytest.MonkeyPatch
) -> None:
    Redis.from_url(redis.url).flushall()
    url = make_url(database_url).set(password=PG).render_as_string(hide_password=False)
    house = House(tmp_path, api=_ApiOf(refusing), database_url=url, redis_url=redis.url, samples=4)
    house.environ |= {
        "PARROT_KEY": API,
        "EVALWINDOW_WEBHOOK_SECRET": HOOK,
        "EVALWINDOW_GITHUB_TOKEN": GITHUB,
        "EVALWINDOW_GITHUB_API_URL": refusing,
        "EVALWINDOW_SMTP_URL": f"smtp://evals:{SMTP}@127.0.0.1:9?starttls=never",
        "EVALWINDOW_MAIL_FROM": "evals@acme.example",
        "EVALWINDOW_PORT": str(free_port),
        "EVALWINDOW_LOG_LEVEL": "DEBUG",
    }
    monkeypatch.setitem(houses.COMMANDS, "web", ["-m", "evalwindow.web"])
    token, base = store.add_token(TEAM), f"http://127.0.0.1:{free_port}"
    secrets = (*SECRETS, token, token.split("_")[2], make_url(redis.url).password)
    told: list[tuple[int, str]] = []
    try:
        processes = [house.start(kind) for kind in ("web", "dispatcher", "consumer")]
        until(lambda: _said_by(processes[0], house, "Uvicorn running"))
        bearer = {"Authorization": f"Bearer {token}"}
        wish = json.dumps(
            {
                "suite": "trip",
                "candidate": {"model": "parrot"},
                "source": {"repo": "acme/search", "pull_request": 7, "head_sha": SHA},
            }
        ).encode()
        told.append(_asked(f"{base}/v1/runs", headers=bearer, body=wish))
        run_id = json.loads(told[0][1].partition("}}")[0] + "}}")["id"]
        for secret in (HOOK, "wrong"):
            hook = signed(pull_request(repo="acme/search", head_repo="acme/search"), secret)
            told.append(_asked(f"{base}/webhooks/github", headers=hook["headers"], body=hook["data"]))
        told.append(_asked(f"{base}/v1/runs", headers={"Authorization": f"Bearer {token}x"}))
        told.append(_asked(f"{base}/v1/runs", headers=bearer, body=b"{"))
        until(lambda: store.run(run_id).state is RunState.CONCLUDED)
        until(lambda: any(delivery.error for delivery in store.deliveries(run_id) if delivery.channel == "check"))
        until(lambda: all(row.state == "sent" for row in store.deliveries(run_id) if row.channel == "page"))
        until(lambda: "Bad credentials" in _rows(store))
        for path in (f"/v1/runs/{run_id}/samples", f"/runs/{run_id}", f"/runs/{run_id}.json", "/readyz", "/nowhere"):
            told.append(_asked(f"{base}{path}", headers=bearer))
        lines = _command_lines(processes)
        for process in processes:
            process.terminate()
            ended(process)
        said = house.said()
    finally:
        house.close()
    assert [status for status, _ in told[:5]] == [202, 202, 401, 401, 400]
    reports = "\n".join(path.read_text() for path in (tmp_path / "reports").rglob("*") if path.is_file())
    places = {
        "logs": said,
        "answers": "\n".join(text for _, text in told),
        "command lines": lines,
        "reports": reports,
        "rows": _rows(store),
    }
    assert "(the key)" in places["rows"]  # the provider did quote it
    assert "Incorrect API key" in places["reports"]
    for place, text in places.items():
        assert text, place
        assert [secret for secret in secrets if secret in text] == [], place


def _rows(store) -> str:
    with store._transaction() as connection:
        return "\n".join(repr(connection.execute(table.select()).all()) for table in metadata.sorted_tables)


def _use(environ: dict[str, str]) -> None:
    settings = read_settings(environ)
    assert PG not in repr(settings)
    services = build(settings)
    services.store.check()
    services.queue.check()


@pytest.mark.parametrize(
    "variable, value",
    [
        ("EVALWINDOW_DATABASE_URL", f"postgresql+psycopg://evals:{PG}@127.0.0.1:9/none"),
        ("EVALWINDOW_DATABASE_URL", f"postgresql+psycopg://evals:{PG}@127.0.0.1:x{PG}/none"),
        ("EVALWINDOW_DATABASE_URL", f"mysql://evals:{PG}@127.0.0.1/none"),
        ("EVALWINDOW_DATABASE_URL", f"evals:{PG}"),
        ("EVALWINDOW_REDIS_URL", f"redis://evals:{PG}/more@127.0.0.1:9/0"),
        ("EVALWINDOW_REDIS_URL", f"redis://evals:{PG}@127.0.0.1:9/0"),
        ("EVALWINDOW_REDIS_URL", f"evals:{PG}@127.0.0.1"),
        ("EVALWINDOW_SMTP_URL", f"smtp://evals:{PG}/more@127.0.0.1"),
        ("EVALWINDOW_GITHUB_PRIVATE_KEY", PG),
    ],
)
def test_a_url_that_is_wrong_or_leads_nowhere_is_named_without_its_password(
    tmp_path: Path, database_url, redis, variable: str, value: str
) -> None:
    """Not even in the traceback, which a log may get."""
    (tmp_path / "suites").mkdir()
    model = "{engine: openai, base_url: 'http://127.0.0.1:9', model: m}"
    (tmp_path / "evalwindow.yaml").write_text(f"suites: suites\nmodels:\n  m: {model}\n")
    environ = {
        "EVALWINDOW_DATABASE_URL": database_url,
        "EVALWINDOW_REDIS_URL": redis.url,
        "EVALWINDOW_HOME": str(tmp_path),
        "EVALWINDOW_CONFIG": str(tmp_path / "evalwindow.yaml"),
        variable: value,
    }
    with pytest.raises(EvalwindowError) as refused:
        _use(environ)
    assert PG not in "".join(traceback.format_exception(refused.value))


def test_a_mail_server_s_refusal_of_our_login_is_told_without_it() -> None:
    inbox = Inbox()
    inbox.start(auth_required=True, auth_require_tls=False)
    try:
        server = parse_smtp_url(inbox.url.replace("smtp://", f"smtp://evals:{SMTP}@").split("?")[0] + "?starttls=never")
        with pytest.raises(MailUnavailable) as refused:
            send(None, "lea@acme.example", server=server, sender="x@acme.example", timeout_s=20)  # type: ignore[arg-type]
    finally:
        inbox.stop()
    assert SMTP not in str(refused.value)
    assert SMTP not in repr(server)
