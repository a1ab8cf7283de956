"""Each check finds what it is for, on the right lines, and nothing else."""

import html
import re
from pathlib import Path

import pytest

from evalwindow.datasets import Severity
from tests.real.datasets.cases import CASES, SECRET
from tests.real.datasets.conftest import SCRIPT

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_exactly_this_is_found(validated, case):
    report = validated.reports[case.name]
    assert report.error is None
    assert [finding.check for finding in report.findings] == [case.check]
    (finding,) = report.findings
    assert tuple(row.line for row in finding.rows) == case.lines
    assert finding.count == len(case.lines)
    assert finding.slice == case.slice
    assert case.says in finding.text
    assert not case.lines or case.what in finding.rows[0].what
    assert finding.severity is (Severity.WARNING if case.warning else Severity.ERROR)
    assert report.ok is case.warning


def test_rows_have_their_ids(validated):
    (finding,) = validated.reports["no-target"].findings
    assert [row.id for row in finding.rows] == ["q8"]
    (finding,) = validated.reports["no-id"].findings
    assert [row.id for row in finding.rows] == [None]


def test_a_perfect_dataset_has_no_findings_and_says_how_long_its_prompts_are(validated):
    report = validated.reports["perfect"]
    assert report.ok and not report.findings
    assert report.samples == report.characters.count == 40
    assert report.characters.least == len(f"{SECRET} night 1?")
    assert report.dataset == "data/perfect.jsonl"
    (tokens,) = report.tokens
    assert (tokens.models, tokens.context, tokens.room, tokens.lengths.count) == (("demo",), 2048, 2040, 40)


def test_what_can_not_be_loaded_is_a_finding_with_its_line_and_stops_nobody(validated):
    broken, gone, claimed, unknown = (validated.reports[name] for name in ("broken", "gone", "claimed", "perfekt"))
    assert not any(report.ok for report in (broken, gone, claimed, unknown))
    assert [finding.text for finding in broken.findings] == [
        "broken.yaml:2: tier: unknown value 'regresion'; did you mean 'regression'?"
    ]
    assert gone.findings[0].text == "gone.yaml:4: dataset.path: there is no file 'no.jsonl'"
    assert claimed.findings[0].text == "two.yaml:1: suite: the name 'claimed' is taken by one.yaml"
    assert "did you mean 'perfect'?" in unknown.findings[0].text


def test_the_pages_name_every_expectation_and_hold_no_prompt(validated):
    for name, report in validated.reports.items():
        if report.docs is None:
            assert not report.dataset, name
            continue
        index = validated.home / report.docs
        assert name in index.read_text()
        pages = [page.read_text() for page in index.parent.rglob("*.html")]
        assert len(pages) >= 3
        assert not any(SECRET.lower() in page.lower() or "zebra" in page.lower() for page in pages)
    text = _text_of(validated, "twice")
    assert "No prompt is asked twice" in text
    assert "The rendered prompt and its answer fit the context of demo: 2,048 tokens less 8" in text
    assert "Every slice has the samples that its margin takes" in text
    assert re.search(r"3, 10\s+q3, q10", text)


def test_markup_in_an_id_stays_text(validated):
    report = validated.reports["evil"]
    assert report.findings[0].rows[0].id == SCRIPT
    assert {finding.slice for finding in report.findings} >= {SCRIPT}
    folder = (validated.home / str(report.docs)).parent
    pages = "".join(page.read_text() for page in folder.rglob("*.html"))
    assert "<script>alert" not in pages
    assert html.escape(SCRIPT) in pages


def test_the_pages_are_small_and_nothing_else_is_left(validated):
    folders = {path.name for path in (validated.home / "datadocs").iterdir()}
    assert folders == {report.key for report in validated.reports.values() if report.docs}
    size = sum(file.stat().st_size for file in (validated.home / "datadocs").rglob("*") if file.is_file())
    assert size / len(folders) < 2_000_000


def _text_of(validated, name):
    folder = (validated.home / str(validated.reports[name].docs)).parent
    pages = " ".join(page.read_text() for page in sorted(folder.rglob("*.html")))
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", pages)).split())
