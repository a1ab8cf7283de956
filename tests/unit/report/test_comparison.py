from dataclasses import replace

import pytest

from evalwindow.comparable import Compared
from evalwindow.config import Config
from evalwindow.errors import BadInput
from evalwindow.gate import judge
from evalwindow.model import Answer, RunState
from evalwindow.report.comparison import PAGE, comparison_view
from tests.unit.report.examples import POOL, concluded, results_of, run_of, suite_of, with_output

CONFIG = Config(models={}, pools={"tiny": POOL})


def _compared(suite, here, there, **changes):
    run = replace(concluded(suite, here, there), **changes)
    other = run_of(suite, state=RunState.CONCLUDED, id="01jother0000000000000000aa")
    verdict = judge(suite, here, there, baseline_run=other.id)
    return Compared(run=run, other=other, suite=suite, results=tuple(here), known=tuple(there), verdict=verdict)


def _view(suite, here, there, *, show="all", page=1, **changes):
    return comparison_view(_compared(suite, here, there, **changes), CONFIG, show=show, page=page)


def _mixed():
    """Of eight samples the first two are lost, the third is won, the fourth is wrong in other words."""
    suite = suite_of(8)
    here = results_of(suite, lambda i: i not in (0, 1, 3), wrong_text="a pear")
    there = results_of(suite, lambda i: i not in (2, 3), wrong_text="an apple")
    return suite, here, there


def test_what_was_lost_comes_first_then_what_was_won_then_other_words():
    view = _view(*_mixed())
    assert [diff.kind for diff in view.samples] == ["down", "down", "up", "text", *["same"] * 4]
    assert view.counts == {"down": 2, "up": 1, "text": 1, "same": 4, "all": 8}
    assert view.paired == 8


def test_a_filter_shows_its_kind_alone():
    view = _view(*_mixed(), show="up")
    assert [diff.sample.id for diff in view.samples] == ["sum-0002"]
    assert view.counts["all"] == 8
    with pytest.raises(BadInput, match="choose one of all, down, up"):
        _view(*_mixed(), show="everything")


def test_both_answers_are_cut_where_they_differ():
    [diff] = _view(*_mixed(), show="text").samples
    [pair] = diff.pairs
    assert [part.text for part in pair.here_parts if part.changed] == ["a pear"]
    assert [part.text for part in pair.there_parts if part.changed] == ["an apple"]


def test_hidden_characters_are_spelled_out_before_they_are_compared():
    suite = suite_of(1)
    here, there = results_of(suite, bool), results_of(suite, bool)
    here = [with_output(here[0], "no\u202eidea")]
    [diff] = _view(suite, here, there).samples
    assert "".join(part.text for part in diff.pairs[0].here_parts) == "no\\u202eidea"


def test_an_answer_that_is_missing_is_no_difference_of_words():
    suite = suite_of(1)
    here = results_of(suite, bool)
    there = [replace(here[0], completion=None, scores={}, error="too long")]
    [diff] = _view(suite, here, there).samples
    [pair] = diff.pairs
    assert pair.there_parts == ()
    assert not any(part.changed for part in pair.here_parts)


def test_epochs_stand_beside_each_other():
    suite = suite_of(2, epochs=3)
    view = _view(suite, results_of(suite, bool), results_of(suite, bool)[:-1])
    assert sorted(len(diff.pairs) for diff in view.samples) == [3, 3]
    assert [pair.there is None for diff in view.samples for pair in diff.pairs].count(True) == 1


def test_more_than_a_page_of_samples_is_paged():
    suite = suite_of(PAGE + 20)
    here, there = results_of(suite, lambda i: i > 4), results_of(suite, lambda i: True)
    first, second = _view(suite, here, there), _view(suite, here, there, page=2)
    assert (first.pages, len(first.samples), len(second.samples)) == (2, PAGE, 20)
    assert [diff.kind for diff in first.samples[:6]] == ["down"] * 5 + ["same"]
    assert _view(suite, here, there, page=99).page == 2


def test_a_void_run_is_judged_anew():
    suite, here, there = _mixed()
    view = _view(suite, here, there, void="the A/A failed", answer=Answer.PASS)
    assert view.view.word != "Void"
    assert view.view.run.answer is view.view.verdict.answer
