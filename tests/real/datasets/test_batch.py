"""Many datasets, one process; what is known is not done again, what crashes costs itself alone."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from evalwindow.config import Limits
from evalwindow.config_file import read_config
from evalwindow.datasets import Asked, asked, suite_paths, to_document, validate_all
from evalwindow.datasets.expectations import Expected, Table, check
from evalwindow.datasets.report import Severity
from evalwindow.errors import CheckCrashed
from tests.real.datasets.cases import CASES, DEMO, MODEL, Case, good, write_all
from tests.unit.worlds import ROOT

NEVER_S = 0.0  # whoever starts a process gets an error instead of a report
PERFECT = Case(name="perfect", check="")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "suites"
    made.mkdir()
    return made


def test_what_is_known_is_not_validated_again_until_it_changes(folder, tmp_path):
    home = tmp_path / "home"
    blank = next(case for case in CASES if case.name == "blank")
    write_all(folder, [PERFECT, blank])
    wanted = {"perfect": [DEMO], "blank": [DEMO]}
    first = validate_all(wanted, folder=folder, limits=Limits(), home=home)
    assert [(each.ok, each.cached, each.keepable) for each in first] == [(True, False, True), (False, False, True)]
    kept = {each.key: json.loads(json.dumps(to_document(each))) for each in first}

    again = validate_all(wanted, folder=folder, limits=Limits(), home=home, known=kept.get, timeout_s=NEVER_S)
    assert again == [replace(each, cached=True, seconds=0.0) for each in first]

    longer = {line: {"input": f"{good(line)['input']} {'and then ' * 9}"} for line in range(1, 41)}
    write_all(folder, [replace(PERFECT, rows=longer)])
    shutil.rmtree(home / Path(first[1].docs).parent)
    asked_for: list[tuple[str, str]] = []

    def last(suite, digest):
        asked_for.append((suite, digest))
        return kept[first[0].key] if suite == "perfect" else {"from": "another age"}

    changed, redone = validate_all(wanted, folder=folder, limits=Limits(), home=home, known=kept.get, last=last)
    assert not changed.cached and not redone.cached
    assert replace(redone, seconds=0) == replace(first[1], seconds=0)
    assert asked_for == [("perfect", changed.digest), ("blank", redone.digest)]
    assert changed.drift is not None
    assert (changed.drift.statistic, changed.drift.against) == (1.0, first[0].digest)
    assert changed.ok
    (finding,) = changed.findings
    assert (finding.check, finding.severity) == ("drift", Severity.WARNING)
    assert "longer than in the version before" in finding.text
    pages = (home / str(changed.docs)).parent.rglob("*.html")
    assert any("Prompts are about as long as in the version before" in page.read_text() for page in pages)


def test_a_dataset_says_the_same_alone_as_among_others(validated, tmp_path):
    """Contexts of Great Expectations follow each other in one process, and share nothing that shows."""
    (alone,) = validate_all({"twice": [DEMO]}, folder=validated.folder, limits=Limits(), home=tmp_path)
    assert replace(alone, seconds=0) == replace(validated.reports["twice"], seconds=0)
    index = (validated.home / str(alone.docs)).read_text()
    assert [name for name in validated.reports if f"{name}.lines" in index] == ["twice"]


def test_a_check_that_fails_by_itself_is_told_as_that_and_the_next_begins(folder, tmp_path):
    write_all(folder, [PERFECT, replace(PERFECT, name="other")])
    model = tmp_path / "model"
    shutil.copytree(MODEL, model)
    (model / "chat_template.jinja").write_text("{{ raise_exception('no such role') }}")
    wanted = {"perfect": [Asked(models=("m",), folder=model, context=2048)], "other": [DEMO]}
    crashed, other = validate_all(wanted, folder=folder, limits=Limits(), home=tmp_path / "home")
    assert not crashed.ok and not crashed.findings and not crashed.keepable
    assert crashed.error is not None
    assert crashed.error.startswith("the dataset of suite 'perfect' could not be checked")
    assert "no such role" in crashed.error
    assert other.ok and other.error is None


def test_an_expectation_that_can_not_be_evaluated_is_no_finding(tmp_path):
    expected = Expected(name="x", severity=Severity.ERROR, title="t", why="w", column="missing")
    table = Table(name="lines", columns={"line": [1]}, index=("line",), expected=(expected,))
    with pytest.raises(CheckCrashed, match=r"The check 'x' failed by itself: .*\"missing\""):
        check([table], title="s", run="r", folder=tmp_path / "docs")


def test_a_process_that_is_killed_costs_the_dataset_it_was_at(folder, tmp_path):
    write_all(folder, [PERFECT, replace(PERFECT, name="other")])
    killer = threading.Thread(target=_kill, args=(_the_process(psutil.Process()),))
    killer.start()
    wanted = {"perfect": [DEMO], "other": [DEMO]}
    first, second = validate_all(wanted, folder=folder, limits=Limits(), home=tmp_path / "home")
    killer.join()
    assert first.error is not None
    assert "suite 'perfect' could not be checked: the checking process ended with exit code 137" in first.error
    assert second.ok and second.error is None


def test_a_process_that_hangs_is_ended(folder, tmp_path):
    write_all(folder, [PERFECT])
    (report,) = validate_all({"perfect": [DEMO]}, folder=folder, limits=Limits(), home=tmp_path, timeout_s=NEVER_S)
    assert report.error is not None and "ended after 0 s without a reply" in report.error
    assert not _checking(psutil.Process())


def test_it_ends_with_whoever_wanted_it(folder, tmp_path):
    write_all(folder, [PERFECT])
    program = (
        "import sys; from pathlib import Path; from evalwindow.config import Limits; "
        "from evalwindow.datasets import validate_all; "
        "validate_all({'perfect': []}, folder=Path(sys.argv[1]), limits=Limits(), home=Path(sys.argv[2]))"
    )
    command = [sys.executable, "-c", program, str(folder), str(tmp_path / "home")]
    with subprocess.Popen(command, env={**os.environ, "TMPDIR": str(tmp_path)}) as starter:
        child = _the_process(psutil.Process(starter.pid))()
        starter.kill()
    psutil.wait_procs([child], timeout=60)
    assert not child.is_running()


def test_the_shipped_suites_are_valid(tmp_path):
    config = read_config(ROOT / "evalwindow.yaml")
    models = asked(config, config.models)
    wanted = dict.fromkeys(suite_paths(config.suites), models)
    reports = validate_all(wanted, folder=config.suites, limits=config.limits, home=tmp_path)
    assert {report.suite for report in reports} >= {"demo-smoke", "demo-regression", "gsm8k"}
    for report in reports:
        assert report.ok and not report.findings and not report.error, report
        assert {name for each in report.tokens for name in each.models} == set(config.models)


def _the_process(above: psutil.Process):
    """Waits until the checking process runs under `above`, and gives it."""

    def wait() -> psutil.Process:
        while not (found := _checking(above)):
            time.sleep(0.02)
        return found[0]

    return wait


def _checking(above: psutil.Process) -> list[psutil.Process]:
    """The checking processes under `above`; other tests' servers may run there too."""
    found = []
    for child in above.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if child.cmdline()[1:3] == ["-m", "evalwindow.datasets"]:
                found.append(child)
    return found


def _kill(find) -> None:
    find().kill()
