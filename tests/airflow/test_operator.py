"""The task of an entry and what waits for it, over real SQL: what happens at each moment at which something can die."""

import asyncio

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskDeferred
from airflow.serialization.serialized_objects import BaseSerialization
from airflow.triggers.base import TriggerEvent

from evalwindow.airflow import listener, trigger
from evalwindow.airflow.operator import EvalRunOperator
from evalwindow.airflow.trigger import EvalRunTrigger
from evalwindow.model import EntryState, RunState
from tests.airflow.small import SAMPLES, Task, small_night

EVENT = {"samples": SAMPLES, "samples_left": SAMPLES}


@pytest.fixture
def night(tmp_path, monkeypatch, database_url, redis):
    with small_night(tmp_path, monkeypatch, database_url=database_url, redis_url=redis.url) as night:
        yield night


def operator(entry_id):
    return EvalRunOperator(task_id="evaluate", entry_id=entry_id, title="echo × parrot", poll_s=0.01, first_event_s=0)


def started(entry_id, task):
    """The trigger with which a task waits."""
    with pytest.raises(TaskDeferred) as deferred:
        operator(entry_id).execute({"ti": task})
    assert deferred.value.method_name == "execute_complete"
    assert deferred.value.timeout is None  # with one, Airflow doesn't call on_kill
    return deferred.value.trigger


async def event_of(waiting):
    async for event in waiting.run():
        return event.payload
    raise AssertionError("it ended without an event")


def test_it_starts_the_run_says_where_its_page_is_and_waits_without_a_worker(night):
    task = Task()
    waiting = started(night.entry(), task)
    run = night.run()
    assert (waiting.run_id, waiting.owner) == (run.id, str(task.id)) and run.owner == str(task.id)
    assert task.xcom == {"page": f"http://evals/runs/{run.id}"}


def test_another_try_adopts_the_run_and_nothing_is_enqueued_twice(night):
    entry_id, tries = night.entry(), (Task(), Task())
    first, second = (started(entry_id, task) for task in tries)
    assert first.run_id == second.run_id == night.run().id
    assert night.run().owner == str(tries[1].id)
    assert len(night.store.shards(first.run_id)) == 1


def test_a_run_that_has_its_verdict_is_not_waited_for(night):
    entry_id = night.entry()
    night.conclude(started(entry_id, Task()).run_id)
    again = operator(entry_id)
    assert again.execute({"ti": Task()}) == {"run": night.run().id, "partial": False, "samples_left": 0}
    assert again.title == "echo × parrot: fail"


@pytest.mark.parametrize("ended", [RunState.CANCELLED, RunState.FAILED])
def test_a_run_without_a_verdict_fails_the_task_for_good_and_the_task_cleared_starts_another(night, ended):
    entry_id = night.entry()
    run_id = started(entry_id, Task()).run_id
    (night.store.cancel_run if ended is RunState.CANCELLED else night.store.fail_run)(run_id, "ada said so")
    with pytest.raises(AirflowFailException, match=f"{ended}: ada said so; clear the task"):
        operator(entry_id).execute_complete({}, {"run_id": run_id, "status": ended, **EVENT})
    assert started(entry_id, Task()).run_id != run_id
    assert len(night.store.runs()) == 2


def test_a_window_that_closes_ends_the_task_in_green_and_the_next_night_goes_on(night):
    first = operator(night.entry())
    run_id = started(first.entry_id, Task()).run_id
    result = first.execute_complete({}, {"run_id": run_id, "status": "window_closed", "samples": 10, "samples_left": 4})
    assert result == {"run": run_id, "partial": True, "samples_left": 4}
    assert first.title.endswith("unfinished, 6 of 10 samples")
    entry_id = night.entry("two")
    assert started(entry_id, Task()).run_id == run_id
    assert night.store.entry(entry_id).state is EntryState.RESUMED


def test_an_entry_with_nothing_to_run_is_skipped_with_its_reason(night):
    entry_id = night.entry()
    night.store.set_entry(entry_id, EntryState.INVALID, note="row 7 has no target")
    with pytest.raises(AirflowSkipException, match="invalid, row 7 has no target"):
        operator(entry_id).execute({"ti": Task()})
    assert night.store.runs() == []


def test_an_entry_that_does_not_exist_fails_at_once(night):
    with pytest.raises(AirflowFailException, match="no entry of a night 'x'"):
        operator("x").execute({"ti": Task()})


def test_a_task_marked_failed_while_it_starts_the_run_cancels_it(night):
    with pytest.raises(AirflowFailException, match="marked failed"):
        operator(night.entry()).execute({"ti": Task(state="failed")})
    assert night.run().state is RunState.CANCELLED


async def test_the_trigger_waits_for_the_verdict(night):
    waiting = await asyncio.to_thread(started, night.entry(), Task())
    waiter = asyncio.create_task(event_of(waiting))
    await asyncio.sleep(0.1)
    assert not waiter.done()
    night.conclude(waiting.run_id)
    expected = {"run_id": waiting.run_id, "status": "concluded", "samples": SAMPLES, "samples_left": 0}
    assert await waiter == expected


async def test_the_trigger_fires_when_the_window_is_over_and_nobody_works_on_the_run(night):
    waiting = await asyncio.to_thread(started, night.entry(minutes=0.01), Task())
    assert (await event_of(waiting))["status"] == "window_closed"
    assert not night.run().state.final


async def test_no_event_comes_sooner_than_a_task_can_bear(night):
    waiting = await asyncio.to_thread(started, night.entry(), Task())
    waiting.first_event_s = 60.0
    night.conclude(waiting.run_id)
    waiter = asyncio.create_task(event_of(waiting))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(waiter, timeout=0.5)


async def test_a_database_that_is_away_is_waited_for(night, monkeypatch):
    waiting = await asyncio.to_thread(started, night.entry(), Task())
    night.conclude(waiting.run_id)
    with monkeypatch.context() as outage:
        nowhere = night.store.url.update_query_dict({"host": "/nowhere"})
        outage.setenv("EVALWINDOW_DATABASE_URL", nowhere.render_as_string(hide_password=False))
        waiter = asyncio.create_task(event_of(waiting))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(waiter), timeout=0.5)
    trigger._store.cache_clear()
    assert (await waiter)["status"] == "concluded"


def test_the_trigger_survives_the_way_through_airflows_database(night):
    waiting = started(night.entry(), Task())
    path, arguments = waiting.serialize()
    assert path == "evalwindow.airflow.trigger.EvalRunTrigger"
    copy = EvalRunTrigger(**BaseSerialization.deserialize(BaseSerialization.serialize(arguments)))
    assert copy.serialize() == waiting.serialize()


def test_an_event_can_be_sent():
    payload = {"run_id": "x", "status": "concluded", **EVENT}
    assert TriggerEvent.model_validate_json(TriggerEvent(payload).model_dump_json()).payload == payload


class Killed(EvalRunTrigger):
    """A trigger whose task is in a state that a test chooses; Airflow answers that in test_night.py."""

    def __init__(self, state, **arguments):
        super().__init__(**arguments)
        self.state = state

    async def state_of_task(self):
        return self.state


def killed(state, waiting):
    return Killed(state, **waiting.serialize()[1])


@pytest.mark.parametrize("state", ["failed", None])
async def test_killing_a_task_that_was_marked_failed_cancels_its_run(night, state):
    waiting = await asyncio.to_thread(started, night.entry(), Task())
    await killed(state, waiting).on_kill()
    assert night.run().state is RunState.CANCELLED
    assert "marked failed" in night.run().error


@pytest.mark.parametrize("state", ["cleared", "scheduled", "queued", "running", "deferred", "success", "skipped"])
async def test_killing_a_task_for_any_other_reason_leaves_its_run_alone(night, state):
    waiting = await asyncio.to_thread(started, night.entry(), Task())
    await killed(state, waiting).on_kill()
    assert not night.run().state.final


async def test_only_the_owner_of_a_run_can_cancel_it(night):
    entry_id = night.entry()
    old = await asyncio.to_thread(started, entry_id, Task())
    await asyncio.to_thread(started, entry_id, Task())
    await killed("failed", old).on_kill()
    assert not night.run().state.final


async def test_a_trigger_that_is_shut_down_cancels_nothing(night):
    waiting = await asyncio.to_thread(started, night.entry(), Task())
    waiter = asyncio.create_task(event_of(waiting))
    await asyncio.sleep(0.05)
    waiter.cancel()
    await waiting.cleanup()
    assert not night.run().state.final


@pytest.mark.parametrize("hook", [listener.on_task_instance_failed, listener.on_task_instance_skipped])
def test_a_task_that_a_person_marked_failed_or_skipped_gives_its_run_up(night, hook):
    task = Task()
    started(night.entry(), task)
    hook(previous_state=None, task_instance=task)
    assert night.run().state is RunState.CANCELLED


def test_a_task_that_failed_by_itself_keeps_its_run_for_the_next_try(night):
    task = Task()
    started(night.entry(), task)
    listener.on_task_instance_failed(previous_state="running", task_instance=task)
    assert not night.run().state.final


def test_other_tasks_are_none_of_its_business(night):
    task = Task()
    started(night.entry(), task)
    task.operator = "_PythonDecoratedOperator"
    listener.on_task_instance_failed(previous_state=None, task_instance=task)
    assert not night.run().state.final
