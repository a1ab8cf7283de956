"""Processes die in the middle of their work, and two do the same: everything ends once, and is told once."""

from __future__ import annotations

import signal

import pytest

from demo.github_standin import Failure
from evalwindow.model import RunState, ShardState
from tests.faults.scene import Scene
from tests.real.house import ended, until

pytestmark = pytest.mark.timeout(600)

SLOW_S = 4.0  # until GitHub answers: by then whoever asked is dead


def test_a_consumer_is_killed_in_the_middle_of_its_prompts(scene: Scene) -> None:
    scene.hold_back(first=15)  # some shards are done, others are half done
    killed, *_ = scene.start("consumer", "dispatcher")
    run_id, smoke = scene.submit(), scene.submit("trip", number=2)
    until(lambda: len(scene.house.api.asked) > 15)
    ended(killed, by=signal.SIGKILL)
    half_done = [shard for shard in scene.store.shards(run_id) if shard.state is ShardState.RUNNING]
    assert half_done
    scene.go_on()
    scene.start("consumer")
    scene.ends_well()
    attempts = {shard.id: shard.attempts for shard in scene.store.shards(run_id)}
    assert min(attempts[shard.id] for shard in half_done) >= 2
    assert len(scene.store.results(smoke)) == 3


def test_a_dispatcher_is_killed_while_it_tells_and_github_has_heard_it(scene: Scene) -> None:
    scene.hold_back(first=0)
    scene.start("consumer")
    slow = Failure(path="/check-runs", times=1, delay_s=SLOW_S)  # the list that it reads before it writes
    late = Failure(path="/issues", times=1, delay_s=SLOW_S)
    scene.github.failures[:] = [slow, late]
    [killed] = scene.start("dispatcher")
    scene.submit()
    until(lambda: slow.times == 0 and scene.house.api.asked)
    scene.go_on()
    until(lambda: late.times == 0)
    ended(killed, by=signal.SIGKILL)
    scene.late("delivery")
    scene.start("dispatcher")
    scene.ends_well()


def test_a_dispatcher_is_killed_after_github_took_what_it_said(scene: Scene) -> None:
    scene.start("consumer")
    killed, *_ = scene.start("dispatcher")
    scene.submit()
    until(lambda: scene.github.check_runs)
    ended(killed, by=signal.SIGKILL)  # with luck before it wrote down which check that was
    forget = "UPDATE delivery SET state = 'sending', external_id = NULL, lease_until = now() RETURNING id"
    assert scene.select(forget)  # and here without luck
    scene.start("dispatcher")
    scene.ends_well()


def test_a_web_app_is_killed_after_it_took_a_webhook(scene: Scene) -> None:
    slow = Failure(path="/contents", times=1, delay_s=SLOW_S)
    scene.github.failures.append(slow)
    [killed] = scene.start("web")
    delivery = scene.push(1, "echo", "trip")
    until(lambda: slow.times == 0)  # it is at work on it
    ended(killed, by=signal.SIGKILL)
    assert scene.runs() == []
    scene.late("event")
    scene.start("web", "dispatcher", "consumer")
    assert scene.webhook(1, "echo", "trip", delivery=delivery) == 409  # GitHub sends it again: it is known
    scene.ends_well(runs=2)


def test_a_consumer_that_gets_a_spot_notice_hands_everything_back_though_the_engine_stands_still(scene: Scene) -> None:
    scene.hold_back(first=15)
    scene.lease(120)
    scene.house.environ["EVALWINDOW_DRAIN_S"] = "1"
    [stopped] = scene.start("consumer")
    scene.lease(3)  # and so soon the dispatcher sends a message again that went with the consumer
    scene.start("dispatcher")
    run_id = scene.submit()
    until(lambda: len(scene.house.api.asked) > 15)
    assert ended(stopped, by=signal.SIGTERM) == 0  # no prompt has come back
    assert scene.said("handed back")
    shards = scene.store.shards(run_id)
    assert {shard.state for shard in shards} <= {ShardState.PENDING, ShardState.DISPATCHED, ShardState.DONE}
    assert {shard.attempts for shard in shards if shard.state is not ShardState.DONE} == {0}
    assert len(scene.store.results(run_id)) == 15  # what was answered is kept, of half-done shards too
    scene.go_on()
    scene.start("consumer")
    scene.ends_well()


def test_of_two_dispatchers_one_is_killed(scene: Scene) -> None:
    first, *_ = scene.start("dispatcher", "dispatcher", "consumer")
    runs = [scene.submit(number=number) for number in range(1, 5)]
    until(lambda: any(scene.store.run(run_id).state is RunState.CONCLUDED for run_id in runs))
    ended(first, by=signal.SIGKILL)
    scene.late("delivery")
    scene.ends_well()
