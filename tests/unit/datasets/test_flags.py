"""Columns of flags, lengths and their histograms."""

import math
import string
import unicodedata

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from evalwindow.datasets.examine import Examined
from evalwindow.datasets.flags import flag, lengths
from evalwindow.model import Sample
from evalwindow.scorers.text import same_text_key


def line(number: int, **fields):
    sample = Sample(id=fields.get("id") or "", input="", cluster=fields.pop("cluster", None))
    return Examined(line=number, sample=sample, **fields)


LINES = st.lists(
    st.tuples(
        st.sampled_from([None, "a", "b", "c"]), st.sampled_from([None, "x", "y"]), st.sampled_from([None, "k", "l"])
    ),
    max_size=8,
)


@given(LINES)
def test_duplicates_are_those_that_looking_at_every_pair_finds(drawn):
    lines = [line(n, id=id_, asks=asks, cluster=cluster) for n, (id_, asks, cluster) in enumerate(drawn, start=1)]
    flags = flag(lines, models=0)
    alike = {
        n: [m for m, (_, asks, _) in enumerate(drawn, 1) if asks == drawn[n - 1][1]] for n in range(1, len(drawn) + 1)
    }
    for number, (id_, asks, cluster) in enumerate(drawn, start=1):
        others = [each for each in alike[number] if each != number]
        one_cluster = cluster is not None and {drawn[m - 1][2] for m in alike[number]} == {cluster}
        again = asks is not None and bool(others) and not one_cluster
        assert flags.columns["duplicates_ok"][number - 1] is not again
        assert (("duplicates", number) in flags.reasons) is again
        assert flags.columns["id_ok"][number - 1] is (id_ is None or [i for i, _, _ in drawn].count(id_) == 1)


def test_a_line_says_which_others_it_repeats():
    flags = flag([line(n, id=f"i{n}", asks="x") for n in (2, 4, 6, 7, 9)], models=0)
    assert flags.reasons["duplicates", 2] == "asks the same as line 4, 6, 7 and more"
    assert flags.reasons["duplicates", 9] == "asks the same as line 2, 4, 6 and more"
    assert flag([line(1, id="a"), line(2, id="a")], models=0).reasons["id", 2] == "the id is also that of line 1"


def test_no_text_of_the_data_gets_into_the_columns():
    flags = flag([line(1, id="a", asks="secret", cluster="secret", characters=6, tokens=(3,))], models=1)
    assert "secret" not in repr(flags.columns)
    assert flags.columns["tokens_0"] == [3]


def test_an_empty_dataset_has_all_the_columns_and_no_lengths():
    flags = flag([], models=1)
    assert {len(values) for values in flags.columns.values()} == {0}
    assert flags.characters.count == flags.tokens[0].count == 0


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)


@given(
    TEXTS, st.sampled_from([str.upper, str.title, lambda text: f"  {text}\n", lambda text: text.replace(" ", " \t ")])
)
def test_case_and_whitespace_make_no_other_prompt(text, change):
    """For what survives its own change of case: ß and the like have no way back."""
    changed = change(text)
    if changed.casefold() == text.casefold() or changed.split() == text.split():
        assert same_text_key(changed) == same_text_key(text)


@given(TEXTS)
def test_neither_do_compatibility_forms(text):
    assert same_text_key(unicodedata.normalize("NFKC", text)) == same_text_key(text)


@given(st.text(string.ascii_letters + string.digits, min_size=1), st.text(string.ascii_letters, min_size=1))
def test_what_differs_in_its_words_is_another_prompt(text, more):
    assert same_text_key(f"{text} {more}") != same_text_key(text)


@given(st.lists(st.one_of(st.none(), st.integers(0, 5_000_000)), max_size=60))
def test_lengths_are_those_of_the_sorted_values(values):
    known = sorted(value for value in values if value is not None)
    seen = lengths(pl.Series(values, dtype=pl.Int64))
    assert seen.count == len(known)
    if known:
        assert (seen.least, seen.most) == (known[0], known[-1])
        assert seen.median in (known[math.floor((len(known) - 1) / 2)], known[math.ceil((len(known) - 1) / 2)])
        assert seen.least <= seen.p25 <= seen.median <= seen.p75 <= seen.p95 <= seen.most


@given(st.lists(st.integers(0, 5_000_000), min_size=1, max_size=60))
def test_a_histogram_keeps_three_digits_of_every_value(values):
    seen = lengths(pl.Series(values, dtype=pl.Int64))
    expected = sorted(
        value if value < 1_000 else value // (unit := 10 ** (len(str(value)) - 3)) * unit for value in values
    )
    assert [length for length, count in seen.histogram for _ in range(count)] == expected
