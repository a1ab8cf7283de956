"""What a model or a pull request wrote, as a Markdown program sees it behind ours."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from evalwindow.report.markdown import block, inline, plain

#: As GitHub does: raw HTML comes through, tables, bare links become links. A bare domain does not, `www.` apart:
#: `_harmless` looks for that.
GITHUB = MarkdownIt("gfm-like", {"linkify": True, "html": True})
GITHUB.linkify.set({"fuzzy_link": False})
OURS = {"p", "code", "pre", "table", "thead", "tbody", "tr", "th", "td"}
PIECES = [
    *("@org/team", "@user", "&commat;team", "&#64;team", "![x](http://evil.example/x.png)", "[a](http://evil.example)"),
    *("<img src=x>", "<!--", "http://evil.example", "www.evil.example", "mailto:a@evil.example", "a@evil.example"),
    *("<http://evil.example>", "`", "``", "```", "~~~", "|", "\\", "\\\\|", "\n", "\n\n", "\r", " ", "    ", "#12"),
    *(
        "GH-12",
        "[x]: http://evil.example",
        "<details>",
        "*",
        "_",
        "**",
        "\u2028",
        "\u200b",
        "\x00",
        "$",
        "](",
        "- ",
        "1. ",
    ),
]
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=12).map("".join)


class _Seen(HTMLParser):
    """Elements of a page, and its text outside of code: only there GitHub looks for mentions and references."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.text = ""
        self._code = 0
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self._code += tag == "code"

    def handle_endtag(self, tag):
        self._code -= tag == "code"

    def handle_comment(self, data):
        self.tags.add("!--")

    def handle_data(self, data):
        if not self._code:
            self.text += data


def _harmless(markdown: str) -> _Seen:
    seen = _Seen(GITHUB.render(markdown))
    assert seen.tags <= OURS, (markdown, seen.tags)
    assert not re.search(r"@\w", seen.text), markdown
    assert not re.search(r"(^|\W)(#|GH-)\d", seen.text, re.IGNORECASE), markdown
    assert not re.search(r"www\.", seen.text, re.IGNORECASE), markdown
    return seen


@settings(max_examples=300, deadline=None)
@given(texts)
def test_a_sentence_is_only_a_sentence(text):
    _harmless(f"word · {plain(text)}")


@settings(max_examples=300, deadline=None)
@given(texts)
def test_inline_code_stays_in_its_cell(text):
    _harmless(f"| a | b |\n|---|---|\n| {inline(text)} | end |")


@settings(max_examples=300, deadline=None)
@given(texts)
def test_a_block_is_only_a_block(text):
    seen = _harmless(f"before\n\n{block(text, limit=10_000)}\n\nafter")
    assert "before" in seen.text
    assert "after" in seen.text


def test_a_commit_s_number_is_no_link():
    assert "c0ffee1234567" not in plain("see c0ffee1234567")


@pytest.mark.parametrize(
    "text",
    ["@org/team", "![x](http://evil.example/x.png)", "http://evil.example", "<b>", "www.evil.example", "a@evil.com"],
)
def test_the_judge_of_these_tests_sees_what_is_not_quoted(text):
    with pytest.raises(AssertionError):
        _harmless(text)
