import datetime as dt
from zoneinfo import ZoneInfo

from evalwindow.config import MailTo
from evalwindow.mail.facts import facts_of, links_of, why
from evalwindow.mail.phrases import span
from evalwindow.model import Purpose
from evalwindow.report.night import NightCost
from tests.unit.mail.examples import READER, START, entry_of, good, judged, lost_sort, night_view, window_of

PASSED = judged(good)


def _facts(**changes):
    return {fact.name: fact.text for fact in facts_of(night_view(PASSED, **changes))}


def test_cost_stands_beside_what_a_job_each_would_have_cost():
    facts = _facts()
    assert facts["GPU time"] == "16.4 GPU-seconds, at a price of 0.02"
    assert facts["A GPU per job"] == "would have taken 62.6 GPU-seconds, at a price of 0.09; 74 % of that saved"
    assert facts["From the cache"] == "500 of 1,500 answers"
    assert facts["Budget"] == "less than 1 % of 60 GPU-minutes used"


def test_a_night_behind_an_api_has_no_gpu_to_compare_with():
    cost = NightCost(gpu_s=0.0, money=1.5, cold_gpu_s=0.0, cold_money=0.0, cache_hits=0, results=10)
    facts = _facts(cost=cost, budget_gpu_s=None)
    assert facts["GPU time"] == "0.0 GPU-seconds, at a price of 1.50"
    assert "A GPU per job" not in facts
    assert "Budget" not in facts


def test_the_window_is_told_on_its_own_clock():
    assert _facts()["Window"] == "nightly, 2026-11-21 22:00 – 06:00 CET"
    assert _facts()["Next window"] == "2026-11-22 22:00 CET"
    assert _facts(window=None)["Window"] == "nightly, 2026-11-21 21:00 – 05:00 UTC"


def test_a_night_in_which_the_clock_changes_names_both_zones():
    start = dt.datetime(2026, 10, 24, 20, 0, tzinfo=dt.UTC)
    told = span(start, start + dt.timedelta(hours=8), ZoneInfo("Europe/Berlin"))
    assert told == "2026-10-24 22:00 CEST – 05:00 CET"


def test_a_window_that_closed_early_says_why():
    facts = _facts(closed_at=START + dt.timedelta(minutes=133), close_reason="the budget is used up")
    assert facts["Window"].endswith("closed early at 00:13: the budget is used up")


def test_the_baseline_against_itself_is_told_with_its_flips():
    assert _facts()["A/A"] == "demo-regression PASS, 0 of 400 samples changed sides"
    lost = judged(lost_sort, baseline=good, void="x", entry=entry_of(purpose=Purpose.AA))
    assert _facts(aa=(lost,))["A/A"] == "demo-regression FAIL, 96 of 400 samples changed sides"
    assert _facts(aa=())["A/A"] == "not run: no suite had a baseline"
    assert _facts(aa=(), window=window_of(aa=False))["A/A"] == "switched off for this window"


def test_the_reader_is_told_who_asked_for_the_mail_and_what_it_leaves_out():
    rules = (MailTo(to=(READER,), when="failure"), MailTo(to=(READER.upper(),), when="change"))
    view = night_view(PASSED, PASSED, mail=rules)
    assert why(view, view.lines, address=READER) == (
        f"Sent to {READER} when something did not pass and when a verdict differs from the night before, as "
        "windows.nightly.mail in evalwindow.yaml says."
    )
    assert why(view, view.lines[:1], address="x@y.example") == (
        "Sent to x@y.example. Not in this mail: 1 more result of the night."
    )


def test_only_what_a_browser_opens_is_a_link():
    own = ["https://evals.example/nights/01jnight0000000000000000aa", "https://evals.example/runs"]
    assert [url for _, url in links_of(night_view(url="javascript:alert(1)"))] == own
    assert [url for _, url in links_of(night_view(url=None))] == own
    assert [url for _, url in links_of(night_view(url="https://airflow.example/x"))][2:] == [
        "https://airflow.example/x"
    ]
