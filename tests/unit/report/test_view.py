from dataclasses import replace

import pytest

from evalwindow.model import Candidate, RunState, SampleResult, Score, Tier
from evalwindow.report.grade import Outcome
from evalwindow.report.headline import Tone
from evalwindow.report.view import Flip, build_view
from tests.unit.report.examples import POOL, results_of, run_of, suite_of, view_of


def test_a_sample_that_the_baseline_had_right_is_lost_and_the_other_way_won():
    suite = suite_of(4)
    view = view_of(suite, results_of(suite, lambda i: i in (0, 1)), results_of(suite, lambda i: i in (1, 2)))
    flips = {sample.id: sample.flip for sample in view.samples}
    assert flips == {"copy-0000": Flip.UP, "sort-0001": Flip.NONE, "sum-0002": Flip.DOWN, "classify-0003": Flip.NONE}


def test_broken_promises_come_first_then_other_failures_then_what_is_right():
    suite = suite_of(4)
    view = view_of(suite, results_of(suite, lambda i: i in (0, 1)))
    assert [sample.id for sample in view.samples] == ["sum-0002", "classify-0003", "copy-0000", "sort-0001"]


def test_a_sample_without_a_result_is_pending_and_not_failing():
    suite = suite_of(3)
    results = results_of(suite, lambda i: True)[:1]
    view = build_view(run=run_of(suite, state=RunState.RUNNING), suite=suite, results=results)
    assert [sample.outcome for sample in view.samples].count(Outcome.PENDING) == 2
    assert view.failing == ()


def test_an_engine_error_is_unscored_and_failing_never_wrong():
    suite = suite_of(1)
    view = view_of(suite, [SampleResult(sample_id="copy-0000", epoch=0, scores={}, error="too long")])
    assert [sample.outcome for sample in view.failing] == [Outcome.UNSCORED]


def test_epochs_are_averaged_and_a_half_right_sample_is_partial():
    suite = suite_of(1, epochs=2)
    first, second = results_of(suite, lambda i: True)
    wrong = replace(second, scores={"exact": Score(value=0.0)})
    (sample,) = view_of(suite, [wrong, first]).samples
    assert (sample.value, sample.outcome) == (0.5, Outcome.PARTIAL)
    assert [result.epoch for result in sample.results] == [0, 1]


def test_re_asks_are_shown_last_and_change_no_score():
    suite = suite_of(1, tier=Tier.SMOKE)
    (first,) = results_of(suite, lambda i: False)
    again = replace(first, epoch=1, reask=True, scores={"exact": Score(value=1.0)})
    (sample,) = view_of(suite, [again, first]).samples
    assert sample.value == 0.0
    assert [result.reask for result in sample.results] == [False, True]


def test_the_prompt_is_the_candidate_s_not_the_suite_s():
    suite = suite_of(2)
    candidate = Candidate(model="tiny-base", template="Please: {{ input }}", system="Be brief.")
    view = view_of(suite, results_of(suite, lambda i: True), candidate=candidate)
    assert view.samples[0].prompt[0].content == "Be brief."
    assert view.samples[0].prompt[1].content.startswith("Please: Task")


def test_turns_that_every_prompt_starts_with_are_found_once():
    view = view_of(suite_of(3), results_of(suite_of(3), lambda i: True))
    assert [message.role for message in view.shared_prompt] == ["system"]


def test_one_sample_alone_shares_nothing():
    suite = suite_of(1)
    assert view_of(suite, results_of(suite, lambda i: True)).shared_prompt == ()


def test_slices_are_ordered_by_their_loss():
    suite = suite_of(40)
    view = view_of(suite, results_of(suite, lambda i: i % 4 != 1), results_of(suite, lambda i: True))
    assert (view.slices[0].name, view.slices[0].delta, view.slices[0].flips_down) == ("sort", -1.0, 10)


def test_the_cold_job_pays_its_start_and_the_same_gpu_seconds():
    suite = suite_of(10)
    cost = view_of(suite, results_of(suite, lambda i: True)).cost
    assert cost.gpu_s == pytest.approx(0.2)
    assert cost.cold_gpu_s == pytest.approx(180.2)
    assert cost.money == pytest.approx(0.2 * POOL.gpu_price_per_hour / 3600)
    assert cost.saved == pytest.approx(180 / 180.2)


def test_a_model_behind_an_api_has_no_cold_job():
    suite = suite_of(2)
    view = build_view(run=run_of(suite), suite=suite, results=results_of(suite, lambda i: True), pool=None)
    assert (view.cost.cold_gpu_s, view.cost.saved) == (None, None)


def test_latency_is_split_into_queue_and_answering():
    suite = suite_of(3)
    latency = view_of(suite, results_of(suite, lambda i: True)).latency
    assert (latency.queued_s, latency.total_s) == (0.4, 3.5)
    assert latency.answered_s == pytest.approx(3.1)
    assert (latency.prompt_queue_s, latency.prompt_engine_s) == (0.01, 0.2)


def test_cached_answers_don_t_blur_the_latency():
    suite = suite_of(2)
    first, second = results_of(suite, lambda i: True)
    cached = replace(second, latency_s=0.0, completion=replace(second.completion, cached=True))
    assert view_of(suite, [first, cached]).latency.prompt_s == pytest.approx(first.latency_s)


@pytest.mark.parametrize(
    "state, word, tone",
    [
        (RunState.QUEUED, "Queued", Tone.IDLE),
        (RunState.RUNNING, "Running", Tone.IDLE),
        (RunState.SUPERSEDED, "Superseded", Tone.IDLE),
        (RunState.CANCELLED, "Cancelled", Tone.IDLE),
        (RunState.FAILED, "Error", Tone.BAD),
    ],
)
def test_a_run_without_a_verdict_is_never_green(state, word, tone):
    suite = suite_of(1)
    view = build_view(run=run_of(suite, state=state, error="the reason"), suite=suite, results=[])
    assert (view.word, view.tone) == (word, tone)
    assert view.title.endswith("the reason")
