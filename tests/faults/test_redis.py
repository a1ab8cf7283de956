"""Redis is killed, emptied, or away: it carries hints, so nothing but time is lost."""

from __future__ import annotations

import pytest
from redis import Redis

from evalwindow.model import RunState, ShardState, Tier
from evalwindow.queue import queue_name
from soak.servers import Mortal
from tests.faults.scene import Scene
from tests.real.house import until

pytestmark = pytest.mark.timeout(600)


def test_redis_is_killed_in_the_middle_of_a_run_and_comes_back_empty(scene: Scene, redis: Mortal) -> None:
    scene.hold_back(first=10)
    scene.start("consumer", "dispatcher")
    run_id = scene.submit()
    until(lambda: len(scene.house.api.asked) > 10)  # one waits for its answer
    redis.kill()
    in_hand = [shard for shard in scene.store.shards(run_id) if shard.state in (ShardState.RUNNING, ShardState.DONE)]
    assert ShardState.RUNNING in {shard.state for shard in in_hand}
    scene.go_on()  # shards that are held need no Redis to be finished
    until(lambda: len(scene.store.results(run_id)) >= sum(len(shard.sample_ids) for shard in in_hand))
    redis.start()
    with Redis.from_url(redis.url) as client:
        client.flushall()  # as if nothing had been kept
    scene.ends_well()


def test_redis_is_emptied_again_and_again(scene: Scene, redis: Mortal) -> None:
    scene.start("consumer", "dispatcher")
    scene.submit(number=1)
    scene.submit("trip", number=2)
    with Redis.from_url(redis.url) as client:
        for number in range(3, 8):
            client.flushall()
            scene.submit(number=number)
    scene.ends_well()


def test_redis_is_away_when_runs_are_submitted(scene: Scene, redis: Mortal) -> None:
    scene.start("web", "dispatcher", "consumer")
    redis.stop()
    scene.push(1, "trip", "echo")
    smoke = scene.submit("trip", number=2)
    until(lambda: len(scene.runs()) == 3)
    assert scene.store.run(smoke).state is RunState.QUEUED
    redis.start()
    scene.ends_well(runs=3)


def test_messages_of_finished_shards_are_only_hints(scene: Scene, redis: Mortal) -> None:
    scene.hold_back(first=0)
    scene.lease(120)
    scene.start("consumer", "dispatcher")
    run_id = scene.submit()
    until(lambda: scene.house.api.asked)
    for shard in scene.store.shards(run_id):
        for _ in range(3):
            assert scene.services.queue.send_shard(shard.id, "api", Tier.REGRESSION)
    scene.go_on()
    scene.ends_well()
    with Redis.from_url(redis.url) as client:
        until(lambda: client.llen(queue_name("api", Tier.REGRESSION)) == 0)
    assert {shard.attempts for shard in scene.store.shards(run_id)} == {1}
    assert len(scene.house.api.asked) == len(scene.store.results(run_id))
