"""What was not asked is said wherever a verdict is told."""

import json
from dataclasses import replace

from evalwindow.report.checkrun import check_run, commit_status
from evalwindow.report.document import report_document
from evalwindow.report.page import page
from tests.unit.mail.examples import judged, mail_of, night_view
from tests.unit.report.examples import results_of, suite_of, view_of

SAID = "1 sample was not asked: it ended the engine"
WHY = "not asked: this prompt has ended engines; `evalwindow quarantine release 5e5e5e5e5e5e` lets it go"


def quarantined(results):
    first, *rest = results
    return [replace(first, scores={}, completion=None, error=WHY, quarantined=True), *rest]


def test_the_page_the_check_the_status_and_the_document_say_so():
    suite = suite_of(60)
    good = results_of(suite, lambda _: True)
    view = view_of(suite, quarantined(good), good)
    check = check_run(view)
    assert check["conclusion"] == "action_required"
    assert SAID in check["output"]["title"] and SAID in check["output"]["summary"]
    assert SAID in commit_status(view)["description"]
    assert SAID in page(view)
    assert "this prompt has ended engines" in page(view)
    answers = [answer for sample in report_document(view).samples for answer in sample.answers]
    assert [answer.quarantined for answer in answers].count(True) == 1
    assert json.loads(report_document(view).model_dump_json())["samples"]


def test_the_mail_of_a_night_says_so_from_its_subject_on():
    suite = suite_of(60)
    good = results_of(suite, lambda _: True)
    mail = mail_of(night_view(judged(lambda _: True, suite=suite, results=quarantined(good))))
    assert SAID in mail["Subject"]
    assert all(SAID in mail.get_body((kind,)).get_content() for kind in ("plain", "html"))
