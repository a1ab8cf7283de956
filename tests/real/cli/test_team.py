"""The commands of a team, against a real service."""

import json

import pytest

from evalwindow.model import RunState


@pytest.fixture
def run_of(evalwindow, worker):
    """Id of a concluded run of a model over the regression suite."""

    def submitted(model: str) -> str:
        done = evalwindow("submit", "--suite", "echo", "--model", model, "--wait", "--json")
        return json.loads(done.out)["id"]

    return submitted


def test_a_run_without_a_baseline_is_inconclusive_and_never_a_pass(evalwindow, worker):
    done = evalwindow("submit", "--suite", "echo", "--model", "right", "--wait")
    assert done.code == 2
    assert "INCONCLUSIVE: " in done.out
    assert "60 prompts" in done.out
    assert done.err == ""


@pytest.mark.parametrize("model, code, word", [("right", 0, "PASS"), ("wrong", 1, "FAIL")])
def test_the_exit_code_is_the_verdict(evalwindow, run_of, model, code, word):
    evalwindow("baseline", "promote", run_of("right"), "--reason", "first")
    done = evalwindow("submit", "--suite", "echo", "--model", model, "--wait")
    assert done.code == code
    assert f"{word}: " in done.out


def test_without_wait_the_run_is_only_submitted(evalwindow, service):
    done = evalwindow("submit", "--suite", "echo", "--model", "right")
    [run] = service.store.runs()
    assert done.code == 0
    assert f"evalwindow wait {run.id}" in done.out
    assert run.state is RunState.QUEUED


def test_what_is_changed_beside_the_model_arrives(evalwindow, service, tmp_path):
    template = tmp_path / "prompt.j2"
    template.write_text("Say: {{ input }}")
    options = ["--template-file", str(template), "--system", "be brief", "--sampling", "temperature=0.5"]
    evalwindow("submit", "--suite", "echo", "--model", "right", *options, "--sampling", 'stop=["\\n"]', "--no-cache")
    [run] = service.store.runs()
    assert (run.candidate.template, run.candidate.system) == ("Say: {{ input }}", "be brief")
    assert run.candidate.sampling == {"temperature": 0.5, "stop": ["\n"]}
    assert not run.use_cache


def test_the_source_arrives_and_the_same_key_is_the_same_run(evalwindow, service):
    command = ["submit", "--suite", "tiny", "--model", "right", "--repo", "acme/search", "--pr", "7"]
    command += ["--sha", "abc", "--branch", "main", "--key", "job 1", "--json"]
    first, again = evalwindow(*command), evalwindow(*command)
    assert json.loads(first.out)["id"] == json.loads(again.out)["id"]
    [run] = service.store.runs()
    source = run.source
    assert (source.repo, source.pull_request, source.head_sha, source.branch) == ("acme/search", 7, "abc", "main")


def test_an_unknown_suite_is_one_line_with_the_nearest_name(evalwindow, service):
    done = evalwindow("submit", "--suite", "ecco", "--model", "right")
    assert done.code == 2
    assert done.err == "error: unknown suite 'ecco'; did you mean 'echo'?\n"


def test_waiting_ends_with_two_and_the_reason_when_the_run_is_cancelled(evalwindow, service):
    run_id = json.loads(evalwindow("submit", "--suite", "echo", "--model", "right", "--json").out)["id"]
    assert evalwindow("cancel", run_id).out == f"run {run_id} is cancelled\n"
    done = evalwindow("wait", run_id)
    assert done.code == 2
    assert done.out.startswith("CANCELLED: cancelled by team search\n")


def test_waiting_gives_up_after_its_timeout(evalwindow, service):
    run_id = json.loads(evalwindow("submit", "--suite", "echo", "--model", "right", "--json").out)["id"]
    done = evalwindow("wait", run_id, "--timeout", "1")
    assert done.code == 2
    assert done.err.startswith(f"error: run {run_id} is still queued after 1 s")


def test_a_run_is_cancelled_once(evalwindow, service):
    run_id = json.loads(evalwindow("submit", "--suite", "echo", "--model", "right", "--json").out)["id"]
    evalwindow("cancel", run_id)
    assert evalwindow("cancel", run_id).err == f"error: run {run_id} is cancelled already\n"


def test_show_tells_what_the_gate_asked_and_what_failed(evalwindow, run_of):
    evalwindow("baseline", "promote", run_of("right"), "--reason", "first")
    run_id = run_of("half")
    done = evalwindow("show", run_id)
    assert done.code == 0
    assert "FAIL: " in done.out
    assert "paired" in done.out and "−50.0" in done.out
    assert "expected  0" in done.out and "got       ?" in done.out and "baseline  0" in done.out
    assert "… and 25 more" in done.out
    assert evalwindow("show", run_id, "--all").out.count("expected") == 30


def test_markup_in_an_answer_is_text(evalwindow, run_of):
    assert "got       [bold]no idea[/bold]" in evalwindow("show", run_of("wrong")).out


def test_show_as_json_holds_the_failing_samples_and_the_exit_code(evalwindow, run_of):
    shown = json.loads(evalwindow("show", run_of("half"), "--json").out)
    assert shown["exit_code"] == 2
    assert shown["failing"]["total"] == 30
    assert shown["verdict"]["answer"] == "inconclusive"


def test_runs_lists_the_teams_own_runs_newest_first(evalwindow, service, run_of):
    first, second = run_of("right"), run_of("half")
    listed = json.loads(evalwindow("runs", "--json").out)["runs"]
    assert [run["id"] for run in listed] == [second, first]
    assert [run["id"] for run in json.loads(evalwindow("runs", "--limit", "1", "--json").out)["runs"]] == [second]
    table = evalwindow("runs", "--suite", "echo").out
    assert first in table and "INCONCLUSIVE" in table
    assert evalwindow("runs", "--suite", "tiny").out == "no run matches\n"


def test_compare_puts_two_runs_through_the_gate_without_promoting(evalwindow, service, run_of):
    right, half = run_of("right"), run_of("half")
    worse, same, better = (evalwindow("compare", *pair) for pair in ((half, right), (right, right), (right, half)))
    assert (worse.code, same.code, better.code) == (1, 0, 0)
    assert "−50.0" in worse.out
    assert service.store.baselines() == []


def test_smoke_runs_are_not_compared(evalwindow, worker):
    done = evalwindow("submit", "--suite", "tiny", "--model", "right", "--wait", "--json")
    run_id = json.loads(done.out)["id"]
    assert done.code == 0
    assert "error: suite 'tiny' is a smoke suite" in evalwindow("compare", run_id, run_id).err


def test_runs_of_two_suites_are_not_compared(evalwindow, run_of):
    tiny = json.loads(evalwindow("submit", "--suite", "tiny", "--model", "right", "--wait", "--json").out)["id"]
    assert "compare two runs of one suite" in evalwindow("compare", run_of("right"), tiny).err


def test_a_promotion_says_who_and_why(evalwindow, service, run_of):
    run_id = run_of("right")
    done = evalwindow("baseline", "promote", run_id, "--reason", "release 4", "--by", "lea")
    assert done.out == f"run {run_id} is the baseline of echo on main, by search/lea: release 4\n"
    listed = evalwindow("baseline", "list").out
    assert run_id in listed and "release 4" in listed
    assert service.store.baseline("echo", "main").promoted_by == "search/lea"


def test_a_promotion_loses_against_one_that_it_did_not_know_of(evalwindow, service, run_of):
    first, second = run_of("right"), run_of("half")
    evalwindow("baseline", "promote", first, "--reason", "first", "--expected", "none")
    done = evalwindow("baseline", "promote", second, "--reason", "second", "--expected", "none")
    assert done.code == 2
    assert done.err.startswith(f"error: the baseline of echo on main is {first}, not unset as expected")
    assert evalwindow("baseline", "promote", second, "--reason", "second", "--expected", first).code == 0
    replaced = json.loads(evalwindow("baseline", "list", "--all", "--json").out)["baselines"]
    assert {row["run"]: row["retired_at"] is None for row in replaced} == {first: False, second: True}


def test_another_teams_run_is_neither_shown_nor_promoted(evalwindow, service, run_of, monkeypatch):
    run_id = run_of("right")
    monkeypatch.setenv("EVALWINDOW_TOKEN", service.store.add_token("ads"))
    for command in (("show", run_id), ("cancel", run_id), ("baseline", "promote", run_id, "--reason", "mine")):
        assert evalwindow(*command).err == f"error: There is no run '{run_id}'.\n"


def test_a_promoted_run_of_another_team_can_be_compared_with(evalwindow, service, run_of, monkeypatch):
    theirs = run_of("right")
    evalwindow("baseline", "promote", theirs, "--reason", "first")
    monkeypatch.setenv("EVALWINDOW_TOKEN", service.store.add_token("ads"))
    assert evalwindow("compare", run_of("half"), theirs).code == 1


def test_suites_list_tells_what_can_be_run(evalwindow, service):
    assert "say it again" in evalwindow("suites", "list").out
    listed = json.loads(evalwindow("suites", "list", "--json").out)["suites"]
    assert [(suite["name"], suite["tier"], suite["samples"]) for suite in listed] == [
        ("echo", "regression", 60),
        ("tiny", "smoke", 3),
    ]


def test_a_revoked_token_opens_nothing(evalwindow, service, monkeypatch):
    token = service.store.add_token("search")
    monkeypatch.setenv("EVALWINDOW_TOKEN", token)
    service.store.revoke_token(token.split("_")[1])
    done = evalwindow("runs")
    assert done.code == 2
    assert done.err.startswith("error: a team token is needed")


def test_an_adapter_is_uploaded_and_kept_by_its_content(evalwindow, service, tmp_path):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    done = evalwindow("submit", "--suite", "echo", "--model", "right", "--adapter", str(adapter))
    assert "adapter_model.safetensors is missing" in done.err
    (adapter / "adapter_model.safetensors").write_bytes(bytes(range(256)))
    done = evalwindow("submit", "--suite", "echo", "--model", "right", "--adapter", str(adapter))
    assert done.err.startswith("error: candidate.adapter: model 'right'")  # stored; a recording takes no adapter
