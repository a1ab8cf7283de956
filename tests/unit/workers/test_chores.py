import asyncio
import logging

import pytest

from evalwindow.errors import ServiceDown
from workers import chores
from workers.chores import Bell, Crew, keep


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    monkeypatch.setattr(chores, "LONGEST_PAUSE_S", 0.001)


def away():
    return ServiceDown(service="PostgreSQL", host="db:5432", reason="refused", advice="start it")


async def rounds(*outcomes):
    """Keep a chore whose rounds end like this, one after another, its bell rung in each; then stop."""
    stopping, left, bell = asyncio.Event(), list(outcomes), Bell()

    async def work():
        bell.ring()
        outcome = left.pop(0)
        if not left:
            stopping.set()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    await asyncio.wait_for(keep("upkeep", work, bell=bell, pause_s=0.001, stopping=stopping), 60)
    assert left == []


async def test_an_outage_is_said_once_and_its_end_once(caplog):
    caplog.set_level(logging.INFO)
    await rounds(False, away(), away(), away(), False, False)
    assert [record.message.split(":")[0] for record in caplog.records] == ["upkeep waits", "upkeep goes on"]
    assert "db:5432" in caplog.text


async def test_a_second_outage_is_said_again(caplog):
    await rounds(away(), False, away(), False)
    assert caplog.text.count("upkeep waits") == 2


async def test_a_defect_ends_only_its_round(caplog):
    await rounds(ZeroDivisionError("oops"), True, False)
    assert "oops" in caplog.text


class Chore:
    """Counts its rounds; `entered` is released by each, and each waits for `let_go`."""

    def __init__(self):
        self.bell, self.stopping = Bell(), asyncio.Event()
        self.entered, self.let_go = asyncio.Semaphore(0), asyncio.Semaphore(0)
        self.task = asyncio.create_task(keep("chore", self.work, bell=self.bell, pause_s=0.001, stopping=self.stopping))

    async def work(self):
        self.entered.release()
        await self.let_go.acquire()
        return False

    async def end(self):
        self.stopping.set()
        self.let_go.release()
        await asyncio.wait_for(self.task, 60)
        return self.entered


async def test_a_chore_that_is_rung_for_often_in_one_round_does_one_more():
    chore = Chore()
    await asyncio.wait_for(chore.entered.acquire(), 60)
    for _ in range(100):
        chore.bell.ring()
    chore.let_go.release()
    await asyncio.wait_for(chore.entered.acquire(), 60)  # the one more
    assert (await chore.end()).locked()  # and no third


async def test_a_bell_rings_at_its_moment_and_the_last_one_that_was_set_counts():
    bell = Bell()
    bell.ring_in(0.0)
    bell.ring_in(None)
    bell.ring_in(3600.0)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(bell.wait(), 0.01)
    bell.ring_in(0.01)
    await asyncio.wait_for(bell.wait(), 60)
    bell.heard()
    bell.ring_in(-5.0)  # overdue
    await asyncio.wait_for(bell.wait(), 60)


class Things:
    """Things to claim, and what became of them."""

    def __init__(self, *things, handle=None, limit_s=60.0, size=2):
        self.waiting, self.handled, self.defects = list(things), [], []
        self.let_go, self.bell = asyncio.Event(), Bell()
        self.crew = Crew(
            name=str,
            claim=lambda: self.waiting.pop(0) if self.waiting else None,
            handle=handle or self.hold,
            defect=lambda thing, error: self.defects.append((thing, repr(error))),
            size=size,
            limit_s=limit_s,
            bell=self.bell,
        )

    async def hold(self, thing):
        await self.let_go.wait()
        self.handled.append(thing)


async def test_so_many_things_are_handled_at_a_time_and_no_more():
    things = Things("a", "b", "c")
    assert [await things.crew.round() for _ in range(3)] == [True, True, False]
    assert things.waiting == ["c"]
    things.let_go.set()
    await asyncio.wait_for(things.bell.wait(), 60)  # a hand is free
    await things.crew.finish(60)
    assert await things.crew.round() is True
    await things.crew.finish(60)
    assert sorted(things.handled) == ["a", "b", "c"]
    assert await things.crew.round() is False


async def test_what_takes_longer_than_the_grace_is_cancelled():
    things = Things("a")
    await things.crew.round()
    await things.crew.finish(0.01)
    assert things.handled == []


async def test_a_defect_is_reported_and_frees_its_hand(caplog):
    async def fail(thing):
        raise ZeroDivisionError(thing)

    things = Things("a", "b", handle=fail, size=1)
    for _ in "ab":
        await things.crew.round()
        await things.crew.finish(60)
    assert things.defects == [("a", "ZeroDivisionError('a')"), ("b", "ZeroDivisionError('b')")]


@pytest.mark.parametrize("error", [away(), TimeoutError()])
async def test_a_service_that_is_away_is_no_defect(caplog, error):
    async def fail(thing):
        raise error

    things = Things("a", handle=fail)
    await things.crew.round()
    await things.crew.finish(60)
    assert things.defects == []
    assert caplog.records[0].message.startswith("a: ")
    assert len(caplog.records[0].message) > 3


async def test_what_hangs_is_ended_before_its_lease_is_over(caplog):
    things = Things("a", limit_s=0.01)
    await things.crew.round()
    await things.crew.finish(60)
    assert "a: not handled within 0.01 s" in caplog.text


async def test_a_claim_that_fails_frees_its_hand():
    crew = Crew(name=str, claim=lambda: 1 / 0, handle=None, defect=None, size=1, limit_s=1, bell=Bell())
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            await crew.round()
