from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from evalwindow.report.worddiff import LONGEST, Part, word_diff


def _marked(parts):
    return [part.text for part in parts if part.changed]


def test_words_that_differ_are_marked_on_their_side():
    here, there = word_diff("the answer is 12, not 13", "the answer is 21, not 13")
    assert _marked(here) == ["12"]
    assert _marked(there) == ["21"]


def test_equal_texts_have_one_unmarked_part():
    assert word_diff("same", "same") == ((Part("same", False),), (Part("same", False),))
    assert word_diff("", "") == ((), ())


def test_a_text_against_none_is_marked_whole():
    assert word_diff("all of it", "") == ((Part("all of it", True),), ())


def test_neighbouring_changes_are_one():
    here, _ = word_diff("a quick brown fox", "a slow grey fox")
    assert _marked(here) == ["quick brown"]


def test_a_change_of_white_space_alone_is_seen():
    here, there = word_diff("a\nb", "a b")
    assert (_marked(here), _marked(there)) == (["\n"], [" "])


def test_what_is_too_long_to_compare_is_marked_whole_and_costs_nothing():
    here, there = word_diff("x " * LONGEST, "y")
    assert (len(here), here[0].changed, there) == (1, True, (Part("y", True),))


TEXTS = st.text(alphabet="ab \n.é", max_size=40)


@given(TEXTS, TEXTS)
def test_parts_are_the_texts_again_and_the_unmarked_ones_are_common(here, there):
    mine, theirs = word_diff(here, there)
    assert "".join(part.text for part in mine) == here
    assert "".join(part.text for part in theirs) == there

    def kept(parts):
        return "".join("".join(part.text.split()) for part in parts if not part.changed)

    assert kept(mine) == kept(theirs)
    assert all(first.changed != second.changed for first, second in pairwise(mine))
