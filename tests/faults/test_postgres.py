"""PostgreSQL is killed, or loses its connections: what was answered waits until it can be written down."""

from __future__ import annotations

import signal
import threading

import pytest

from evalwindow.model import RunState
from soak.servers import Mortal
from tests.faults.scene import Scene, cut_connections
from tests.real.house import ended, until

pytestmark = pytest.mark.timeout(600)


def test_postgres_is_killed_in_the_middle_of_a_run_and_no_answer_is_asked_for_again(
    scene: Scene, postgres: Mortal
) -> None:
    scene.hold_back(first=12)
    scene.lease(120)
    scene.start("consumer", "dispatcher")
    run_id = scene.submit()
    until(lambda: len(scene.house.api.asked) > 12)
    postgres.kill()
    scene.go_on()
    until(lambda: scene.said("waiting:"))  # an answer is there that can't be written
    postgres.start()
    scene.ends_well()
    assert len(scene.house.api.asked) == len(scene.store.results(run_id))


def test_all_connections_are_cut_again_and_again(scene: Scene, postgres: Mortal) -> None:
    _, *claiming = scene.start("consumer", "dispatcher", "web")
    scene.push(1, "trip", "echo")
    submitted = [scene.submit(number=number) for number in range(2, 6)]
    over = threading.Event()
    cut: list[int] = []

    def cutting() -> None:
        while not over.wait(0.3):
            cut.append(cut_connections(postgres.url))

    thread = threading.Thread(target=cutting)
    thread.start()
    until(lambda: sum(cut) >= 40)
    over.set()
    thread.join()
    until(
        lambda: {scene.store.run(run_id).state for run_id in submitted} == {RunState.CONCLUDED}, said=scene.house.said
    )
    # An event or a delivery whose claim was answered into a cut connection is nobody's for a minute. It passes now;
    # whoever could have one in hand has ended before.
    for process in claiming:
        ended(process, by=signal.SIGTERM)
    scene.late("event")
    scene.late("delivery")
    scene.start("dispatcher")
    scene.ends_well(runs=6)


def test_postgres_is_away_at_the_verdict(scene: Scene, postgres: Mortal) -> None:
    scene.hold_back(first=39)  # of 40
    scene.lease(120)
    scene.start("consumer", "dispatcher")
    run_id = scene.submit()
    until(lambda: len(scene.house.api.asked) == 40)
    until(lambda: len(scene.store.results(run_id)) >= 35)
    postgres.stop()
    scene.go_on()
    until(lambda: scene.said("waiting:"))
    postgres.start()
    scene.ends_well()
    assert len(scene.house.api.asked) == 40


def test_the_power_fails_and_everything_is_killed_at_once(scene: Scene, postgres: Mortal, redis: Mortal) -> None:
    scene.hold_back(first=17)
    everything = scene.start("consumer", "dispatcher", "web")
    scene.push(1, "trip", "echo")
    until(lambda: len(scene.house.api.asked) > 17)
    for process in everything:
        ended(process, by=signal.SIGKILL)
    postgres.kill()
    redis.kill()
    scene.go_on()
    postgres.start()
    redis.start()
    scene.late("event")
    scene.late("delivery")
    scene.start("web", "dispatcher", "consumer")
    scene.ends_well(runs=2)
    assert all(scene.store.run(run_id).state is RunState.CONCLUDED for run_id in scene.runs())
