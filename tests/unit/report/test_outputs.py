"""Outputs that are kept no longer: every report says so, and none calls them an answer that never came."""

from dataclasses import replace

from evalwindow.model import Completion, Score
from evalwindow.report.document import report_document
from evalwindow.report.markdown import output_of
from evalwindow.report.outputs import shown
from evalwindow.report.page import page
from tests.unit.report.examples import results_of, suite_of, view_of

SAID = "(output removed after 91 days)"


def trimmed(results):
    """As the store gives them once their run was trimmed."""
    return [
        replace(
            result,
            completion=replace(result.completion, text=""),
            scores={name: Score(value=score.value) for name, score in result.scores.items()},
            removed_after_days=91,
        )
        for result in results
    ]


def test_the_page_says_that_outputs_were_removed_and_still_shows_the_scores():
    suite = suite_of(8)
    view = view_of(suite, trimmed(results_of(suite, lambda i: i < 4)), trimmed(results_of(suite, bool)))
    html = page(view)
    assert html.count(f'<p class="legend">{SAID}</p>') == 16  # both sides of each sample
    assert "empty answer" not in html and "no answer" not in html
    assert [sample.outcome.value for sample in view.samples].count("right") == 4


def test_json_tells_a_removed_output_from_an_empty_one():
    suite = suite_of(2)
    empty, gone = results_of(suite, bool)
    empty = replace(empty, completion=Completion(text=""))
    samples = {s.id: s for s in report_document(view_of(suite, [empty, *trimmed([gone])])).samples}
    said, [removed] = samples[empty.sample_id].answers[0], samples[gone.sample_id].answers
    assert (said.output, said.removed_after_days) == ("", None)
    assert (removed.output, removed.removed_after_days) == (None, 91)


def test_comments_say_it_too():
    suite = suite_of(1)
    assert output_of(trimmed(results_of(suite, bool))) == SAID


def test_one_day_is_one_day():
    suite = suite_of(1)
    [result] = trimmed(results_of(suite, bool))
    assert shown(replace(result, removed_after_days=1)) == "(output removed after 1 day)"
