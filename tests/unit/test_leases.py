"""Leases: renewed together, ended or closing when the store says so, kept over a short outage."""

import asyncio
import logging
import time

from evalwindow.errors import ServiceDown
from evalwindow.leases import HEARD_S, Leases
from evalwindow.model import SampleResult
from evalwindow.recorder import Page, Recorder, Renewal, Written


class Renewals:
    """A renewal whose answers a test chooses."""

    def __init__(self, answer="held"):
        self.answer, self.asked = answer, []

    def __call__(self, tokens):
        self.asked.append(dict(tokens))
        if isinstance(self.answer, Exception):
            raise self.answer
        return dict.fromkeys(tokens, self.answer)


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


async def test_all_leases_of_a_process_are_renewed_in_one_round_trip():
    renew = Renewals()
    leases = Leases(renew, lease_s=0.03)
    async with leases.hold("a", 1), leases.hold("b", 7):
        await until(lambda: renew.asked)
    await leases.aclose()
    assert renew.asked[0] == {"a": 1, "b": 7}


async def test_a_lost_lease_ends_with_its_reason():
    leases = Leases(Renewals("lost"), lease_s=0.03)
    async with leases.hold("a", 1) as lease:
        await asyncio.wait_for(lease.ended.wait(), 10)
    await leases.aclose()
    assert lease.why == "lost"


async def test_a_cancelled_run_ends_its_leases():
    leases = Leases(Renewals("cancelled"), lease_s=0.03)
    async with leases.hold("a", 1) as lease:
        await asyncio.wait_for(lease.ended.wait(), 10)
    await leases.aclose()
    assert lease.why == "cancelled"


async def test_a_closing_lease_is_held_and_lets_nothing_start(caplog):
    caplog.set_level(logging.INFO)
    renew = Renewals()
    leases = Leases(renew, lease_s=0.03)
    async with leases.hold("a", 1) as lease:
        await until(lambda: renew.asked)
        assert not lease.closed()
        renew.answer = "closing"
        await asyncio.wait_for(lease.closing.wait(), 10)
        assert lease.closed()
        asked = len(renew.asked)
        await until(lambda: len(renew.asked) > asked + 1)  # still held, so still renewed
        assert not lease.ended.is_set()
    await leases.aclose()
    assert caplog.text.count("shard a: its window is over") == 1


async def test_a_lease_that_closes_stays_closed_when_its_window_opens_again():
    renew = Renewals("closing")
    leases = Leases(renew, lease_s=0.03)
    async with leases.hold("a", 1) as lease:
        await asyncio.wait_for(lease.closing.wait(), 10)
        renew.answer = "held"
        asked = len(renew.asked)
        await until(lambda: len(renew.asked) > asked + 1)
        assert lease.closed()
    await leases.aclose()


async def test_only_the_shard_whose_window_is_over_closes():
    def renew(tokens):
        return {shard_id: "closing" if shard_id == "a" else "held" for shard_id in tokens}

    leases = Leases(renew, lease_s=0.03)
    async with leases.hold("a", 1) as closing, leases.hold("b", 1) as open_:
        await asyncio.wait_for(closing.closing.wait(), 10)
        assert not open_.closed()
    await leases.aclose()


async def test_a_window_ends_though_the_database_is_away_and_can_not_say_so():
    renew = Renewals(ServiceDown(service="PostgreSQL", host="h", reason="gone", advice="start it"))
    leases = Leases(renew, lease_s=0.03)
    async with leases.hold("a", 1, closes_at=time.monotonic() + 0.05) as lease:
        await until(lambda: lease.closed() and renew.asked)
        assert not lease.ended.is_set()
    async with leases.hold("b", 1, closes_at=time.monotonic()) as lease:
        assert lease.closed()
    await leases.aclose()


async def test_a_lease_is_kept_while_the_database_is_away():
    renew = Renewals(ServiceDown(service="PostgreSQL", host="h", reason="gone", advice="start it"))
    leases = Leases(renew, lease_s=0.03)
    async with leases.hold("a", 1) as lease:
        await until(lambda: len(renew.asked) > 2)
        assert not lease.ended.is_set()
    await leases.aclose()


async def test_a_released_lease_is_renewed_no_more():
    renew = Renewals()
    leases = Leases(renew, lease_s=0.03)
    async with leases.hold("a", 1):
        pass
    async with leases.hold("b", 1):
        await until(lambda: renew.asked)
    await leases.aclose()
    assert all(set(asked) == {"b"} for asked in renew.asked)


class Ends:
    """Tells of runs that are final when a test says so."""

    def __init__(self, heard):
        self.heard, self.listening = heard, True

    async def run(self):
        await asyncio.Event().wait()


def told_leases(renew):
    told = []
    leases = Leases(renew, lease_s=3600, wakes_of=lambda heard: told.append(Ends(heard)) or told[0])
    return leases, told[0]


async def test_the_end_of_a_run_is_heard_however_long_its_leases_are():
    renew = Renewals("cancelled")
    leases, ends = told_leases(renew)
    async with leases.hold("a", 1, run_id="r1") as lease:
        ends.heard("another")
        ends.heard("r1")
        await asyncio.wait_for(lease.ended.wait(), 10)
    await leases.aclose()
    assert renew.asked == [{"a": 1}]


async def test_an_end_that_is_our_own_stops_nothing():
    renew = Renewals("lost")
    leases, ends = told_leases(renew)
    async with leases.hold("a", 1, run_id="r1") as mine, leases.hold("b", 1, run_id="r2") as other:
        mine.finished = True
        ends.heard("r1")
        ends.heard("r2")
        await asyncio.wait_for(other.ended.wait(), 10)
        assert not mine.ended.is_set()
    await leases.aclose()
    assert renew.asked == [{"b": 1}]


def test_without_wakes_one_looks_often_and_with_them_no_more_than_leases_need():
    leases, ends = told_leases(Renewals())
    assert leases.pause_s == 1200
    ends.listening = False
    assert leases.pause_s == Leases(Renewals(), lease_s=3600).pause_s == HEARD_S
    assert Leases(Renewals(), lease_s=3).pause_s == 1


class Rows:
    """A store that writes and says of each lease what a test chooses."""

    def __init__(self, answer="held"):
        self.answer, self.renewed = answer, []

    def write(self, pages, completions, *, done=None, renewal):
        self.renewed.append(dict(renewal.tokens))
        return Written(last=False, leases=dict.fromkeys(renewal.tokens, self.answer))


async def write(leases, rows, *, shard="a", ends=False):
    recorder = Recorder(rows, run_id="r1", shard_id=shard, token=1, ledger=leases.ledger)
    await recorder.add(SampleResult(sample_id="s0", epoch=0, scores={}))
    await (recorder.finish() if ends else recorder.write())


def half_over(*held):
    for lease in held:
        lease.asked_at -= 700  # of 1200 s


async def test_who_writes_renews_what_will_have_to_be_soon():
    (leases, _), rows = told_leases(Renewals()), Rows()
    async with leases.hold("a", 1) as old, leases.hold("b", 7) as older, leases.hold("c", 1):
        half_over(old, older)
        await write(leases, rows)
        await write(leases, rows)
    await leases.aclose()
    assert rows.renewed == [{"a": 1, "b": 7}, {}]  # once is enough


async def test_a_lease_is_renewed_no_earlier_than_it_has_to_be():
    idle, busy = Renewals(), Renewals()
    fresh, old = Leases(idle, lease_s=0.03), Leases(busy, lease_s=0.03)
    async with fresh.hold("a", 1) as lease, old.hold("b", 1):
        lease.asked_at += 3600  # as by a write just now, and by all that follow
        await until(lambda: len(busy.asked) > 2)
    await fresh.aclose()
    await old.aclose()
    assert idle.asked == []


async def test_an_end_takes_along_the_others_of_its_run():
    (leases, _), rows = told_leases(Renewals()), Rows()
    async with leases.hold("a", 1, run_id="r1"), leases.hold("b", 2, run_id="r1"), leases.hold("c", 3, run_id="r2"):
        await write(leases, rows, ends=True)
    await leases.aclose()
    assert rows.renewed == [{"b": 2}]


async def test_what_a_write_hears_of_leases_is_heeded():
    (leases, _), rows = told_leases(Renewals()), Rows("cancelled")
    async with leases.hold("a", 1) as mine, leases.hold("b", 1) as finished:
        half_over(mine, finished)
        finished.finished = True
        await write(leases, rows, shard="c")
        assert mine.why == "cancelled"
        assert not finished.ended.is_set()
        rows.answer = "closing"
    async with leases.hold("d", 1) as closing:
        half_over(closing)
        await write(leases, rows, shard="c")
        assert closing.closed()
        assert not closing.ended.is_set()
    await leases.aclose()


async def test_an_answer_to_an_old_token_is_not_heard():
    leases, _ = told_leases(Renewals())
    async with leases.hold("a", 2) as lease:
        leases.heed(Renewal(tokens={"a": 1}), {"a": "lost", "b": "lost"}, asked_at=time.monotonic())
        assert not lease.ended.is_set()
    await leases.aclose()


async def test_a_shard_that_we_have_done_ourselves_is_not_lost():
    leases, _ = told_leases(Renewals())
    async with leases.hold("a", 1) as lease:
        leases.heed(Renewal(tokens={"a": 1}), {"a": "done"}, asked_at=time.monotonic())
        assert not lease.ended.is_set()
    await leases.aclose()


def test_the_shard_that_ends_is_not_renewed():
    leases = Leases(Renewals(), lease_s=3)
    done = Page(run_id="r1", shard_id="a", token=1, results=[])
    assert leases.due(done).tokens == {}
