"""What stands still, over real SQL and a real MLflow registry."""

import datetime as dt

import pytest

from evalwindow.config import Quota, Team
from evalwindow.model import EntryState, Purpose
from evalwindow.nights.promotion import promote
from evalwindow.store.ids import new_id
from evalwindow.store.night_rows import NewEntry, NewNight
from evalwindow.upkeep import stale
from tests.real.upkeep.house import NIGHTLY


def test_nothing_stands_still_in_a_house_at_work(house):
    house.run()
    house.admit()
    assert stale(house.services).well


def only(house, services=None):
    """The one trouble there is."""
    [trouble] = stale(services or house.services).troubles
    return trouble


def test_a_lease_that_ran_out_names_its_holder_and_the_dispatcher(house):
    run_id = house.admit()
    shard = house.store.claim(house.store.shards(run_id)[0].id, "gpu-1:12", 1)
    house.sql("UPDATE shard SET lease_until = now() - interval '1 hour' WHERE id = :id", id=shard.id)
    trouble = only(house)
    assert (trouble.kind, trouble.ids) == ("leases", (shard.id,))
    assert "1 shard of gpu-1:12 lost their lease" in trouble.text and "workers.dispatcher" in trouble.text


def test_shards_that_nobody_takes_name_their_queue_and_runs(house):
    run_id = house.admit()
    sent = house.store.dispatch_run(run_id)
    house.sql("UPDATE shard SET dispatches = 4")
    trouble = only(house)
    assert (trouble.kind, set(trouble.ids)) == ("messages", set(sent))
    assert "regression.api" in trouble.text and run_id in trouble.text


def test_shards_that_are_never_sent_point_to_the_dispatcher(house):
    run_id = house.admit()
    house.sql("UPDATE run SET created_at = now() - interval '1 hour'")
    trouble = only(house)
    assert trouble.kind == "dispatcher"
    assert set(trouble.ids) == {shard.id for shard in house.store.shards(run_id)}


def test_what_waits_for_a_team_s_next_period_is_no_trouble(house):
    house.admit()
    house.sql("UPDATE run SET created_at = now() - interval '9 days'")
    house.sql("UPDATE usage SET gpu_s = 60")
    assert [trouble.kind for trouble in stale(house.services).troubles] == ["dispatcher", "runs"]
    teams = {"search": Team(quota=Quota(gpu_minutes=1, period="month"))}
    assert stale(house.open(teams=teams)).well


def test_what_is_left_alone_for_long_is_told_once_and_not_as_a_dispatcher_that_is_missing(house):
    run_id = house.admit()
    model = house.store.run(run_id).model
    for _ in range(9):
        house.services.breakers.failed(f"provider:{model}", "the API answered 503")
        house.services.breakers.failed("team:search/errors", "it is theirs to mend")
    house.sql("UPDATE run SET created_at = now() - interval '1 hour'")
    assert stale(house.services).well  # shards wait for it, as they should
    house.sql("UPDATE breaker SET opened_at = now() - interval '2 hours'")
    trouble = only(house)
    assert (trouble.kind, trouble.ids) == ("breakers", (f"provider:{model}",))
    assert "503" in trouble.text and f"evalwindow breakers reset provider:{model}" in trouble.text
    house.sql("UPDATE shard SET not_before = now() - interval '1 hour'")
    assert {trouble.kind for trouble in stale(house.services).troubles} == {"breakers", "dispatcher"}


def paused(house, *, suite="echo", model="tiny", purpose=Purpose.CANDIDATE, window="nightly"):
    """A run that a window left unfinished three days ago."""
    past = dt.datetime.now(dt.UTC) - dt.timedelta(days=3)
    night = house.store.open_night(
        NewNight(key=new_id(), window=window, team="search", branch="main", starts_at=past, ends_at=past)
    )
    house.store.settle(night.id, void=None)
    [entry] = house.store.plan(night.id, [NewEntry(suite=suite, model=model, purpose=purpose)])
    run_id = house.admit(suite=suite, model=model)
    house.store.set_entry(entry.id, EntryState.STARTED, run_id=run_id)
    house.sql(
        "UPDATE run SET night_id = :night, window_end = :past, created_at = :past WHERE id = :id",
        night=night.id,
        past=past,
        id=run_id,
    )
    return run_id


def test_a_paused_run_is_no_trouble_while_its_window_comes_again(house):
    run_id = paused(house)
    assert stale(house.services).well
    trouble = only(house, house.open(windows={}))
    assert (trouble.kind, trouble.ids) == ("runs", (run_id,))
    assert "window 'nightly' is not in evalwindow.yaml any more; end it by `evalwindow cancel" in trouble.text


@pytest.mark.parametrize(
    "change", [{"suites": ("other",)}, {"models": ("adapted",)}, {"cron": "0 0 29 2 *", "timezone": "UTC"}]
)
def test_a_window_that_asks_for_something_else_goes_on_with_nothing(house, change):
    paused(house)
    services = house.open(windows={"nightly": NIGHTLY.model_copy(update=change)})
    if "cron" in change:  # it comes again, in a leap year
        assert stale(services).well
    else:
        assert "does not run echo with tiny any more" in only(house, services).text


def test_a_paused_a_a_run_needs_a_window_that_runs_a_a(house):
    paused(house, purpose=Purpose.AA, model="adapted")
    assert stale(house.services).well  # whatever model the baseline is of
    without = house.open(windows={"nightly": NIGHTLY.model_copy(update={"aa": False})})
    assert only(house, without).kind == "runs"


def test_a_run_of_no_window_that_never_ends_is_told(house):
    run_id = house.admit()
    house.store.dispatch_run(run_id)
    house.sql("UPDATE run SET created_at = now() - interval '3 days'")
    trouble = only(house)
    assert (trouble.kind, trouble.ids) == ("runs", (run_id,))
    assert "it belongs to no window" in trouble.text


def test_a_pool_without_an_engine_and_an_engine_that_was_killed_are_told(house):
    house.sql("UPDATE engine SET seen_at = now() - interval '1 hour'")
    trouble = only(house)
    assert (trouble.kind, trouble.ids) == ("engines", ("warm/gpu-1",))
    assert trouble.text.startswith("pool warm: gpu-1 was last seen at ") and "start its GPU unit" in trouble.text
    house.see_engine("gpu-2")
    trouble = only(house)
    assert (trouble.kind, trouble.ids) == ("engines", ("warm/gpu-1",))
    assert "without saying so" in trouble.text
    house.sql("UPDATE engine SET state = 'stopped' WHERE worker = 'gpu-1'")
    assert stale(house.services).well
    house.sql("UPDATE engine SET state = 'ready', seen_at = now() - interval '2 days' WHERE worker = 'gpu-1'")
    assert stale(house.services).well  # told once
    house.sql("DELETE FROM engine")
    assert only(house).text == "pool warm: no engine was ever seen; start its GPU unit"


def test_what_was_given_up_and_who_was_never_told_are_named(house):
    run_id = house.run()
    delivery = house.store.claim_delivery(60)
    house.store.delivery_failed(run_id, delivery.channel, "disk full", None)
    trouble = only(house)
    assert (trouble.kind, trouble.ids) == ("deliveries", (delivery.id,))
    assert f"page was never told about {run_id}: disk full" in trouble.text


def test_a_night_that_was_never_settled_leads_to_its_dag_run(house):
    past = dt.datetime.now(dt.UTC) - dt.timedelta(hours=7)
    night = house.store.open_night(
        NewNight(
            key="n",
            window="nightly",
            team="search",
            branch="main",
            starts_at=past,
            ends_at=past,
            url="http://airflow/n",
        )
    )
    trouble = only(house)
    assert (trouble.kind, trouble.ids) == ("nights", (night.id,))
    assert "(http://airflow/n)" in trouble.text
    house.store.settle(night.id, void=None)
    assert stale(house.services).well


def test_an_alias_that_is_behind_is_told_with_the_command_that_sets_it(house, mlflow):
    house.config = house.config.model_copy(
        update={
            "models": house.config.models
            | {"tiny": house.config.models["tiny"].model_copy(update={"registry": mlflow.entry("2")})}
        }
    )
    services = house.open()
    run_id = house.run()
    house.store.promote("echo", "main", run_id, "lea", "past the registry")
    trouble = only(house, services)
    assert (trouble.kind, trouble.ids) == ("aliases", (run_id,))
    assert "is on version none, but the baseline of echo on main is version 2" in trouble.text
    assert f"`evalwindow baseline promote {run_id} --reason ...`" in trouble.text
    promote(services, run_id, who="lea", why="again")
    assert stale(services).well
    away = mlflow.entry("2", tracking_uri="http://127.0.0.1:1")
    models = house.config.models | {"tiny": house.config.models["tiny"].model_copy(update={"registry": away})}
    assert "MLflow at http://127.0.0.1:1 can't be reached" in only(house, house.open(models=models)).text
