"""What a run cost, as its readers see it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evalwindow.cli.remote import cost_of
from evalwindow.model import EngineInfo, SampleResult
from evalwindow.report.cost import prefix_hit_rate
from evalwindow.report.document import report_document
from evalwindow.report.page import page
from tests.unit.report.examples import results_of, suite_of, view_of

API = (EngineInfo(engine="openai", version="1", model_digest="gpt"),)


def read_from_cache(result: SampleResult, tokens: int) -> SampleResult:
    assert result.completion is not None
    usage = replace(result.completion.usage, cached_tokens=tokens)
    return replace(result, completion=replace(result.completion, usage=usage))


@pytest.mark.parametrize("cached, rate, shown", [(30, 0.75, "75.0 %"), (0, 0.0, "0.0 %")])
def test_the_prefix_cache_hit_rate_of_a_warm_engine_is_on_the_page_and_in_the_document(
    cached: int, rate: float, shown: str
) -> None:
    suite = suite_of(4)
    view = view_of(suite, [read_from_cache(result, cached) for result in results_of(suite, lambda index: True)])
    assert report_document(view).prefix_hit_rate == rate
    assert cost_of(report_document(view)).endswith(f"prefix cache hit rate {shown}")
    assert f"<th>prefix cache hit rate</th><td>{shown}</td>" in page(view)


def test_an_api_that_tells_no_cached_tokens_has_no_rate_and_no_zero() -> None:
    suite = suite_of(4)
    view = view_of(suite, results_of(suite, lambda index: True), provenance=API)
    assert view.prefix_hit_rate is None
    assert report_document(view).prefix_hit_rate is None
    assert "prefix" not in cost_of(report_document(view))
    assert "<th>… of them in the prefix cache</th><td>not told</td>" in page(view)


def test_an_api_that_tells_cached_tokens_is_believed() -> None:
    suite = suite_of(4)
    results = [read_from_cache(result, 10) for result in results_of(suite, lambda index: True)]
    assert view_of(suite, results, provenance=API).prefix_hit_rate == 0.25


def test_a_run_that_read_no_prompt_has_no_rate() -> None:
    assert prefix_hit_rate(None, ()) is None
