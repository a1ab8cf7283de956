import datetime as dt

import pytest
from sqlalchemy import update

from evalwindow.errors import NotFound
from evalwindow.model import Completion, EntryState, Purpose, RunState, ShardState, Tier, Usage
from evalwindow.store import tables
from evalwindow.store.night_rows import NewEntry
from tests.fixtures.results import mark_done, write_down
from tests.real.store.nightly import HOUR, begun, ended, night_of, now
from tests.real.store.world import at_once, result


def plan(world, night, *entries):
    return world.store.plan(night.id, entries or [NewEntry(suite="echo", model="base")])


def record(world, run_id, *samples, gpu_s=1.0):
    """Results of a run, whoever holds its shards; each costs so many GPU-seconds."""
    paid = Completion(text="yes", usage=Usage(gpu_s=gpu_s))
    shard_id = world.shard_ids(run_id)[0]
    write_down(world.store, run_id, shard_id, 1, [result(sample, completion=paid) for sample in samples])


def test_a_night_is_opened_once_for_its_key(world):
    first = night_of(world, budget_gpu_s=60.0, dry_run=True, url="http://airflow/run")
    again = night_of(world, budget_gpu_s=7.0)
    assert again == first == world.store.night(first.id)
    assert (first.window, first.team, first.branch) == ("nightly", "red", "main")
    assert (first.budget_gpu_s, first.dry_run, first.url) == (60.0, True, "http://airflow/run")
    assert (first.closed_at, first.settled_at, first.void, first.end) == (None, None, None, first.ends_at)


def test_of_many_that_open_a_night_all_get_the_same_one(world):
    opened = at_once(lambda _: night_of(world))
    assert len({night.id for night in opened}) == world.count("night") == 1


def test_what_is_unknown_is_said(world):
    store = world.store
    unknown = [
        lambda: store.night("none"),
        lambda: store.settle("none", void=None),
        lambda: store.carry("none", "none", "me"),
        lambda: store.entry("none"),
        lambda: store.set_entry("none", EntryState.STARTED),
    ]
    for call in unknown:
        with pytest.raises(NotFound, match=r"There is no (night|entry of a night) 'none'"):
            call()
    assert store.close_night("none", "why") is False
    assert store.entries("none") == []
    assert (store.spent("none"), store.in_hand("none"), store.left("none")) == (0.0, 0, (0, 0))


def test_nights_are_listed_newest_first_by_window_and_key(world):
    first, second, other = (
        night_of(world, key, window=window) for key, window in [("1", "nightly"), ("2", "nightly"), ("3", "weekly")]
    )
    assert [night.id for night in world.store.nights()] == [other.id, second.id, first.id]
    assert [night.id for night in world.store.nights(window="nightly")] == [second.id, first.id]
    assert [night.id for night in world.store.nights(key="1")] == [first.id]
    assert [night.id for night in world.store.nights(1, window="nightly", before=second.id)] == [first.id]


def test_a_plan_is_written_once_and_in_its_order(world):
    night = night_of(world)
    wanted = [
        NewEntry(suite="echo", model="prod", purpose=Purpose.AA, baseline_run="b"),
        NewEntry(suite="echo", model="b", provenance_key="k"),
        NewEntry(suite="echo", model="a"),
    ]
    planned = world.store.plan(night.id, wanted)
    assert [(entry.seq, entry.model, entry.purpose) for entry in planned] == [
        (0, "prod", Purpose.AA),
        (1, "b", Purpose.CANDIDATE),
        (2, "a", Purpose.CANDIDATE),
    ]
    assert (planned[0].baseline_run, planned[1].provenance_key) == ("b", "k")
    assert {entry.state for entry in planned} == {EntryState.PLANNED}
    started = world.store.set_entry(planned[1].id, EntryState.STARTED, run_id=world.admit())
    assert world.store.plan(night.id, wanted) == [planned[0], started, planned[2]]
    assert world.store.entries(night.id) == [planned[0], started, planned[2]]
    assert world.store.entry(planned[2].id) == planned[2]


def test_of_many_that_plan_a_night_all_get_the_same_entries(world):
    night = night_of(world)
    wanted = [NewEntry(suite="echo", model=f"m{number}") for number in range(10)]
    plans = at_once(lambda _: world.store.plan(night.id, wanted))
    assert all(entries == plans[0] for entries in plans)
    assert len(plans[0]) == 10


def test_an_entry_keeps_its_run_until_it_gets_another(world):
    [entry] = plan(world, night_of(world))
    first, second = world.admit("1"), world.admit("2")
    world.store.set_entry(entry.id, EntryState.STARTED, run_id=first)
    noted = world.store.set_entry(entry.id, EntryState.INVALID, note="row 7: no target")
    assert (noted.state, noted.run_id, noted.note) == (EntryState.INVALID, first, "row 7: no target")
    assert world.store.set_entry(entry.id, EntryState.STARTED, run_id=second).run_id == second


def test_the_entry_of_a_run_is_the_latest_that_names_it(world):
    first = begun(world)
    again = first.goes_on_in(night_of(world, "two"))
    assert world.store.entries_of_runs([first.run_id, "none"]) == {first.run_id: again.entry}
    assert world.store.entries_of_runs([]) == {}


def test_the_last_entry_is_that_of_the_window_for_the_same_question(world):
    windows = {"w": "weekly", "1": "nightly", "2": "nightly", "3": "nightly"}
    weekly, one, two, three = (night_of(world, key, window=window) for key, window in windows.items())
    [other], [first], [second], [third] = (plan(world, night) for night in (weekly, one, two, three))
    plan(world, two, NewEntry(suite="echo", model="other"), NewEntry(suite="echo", model="base", purpose=Purpose.AA))
    planned = [EntryState.PLANNED]
    assert world.store.last_entry(third, window="nightly", states=planned) == second
    assert world.store.last_entry(second, window="nightly", states=planned) == first
    assert world.store.last_entry(first, window="nightly", states=planned) is None
    started = world.store.set_entry(first.id, EntryState.STARTED)
    assert world.store.last_entry(third, window="nightly", states=[EntryState.STARTED]) == started
    assert world.store.last_entry(third, window="weekly", states=EntryState) == other


def test_an_answer_that_counts_is_found_by_what_it_depends_on(world):
    def answered(key, run_id):
        night = night_of(world, key)
        [entry] = plan(world, night, NewEntry(suite="echo", model="base", provenance_key="same"))
        world.store.set_entry(entry.id, EntryState.STARTED, run_id=run_id)

    assert world.store.answered("same") is None
    open_, void, old, new = (world.admit(key) for key in ("open", "void", "old", "new"))
    for run_id in (old, new, void):
        world.conclude(run_id)
    with world.store._transaction() as connection:
        connection.execute(update(tables.run).where(tables.run.c.id == void).values(void="A/A"))
    for key, run_id in [("1", open_), ("2", void)]:
        answered(key, run_id)
    assert world.store.answered("same") is None
    answered("3", new)
    answered("4", old)
    assert world.store.answered("same") == new
    assert world.store.answered("other") is None


def test_an_open_run_is_carried_into_a_night_that_is_open(world):
    story = begun(world)
    ended(world, story.night)
    new = night_of(world, "two")
    assert world.store.carry(story.run_id, new.id, "task 2") is True
    assert (story.run.night_id, story.run.window_end, story.run.owner) == (new.id, new.ends_at, "task 2")
    assert world.store.carry(story.run_id, new.id, "task 2") is True  # again is harmless
    assert world.store.claim(story.shard_ids[0], "worker", 30.0) is not None


@pytest.mark.parametrize("end", ["in time", "by hand"])
def test_nothing_is_carried_into_a_night_that_is_over(world, end):
    story, new = begun(world), night_of(world, "two")
    if end == "by hand":
        world.store.close_night(new.id, "enough")
    else:
        ended(world, new)
    assert world.store.carry(story.run_id, new.id, "task 2") is False
    assert (story.run.night_id, story.run.owner) == (story.night.id, "task 1")


def test_a_final_run_is_not_carried(world):
    story = begun(world)
    world.conclude(story.run_id)
    assert world.store.carry(story.run_id, night_of(world, "two").id, "task 2") is False
    assert story.run.night_id == story.night.id


def test_only_who_waits_for_a_run_cancels_it(world):
    story = begun(world)
    story.goes_on_in(night_of(world, "two"), owner="task 2")
    assert world.store.cancel_owned(story.run_id, "task 1", "marked as failed") is False
    assert (story.run.state, story.run.error) == (RunState.QUEUED, None)
    assert {shard.state for shard in world.store.shards(story.run_id)} == {ShardState.PENDING}
    assert world.store.cancel_owned(story.run_id, "task 2", "marked as failed") is True
    assert (story.run.state, story.run.error) == (RunState.CANCELLED, "marked as failed")
    assert {shard.state for shard in world.store.shards(story.run_id)} == {ShardState.CANCELLED}
    assert world.store.cancel_owned(story.run_id, "task 2", "again") is False
    assert world.store.cancel_owned("none", "task 2", "again") is False


def test_a_run_that_nobody_waits_for_is_nobodys_to_cancel(world):
    run_id = world.admit()
    assert world.store.cancel_owned(run_id, "task 1", "why") is False
    assert world.store.cancel_all_owned("task 1", "why") == []


def test_all_that_somebody_waits_for_is_cancelled_and_nothing_else(world):
    mine = [world.admit(key, owner="task 1") for key in ("a", "b")]
    theirs, done = world.admit("c", owner="task 2"), world.conclude(world.admit("d", owner="task 1"))
    assert world.store.cancel_all_owned("task 1", "marked as failed") == mine
    states = [world.store.run(run_id).state for run_id in (*mine, theirs, done)]
    assert states == [RunState.CANCELLED, RunState.CANCELLED, RunState.QUEUED, RunState.CONCLUDED]


def test_the_check_of_a_cancelled_run_is_told(world):
    run_id = world.of_commit("aaa", channels=["check"], owner="task 1")
    world.store.claim_delivery(60)
    world.store.sent(run_id, "check", "17")
    world.store.cancel_owned(run_id, "task 1", "marked as failed")
    assert [(each.channel, each.state) for each in world.store.deliveries(run_id)] == [("check", "waiting")]


def test_what_somebody_may_have_in_hand_is_counted_by_shards_and_what_is_left_by_samples(world):
    run_id = world.admit(shards=[["s0", "s1"], ["s2"], ["s3"]])
    assert (world.store.in_hand(run_id), world.store.left(run_id)) == (0, (4, 4))
    first, _ = world.store.top_up("warm", Tier.REGRESSION, 2)
    assert world.store.in_hand(run_id) == 2
    held = world.claim(first)
    assert (world.store.in_hand(run_id), world.store.left(run_id)) == (2, (4, 4))
    mark_done(world.store, held)
    assert (world.store.in_hand(run_id), world.store.left(run_id)) == (1, (2, 4))


def test_closing_a_night_ends_the_windows_of_its_open_runs(world):
    night = night_of(world)
    open_, done = world.admit("open", night_id=night.id), world.conclude(world.admit("done", night_id=night.id))
    other = world.admit("other", night_id=night_of(world, "two").id)
    assert world.store.close_night(night.id, "budget") is True
    closed = world.store.night(night.id)
    assert (closed.close_reason, closed.end) == ("budget", closed.closed_at)
    assert closed.closed_at <= now()
    assert world.store.run(open_).window_end == closed.closed_at
    assert world.store.run(done).window_end == night.ends_at
    assert world.store.run(other).window_end > now()
    assert world.store.close_night(night.id, "again") is False
    assert world.store.night(night.id) == closed


def test_a_night_that_is_over_is_not_closed(world):
    night = night_of(world)
    ended(world, night)
    assert world.store.close_night(night.id, "late") is False
    assert world.store.night(night.id).close_reason is None


def test_a_night_has_spent_what_its_own_runs_cost_in_it(world):
    story = begun(world)
    record(world, story.run_id, "s0", "s1", gpu_s=2.0)
    elsewhere = begun(world, night_of(world, "other", window="weekly"))
    record(world, elsewhere.run_id, "s0", gpu_s=50.0)
    record(world, world.admit("of no night"), "s0", gpu_s=50.0)
    stood_by = world.admit("an earlier answer")
    record(world, stood_by, "s0", gpu_s=50.0)
    entry = plan(world, story.night, NewEntry(suite="echo", model="same"))[-1]
    world.store.set_entry(entry.id, EntryState.UNCHANGED, run_id=stood_by)
    assert world.store.spent(story.night.id) == pytest.approx(4.0)
    assert world.store.spent(elsewhere.night.id) == pytest.approx(50.0)


def test_what_two_nights_spend_on_one_run_is_shared_out_by_when_it_came(world):
    story = begun(world)
    record(world, story.run_id, "s0", gpu_s=2.0)
    world.store.close_night(story.night.id, "enough")
    record(world, story.run_id, "s1", gpu_s=3.0)  # it was in the engine then
    world.store.settle(story.night.id, void=None)
    record(world, story.run_id, "s2", gpu_s=4.0)  # and this one came very late
    again = story.goes_on_in(night_of(world, "two"))
    record(world, story.run_id, "s3", gpu_s=5.0)
    assert world.store.spent(story.night.id) == pytest.approx(9.0)
    assert world.store.spent(again.night.id) == pytest.approx(5.0)
    assert world.store.spent_of([story.night.id, again.night.id]) == {
        story.night.id: pytest.approx(9.0),
        again.night.id: pytest.approx(5.0),
    }


def test_nights_are_overspent_from_their_budget_on(world):
    story = begun(world, night_of(world, budget_gpu_s=3.0))
    record(world, story.run_id, "s0", "s1", gpu_s=1.0)
    assert world.store.overspent() == []
    record(world, story.run_id, "s2", gpu_s=1.0)
    assert world.store.overspent() == [story.night.id]
    world.store.close_night(story.night.id, "budget")
    assert world.store.overspent() == []


def test_what_is_over_settled_or_without_a_budget_is_not_overspent(world):
    nights = {name: night_of(world, name, budget_gpu_s=0.5) for name in ("over", "settled")}
    nights["unlimited"] = night_of(world, "unlimited")
    for night in nights.values():
        record(world, begun(world, night).run_id, "s0", gpu_s=1.0)
    assert world.store.overspent() == [nights["over"].id, nights["settled"].id]
    ended(world, nights["over"])
    world.store.settle(nights["settled"].id, void=None)
    assert world.store.overspent() == []


def test_a_budget_counts_what_its_own_night_spent_on_a_run_that_was_carried_into_it(world):
    story = begun(world, night_of(world, budget_gpu_s=100.0))
    record(world, story.run_id, "s0", gpu_s=90.0)
    again = story.goes_on_in(night_of(world, "two", budget_gpu_s=50.0))
    record(world, story.run_id, "s1", gpu_s=40.0)
    assert world.store.overspent() == []
    record(world, story.run_id, "s2", gpu_s=10.0)
    assert world.store.overspent() == [again.night.id]


def test_a_night_is_settled_once_and_says_when(world):
    night = night_of(world)
    settled = world.store.settle(night.id, void=None)
    assert (settled.settled_at, settled.void) == (world.store.night(night.id).settled_at, None)
    assert settled.settled_at <= now()
    assert world.store.settle(night.id, void=None) == settled


def test_a_void_night_voids_its_verdicts_and_no_other(world):
    night = night_of(world)
    mine = world.conclude(world.admit("mine", night_id=night.id))
    waiting = world.admit("waiting", night_id=night.id)
    other = world.conclude(world.admit("other", night_id=night_of(world, "two").id))
    assert world.store.settle(night.id, void="A/A failed").void == "A/A failed"
    assert [world.store.run(run_id).void for run_id in (mine, waiting, other)] == ["A/A failed", None, None]
    world.store.settle(night.id, void=None)  # judged again, and it holds
    assert (world.store.night(night.id).void, world.store.run(mine).void) == (None, None)


def test_a_run_that_a_later_night_concluded_is_not_void_with_an_earlier_one(world):
    story = begun(world)
    story.goes_on_in(night_of(world, "two"))
    world.conclude(story.run_id)
    world.store.settle(story.night.id, void="A/A failed")
    assert story.run.void is None


def test_what_was_told_of_a_verdict_is_told_again_when_it_is_void(world):
    night = night_of(world)
    run_id = world.conclude(world.admit("mine", night_id=night.id), channels=["page"])
    told = world.store.claim_delivery(60)
    world.store.sent(run_id, told.channel, "page.html")
    world.store.settle(night.id, void="A/A failed")
    assert world.store.claim_delivery(60).run_id == run_id
    world.store.sent(run_id, "page", "page.html")
    world.store.settle(night.id, void="A/A failed")  # no news
    assert world.store.claim_delivery(60) is None


def test_a_night_is_told_once_to_each_channel(world):
    night = night_of(world)
    world.store.tell_night(night.id, ["mail:ann@example.org", "mail:bo@example.org"])
    told = world.store.claim_delivery(60)
    world.store.sent(told.subject, told.channel, "<1@evalwindow>")
    world.store.tell_night(night.id, ["mail:ann@example.org", "mail:bo@example.org", "mail:cy@example.org"])
    states = {each.channel: each.state for each in world.store.deliveries(night.id)}
    assert states == {
        "mail:ann@example.org": "sent",
        "mail:bo@example.org": "waiting",
        "mail:cy@example.org": "waiting",
    }
    assert (told.night_id, told.run_id, told.subject) == (night.id, None, night.id)
    world.store.tell_night(night.id, [])


def test_an_end_is_the_earlier_of_plan_and_closing(world):
    night = night_of(world, lasts=dt.timedelta(hours=2))
    world.store.close_night(night.id, "enough")
    assert world.store.night(night.id).end < night.ends_at
    assert night.ends_at - night.starts_at > HOUR
