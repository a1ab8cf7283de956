"""A dispatcher looks when a lease would run out, and puts nothing right while it was renewed."""

import asyncio
from collections import Counter

from evalwindow import flow
from evalwindow.admission import Submission
from evalwindow.model import Candidate
from tests.real.house import TEAM, until
from workers.dispatcher import Dispatcher


async def test_a_lease_that_was_renewed_costs_one_look(services, monkeypatch):
    store, asked = services.store, Counter()
    for name in ("agenda", "reap"):
        monkeypatch.setattr(store, name, _counting(asked, name, getattr(store, name)))
    wish = Submission(key="k", team=TEAM, suite="echo", candidate=Candidate(model="parrot"))
    run = await asyncio.to_thread(flow.submit, services, wish)
    monkeypatch.setattr("workers.dispatcher.LOOK_S", 3600.0)
    dispatcher = Dispatcher(services)
    running = asyncio.create_task(dispatcher.run())
    try:
        await asyncio.to_thread(until, lambda: dispatcher._listener.listening and asked["reap"])
        held = [store.claim(shard.id, "lives", 3.0) for shard in store.shards(run.id)]
        asked.clear()
        dispatcher._bells["agenda"].ring()
        await asyncio.to_thread(until, lambda: asked["agenda"])
        store.renew({each.id: each.token for each in held}, 3600.0)
        looks = asked["agenda"]
        await asyncio.to_thread(until, lambda: asked["agenda"] > looks)
    finally:
        services.stopping.set()
        await asyncio.wait_for(running, 60)
    assert asked["reap"] == 0


def _counting(asked, name, call):
    def counted(*given, **named):
        asked[name] += 1
        return call(*given, **named)

    return counted
