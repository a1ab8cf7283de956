"""The operator's commands, on a real database."""

import json
import subprocess
import sys

import pytest

from evalwindow.embedded import running_postgres
from evalwindow.poison import Suspect
from evalwindow.store import Store
from tests.unit.worlds import write_outputs


def test_a_token_is_shown_once_and_works(evalwindow, installation):
    token = evalwindow("token", "add", "search").out.strip()
    assert installation.store.bearer(token).team == "search"
    listed = evalwindow("token", "list", "search").out
    assert token.split("_")[1] in listed and token.split("_")[2] not in listed


def test_a_revoked_token_is_dead(evalwindow, installation):
    token = json.loads(evalwindow("token", "add", "search", "--json").out)["token"]
    token_id = token.split("_")[1]
    assert evalwindow("token", "revoke", token_id).out == f"token {token_id} is revoked\n"
    assert installation.store.bearer(token) is None
    assert [row["revoked"] for row in json.loads(evalwindow("token", "list", "search", "--json").out)] == [True]


def test_a_token_is_rotated_and_says_what_it_may_and_until_when(evalwindow, installation):
    old = evalwindow("token", "add", "search", "--scope", "submit", "--days", "7").out.strip()
    new = evalwindow("token", "rotate", old.split("_")[1], "--grace-hours", "2").out.strip()
    assert {installation.store.bearer(token).team for token in (old, new)} == {"search"}
    first, second = json.loads(evalwindow("token", "list", "search", "--json").out)
    assert first["replaced_by"] == second["id"] == new.split("_")[1]
    assert first["scopes"] == second["scopes"] == ["submit"]
    assert first["expires_at"] < second["expires_at"]
    assert "submit" in evalwindow("token", "list", "search").out


def test_a_token_of_an_unknown_team_is_refused_with_the_nearest_name(evalwindow, installation):
    done = evalwindow("token", "add", "serch")
    assert done.code == 2
    assert "unknown team 'serch'; did you mean 'search'?" in done.err


def test_a_token_that_is_not_there_can_not_be_revoked(evalwindow, installation):
    assert evalwindow("token", "revoke", "abc").err == "error: There is no token 'abc'.\n"


def test_an_empty_database_is_named_with_what_to_do(evalwindow, installation, empty_url, monkeypatch):
    monkeypatch.setenv("EVALWINDOW_DATABASE_URL", empty_url)
    done = evalwindow("token", "add", "search")
    assert done.code == 2
    assert "run `evalwindow migrate`" in done.err
    assert evalwindow("migrate").out == "the schema is up to date\n"
    assert evalwindow("token", "add", "search").code == 0


def test_migrate_needs_a_database(evalwindow, installation, monkeypatch):
    monkeypatch.delenv("EVALWINDOW_DATABASE_URL")
    assert evalwindow("migrate").err.startswith("error: EVALWINDOW_DATABASE_URL is not set")


def test_a_database_that_is_away_is_one_line(evalwindow, installation, monkeypatch):
    monkeypatch.setenv("EVALWINDOW_DATABASE_URL", "postgresql+psycopg://nobody@127.0.0.1:9/none")
    done = evalwindow("token", "list", "search")
    assert done.code == 2
    assert done.err.startswith("error: PostgreSQL at 127.0.0.1:9 can't be reached")
    assert done.err.count("\n") == 1


def test_without_a_database_url_the_servers_own_database_is_found(
    evalwindow, installation, home, postgres, monkeypatch
):
    monkeypatch.delenv("EVALWINDOW_DATABASE_URL")
    monkeypatch.setenv("EVALWINDOW_HOME", str(home))
    assert running_postgres(home) == postgres.url
    token = evalwindow("token", "add", "search").out.strip()
    store = Store(postgres.url)
    assert store.bearer(token).team == "search"
    store.revoke_token(token.split("_")[1])
    store.close()


def test_a_recording_is_scored_and_kept_as_a_run(evalwindow, installation, folder):
    done = evalwindow("score", "--suite", "echo", "--outputs", str(folder / "right.jsonl"), "--json")
    document = json.loads(done.out)
    run = installation.store.run(document["id"])
    assert done.code == 2  # there is no baseline yet
    assert (run.team, run.pool, run.summary.results) == ("local", "replay", 60)
    assert (folder / "home" / "reports" / f"{run.id}.html").is_file()


@pytest.mark.parametrize("recording, code", [("right", 0), ("half", 1)])
def test_a_recording_goes_through_the_gate(evalwindow, installation, folder, recording, code):
    first = evalwindow("score", "--suite", "echo", "--outputs", str(folder / "right.jsonl"), "--json")
    installation.store.promote("echo", "main", json.loads(first.out)["id"], "lea", "first")
    done = evalwindow("score", "--suite", "echo", "--outputs", str(folder / f"{recording}.jsonl"))
    assert done.code == code
    assert ("PASS: " if code == 0 else "FAIL: ") in done.out
    assert done.err == ""


def test_a_smoke_suite_is_scored_too(evalwindow, installation, folder):
    outputs = write_outputs(folder / "three.jsonl", {f"s{n}": str(n) for n in range(3)})
    assert evalwindow("score", "--suite", "tiny", "--outputs", str(outputs)).code == 0


def test_missing_answers_are_unscored_and_decide_nothing(evalwindow, installation, folder):
    outputs = write_outputs(folder / "few.jsonl", {f"s{n}": str(n) for n in range(30)})
    done = evalwindow("score", "--suite", "echo", "--outputs", str(outputs))
    assert done.code == 2
    assert "unscored" in done.out


def test_an_answer_to_no_sample_is_named_with_its_line(evalwindow, installation, folder):
    outputs = write_outputs(folder / "odd.jsonl", {"s0": "0", "s99x": "1"})
    done = evalwindow("score", "--suite", "echo", "--outputs", str(outputs))
    assert done.code == 2
    assert done.err.startswith(f"error: {outputs}:2: unknown sample 's99x'")
    assert installation.store.runs() == []


def test_a_recording_that_is_not_there_is_named(evalwindow, installation, folder):
    done = evalwindow("score", "--suite", "echo", "--outputs", str(folder / "none.jsonl"))
    assert done.err.startswith(f"error: there is no file '{folder / 'none.jsonl'}'")


def test_suites_check_counts_what_it_found(evalwindow, installation):
    done = evalwindow("suites", "check", "--json")
    assert done.code == 0
    checked = json.loads(done.out)
    assert {suite["name"]: suite["samples"] for suite in checked["suites"]} == {"echo": 60, "tiny": 3}
    assert checked["errors"] == []


def test_the_command_is_a_program(installation):
    done = subprocess.run(
        [sys.executable, "-m", "evalwindow.cli", "suites", "check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "echo" in done.stdout


def test_what_ended_engines_is_listed_with_what_it_was_and_released_by_its_key(evalwindow, installation):
    suspect = Suspect(key="5e" * 32, suite="echo", sample_id="s7", model="good")
    whole = Suspect(key="7f" * 32, suite="echo", sample_id="", model="good")
    assert evalwindow("quarantine", "list").out == "nothing is quarantined\n"
    for each in (suspect, whole):
        installation.store.strike(each, whole=whole, run_id="r", error="it died", proven=True)
    listed = json.loads(evalwindow("quarantine", "list", "--json").out)
    assert [(row["sample"], row["error"], row["strikes"]) for row in listed] == [
        (None, "it died", 1),
        ("s7", "it died", 1),
    ]
    assert "5e5e5e5e5e5e" in evalwindow("quarantine", "list").out
    assert evalwindow("quarantine", "release", "5e5e5e5e").out.startswith("sample s7 of suite echo may be asked again")
    assert [row["sample"] for row in json.loads(evalwindow("quarantine", "list", "--json").out)] == [None]
    assert evalwindow("quarantine", "release", "5e5e5e5e").err == "error: There is no quarantined prompt '5e5e5e5e'.\n"
