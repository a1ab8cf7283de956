"""`evalwindow noise` against a real service."""

import json

import pytest

from tests.real.cli.conftest import COUNT
from tests.unit.worlds import rows, write_suite


@pytest.fixture
def baseline(evalwindow, worker):
    """Id of the promoted run of the regression suite."""
    done = evalwindow("submit", "--suite", "echo", "--model", "half", "--system", "be brief", "--wait", "--json")
    run = json.loads(done.out)["id"]
    evalwindow("baseline", "promote", run, "--reason", "first")
    return run


def test_without_a_baseline_there_is_nothing_to_know(evalwindow, service):
    assert "no baseline yet" in evalwindow("noise").out
    done = evalwindow("noise", "echo")
    assert done.code == 2
    assert "regression suite 'echo' has no baseline; see `evalwindow baseline list`" in done.err


def test_an_unknown_floor_says_how_to_measure_it(evalwindow, baseline):
    done = evalwindow("noise")
    assert done.code == 0
    assert "echo on main: not known, no A/A run counts" in done.out
    assert "`evalwindow noise echo --measure`" in done.out


def test_measuring_runs_the_baseline_again_and_past_the_cache(evalwindow, service, baseline):
    done = evalwindow("noise", "echo", "--measure")
    assert done.code == 0
    [run] = [run for run in service.store.runs() if run.id != baseline]
    assert (run.use_cache, run.candidate) == (False, service.store.run(baseline).candidate)
    assert f"run {run.id} repeats baseline {baseline}" in done.out
    assert "echo on main: from 1 A/A run since" in done.out
    assert "doesn't count" not in done.out
    line = next(line for line in done.out.splitlines() if line.startswith("echo  "))
    assert line.split() == ["echo", "all", "60", "10", "0.0", "%", "0.0", "%", "60", "3.3", "points"]


def test_a_program_gets_the_numbers(evalwindow, service, baseline):
    evalwindow("noise", "echo", "--measure")
    [floor] = json.loads(evalwindow("noise", "--json").out)["floors"]
    assert (floor["suite"], floor["branch"], floor["baseline"], floor["model"]) == ("echo", "main", baseline, "half")
    assert floor["floor"]["rates"]["samples"] == 60
    [everything] = floor["slices"]
    assert (everything["slice"], everything["samples"], everything["margin"]) == ("all", 60, 0.1)
    assert everything["reach"] == pytest.approx(2 / 60)


def test_a_baseline_of_another_model_or_branch_is_not_meant(evalwindow, baseline):
    assert json.loads(evalwindow("noise", "--model", "right", "--json").out)["floors"] == []
    done = evalwindow("noise", "echo", "--branch", "release")
    assert "has no baseline on branch 'release'" in done.err


def test_another_teams_baseline_is_seen_but_not_its_prompt(evalwindow, service, baseline, monkeypatch):
    monkeypatch.setenv("EVALWINDOW_TOKEN", service.store.add_token("ads"))
    [floor] = json.loads(evalwindow("noise", "--json").out)["floors"]
    assert (floor["baseline"], floor["candidate"]) == (baseline, None)
    done = evalwindow("noise", "echo", "--measure")
    assert (done.code, "another team's" in done.err) == (2, True)


def test_measuring_everything_has_to_be_meant(evalwindow, baseline):
    done = evalwindow("noise", "--measure")
    assert done.code == 2
    assert "name those that are to run" in done.err


def test_a_run_of_another_question_is_said_not_to_count(evalwindow, service, baseline):
    write_suite(service.folder / "suites", rows(COUNT), policy={"margin": 0.1}, prompt={"template": "say {{ input }}"})
    done = evalwindow("noise", "echo", "--measure")
    [run] = [run for run in service.store.runs() if run.id != baseline]
    assert f"run {run.id} doesn't count" in done.out
    assert "not known" in done.out
