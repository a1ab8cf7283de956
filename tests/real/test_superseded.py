"""A newer commit comes while prompts of the older one are in the engine."""

import asyncio

import pytest

from evalwindow import flow
from evalwindow.admission import Submission
from evalwindow.engines.replay import ReplayEngine
from evalwindow.model import Candidate, RunState, ShardState, Source
from tests.real.house import REPO, TEAM

pytestmark = pytest.mark.timeout(300)


class Slow(ReplayEngine):
    """Answers nobody by itself; who gives up is noted."""

    def __init__(self):
        super().__init__({}, digest="slow")
        self.inside, self.gave_up, self.asked = 0, 0, asyncio.Event()

    async def complete(self, request):
        self.inside += 1
        self.asked.set()
        try:
            return await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.gave_up += 1
            raise


async def submitted(services, sha):
    source = Source(repo=REPO, pull_request=7, head_sha=sha)
    wish = Submission(key=sha, team=TEAM, suite="echo", candidate=Candidate(model="parrot", system=sha), source=source)
    return (await asyncio.to_thread(flow.submit, services, wish)).id


async def listening(leases):
    while leases.pause_s != 600.0:
        await asyncio.sleep(0.01)


async def test_no_further_prompt_of_a_superseded_commit_starts_and_those_inside_are_given_up(services):
    engine = services._engines["model parrot"] = Slow()
    old = await submitted(services, "aaa")
    shards = services.store.shards(old)
    work = [asyncio.create_task(flow.run_shard(services, shard.id)) for shard in shards[:3]]
    await engine.asked.wait()
    services.leases._longest = 600.0  # no renewal tells of it
    await asyncio.wait_for(listening(services.leases), 60)
    await submitted(services, "bbb")
    await asyncio.wait_for(asyncio.gather(*work), 60)
    slots = services.config.lanes.regression.slots
    assert engine.inside == engine.gave_up <= slots < 3 * len(shards[0].sample_ids)
    assert services.store.run(old).state is RunState.SUPERSEDED
    assert {shard.state for shard in services.store.shards(old)} == {ShardState.CANCELLED}
    assert services.store.results(old) == []
    await asyncio.gather(*(flow.run_shard(services, shard.id) for shard in shards))  # late messages start nothing
    assert engine.inside <= slots
