import copy

import pytest

from evalwindow.errors import BadInput, EventIgnored
from evalwindow.github.events import LabelSpent, check_admittance, team_of
from evalwindow.github.payload import read_payload
from tests.unit.github.examples import CONFIG, pull_request


def _admitted(**changes):
    event = read_payload(pull_request(**changes))
    check_admittance(event, team_of(event, CONFIG)[1])


@pytest.mark.parametrize("action", ["opened", "reopened", "synchronize"])
def test_a_pull_request_of_the_team_s_own_branch_gets_in(action):
    _admitted(action=action)


@pytest.mark.parametrize("action", ["closed", "edited", "unlabeled", "assigned"])
def test_other_actions_start_nothing(action):
    with pytest.raises(EventIgnored, match=action):
        _admitted(action=action)


def test_a_fork_needs_the_label():
    with pytest.raises(EventIgnored, match="run-evals"):
        _admitted(head_repo="stranger/bot")
    _admitted(head_repo="stranger/bot", action="labeled", label="run-evals", labels=["run-evals"])


@pytest.mark.parametrize("action", ["opened", "reopened", "synchronize"])
def test_a_label_lets_no_later_commit_of_a_fork_in(action):
    with pytest.raises(LabelSpent, match="again"):
        _admitted(head_repo="stranger/bot", action=action, labels=["run-evals"])
    _admitted(action=action, labels=["run-evals"])


@pytest.mark.parametrize(
    "path, value",
    [
        (("repository", "full_name"), "../../x"),
        (("repository", "full_name"), "acme/bot\n"),
        (("pull_request", "head", "sha"), "../../../user"),
        (("pull_request", "number"), 2**31),
        (("pull_request", "html_url"), "javascript:alert(1)"),
        (("pull_request", "updated_at"), "0001-01-01T00:00:00Z"),
        (("pull_request", "updated_at"), "2026-03-02T09:00:00"),
        (("pull_request", "head", "ref"), "x" * 256),
    ],
)
def test_a_value_that_no_pull_request_has_is_named(path, value):
    payload = copy.deepcopy(pull_request())
    place = payload
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    with pytest.raises(BadInput, match=r"\.".join(path)):
        read_payload(payload)


def test_a_deleted_fork_counts_as_a_fork():
    with pytest.raises(EventIgnored, match="run-evals"):
        _admitted(head_repo=None)


def test_adding_the_label_starts_a_run_and_adding_another_does_not():
    _admitted(action="labeled", label="run-evals", labels=["run-evals"], head_repo="stranger/bot")
    with pytest.raises(EventIgnored, match="only the label"):
        _admitted(action="labeled", label="bug", labels=["bug", "run-evals"])


def test_owner_and_name_are_compared_without_case_as_github_does():
    event = read_payload(pull_request(repo="Acme/Bot", head_repo="acme/bot"))
    assert team_of(event, CONFIG)[0] == "search"
    assert not event.from_fork


def test_an_unknown_repository_is_ignored_with_the_reason():
    with pytest.raises(EventIgnored, match="acme/other belongs to no team"):
        team_of(read_payload(pull_request(repo="acme/other")), CONFIG)


def test_the_source_is_head_commit_and_target_branch():
    source = read_payload(pull_request()).source
    assert (source.repo, source.pull_request, source.branch) == ("acme/bot", 7, "main")
    assert source.head_sha == "c0ffee" * 6 + "abcd"


@pytest.mark.parametrize("path", [("pull_request",), ("pull_request", "head", "sha"), ("repository", "full_name")])
def test_a_missing_key_is_named(path):
    payload = copy.deepcopy(pull_request())
    place = payload
    for name in path[:-1]:
        place = place[name]
    del place[path[-1]]
    with pytest.raises(BadInput, match=r"\.".join(path)):
        read_payload(payload)
