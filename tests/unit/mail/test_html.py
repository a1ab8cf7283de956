import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from evalwindow.mail.content import content_of
from evalwindow.mail.html import MOST_BYTES, html
from evalwindow.model import EntryState
from tests.unit.mail.examples import (
    READER,
    entry_of,
    good,
    judged,
    lost_sort,
    mail_of,
    night_view,
    planned,
    unfinished,
)
from tests.unit.report.examples import results_of, suite_of, with_output

EVIL = '<script>alert(1)</script><img src=http://x.example/y.png onerror="alert(2)">"\'</td></table><style>*{}</style>'
FAILED = judged(lost_sort, model="demo-lost-sort")
PASSED = judged(good, model="demo-as-good")


class Page(HTMLParser):
    """Every tag with its attributes, and the text between them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.pieces = [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data
        self.pieces.append(data)

    def all(self, tag, key):
        return [attributes[key] for name, attributes in self.tags if name == tag and key in attributes]


def _page(*lines, **changes):
    return mail_of(night_view(*lines, **changes)).get_body(("html",)).get_content()


def _answering(text, count=40):
    suite = suite_of(count, blocking=("sort",))
    results = [with_output(result, text) for result in results_of(suite, lambda _: False, wrong_text=text)]
    return judged(good, suite=suite, results=results)


def test_the_answer_comes_before_everything_else():
    page = Page(_page(FAILED, PASSED))
    shown = page.text[page.text.index("evalwindow · nightly") :]
    order = ["FAIL", "demo-lost-sort", "1 failed, 1 passed", "Interval", "Right in the baseline", "Window"]
    assert [shown.index(part) for part in order] == sorted(shown.index(part) for part in order)


def test_each_comparison_has_its_numbers_and_its_verdict():
    (check,) = [check for check in FAILED.view.checks if check.slice == "sort" and check.kind == "paired"]
    text = Page(_page(FAILED)).text
    row = text[text.index("Verdict") :]
    for shown in (
        "96.0 % → 0.0 %",
        "−96.0",
        "−98.6 … −90.3",
        f"{check.margin * 100:g}",
        "FAIL",
        "advisory",
        "not judged",
    ):
        assert shown in row


def test_a_flip_shows_what_was_asked_wanted_and_said_by_both():
    text = Page(_page(FAILED)).text
    for shown in (
        "sort-0001",
        "Task 1: sort the words below. pear apple fig 1",
        "as the baseline said",
        "y x v u s q l",
    ):
        assert shown in text
    assert "96 prompts" in text


def test_nothing_that_a_model_wrote_is_markup():
    page = Page(_page(_answering(EVIL)))
    assert "<script>alert(1)" in page.text
    assert {tag for tag, _ in page.tags} <= {
        *("html", "head", "meta", "title", "style", "body", "div", "table", "tbody", "tr", "th", "td"),
        *("p", "b", "h3", "span", "code", "a", "img"),
    }
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)


def test_nothing_that_a_dataset_or_a_note_says_is_markup():
    suite = suite_of(40, blocking=("sort",))
    samples = tuple(replace(one, id=f"{EVIL}{n}", slices=(EVIL,)) for n, one in enumerate(suite.samples))
    line = judged(lambda n: n > 30, suite=replace(suite, samples=samples))
    invalid = planned(entry=entry_of("gsm8k", state=EntryState.INVALID, note=f"{EVIL}\n{EVIL}"))
    page = Page(_page(line, invalid, void=EVIL, close_reason=EVIL))
    assert "script" not in {tag for tag, _ in page.tags}
    assert all(source.startswith("cid:") for source in page.all("img", "src"))


def test_no_request_leaves_the_mail():
    text = _page(FAILED, PASSED)
    page = Page(text)
    assert page.all("link", "href") == []
    assert all(source.startswith("cid:") for source in page.all("img", "src"))
    assert "url(" not in text and "@import" not in text


def test_links_lead_to_the_run_the_list_and_the_night():
    links = Page(_page(FAILED)).all("a", "href")
    assert "https://evals.example/runs/01jrun-demo-lost-sort" in links
    assert "https://evals.example/runs" in links
    assert "https://airflow.example/dags/nightly_regression/runs/x" in links
    assert "javascript:alert(1)" not in Page(_page(FAILED, url="javascript:alert(1)")).all("a", "href")


@pytest.mark.parametrize("hidden", ["\u202e", "\u2066", "\x1b", "\x07", "\u200b"])
def test_what_would_hide_text_is_spelled_out(hidden):
    text = _page(_answering(f"good{hidden}bad"))
    assert hidden not in text
    assert f"good\\u{ord(hidden):04x}bad" in text


def test_foreign_text_keeps_its_own_direction():
    page = _page(_answering("שלום"))
    assert re.search(r'<td[^>]*dir="auto"[^>]*><code[^>]*>שלום', page)


def test_markdown_stays_as_it_is():
    assert "**bold** [x](http://x.example)" in Page(_page(_answering("**bold** [x](http://x.example)"))).text


@pytest.mark.parametrize("text", ["x" * 10_000, "<" * 10_000, "\u202e" * 10_000, "日本" * 5_000])
def test_five_hundred_long_failures_stay_small(text):
    assert len(_page(_answering(text, count=500)).encode()) <= MOST_BYTES


@pytest.mark.parametrize("count", [1, 12, 80])
def test_however_many_suites_fail_the_mail_is_not_cut(count):
    line = _answering('"<&' * 3_000)
    name = "n" * 64
    lines = [replace(line, entry=entry_of(f"{n:03}{name}"[:64], name)) for n in range(count)]
    view = night_view(*lines)
    page = html(content_of(view, lines, address=READER), {})
    assert len(page.encode()) <= MOST_BYTES
    assert f"FAIL all {count}" in page if count > 1 else "FAIL" in page


def test_what_was_left_out_is_said():
    lines = [replace(FAILED, entry=entry_of(f"suite-{n}")) for n in range(70)]
    text = Page(_page(*lines)).text
    assert "more, none of them worse" in text
    assert "only in the table above" in text


def test_styles_are_at_the_elements_and_rules_for_the_dark_stay():
    text = _page(FAILED)
    assert "@media (prefers-color-scheme: dark)" in text
    assert re.search(r'class="word" style="[^"]*color: #b3261e', text)


def test_an_unfinished_run_says_where_it_is_and_when_it_goes_on():
    text = Page(_page(unfinished())).text
    assert "312 of 500 samples are done; goes on in the next window, 2026-11-22 22:00 CET" in text


def test_an_invalid_dataset_names_its_rows():
    note = "2 of 500 rows are invalid\nrow 17 (gsm-0017): target is empty\nrow 204: id is there twice"
    text = Page(_page(planned(entry=entry_of("gsm8k", state=EntryState.INVALID, note=note)))).text
    assert "row 17 (gsm-0017): target is empty" in text
    assert "row 204: id is there twice" in text


def test_many_invalid_rows_are_counted():
    note = "\n".join(["900 of 900 rows are invalid", *(f"row {n}: empty" for n in range(900))])
    text = Page(_page(planned(entry=entry_of("gsm8k", state=EntryState.INVALID, note=note)))).text
    assert "row 11: empty" in text
    assert "row 12: empty" not in text
    assert "… and 888 more" in text


def test_an_unchanged_entry_says_so():
    note = "unchanged since run 01jold: suite, data, model, engine and baseline are the same"
    line = judged(good, entry=entry_of(state=EntryState.UNCHANGED, note=note))
    assert note in Page(_page(line)).text


def test_a_void_verdict_shows_what_the_gate_had_said_and_no_flips():
    text = Page(_page(judged(lost_sort, void="lost"), void="the A/A comparison failed: 96 of 400 flipped")).text
    assert text.index("VOID") < text.index("the A/A comparison failed: 96 of 400 flipped")
    assert "The gate had said FAIL: sort fell by 96.0 points" in text
    assert "Right in the baseline" not in text


def test_a_floor_that_was_missed_is_said_in_a_sentence():
    suite = suite_of(200, blocking=("sort",), floors={"all": 0.99})
    assert "all scored 73.0, floor 99" in Page(_page(judged(lost_sort, suite=suite))).text


def test_an_empty_night_is_said_too():
    assert "Nothing was to be judged" in Page(_page()).text
