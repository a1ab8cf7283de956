"""Promotion over real SQL and a real MLflow registry: one way, compare-and-set, an alias that agrees."""

import asyncio
import dataclasses
import datetime as dt
import threading
from concurrent.futures import ThreadPoolExecutor

import aiohttp
import pytest

from evalwindow import policy
from evalwindow.errors import BadInput, Conflict, NotFound, ServiceDown
from evalwindow.model import EntryState, Purpose
from evalwindow.nights.promotion import behind, promote, promotions
from evalwindow.report.words import without_answer
from evalwindow.store.night_rows import NewEntry, NewNight
from evalwindow.web.app import create_app
from tests.real.github.serving import serving
from tests.real.house import until
from tests.real.nights.registered import House
from tests.real.store.world import at_once

WHO = {"who": "lea", "why": "release 4"}


@pytest.fixture
def house(tmp_path, database_url, redis, mlflow):
    built = House(tmp_path, database_url=database_url, redis_url=redis.url, mlflow=mlflow)
    yield built
    built.close()


def test_a_promoted_run_is_the_baseline_and_its_version_has_the_alias(house):
    run_id = house.run("v2")
    row = promote(house.services, run_id, **WHO)
    assert (row.run_id, row.promoted_by, row.reason, row.branch) == (run_id, "lea", "release 4", "main")
    assert house.baseline() == run_id
    assert house.mlflow.alias() == "2"
    assert house.mlflow.tags("2") == {
        "evalwindow.run": run_id,
        "evalwindow.suite": "automatic-suite",
        "evalwindow.branch": "main",
        "evalwindow.answer": "inconclusive",  # the first one is: there was nothing to compare with
        "evalwindow.promoted_by": "lea",
    }
    assert list(behind(house.services)) == []


def test_a_model_without_a_registry_is_promoted_without_one(house):
    promote(house.services, house.run("plain"), **WHO)
    assert house.baseline() is not None
    assert house.mlflow.alias() is None


def test_weights_that_a_run_brought_itself_are_of_no_registered_version(house):
    promote(house.services, house.run("v1", more='{"adapter": "ab12"}'), **WHO)
    assert house.baseline() is not None
    assert house.mlflow.alias() is None


def test_a_run_of_other_weights_than_its_model_has_now_moves_nothing(house):
    run_id = house.run("v1")
    house.answered_by(run_id, "older ones")
    with pytest.raises(BadInput, match="answered by other weights than model 'v1' has now"):
        promote(house.services, run_id, **WHO)
    assert (house.baseline(), house.mlflow.alias()) == (None, None)


def test_without_a_person_only_what_passed_is_promoted(house):
    first = house.run("v1")
    with pytest.raises(BadInput, match=f"run {first} is inconclusive; only a run that passed is promoted without"):
        promote(house.services, first, automatic=True, **WHO)
    assert house.baseline() is None
    promote(house.services, first, **WHO)
    failed, passed = house.run("v2", wrong=30), house.run("v3")
    with pytest.raises(BadInput, match=f"run {failed} is fail; "):
        promote(house.services, failed, automatic=True, expected=first, **WHO)
    assert (house.baseline(), house.mlflow.alias()) == (first, "1")
    promote(house.services, passed, automatic=True, expected=first, **WHO)
    assert (house.baseline(), house.mlflow.alias()) == (passed, "3")
    promote(house.services, failed, **WHO)  # a person may: the drop is known and wanted
    assert (house.baseline(), house.mlflow.alias()) == (failed, "2")


@pytest.mark.parametrize(
    "change, complaint",
    [
        ("state = 'cancelled', answer = NULL", "is cancelled; only a concluded run can be a baseline"),
        ("state = 'failed', answer = NULL", "is failed; only a concluded run can be a baseline"),
        ("state = 'running', answer = NULL", "is running; only a concluded run can be a baseline"),
        ("void = 'the A/A comparison failed'", "is void and can't be a baseline: the A/A comparison failed"),
    ],
)
def test_what_has_no_verdict_that_counts_is_promoted_by_nobody(house, change, complaint):
    run_id = house.run("v1")
    house.sql(f"UPDATE run SET {change} WHERE id = :id", id=run_id)  # noqa: S608
    with pytest.raises(BadInput, match=complaint):
        promote(house.services, run_id, **WHO)
    assert (house.baseline(), house.mlflow.alias()) == (None, None)


def test_a_run_that_is_not_there_is_named(house):
    with pytest.raises(NotFound, match="no run 'nope'"):
        promote(house.services, "nope", **WHO)


def test_a_version_that_the_registry_lacks_stops_a_promotion_before_it_begins(house):
    services, run_id = house.open(v1=house.mlflow.entry("9")), house.run("v1")
    with pytest.raises(BadInput, match="version 9 of 'support'"):
        promote(services, run_id, **WHO)
    assert house.baseline() is None


def test_while_the_registry_is_away_nothing_is_promoted_and_later_it_is(house):
    away, run_id = house.mlflow.entry(tracking_uri="http://127.0.0.1:1"), house.run("v1")
    with pytest.raises(ServiceDown, match=r"MLflow at http://127\.0\.0\.1:1"):
        promote(house.open(v1=away), run_id, **WHO)
    assert house.baseline() is None
    promote(house.services, run_id, **WHO)
    assert house.mlflow.alias() == "1"


def test_an_alias_that_could_not_be_set_is_set_by_the_same_call_again(house):
    first, second = house.run("v1"), house.run("v2")
    promote(house.services, first, **WHO)
    house.mlflow.breaks("disk full")
    again = {"expected": first, "automatic": False, **WHO}
    with pytest.raises(ServiceDown, match=f"run {second} is the baseline of .* but its alias is not set: .*disk full"):
        promote(house.services, second, **again)
    assert (house.baseline(), house.mlflow.alias()) == (second, "1")
    [late] = behind(house.services)
    assert late.baseline.run_id == second
    assert late.text.startswith("alias 'production' of 'support' is on version 1, but the baseline of automatic-suite")
    house.mlflow.mended()
    assert promote(house.services, second, **again).run_id == second  # though `expected` is no longer true
    assert (house.mlflow.alias(), list(behind(house.services))) == ("2", [])
    assert len(house.store.baselines(retired=True)) == 2


def test_of_two_promotions_over_the_same_baseline_one_wins_and_the_alias_is_its_version(house):
    for round_number in range(3):
        first = house.run("v1")
        promote(house.services, first, **WHO)
        rivals = [house.run("v2"), house.run("v3")]
        processes = [house.open(), house.open()]

        def attempt(number, rivals=rivals, processes=processes, first=first):
            try:
                return promote(processes[number], rivals[number], expected=first, **WHO)
            except Conflict:
                return None

        [won] = [row for row in at_once(attempt, 2) if row is not None]
        assert house.baseline() == won.run_id, round_number
        assert house.mlflow.alias() == {rivals[0]: "2", rivals[1]: "3"}[won.run_id]


def test_the_alias_follows_a_later_promotion_whose_process_never_got_to_set_it(house):
    early, late = house.run("v2"), house.run("v3")
    entry = house.mlflow.entry()
    with ThreadPoolExecutor(1) as threads:
        with house.store.alias_lock(entry.tracking_uri, entry.name, entry.alias):
            waiting = threads.submit(promote, house.open(), early, **WHO)
            until(lambda: house.baseline() == early)
            house.store.promote("automatic-suite", "main", late, "lea", "and then it was killed")
            assert house.mlflow.alias() is None
        assert waiting.result().run_id == early
    assert house.mlflow.alias() == "3"
    assert house.mlflow.tags("3")["evalwindow.run"] == late


def test_an_alias_is_moved_by_one_process_at_a_time_and_who_waits_too_long_is_told(house, database_url):
    entry, order = house.mlflow.entry(), []
    names = (entry.tracking_uri, entry.name, entry.alias)
    inside = threading.Event()

    def hold():
        with house.store.alias_lock(*names):
            order.append("first")
            inside.set()
            until(lambda: "impatient" in order)
        return True

    impatient = type(house.store)(database_url, statement_timeout_s=0.2)
    with ThreadPoolExecutor(1) as threads:
        held = threads.submit(hold)
        inside.wait(60)
        said = r"somebody else holds alias .* support production; try again later"
        with pytest.raises(Conflict, match=said), impatient.alias_lock(*names):
            pass
        order.append("impatient")
        assert held.result()
    with impatient.alias_lock(*names), house.store.alias_lock(*names[:2], "canary"):
        order.append("second")
    impatient.close()
    assert order == ["first", "impatient", "second"]


def test_a_model_s_alias_follows_the_newest_promotion_of_any_suite(house):
    promote(house.services, house.run("v1", "automatic-suite"), **WHO)
    promote(house.services, house.run("v2", "approval-suite"), **WHO)
    assert house.mlflow.alias() == "2"
    promote(house.services, house.run("v3", "never-suite", branch="release"), **WHO)
    assert house.mlflow.alias() == "3"


def test_what_passed_and_may_be_promoted_says_how_and_over_what(house):
    for suite in ("automatic-suite", "approval-suite", "never-suite"):
        promote(house.services, house.run("v1", suite), **WHO)
    runs = {suite: house.run("v2", suite) for suite in ("automatic-suite", "approval-suite", "never-suite")}
    failed = house.run("v3", "automatic-suite", wrong=30)
    found = promotions(house.services, [*runs.values(), failed, *runs.values()])
    assert [(each.run_id, each.mode) for each in found] == [
        (runs["automatic-suite"], policy.Promotion.AUTOMATIC),
        (runs["approval-suite"], policy.Promotion.APPROVAL),
    ]
    first = house.baseline("automatic-suite")
    assert (found[0].expected, found[0].branch) == (first, "main")
    title = without_answer(house.store.run(found[0].run_id).verdict.title)
    assert found[0].text == f"automatic-suite on main: run {found[0].run_id} of v2 in place of run {first}. {title}"


def test_where_two_candidates_would_replace_the_same_baseline_a_person_chooses(house):
    promote(house.services, house.run("v1"), **WHO)
    rivals = [house.run("v2"), house.run("v3")]
    found = promotions(house.services, rivals)
    assert [each.run_id for each in found] == rivals
    assert {each.mode for each in found} == {policy.Promotion.APPROVAL}


def test_void_a_a_and_outdated_runs_ask_for_nothing(house):
    first = house.run("v1")
    promote(house.services, first, **WHO)
    void, aa, outdated = house.run("v2"), house.run("v1"), house.run("v3")
    house.sql("UPDATE run SET void = 'A/A failed' WHERE id = :id", id=void)
    now = dt.datetime.now(dt.UTC)
    night = house.store.open_night(
        NewNight(key="n", window="nightly", team="search", branch="main", starts_at=now, ends_at=now)
    )
    [entry] = house.store.plan(night.id, [NewEntry(suite="automatic-suite", model="v1", purpose=Purpose.AA)])
    house.store.set_entry(entry.id, EntryState.STARTED, run_id=aa)
    assert promotions(house.services, [void, aa]) == ()
    [left] = promotions(house.services, [void, aa, outdated])
    promote(house.services, left.run_id, automatic=True, expected=left.expected, **WHO)
    assert [each.run_id for each in promotions(house.services, [outdated])] == [outdated]  # repairs its alias
    promote(house.services, house.run("v2"), **WHO)
    assert promotions(house.services, [outdated]) == ()


async def test_the_api_promotes_the_same_way(house):
    run_id = await asyncio.to_thread(house.run, "v3")
    headers = {"Authorization": f"Bearer {house.store.add_token('search')}"}
    body = {"run": run_id, "reason": "release 4", "by": "lea"}
    async with serving(create_app(house.services)) as url, aiohttp.ClientSession(url, headers=headers) as client:
        async with client.post("/v1/baselines", json=body) as answer:
            assert answer.status == 201, await answer.text()
            made = await answer.json()
        house.sql("UPDATE run SET void = 'no' WHERE id = :id", id=run_id)
        async with client.post("/v1/baselines", json=body) as answer:
            assert answer.status == 422
        foreign = {"Authorization": f"Bearer {house.store.add_token('ads')}"}
        async with client.post("/v1/baselines", json=body, headers=foreign) as answer:
            assert answer.status == 404
    assert made["promoted_by"] == "search/lea"
    assert house.mlflow.alias() == "3"


def test_a_promotion_is_plain_data(house):
    promote(house.services, house.run("v1"), **WHO)
    [found] = promotions(house.services, [house.run("v2")])
    assert set(dataclasses.asdict(found)) == {"run_id", "suite", "branch", "mode", "expected", "text"}
