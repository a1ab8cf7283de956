"""Clocks that jump by hours, of our processes and of PostgreSQL's host, while runs are worked on."""

from __future__ import annotations

import datetime as dt
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import time_machine

from demo.github_standin import Failure
from evalwindow import flow
from evalwindow.github.client import GitHub
from evalwindow.model import ShardState
from evalwindow.settings import read_settings
from tests.faults.scene import Scene
from tests.faults.times import let_pass
from tests.real.house import until

pytestmark = pytest.mark.timeout(600)

HOUR = dt.timedelta(hours=1)
SLOTS = 8  # of the house's lane


class Clock:
    """Of one process of the scene."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_wrong_by(0 * HOUR)

    def is_wrong_by(self, by: dt.timedelta) -> None:
        self.path.write_text(str(by.total_seconds()))


def start(scene: Scene, kind: str) -> Clock:
    clock = Clock(scene.house.folder / f"{kind}.clock")
    scene.house.start(kind, under=[sys.executable, "-m", "tests.faults.wrong_clock", str(clock.path)])
    return clock


def test_clocks_of_our_processes_jump_by_hours_while_they_work(scene: Scene) -> None:
    scene.hold_back(first=15)
    clocks = [start(scene, kind) for kind in ("dispatcher", "consumer")]
    runs = [scene.submit(number=1)]
    until(lambda: len(scene.house.api.asked) >= 15 + SLOTS)
    # Who counts by its own clock now puts things off until the evening, and takes messages for lost.
    for clock, hours in zip(clocks, (-5, 5), strict=True):
        clock.is_wrong_by(hours * HOUR)
    scene.github.failures.append(Failure(status=502, path="/check-runs"))
    runs.append(scene.submit("trip", number=2))
    until(lambda: len(scene.github.check_runs) == 2)
    for clock, hours in zip(clocks, (5, -5), strict=True):
        clock.is_wrong_by(hours * HOUR)
    scene.go_on()
    scene.ends_well()
    assert {shard.attempts for run_id in runs for shard in scene.store.shards(run_id)} == {1}
    assert all(scene.store.run(run_id).summary.wall_s >= 0 for run_id in runs)


def test_the_clock_of_the_databases_host_jumps_on_and_back(scene: Scene) -> None:
    scene.hold_back(first=15)
    scene.start("dispatcher", "consumer")
    run_id, hours = scene.submit(), 8 * HOUR
    until(lambda: len(scene.house.api.asked) >= 15 + SLOTS)
    held = [shard.id for shard in scene.store.shards(run_id) if shard.state is ShardState.RUNNING]
    # On: all leases are over though their holders live. They lose their shards to whoever is next.
    let_pass(scene.store, hours)
    until(lambda: scene.said("lease lost") == len(held))
    # Back: what is dated lies far ahead, and who lives renews its lease by the new clock.
    let_pass(scene.store, -hours)
    scene.go_on()
    scene.ends_well()
    assert {shard.attempts for shard in scene.store.shards(run_id) if shard.id in held} == {2}


@pytest.mark.parametrize("hours", [-5, 5])
async def test_who_is_told_again_is_told_by_the_databases_clock(scene: Scene, hours: int) -> None:
    """Else a clock that is ahead puts a verdict off for hours, and one that is behind uses all attempts up at once."""
    github = GitHub.from_settings(read_settings(scene.house.environ))
    scene.submit()
    delivery = scene.store.claim_delivery(60)
    scene.github.failures.append(Failure(status=502))
    with time_machine.travel(dt.datetime.now(dt.UTC) + hours * HOUR):
        await flow.publish(replace(scene.services, github=github), delivery)
    await github.aclose()
    [row] = scene.select("SELECT state, extract(epoch FROM next_at - clock_timestamp()) AS in_s FROM delivery")
    assert row.state == "waiting"
    assert 0 < row.in_s <= 2
