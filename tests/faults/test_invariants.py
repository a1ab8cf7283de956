"""The invariants find what is wrong: each kind of it is put into a real database, or said to the stand-ins."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from demo.github_standin import Standin
from evalwindow.model import Source
from evalwindow.report.comment import MARKER
from evalwindow.store import Store
from soak.invariants import Broken, Received, check, repeated_mails, settle
from soak.servers import Mortal
from tests.fixtures.results import mark_done, write_down
from tests.real.store.world import SUMMARY, VERDICT, World, result
from tests.unit.worlds import make_suite, rows

SHA = "0123456789abcdef"


@pytest.fixture
def world(store: Store, tmp_path: Path) -> World:
    suite = make_suite(tmp_path, rows(4), epochs=2)
    store.put_suite(suite)
    return World(store, suite)


@pytest.fixture
def sound(world: World) -> str:
    """Id of a run of a pull request that came to its end as it should."""
    source = Source(repo="acme/app", pull_request=7, head_sha=SHA, branch="main")
    run_id, _ = world.store.admit(world.new_run(source=source), [["s0"], ["s1"]], ["check", "comment"])
    for held in world.claim_all(run_id):
        found = [result(sample_id, epoch) for sample_id in held.sample_ids for epoch in range(2)]
        write_down(world.store, run_id, held.id, held.token, found)
        mark_done(world.store, held)
    world.store.conclude(run_id, replace(SUMMARY, results=4, gpu_s=0.2), VERDICT, ["check", "comment"])
    for channel in ("check", "comment"):
        world.store.claim_delivery(30.0)
        world.store.sent(run_id, channel, "1")
    return run_id


@pytest.fixture
def github(sound: str) -> Standin:
    told = {"repo": "acme/app", "head_sha": SHA, "name": "evalwindow/echo", "external_id": sound}
    standin = Standin()
    standin.check_runs.append({"id": 1, **told, "status": "completed", "conclusion": "failure"})
    standin.comments.append({"id": 2, "repo": "acme/app", "number": 7, "body": f"{MARKER} {SHA[:10]}"})
    return standin


@pytest.fixture
def say(store: Store) -> Iterator[Any]:
    """Changes the database as no code of evalwindow would."""

    def run(statement: str, **values: Any) -> None:
        with store._transaction() as connection:
            connection.execute(text(statement), values)

    return run


def only(broken: Broken, name: str) -> str:
    """What is wrong, which is one thing of this kind and nothing else."""
    assert {kind: count for kind, count in broken.counts.items() if count} == {name: 1}, broken
    return getattr(broken, name)[0]


def test_nothing_is_wrong_with_a_run_that_ended_as_it_should(postgres: Mortal, sound: str, github: Standin) -> None:
    broken = check(postgres.url, Received(github=github, runs=[sound]))
    assert not broken, broken
    assert str(broken) == "nothing is wrong"
    assert settle(postgres.url, seconds=0) == ()


@pytest.mark.parametrize(
    "statement, name, words",
    [
        ("DELETE FROM event", "lost", "webhook delivery d1: taken, and not there"),
        ("UPDATE event SET state = 'failed', error = 'why'", "lost", "failed: why"),
        ("UPDATE event SET state = 'refused', error = 'no'", "lost", "webhook delivery d1: taken, and refused: no"),
        ("UPDATE event SET state = 'received'", "stuck", "is received"),
        ("UPDATE delivery SET state = 'sending' WHERE channel = 'check'", "stuck", ":check is sending"),
        ("UPDATE delivery SET state = 'failed', error = 'no' WHERE channel = 'check'", "untold", ":check failed: no"),
        ("UPDATE shard SET state = 'running' WHERE sample_ids = '{s0}'", "stuck", "is running, its run concluded"),
        ("UPDATE shard SET sample_ids = '{s0,s1}' WHERE sample_ids = '{s1}'", "duplicated", "sample s0: in 2 shards"),
        ("UPDATE usage SET gpu_s = gpu_s + 0.05", "miscounted", "team red: gpu_s booked 0.25, in its runs 0.2"),
        ("UPDATE usage SET cost = cost * 2", "miscounted", "team red: cost booked"),
        ("UPDATE usage SET results = 5", "miscounted", "team red: results booked 5, in its runs 4"),
        ("UPDATE usage SET runs = 2", "miscounted", "team red: runs booked 2, in its runs 1"),
        (
            """UPDATE run SET summary = jsonb_set(summary, '{results}', '3')""",
            "miscounted",
            "its summary says 3 results",
        ),
        (
            """INSERT INTO engine (pool, worker, info, state, seen_at, load) VALUES ('warm', 'w', '{}', 'ready', now(),
            '{"busy_s": 2, "lost_s": 0.5, "lanes": {"smoke": {"gpu_s": 0.5}, "regression": {"gpu_s": 0.5}}}')""",
            "miscounted",
            "busy for 2.0 s, its lanes and losses make 1.5 s",
        ),
    ],
)
def test_what_is_wrong_in_the_database_is_found(
    postgres: Mortal, world: World, sound: str, say: Any, statement: str, name: str, words: str
) -> None:
    world.store.finish_event(world.store.add_event("d1", "pull_request", {}), "done")
    received = Received(runs=[sound], deliveries=["d1"])
    assert not check(postgres.url, received)
    say(statement)
    assert words in only(check(postgres.url, received), name)


@pytest.mark.parametrize("in_flight, used_s, wrong", [(0, 2.0, 0), (0, 1.9, 1), (0, 2.1, 1), (1, 1.9, 0), (1, 2.1, 1)])
def test_what_is_in_an_engine_has_not_paid_yet(
    postgres: Mortal, say: Any, in_flight: int, used_s: float, wrong: int
) -> None:
    lanes = {"smoke": {"gpu_s": used_s, "in_flight": in_flight}}
    load = json.dumps({"busy_s": 2.0, "lost_s": 0.0, "lanes": lanes})
    values = "'warm', 'w', '{}', 'ready', now(), CAST(:load AS jsonb)"
    say(f"INSERT INTO engine (pool, worker, info, state, seen_at, load) VALUES ({values})", load=load)  # noqa: S608
    assert len(check(postgres.url).miscounted) == wrong


def test_a_lost_result_is_found_and_that_its_run_was_judged_by_more(postgres: Mortal, sound: str, say: Any) -> None:
    say("DELETE FROM result WHERE sample_id = 's1' AND epoch = 1")
    broken = check(postgres.url)
    assert broken.lost == (f"run {sound} sample s1 epoch 1: shard done",)
    assert len(broken.miscounted) == 4  # GPU-seconds, money, results; and the summary
    assert "lost: 1 (run" in str(broken)


def test_a_result_that_nobody_asked_for_is_found(postgres: Mortal, sound: str, say: Any) -> None:
    say("UPDATE result SET epoch = 2 WHERE sample_id = 's1' AND epoch = 1")
    broken = check(postgres.url)
    assert broken.duplicated == (f"run {sound} sample s1 epoch 2: nobody asked for it",)
    assert broken.lost == (f"run {sound} sample s1 epoch 1: shard done",)
    say("UPDATE result SET sample_id = 's3', epoch = 0 WHERE sample_id = 's1' AND epoch = 2")
    assert check(postgres.url).duplicated == (f"run {sound} sample s3 epoch 0: nobody asked for it",)


def test_further_calls_of_a_tripwire_are_no_duplicates(postgres: Mortal, sound: str, say: Any) -> None:
    say("UPDATE result SET reask = true, epoch = 7 WHERE sample_id = 's1' AND epoch = 1")
    assert check(postgres.url).duplicated == ()


def test_a_lost_run_and_a_broken_one_are_found(postgres: Mortal, world: World, sound: str) -> None:
    failed = world.admit("other")
    world.store.fail_run(failed, "a defect")
    broken = check(postgres.url, Received(runs=[sound, "gone"]))
    assert broken.lost == (f"run {failed} failed: a defect", "run gone: admitted, and not there")


def test_a_run_that_stands_still_is_found_and_one_that_waits_for_a_night_is_not(postgres: Mortal, world: World) -> None:
    run_id = world.admit()
    assert f"run {run_id} is queued" in only(check(postgres.url), "stuck")
    assert settle(postgres.url, seconds=0) == (f"run {run_id} is queued",)
    with world.store._transaction() as connection:
        connection.execute(text("UPDATE run SET window_end = now() - interval '1 minute'"))
    assert not check(postgres.url)
    with world.store._transaction() as connection:  # nothing of it is left for a night
        connection.execute(text("UPDATE shard SET state = 'failed'"))
    assert f"run {run_id} is queued" in only(check(postgres.url), "stuck")


def test_a_second_end_is_found_though_the_row_looks_as_if_there_was_one(postgres: Mortal, sound: str, say: Any) -> None:
    say("UPDATE run SET concluded_at = now()")
    assert only(check(postgres.url), "concluded_twice") == f"run {sound}: concluded fail, then concluded fail"


def test_two_runs_of_one_commit_are_found(postgres: Mortal, world: World, sound: str, say: Any) -> None:
    other = world.admit("other", source=Source(repo="acme/app", pull_request=7, head_sha=SHA, branch="main"))
    world.store.cancel_run(other, "enough")
    assert only(check(postgres.url), "duplicated") == f"acme/app#7 at {SHA}: 2 runs of echo"


def test_what_github_was_told_twice_wrongly_or_not_at_all_is_found(
    postgres: Mortal, sound: str, github: Standin
) -> None:
    received = Received(github=github)
    [told], [comment] = github.check_runs, github.comments
    github.check_runs.append({**told, "id": 3})
    assert only(check(postgres.url, received), "told_twice") == f"2 checks at acme/app {SHA} evalwindow/echo {sound}"
    github.check_runs[:] = [{**told, "conclusion": "success"}]
    assert "its check says 'success', right is 'failure'" in only(check(postgres.url, received), "untold")
    github.check_runs[:] = [{**told, "status": "queued", "conclusion": None}]
    assert "its check says None" in only(check(postgres.url, received), "untold")
    github.check_runs.clear()
    assert "and no check says so" in only(check(postgres.url, received), "untold")
    github.statuses.append({"sha": SHA, "context": "evalwindow/echo", "state": "failure"})
    assert not check(postgres.url, received)
    github.statuses.append({"sha": SHA, "context": "evalwindow/echo", "state": "pending"})
    assert "and no check says so" in only(check(postgres.url, received), "untold")
    github.check_runs.append(told)
    github.comments.append({**comment, "id": 4})
    assert only(check(postgres.url, received), "told_twice") == "2 comments at acme/app 7"
    github.comments[:] = [{**comment, "body": f"{MARKER} of an older commit"}]
    assert "doesn't tell of the newest commit 0123456789" in only(check(postgres.url, received), "untold")
    github.comments[:] = [{**comment, "body": "somebody else's"}]
    assert "no comment tells of run" in only(check(postgres.url, received), "untold")


def test_two_mails_about_one_night_are_found_and_one_that_was_handed_in_again_is_told_apart(postgres: Mortal) -> None:
    def mail(number: str, night: str, to: str = "a@example.com") -> EmailMessage:
        message = EmailMessage()
        message["Message-ID"], message["X-Evalwindow-Night"], message["To"] = number, night, to
        return message

    once = [mail("<1>", "n1"), mail("<2>", "n2"), mail("<3>", "n1", to="b@example.com")]
    assert not check(postgres.url, Received(mails=once))
    assert only(check(postgres.url, Received(mails=[*once, mail("<4>", "n1")])), "told_twice").startswith("2 mails at")
    again = [*once, mail("<1>", "n1")]
    assert not check(postgres.url, Received(mails=again))
    assert repeated_mails(again) == ("<1> to a@example.com 2 times",)


def test_a_mail_that_counts_as_sent_and_that_nobody_received_is_found(postgres: Mortal, say: Any) -> None:
    say("INSERT INTO breaker_event (id, breaker_id, what, reason) VALUES ('e1', 'notifier:github', 'opened', 'away')")
    say("""INSERT INTO delivery (id, breaker_event_id, channel, state, external_id)
        VALUES ('e1:mail', 'e1', 'mail:a@example.com', 'sent', '<9>')""")
    assert "sent as <9>, and nobody received it" in only(check(postgres.url, Received(mails=[])), "untold")
    received = EmailMessage()
    received["Message-ID"] = "<9>"
    assert not check(postgres.url, Received(mails=[received]))
    assert not check(postgres.url), "nobody looked"
