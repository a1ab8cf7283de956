"""A unit's turns in a rollout, on a real database."""

from __future__ import annotations

import asyncio
import time

import pytest
from sqlalchemy import text

from evalwindow.model import EngineInfo
from evalwindow.store import Store
from workers import turns as module
from workers.enginehost import EngineFailed
from workers.turns import Turns

INFO = EngineInfo(engine="vllm", version="1", model_digest="old")


@pytest.fixture
def pair(store: Store, monkeypatch: pytest.MonkeyPatch) -> tuple[Turns, Turns]:
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    for worker in ("a", "b"):
        store.heartbeat("warm", worker, INFO, "ready")
    return Turns(store, pool="warm", worker="a"), Turns(store, pool="warm", worker="b")


def long_ago() -> tuple[float, str]:
    """What a unit serves that read its config an hour ago."""
    return time.time() - 3600, "old"


async def test_a_unit_hears_of_a_rollout_that_is_asked_for_later(pair: tuple[Turns, Turns], store: Store) -> None:
    first, second = pair
    waiting = asyncio.create_task(first.mine(long_ago))
    await asyncio.sleep(0)
    rollout = store.request_rollout("warm", by="lea", reason="")
    assert await waiting == rollout.id
    next_one = asyncio.create_task(second.mine(long_ago))
    async with first.kept(rollout.id):
        pass
    await first.done(rollout.id, model_digest="new")
    assert await next_one == rollout.id
    await second.halt(rollout.id, EngineFailed("did not start:\n    quoted log\nlower max_model_len"))
    ended = store.rollout(rollout.id)
    assert ended.state == "halted"
    assert [(step.worker, step.state, step.error) for step in ended.steps] == [
        ("a", "done", None),
        ("b", "failed", "did not start: lower max_model_len"),
    ]


async def test_a_unit_that_listens_hears_at_once(store: Store) -> None:
    store.heartbeat("warm", "a", INFO, "ready")
    turns = Turns(store, pool="warm", worker="a")
    listening = asyncio.create_task(turns.listen())
    async with asyncio.timeout(30):
        while not turns._listener.listening:
            await asyncio.sleep(0.01)
    waiting = asyncio.create_task(turns.mine(long_ago))
    await asyncio.sleep(0.2)  # it has looked, and would look again in a minute
    begun = time.monotonic()
    rollout = store.request_rollout("warm", by="lea", reason="")
    assert await asyncio.wait_for(waiting, module.SELDOM_S) == rollout.id
    assert time.monotonic() - begun < module.SELDOM_S / 2
    listening.cancel()


async def test_who_is_stopped_in_its_turn_leaves_it_to_the_next(pair: tuple[Turns, Turns], store: Store) -> None:
    first, second = pair
    rollout = store.request_rollout("warm", by="lea", reason="")
    assert await first.mine(long_ago) == rollout.id
    inside = asyncio.Event()

    async def roll() -> None:
        async with first.kept(rollout.id):
            inside.set()
            await asyncio.get_running_loop().create_future()

    rolling = asyncio.create_task(roll())
    await inside.wait()
    rolling.cancel()
    await asyncio.wait([rolling])
    assert rolling.cancelled()
    assert await second.mine(long_ago) == rollout.id
    assert [(step.worker, step.state) for step in store.rollout(rollout.id).steps] == [("a", "lost"), ("b", "rolling")]


async def test_a_turn_is_renewed_for_as_long_as_it_takes(
    pair: tuple[Turns, Turns], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RENEW_S", 0.01)

    def lease_until() -> object:
        with store._transaction() as connection:
            return connection.scalar(text("SELECT lease_until FROM rollout_step"))

    first, _ = pair
    rollout = store.request_rollout("warm", by="lea", reason="")
    await first.mine(long_ago)
    begun = lease_until()
    async with first.kept(rollout.id):
        while lease_until() == begun:
            await asyncio.sleep(0.01)


async def test_a_database_that_is_away_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    monkeypatch.setattr(module, "LEASE_S", 0.1)
    monkeypatch.setattr(module, "AGAIN_S", 0.01)
    away = Store("postgresql+psycopg://nobody@127.0.0.1:9/none")
    turns = Turns(away, pool="warm", worker="a")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(turns.mine(long_ago), 0.2)
    await turns.done("none", model_digest="new")  # gives up when the lease is over
    away.close()
