"""Leases: renewed together, ended when the store says so, kept over a short outage."""

import asyncio

from evalwindow.errors import ServiceDown
from evalwindow.leases import Leases


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
