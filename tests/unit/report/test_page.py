import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

from evalwindow.model import RunState, Tier
from evalwindow.report.document import ReportDocument, report_document
from evalwindow.report.files import write_report
from evalwindow.report.listing import runs_page
from evalwindow.report.page import content_security_policy, page
from evalwindow.report.view import build_view
from tests.unit.report.examples import concluded, results_of, run_of, suite_of, view_of, with_output


class Tags(HTMLParser):
    """Every tag with its attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def _tags(html):
    parser = Tags()
    parser.feed(html)
    return parser.found


def _regression(count=40):
    suite = suite_of(count, blocking=("sort",), floors={"all": 0.5})
    return view_of(suite, results_of(suite, lambda i: i % 4 != 1), results_of(suite, lambda i: i % 10 != 0))


def test_what_a_model_wrote_is_never_markup():
    suite = suite_of(3)
    evil = '<script>alert(1)</script><img src=x onerror="alert(2)">"\'><svg/onload=alert(3)>'
    results = [with_output(result, evil) for result in results_of(suite, lambda i: False)]
    html = page(view_of(suite, results))
    assert "&lt;script&gt;" in html
    names = {tag for tag, _ in _tags(html)}
    assert names.isdisjoint({"script", "img"})
    assert not any(name.startswith("on") for _, attributes in _tags(html) for name in attributes)


def test_the_page_asks_for_nothing_and_needs_no_script():
    for _, attributes in _tags(page(_regression())):
        assert attributes.keys().isdisjoint({"src", "style", "srcset", "action", "formaction"})


def test_the_policy_allows_exactly_the_page_s_own_style():
    style = re.search(r"<style>(.*?)</style>", page(_regression()), re.DOTALL).group(1)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in content_security_policy()
    assert "default-src 'none'" in content_security_policy()


def test_the_verdict_stands_at_the_top_in_words():
    html = page(_regression())
    assert html.index("Failed") < html.index("What the gate asked") < html.index("Samples</h2>")
    assert "sort fell by" in html


def test_each_comparison_is_drawn_with_its_interval_and_margin():
    view = _regression()
    compared = [check for check in view.checks if check.delta is not None]
    plots = [attributes for tag, attributes in _tags(page(view)) if tag == "svg"]
    assert len(plots) == len(compared) > 0
    assert all("margin" in plot["aria-label"] for plot in plots)


def test_five_hundred_samples_are_all_there_each_once():
    html = page(_regression(500))
    samples = [a for tag, a in _tags(html) if tag == "details" and "sample" in (a["class"] or "").split()]
    assert len(samples) == 500
    assert len(html) < 2_000_000


def test_a_filter_names_only_what_it_would_show():
    view = _regression()
    html = page(view)
    assert f"Failing <i>{len(view.failing)}</i>" in html
    assert "Unscored <i>" not in html


def test_a_lost_sample_shows_both_outputs():
    suite = suite_of(1)
    html = page(
        view_of(suite, results_of(suite, lambda i: False, wrong_text="pears"), results_of(suite, lambda i: True))
    )
    assert "sides two" in html
    assert "<pre>pears</pre>" in html
    assert "<pre>0</pre>" in html


def test_a_run_that_is_not_done_has_a_page_too():
    suite = suite_of(3)
    html = page(build_view(run=run_of(suite), suite=suite, results=[]))
    assert "Queued" in html
    assert "No answer yet." in html


def test_an_engine_s_refusal_is_shown_as_such():
    suite = suite_of(1)
    refused = [
        replace(result, completion=None, scores={}, error="prompt too long") for result in results_of(suite, bool)
    ]
    assert "no answer: prompt too long" in page(view_of(suite, refused))


def test_the_list_shows_verdicts_and_leads_to_each_run():
    suite = suite_of(10, tier=Tier.SMOKE)
    run = concluded(suite, results_of(suite, lambda i: True))
    html = runs_page([run, run_of(suite, state=RunState.RUNNING)], team="search", next_id="older")
    assert "Passed" in html
    assert "Running" in html
    assert f'href="/runs/{run.id}"' in html
    assert 'href="/runs?before=older"' in html


def test_page_and_json_are_written_whole_beside_each_other(tmp_path):
    view = _regression()
    path = write_report(view, tmp_path / "reports")
    assert path.read_text() == page(view)
    document = json.loads(path.with_suffix(".json").read_text())
    assert document["answer"] == "fail"
    assert sorted(file.name for file in path.parent.iterdir()) == [f"{view.run.id}.html", f"{view.run.id}.json"]


def test_the_json_says_everything_and_reads_back():
    view = _regression()
    document = report_document(view)
    assert ReportDocument.model_validate_json(document.model_dump_json()) == document
    assert [sample.id for sample in document.samples] == [sample.id for sample in view.samples]


def test_the_json_s_keys_are_these():
    keys = set(report_document(_regression()).model_dump())
    assert keys == {
        *("format", "id", "key", "team", "suite", "suite_digest", "tier", "pool", "model", "state", "answer", "error"),
        *("candidate", "source", "provenance", "summary", "verdict", "created_at", "started_at", "concluded_at", "url"),
        *("cost", "latency", "samples", "void", "window_end", "prefix_hit_rate", "joined_to", "held"),
    }
