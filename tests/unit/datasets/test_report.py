"""A report is a JSON document and back."""

import json
from dataclasses import replace

import pytest

from evalwindow.datasets import (
    BadRow,
    DatasetReport,
    Drift,
    Finding,
    Lengths,
    Severity,
    TokenLengths,
    from_document,
    to_document,
)
from evalwindow.errors import BadInput

SEEN = Lengths(count=2, least=1, p25=1, median=1, p75=2, p95=2, most=2, histogram=((1, 1), (2, 1)))
REPORT = DatasetReport(
    suite="s",
    dataset="data/s.jsonl",
    digest="d",
    key="k",
    ok=False,
    findings=(
        Finding(check="prompt", severity=Severity.ERROR, text="t", count=1, rows=(BadRow(line=3, id="x", what="w"),)),
        Finding(check="slice_size", severity=Severity.WARNING, text="t", slice="hard"),
    ),
    samples=2,
    characters=SEEN,
    tokens=(TokenLengths(models=("a", "b"), context=8, room=4, lengths=SEEN),),
    uncounted=("c",),
    drift=Drift(statistic=0.5, p_value=0.1, against="e", median_before=7),
    docs="datadocs/k/index.html",
    seconds=1.5,
)


@pytest.mark.parametrize("report", [REPORT, replace(REPORT, error="no", docs=None, drift=None, tokens=())])
def test_it_comes_back_as_it_went(report):
    assert from_document(json.loads(json.dumps(to_document(report)))) == report


def test_keys_of_a_newer_version_are_ignored_and_missing_ones_have_defaults():
    least = {"suite": "s", "dataset": "", "digest": "", "key": "k", "ok": True, "later": 1}
    assert from_document(least) == DatasetReport(suite="s", dataset="", digest="", key="k", ok=True)


def test_something_else_is_refused():
    with pytest.raises(BadInput, match="a kept dataset report can't be read"):
        from_document({"suite": "s"})


def test_only_what_was_validated_to_the_end_is_kept():
    assert REPORT.keepable
    assert not replace(REPORT, error="crashed").keepable
    assert not replace(REPORT, docs=None).keepable
    assert not replace(REPORT, cached=True).keepable


def test_findings_by_severity():
    assert [each.check for each in REPORT.errors] == ["prompt"]
    assert [each.check for each in REPORT.warnings] == ["slice_size"]
