"""`evalwindow nights` and `evalwindow night`, on a real database, and a real mail server where one is asked."""

import asyncio
import datetime as dt
import email
import email.policy
import json

import pytest
import yaml

from demo.mailbox import mailbox_running
from evalwindow import flow
from evalwindow.admission import Submission
from evalwindow.config_file import read_config
from evalwindow.model import Candidate
from evalwindow.nights.opening import open_night
from evalwindow.nights.settling import settle
from evalwindow.nights.starting import start_entry
from evalwindow.nights.telling import tell
from evalwindow.services import build

READER = "release@acme.example"


@pytest.fixture
def night_id(installation, folder):
    """A night that judged `worse` and `next` against a baseline, and told READER."""
    path = folder / "evalwindow.yaml"
    window = {
        "cron": "0 22 * * *",
        "duration_minutes": 60,
        "team": "search",
        "suites": ["echo"],
        "models": ["next", "worse"],
        "mail": [{"to": [READER]}],
    }
    config = yaml.safe_load(path.read_text())
    api = {"engine": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "x"}
    config["models"] |= {"next": api, "worse": api}
    path.write_text(yaml.safe_dump(config | {"windows": {"nightly": window}}))
    return asyncio.run(_night(installation.settings))


async def _night(settings):
    """Played with recordings in the place of the models."""
    config = read_config(settings.config)
    played = {"next": config.models["right"], "worse": config.models["half"]}
    services = build(settings, config=config.model_copy(update={"models": {**config.models, **played}}))
    base = await asyncio.to_thread(
        flow.submit, services, Submission(key="b", team="search", suite="echo", candidate=Candidate(model="right"))
    )
    await _work(services, base.id)
    services.store.promote("echo", "main", base.id, "lea", "first")
    now = dt.datetime.now(dt.UTC)
    night = open_night(services, "nightly", key="one", starts_at=now, ends_at=now + dt.timedelta(hours=1))
    for entry in services.store.entries(night.id):
        started = start_entry(services, entry.id, owner="a test")
        await _work(services, started.run.id)
    settle(services, night.id)
    tell(services, night.id)
    await services.aclose()
    return night.id


async def _work(services, run_id):
    for shard in services.store.shards(run_id):
        await flow.run_shard(services, shard.id)


def test_nights_are_listed_with_what_became_of_them(evalwindow, night_id):
    done = evalwindow("nights")
    assert done.code == 0
    [line] = [line for line in done.out.splitlines() if night_id in line]
    assert "nightly" in line and "FAIL" in line and "1 failed, 1 passed" in line
    [listed] = json.loads(evalwindow("nights", "--json", "--window", "nightly").out)
    assert (listed["id"], listed["word"], len(listed["entries"])) == (night_id, "FAIL", 3)
    assert evalwindow("nights", "--window", "weekly").out == "no night matches\n"


def test_a_night_shows_its_verdicts_its_cost_and_who_was_told(evalwindow, night_id):
    out = evalwindow("night", night_id).out
    assert out.startswith("FAIL echo (worse): all −50.0 points; 1 passed · nightly ")
    for shown in ("echo PASS, 0 of 60 samples changed sides", "Next window", READER, "waiting"):
        assert shown in out
    told = json.loads(evalwindow("night", night_id, "--json").out)["told"]
    assert [(row["channel"], row["state"]) for row in told] == [(f"mail:{READER}", "waiting")]


def test_a_night_that_is_not_there_is_named(evalwindow, night_id):
    done = evalwindow("night", "01jnone")
    assert (done.code, done.err) == (2, "error: There is no night '01jnone'.\n")


def test_its_mail_can_be_read_before_it_is_sent(evalwindow, night_id, folder):
    path = folder / "mail.eml"
    assert evalwindow("night", night_id, "--mail", str(path)).out == f"to: {READER}; file: {path}\n"
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    assert message["To"] == READER
    assert str(message["Subject"]).startswith("FAIL echo (worse)")
    assert message.get_body(("html",)) is not None


def test_its_mail_can_be_opened_in_a_browser(evalwindow, night_id, folder):
    path = folder / "mail.html"
    evalwindow("night", night_id, "--mail", str(path), "--to", "other@acme.example")
    page = path.read_text()
    assert page.count('src="data:image/png;base64,') == 2
    assert "cid:" not in page
    assert "Sent to other@acme.example." in page


def test_another_kind_of_file_is_refused(evalwindow, night_id, folder):
    done = evalwindow("night", night_id, "--mail", str(folder / "mail.pdf"))
    assert done.code == 2
    assert "ends in .eml or .html" in done.err


def test_without_a_reader_one_has_to_be_named(evalwindow, night_id, folder):
    path = folder / "evalwindow.yaml"
    config = yaml.safe_load(path.read_text())
    del config["windows"]["nightly"]["mail"]
    path.write_text(yaml.safe_dump(config))
    done = evalwindow("night", night_id, "--mail", str(folder / "mail.eml"))
    assert done.code == 2
    assert "windows.nightly.mail tells nobody about this night; name a reader by --to ADDRESS" in done.err


def test_its_mail_can_be_sent_to_somebody_now(evalwindow, night_id, monkeypatch):
    with mailbox_running() as server:
        monkeypatch.setenv("EVALWINDOW_SMTP_URL", server.url)
        monkeypatch.setenv("EVALWINDOW_MAIL_FROM", "evals@acme.example")
        done = evalwindow("night", night_id, "--send", "--to", "lea@acme.example", "--json")
        [mail] = server.mails
    assert json.loads(done.out) == {"to": "lea@acme.example", "sent": mail["Message-ID"].strip()}
    assert mail["To"] == "lea@acme.example"


def test_without_a_server_nothing_is_sent_and_it_says_what_to_set(evalwindow, night_id):
    done = evalwindow("night", night_id, "--send")
    assert done.code == 2
    assert "set EVALWINDOW_SMTP_URL" in done.err
