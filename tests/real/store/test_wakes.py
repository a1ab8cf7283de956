"""What is told with a commit, over real connections that listen, die and come back."""

import asyncio
import datetime as dt
from contextlib import asynccontextmanager

import psycopg
import pytest
from sqlalchemy import text

from evalwindow.embedded import start_postgres
from evalwindow.errors import Replayed
from evalwindow.model import Tier
from evalwindow.store import Store
from evalwindow.store.listener import Listener
from evalwindow.store.night_rows import NewNight
from evalwindow.store.wakes import RUNS, WORK, Topic
from tests.fixtures.results import mark_done
from tests.real.store.world import LEASE_S, SUMMARY, VERDICT

PATIENCE_S = 60.0


class Ears:
    """What was heard, in its order."""

    def __init__(self, store, channel=WORK):
        self.heard, self.changes = asyncio.Queue(), asyncio.Queue()
        self.listener = Listener(
            store, channel, self._note, changed=lambda: self.changes.put_nowait(self.listener.listening)
        )

    def _note(self, payload):
        if not payload.startswith("proof"):
            self.heard.put_nowait(payload)

    async def next(self):
        return await asyncio.wait_for(self.heard.get(), PATIENCE_S)

    async def change(self):
        return await asyncio.wait_for(self.changes.get(), PATIENCE_S)


@asynccontextmanager
async def hearing(store, channel=WORK):
    """Ears that are open."""
    ears = Ears(store, channel)
    task = asyncio.create_task(ears.listener.run())
    try:
        assert await ears.change() is True
        yield ears
    finally:
        task.cancel()
        await asyncio.wait([task])


def tell(store, word, channel=WORK):
    """A transaction of its own: nothing before it can arrive after it."""
    with store._transaction() as connection:
        connection.execute(text("SELECT pg_notify(:channel, :word)"), {"channel": channel, "word": word})


async def told_by(store, act, channel=WORK):
    """All that a call tells."""
    async with hearing(store, channel) as ears:
        await asyncio.to_thread(act)
        await asyncio.to_thread(tell, store, "the end", channel)
        words = []
        while (word := await ears.next()) != "the end":
            words.append(word)
        return words


def listening_backends(store):
    with store._transaction() as connection:
        return list(connection.scalars(text("SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")))


async def test_an_event_is_told_once_and_a_replay_not_at_all(store):
    assert await told_by(store, lambda: store.add_event("d", "pull_request", {})) == [Topic.EVENTS]
    assert await told_by(store, lambda: replayed(store)) == []


def replayed(store):
    with pytest.raises(Replayed):
        store.add_event("d", "pull_request", {})


async def test_however_many_shards_a_run_has_they_are_told_of_once(world):
    assert await told_by(world.store, lambda: world.admit(shards=[[f"s{n}"] for n in range(50)])) == [Topic.SHARDS]
    assert await told_by(world.store, lambda: world.admit("smoke", tier=Tier.SMOKE)) == []  # its admitter sends it


async def test_what_a_transaction_that_fails_would_have_told_is_not_told(world):
    def fails():
        with world.store._transaction() as connection:
            connection.execute(text("SELECT pg_notify(:channel, 'never')"), {"channel": WORK})
            connection.rollback()

    assert await told_by(world.store, fails) == []


async def test_room_for_a_shard_is_told_while_one_waits_for_it(world):
    held, _ = world.claim_all(world.admit())
    assert await told_by(world.store, lambda: mark_done(world.store, held)) == []
    other, _ = world.shard_ids(world.admit("other"))
    held = world.claim(other)
    assert await told_by(world.store, lambda: mark_done(world.store, held)) == [Topic.SHARDS]


async def test_shards_that_wait_again_are_told_of(world):
    store = world.store
    held, dead = world.claim_all(world.admit())
    assert await told_by(store, lambda: store.release(held.id, held.token)) == [Topic.SHARDS]
    assert await told_by(store, lambda: store.release(held.id, held.token)) == []
    held, later = world.claim(held.id), dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    assert await told_by(store, lambda: store.release(held.id, held.token, not_before=later)) == [Topic.LATER]
    with store._transaction() as connection:
        connection.execute(text("UPDATE shard SET lease_until = now() WHERE id = :id"), {"id": dead.id})
    assert await told_by(store, lambda: store.reap(LEASE_S, 5)) == [Topic.SHARDS]
    sent = store.top_up("warm", Tier.REGRESSION, 2)
    assert await told_by(store, lambda: store.undispatch(sent)) == [Topic.SHARDS]


async def test_a_verdict_is_told_to_who_waits_for_it_and_to_who_publishes_it(world):
    run_id = world.admit()
    store = world.store
    assert await told_by(store, lambda: store.conclude(run_id, SUMMARY, VERDICT, ["page", "check"])) == [
        Topic.DELIVERIES
    ]
    other = world.admit("other")
    assert await told_by(store, lambda: store.cancel_run(other, "enough"), RUNS) == [other]
    assert await told_by(store, lambda: store.cancel_run(other, "enough"), RUNS) == []


async def test_a_delivery_that_failed_is_told_as_later_and_one_with_news_as_due(world):
    store, run_id = world.store, world.conclude(world.admit(), channels=["page"])
    store.claim_delivery(LEASE_S)
    assert await told_by(store, lambda: store.delivery_failed(run_id, "page", "no", 3600.0)) == [Topic.LATER]
    assert 3000 < store.agenda(dispatched_older_than_s=LEASE_S).deliveries <= 3600
    with store._transaction() as connection:
        connection.execute(text("UPDATE delivery SET next_at = now()"))
    store.claim_delivery(LEASE_S)
    with store._transaction() as connection:
        connection.execute(text("UPDATE delivery SET again = true, next_at = now()"))
    assert await told_by(store, lambda: store.sent(run_id, "page", None)) == [Topic.DELIVERIES]
    store.claim_delivery(LEASE_S)
    assert await told_by(store, lambda: store.sent(run_id, "page", None)) == []


async def test_a_night_that_opens_is_told(store):
    now = dt.datetime.now(dt.UTC)
    new = NewNight(
        key="n",
        window="nightly",
        team="red",
        branch="main",
        starts_at=now,
        ends_at=now + dt.timedelta(hours=1),
        budget_gpu_s=5.0,
    )
    assert store.agenda(dispatched_older_than_s=LEASE_S).budget is None
    assert await told_by(store, lambda: store.open_night(new)) == [Topic.NIGHTS]
    assert store.agenda(dispatched_older_than_s=LEASE_S).budget <= 0


async def test_a_listener_whose_connection_is_ended_makes_another(store, caplog):
    async with hearing(store) as ears:
        [pid] = listening_backends(store)
        with store._transaction() as connection:
            connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        assert await ears.change() is False
        assert await ears.change() is True
        assert listening_backends(store) != [pid]
        tell(store, "again")
        assert await ears.next() == "again"
    assert caplog.text.count("no wake-ups from PostgreSQL") == 1


async def test_a_listener_outlives_its_server(caplog, own_home):
    postgres = start_postgres(own_home, durable=False)
    store = Store(postgres.url)
    try:
        async with hearing(store) as ears:
            await asyncio.to_thread(postgres.stop)
            assert await ears.change() is False
            postgres = await asyncio.to_thread(start_postgres, own_home, durable=False)
            assert await ears.change() is True
            tell(store, "again")
            assert await ears.next() == "again"
        assert caplog.text.count("no wake-ups from PostgreSQL") == 1  # however many attempts there were
    finally:
        store.close()
        postgres.stop()


async def test_who_listens_and_hears_nothing_says_so_and_never_claims_to_listen(store, monkeypatch, caplog):
    """As behind a pooler of transactions: LISTEN succeeds, and nothing ever comes."""
    monkeypatch.setattr("evalwindow.store.listener.PROOF_S", 0.05)
    monkeypatch.setattr("evalwindow.store.listener._say", lambda *_: None)
    ears = Ears(store)
    task = asyncio.create_task(ears.listener.run())
    async with asyncio.timeout(PATIENCE_S):
        while "notifications don't arrive" not in caplog.text:
            await asyncio.sleep(0.01)
    assert ears.changes.empty() and not ears.listener.listening
    task.cancel()
    await asyncio.wait([task])


def test_a_pooled_connection_that_the_server_ended_is_replaced_unseen(store):
    assert store.runs() == []
    with psycopg.connect(store.url.set(drivername="postgresql").render_as_string(), autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
    assert store.runs() == []
