"""What a team's commands say of its quota and of joined runs."""

import json

import pytest
import yaml


@pytest.fixture
def folder(folder):
    """Its team may have two smoke runs, and there is a model that is asked by workers."""
    path = folder / "evalwindow.yaml"
    config = yaml.safe_load(path.read_text())
    config["models"]["asked"] = {"engine": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "m"}
    config["teams"]["search"]["quota"] = {"smoke_runs": 2, "gpu_minutes": 90, "period": "week"}
    path.write_text(yaml.safe_dump(config))
    return folder


def smoke(evalwindow, *more):
    return evalwindow("submit", "--suite", "tiny", "--model", "asked", *more)


def test_the_table_tells_limits_and_usage(evalwindow, service):
    smoke(evalwindow)
    smoke(evalwindow)
    assert smoke(evalwindow).code == 2
    out = evalwindow("quotas").out
    assert out.startswith("team search · a week in UTC, this one ends ")
    rows = {line.split()[-1]: line.split() for line in out.splitlines() if "quota." in line}
    assert rows["quota.smoke_runs"][-4:] == ["2", "2", "full", "quota.smoke_runs"]
    assert rows["quota.queued_samples"][-3:] == ["0", "50,000", "quota.queued_samples"]
    assert rows["quota.gpu_minutes"][-3:] == ["0", "90", "quota.gpu_minutes"]
    assert rows["quota.api_cost"][-3:] == ["0", "–", "quota.api_cost"]
    assert "this week: 2 runs admitted · 1 submission refused · 0 answers" in out


def test_programs_get_json(evalwindow, service):
    smoke(evalwindow)
    found = json.loads(evalwindow("quotas", "--json").out)
    assert (found["team"], found["runs"], found["limits"][0]["used"]) == ("search", 1, 1)


def test_a_refused_submission_is_one_line_with_the_reason_and_decides_nothing(evalwindow, service):
    smoke(evalwindow)
    smoke(evalwindow)
    done = smoke(evalwindow)
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "error: team 'search' has 2 smoke runs that are not final; its quota is 2 (quota.smoke_runs): "
        "try again when one has ended, in about 30 s\n"
    )


def test_a_joined_run_is_said_where_it_is_submitted_listed_and_shown(evalwindow, service):
    first = json.loads(smoke(evalwindow, "--json").out)["id"]
    out = smoke(evalwindow).out
    second = service.store.runs(limit=1)[0].id
    words = f"waits for run {first}, which asks the same"
    assert out.startswith(f"run {second} {words}: ")
    assert f"QUEUED: {words}" in evalwindow("show", second).out
    assert json.loads(evalwindow("show", second, "--json").out)["joined_to"] == first
    evalwindow("cancel", second)
    assert "CANCELLED: cancelled by team search" in evalwindow("wait", second).out
