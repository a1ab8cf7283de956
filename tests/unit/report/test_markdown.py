import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalwindow.report.markdown import block, fit, inline, plain


def test_a_fence_is_longer_than_any_in_the_text():
    shown = block("```\n@team\n````\n# out of the box\n")
    fence = shown.split("text\n", 1)[0]
    assert fence == "`````"
    assert shown.endswith("\n`````")


@given(st.text(alphabet="`~\n ab@<![]("))
def test_no_text_can_close_its_own_fence(text):
    fence, _, rest = block(text, limit=10_000).partition("text\n")
    body = rest[: -len(fence) - 1]
    assert not any(line.strip().startswith(fence) for line in body.splitlines())


@pytest.mark.parametrize("show", [block, inline, plain])
def test_nobody_is_mentioned(show):
    shown = show(" ".join(f"@user{number} @org/team" for number in range(20)))
    assert re.search(r"@[A-Za-z]", shown) is None


def test_markup_of_a_sentence_is_escaped():
    shown = plain("see ![x](http://evil/x.png) <img src=x> | *bold* `code` [a](b)")
    assert "![" not in shown.replace("\\[", "")
    assert "\\<img src=x\\>" in shown
    assert "\\|" in shown


def test_inline_code_holds_backticks_and_stays_in_its_cell():
    assert inline("a `b` | c") == "`` a `b` \\| c ``"


def test_an_empty_text_is_said():
    assert inline(" \n ") == "(empty)"


def test_hidden_characters_are_spelled_out():
    assert block("abc\u202edef\x07").splitlines()[1] == "abc\\u202edef\\u0007"


def test_a_long_output_says_how_much_is_missing():
    assert "… 60 more characters" in block("x" * 460)


def test_parts_that_fit_are_untouched():
    assert fit(["a", "", "b"], limit=100, notice="cut") == "a\n\nb"


@given(st.lists(st.text(alphabet="aé漢🦉", min_size=1, max_size=40), max_size=30), st.integers(20, 400))
def test_what_is_cut_has_whole_parts_within_the_limit_in_bytes_and_says_so(parts, limit):
    shown = fit(parts, limit=limit, notice="… cut")
    assert len(shown.encode()) <= limit
    kept = shown.split("\n\n") if shown else []
    if kept and kept[-1] == "… cut":
        assert kept[:-1] == parts[: len(kept) - 1]
    else:
        assert kept == parts
