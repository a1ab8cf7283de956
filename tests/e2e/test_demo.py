"""`evalwindow demo`, as somebody runs it who has never heard of the project."""

import re
import shutil
import subprocess
import sys

import psutil
import pytest

from demo.walkthrough.stage import ROOT


@pytest.mark.timeout(900)
def test_the_tour_ends_with_every_verdict_as_it_should_be_and_leaves_nothing_running():
    command = [sys.executable, "-m", "evalwindow.cli", "demo"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    said = " ".join(done.stdout.split())
    assert "Every verdict is what it should be." in said
    assert "✔ check success" in said and "✘ check failure" in said
    assert "sort-0001: asked" in said  # a failing prompt
    assert re.search(r"sort: \d+\.\d % -> 0\.0 %, that is −\d+\.\d points \(−\d+\.\d … −\d+\.\d\)", said)
    assert "A/A: PASS" in said and "nightly_regression in Airflow: success" in said
    assert "Subject: FAIL demo-regression (demo-lost-sort)" in said  # the mail, as the server received it
    assert "promote_baseline asked a person, who said yes" in said
    assert "500 of 500 answers were known, 0.0 GPU-seconds" in said
    pages = [ROOT / path for path in re.findall(r"var/demo-\S+/reports/\w+\.html", done.stdout)]
    assert len(pages) == 8
    assert all(page.is_file() for page in pages)
    home = pages[0].parents[1]
    lines = [" ".join(each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"])]  # a zombie has none
    assert [line for line in lines if str(home) in line] == []
    shutil.rmtree(home)
