import datetime as dt

import pytest
from sqlalchemy import text

from evalwindow.config import Breaker
from evalwindow.model import Candidate, EngineInfo, Score
from evalwindow.store.retention import Aged
from tests.fixtures.results import mark_done, write_down
from tests.real.store.world import SUMMARY, VERDICT, World, result

AGE = dt.timedelta(days=30)
DAY = dt.timedelta(days=1)
READER = "mail:ops@acme.example"


def older(world: World, days: int, table: str, column: str, **where: str) -> None:
    """Put a row's time back."""
    condition = " AND ".join(f"{name} = :{name}" for name in where)
    statement = f"UPDATE {table} SET {column} = now() - make_interval(days => :days) WHERE {condition}"  # noqa: S608
    with world.store._transaction() as connection:
        assert connection.execute(text(statement), {"days": days, **where}).rowcount == 1


def concluded(world: World, key: str, *, days: int, **fields: object) -> str:
    """A run with two results that ended so long ago."""
    run_id = world.admit(key, **fields)
    for claimed in world.claim_all(run_id):
        write_down(world.store, run_id, claimed.id, claimed.token, [result(claimed.sample_ids[0])])
        mark_done(world.store, claimed)
    assert world.store.conclude(run_id, SUMMARY, VERDICT)
    older(world, days, "run", "concluded_at", id=run_id)
    return run_id


def texts(world: World, run_id: str) -> list[str]:
    return [each.completion.text for each in world.store.results(run_id)]


def test_an_old_run_loses_its_outputs_and_keeps_scores_usage_and_latency(world):
    run_id = concluded(world, "old", days=40)
    before = world.store.results(run_id)
    assert world.store.trim(AGE, limit=10) == (1, 2)
    for was, now in zip(before, world.store.results(run_id), strict=True):
        assert now.completion.text == ""
        assert now.removed_after_days == 40
        assert now.scores == {"exact": Score(value=1.0), "f1": Score(value=None)}
        assert (now.completion.usage, now.latency_s) == (was.completion.usage, was.latency_s)
        assert now.completion.choice_logprobs == was.completion.choice_logprobs
    assert world.store.trim(AGE, limit=10) == (0, 0)


def test_a_younger_run_an_open_one_and_a_baseline_keep_theirs(world):
    young = concluded(world, "young", days=29)
    active, retired, long_gone = (concluded(world, key, days=400) for key in ("active", "retired", "long gone"))
    for run_id in (long_gone, retired, active):
        world.store.promote("echo", "main", run_id, "ann", "why")
    older(world, 31, "baseline", "retired_at", run_id=long_gone)
    older(world, 29, "baseline", "retired_at", run_id=retired)
    open_run = world.admit("open")
    claimed = world.claim(world.shard_ids(open_run)[0])
    write_down(world.store, open_run, claimed.id, claimed.token, [result("s0")])
    older(world, 400, "run", "created_at", id=open_run)
    older(world, 400, "result", "at", run_id=open_run)
    assert world.store.trim(AGE, limit=10) == (1, 2)
    assert texts(world, long_gone) == ["", ""]
    for kept in (young, active, retired):
        assert texts(world, kept) == ["yes", "yes"]
    assert texts(world, open_run) == ["yes"]


def test_what_an_open_run_is_judged_against_stays(world):
    reference = concluded(world, "reference", days=40)
    judged = world.admit("judged", baseline_run=reference)
    assert world.store.trim(AGE, limit=10) == (0, 0)
    world.store.cancel_run(judged, "no longer")
    assert world.store.trim(AGE, limit=10) == (1, 2)


def test_a_refused_sample_keeps_its_reason_and_is_no_removed_output(world):
    run_id = world.admit()
    claimed = world.claim(world.shard_ids(run_id)[0])
    refused = result("s0", completion=None, error="too long", scores={})
    write_down(world.store, run_id, claimed.id, claimed.token, [refused])
    world.store.cancel_run(run_id, "enough")
    older(world, 40, "run", "concluded_at", id=run_id)
    assert world.store.trim(AGE, limit=10) == (1, 1)
    assert world.store.results(run_id) == [refused]


def test_batches_are_bounded_and_go_on_where_the_last_one_stopped(world):
    runs = [concluded(world, f"k{number}", days=40 + number) for number in range(5)]
    assert world.store.trimmable(AGE) == 5
    assert world.store.trim(AGE, limit=2) == (2, 4)
    assert [texts(world, run_id)[0] for run_id in runs] == ["yes"] * 3 + [""] * 2  # the oldest first
    assert world.store.trimmable(AGE) == 3
    assert [world.store.trim(AGE, limit=2) for _ in range(3)] == [(2, 4), (1, 2), (0, 0)]


def test_a_promotion_that_was_first_is_seen_and_one_that_comes_later_waits(world):
    """Both lock the run's row: a run is never trimmed as the baseline that it is about to become."""
    run_id = concluded(world, "old", days=40)
    with world.store._transaction() as connection:
        connection.execute(text("SELECT id FROM run FOR SHARE"))  # a promotion that is not through yet
        assert world.store.trim(AGE, limit=10) == (0, 0)
    assert world.store.trim(AGE, limit=10) == (1, 2)
    assert world.store.promote("echo", "main", run_id, "ann", "why").run_id == run_id


def test_cached_answers_that_nobody_asks_for_go(world):
    answer = result().completion
    world.store.write([], {"asked": answer, "forgotten": answer, "young": answer})
    for key, days in (("asked", 40), ("forgotten", 40), ("young", 20)):
        older(world, days, "completion_cache", "at", key=key)
    assert world.store.forgettable(Aged.CACHE, AGE) == 2
    assert world.store.look_up(["asked"]).completions == {"asked": answer}
    assert world.store.forget(Aged.CACHE, AGE, limit=10) == 1
    assert set(world.store.look_up(["asked", "forgotten", "young"]).completions) == {"asked", "young"}


def test_a_use_is_noted_once_a_day_and_nobody_waits_for_the_note(world):
    world.store.write([], {"k": result().completion})
    older(world, 2, "completion_cache", "at", key="k")
    with world.store._transaction() as connection:
        connection.execute(text("SELECT key FROM completion_cache FOR UPDATE"))
        assert set(world.store.look_up(["k"]).completions) == {"k"}
    assert world.store.forgettable(Aged.CACHE, DAY) == 1
    world.store.look_up(["k"])
    assert world.store.forgettable(Aged.CACHE, DAY) == 0


def test_adapters_that_nothing_needs_go_with_their_files(world):
    files = {name: {"adapter_config.json": name.encode()} for name in ("idle", "open", "baseline", "recent", "new")}
    digests = {name: world.store.put_artifact("adapter", name, content) for name, content in files.items()}
    for digest in digests.values():
        older(world, 40, "artifact", "created_at", digest=digest)
    world.store.put_artifact("adapter", "again", files["new"])  # uploaded again, its run is about to come
    runs = {}
    for name in ("idle", "open", "baseline", "recent"):
        runs[name] = world.admit(name, candidate=Candidate(model="base", adapter=digests[name]))
        older(world, 20 if name == "recent" else 40, "run", "created_at", id=runs[name])
    for name in ("idle", "baseline", "recent"):
        world.conclude(runs[name])
    world.store.promote("echo", "main", runs["baseline"], "ann", "why")
    assert world.store.needed_adapters(AGE) == {digests[name] for name in ("open", "baseline", "recent")}
    assert world.store.forget(Aged.ADAPTERS, AGE, limit=10) == 1
    assert world.count("artifact_file") == 4
    with pytest.raises(Exception, match="no artifact"):
        world.store.artifact(digests["idle"])


def test_dataset_reports_go_when_newer_ones_have_replaced_them(world):
    def put(key: str, digest: str, *, days: int, suite: str = "echo") -> None:
        world.store.put_dataset_report(key=key, suite=suite, digest=digest, ok=True, document={})
        older(world, days, "dataset_report", "at", key=key)

    put("v1", "one", days=90)
    put("v2 with old checks", "two", days=80)
    put("v2", "two", days=70)
    put("v3 with old checks", "three", days=20)
    put("v3", "three", days=10)
    put("another's only one", "one", days=300, suite="other")
    assert world.store.forgettable(Aged.DATASETS, AGE) == 2
    assert world.store.forget(Aged.DATASETS, AGE, limit=1) == 1
    assert world.store.forget(Aged.DATASETS, AGE, limit=10) == 1
    keys = ["v1", "v2 with old checks", "v2", "v3 with old checks", "v3", "another's only one"]
    assert world.store.known_datasets(keys) == {"v2", "v3 with old checks", "v3", "another's only one"}


def test_engines_without_a_sign_of_life_are_forgotten(world):
    info = EngineInfo(engine="vllm", version="1", model_digest="m")
    for worker in ("gone", "here"):
        world.store.heartbeat("warm", worker, info, "ready")
    older(world, 40, "engine", "seen_at", worker="gone")
    assert world.store.forget(Aged.ENGINES, AGE, limit=10) == 1
    assert [engine.worker for engine in world.store.engines()] == ["here"]


def test_webhooks_that_were_handled_are_forgotten_and_those_that_wait_are_kept(world):
    ids = {name: world.store.add_event(name, "pull_request", {}) for name in ("done", "refused", "waits", "young")}
    for state in ("done", "refused"):
        world.store.finish_event(ids[state], state)
        older(world, 40, "event", "received_at", id=ids[state])
    older(world, 40, "event", "received_at", id=ids["waits"])
    world.store.finish_event(ids["young"], "done")
    assert world.store.forgettable(Aged.EVENTS, AGE) == 2
    assert world.store.forget(Aged.EVENTS, AGE, limit=1) == 1
    assert world.store.forget(Aged.EVENTS, AGE, limit=10) == 1
    assert world.store.claim_event(ids["waits"], 60) is not None
    assert world.count("event") == 2


def test_what_breakers_did_is_forgotten_but_their_latest_and_what_is_still_to_be_told(world):
    for _ in range(3):  # 3 openings and 3 resets, each with a mail
        opened(world, "pool:warm")
        world.store.reset_breaker("pool:warm", by="lea", reason="mended", alerts=(READER,))
    opened(world, "provider:big")  # since then open, and nothing newer
    unheard, *told = [event.id for event in reversed(world.store.breaker_events(10))]
    while world.store.claim_delivery(60.0) is not None:
        pass
    for event_id in told:
        world.store.sent(event_id, READER, None)
    young = told[-3]
    for event_id in (unheard, *told):
        older(world, 20 if event_id == young else 40, "breaker_event", "at", id=event_id)
    kept = [unheard, young, *told[-2:]]  # these two are the latest of either
    assert world.store.forgettable(Aged.BREAKERS, AGE) == 3
    assert world.store.forget(Aged.BREAKERS, AGE, limit=1) == 1
    assert world.store.forget(Aged.BREAKERS, AGE, limit=10) == 2
    assert world.store.forget(Aged.BREAKERS, AGE, limit=10) == 0
    assert [event.id for event in reversed(world.store.breaker_events(10))] == kept
    assert world.count("delivery") == len(kept)
    assert world.store.totals().openings == {"pool:warm": 3, "provider:big": 1}, "a counter never falls"


def opened(world: World, breaker_id: str) -> None:
    world.store.breaker_failed(breaker_id, reason="away", rule=Breaker(failures=1), alerts=(READER,))


def test_reports_of_old_and_of_trimmed_runs_are_over_but_not_a_baselines(world):
    old, trimmed, young, active = (
        concluded(world, key, days=days) for key, days in [("old", 40), ("trimmed", 60), ("young", 5), ("active", 50)]
    )
    world.store.promote("echo", "main", active, "ann", "why")
    assert world.store.trim(dt.timedelta(days=55), limit=10)[0] == 1
    ids = [old, trimmed, young, active, world.admit("open"), "unknown"]
    assert world.store.expired_reports(ids, AGE) == {old, trimmed}
    assert world.store.expired_reports(ids, dt.timedelta(days=1000)) == {trimmed}
    world.store.promote("echo", "main", trimmed, "ann", "its outputs are gone all the same")
    assert world.store.expired_reports(ids, AGE) == {old, trimmed}
