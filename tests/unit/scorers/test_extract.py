import pytest
from pydantic import ValidationError


@pytest.mark.parametrize(
    "options, text, target, value",
    [
        ({"take": "last_number"}, "3 and 4 make 7.0", "7", 1),
        ({"take": "last_number"}, "3 and 4 make 8", "7", 0),
        ({"take": "last_number"}, "1,200 dollars", 1200, 1),
        ({"take": "choice_letter"}, "The answer is (B)", "B", 1),
        ({"take": "choice_letter"}, "The answer is (B)", "A", 0),
        ({"take": "boxed"}, r"thus \boxed{0.50}", "1/2", 1),
        ({"take": "boxed"}, r"thus \boxed{x + 1}", "X + 1", 1),
        ({"take": "boxed"}, r"thus \boxed{x + 1}", "x - 1", 0),
        ({"take": "after", "marker": "####"}, "blah\n#### 18", "18", 1),
        ({"take": "after", "marker": "Answer:"}, "Answer: Paris.", ["Rome", "paris"], 1),
        ({"take": "after", "marker": "####"}, "18", "18", 0),
    ],
)
def test_the_final_answer_is_compared(bench, options, text, target, value):
    assert bench.value({"type": "extract", **options}, text, target) == value


def test_no_answer_where_it_should_be_is_wrong_with_the_reason(bench):
    score = bench.score({"type": "extract", "take": "choice_letter"}, "hm", "A")
    assert (score.value, score.reason) == (0, "no choice letter in the answer")


@pytest.mark.parametrize("options", [{"take": "after"}, {"take": "boxed", "marker": "x"}])
def test_a_marker_goes_with_after_only(bench, options):
    with pytest.raises(ValidationError, match="`marker` goes with"):
        bench.make({"type": "extract", **options})
