import asyncio
from pathlib import Path

import pytest

from demo.github_standin import Failure
from evalwindow.model import RunState
from tests.real.web.conftest import SECRET
from tests.real.web.helpers import signed
from tests.unit.github.examples import SHA, pull_request

CONFIG_FILE = b"suites: [sums-smoke]\ncandidate: {model: tiny, system: Be brief.}\n"
HOOK = "/webhooks/github"


async def _events_done(services):
    """Wait until the background has handled every event; gives what was noted with each."""
    while True:
        rows = await asyncio.to_thread(_events, services)
        if all(state not in ("received", "processing") for state, _ in rows):
            return rows
        await asyncio.sleep(0.02)


def _events(services):
    with services.store._transaction() as connection:
        return [tuple(row) for row in connection.exec_driver_sql("SELECT state, error FROM event ORDER BY id")]


async def test_a_signed_pull_request_becomes_a_queued_run_with_its_candidate(web, services, standin):
    standin.put_files("acme/bot", SHA, {".evalwindow.yaml": CONFIG_FILE})
    async with web.post(HOOK, **signed(pull_request(), SECRET)) as answer:
        assert answer.status == 202
    assert await _events_done(services) == [("done", None)]
    (run,) = services.store.runs()
    assert (run.suite, run.team, run.state) == ("sums-smoke", "search", RunState.QUEUED)
    assert (run.candidate.model, run.candidate.system) == ("tiny", "Be brief.")
    assert (run.source.repo, run.source.pull_request, run.source.head_sha) == ("acme/bot", 7, SHA)


async def test_a_template_file_and_an_adapter_are_read_at_the_head_commit(web, services, standin):
    text = "suites: [sums-smoke]\ncandidate: {model: tiny, template_file: prompts/p.txt}\n"
    files = {".evalwindow.yaml": text.encode(), "prompts/p.txt": b"Q: {{ input }}"}
    standin.put_files("acme/bot", SHA, files)
    standin.put_files("acme/bot", "main", {"prompts/p.txt": b"the wrong commit"})
    async with web.post(HOOK, **signed(pull_request(), SECRET)):
        await _events_done(services)
    assert services.store.runs()[0].candidate.template == "Q: {{ input }}"


async def test_the_same_commit_is_one_run_however_many_events_tell_of_it(web, services, standin):
    standin.put_files("acme/bot", SHA, {".evalwindow.yaml": CONFIG_FILE})
    for action in ("opened", "synchronize", "reopened"):
        async with web.post(HOOK, **signed(pull_request(action=action), SECRET)) as answer:
            assert answer.status == 202
    await _events_done(services)
    assert len(services.store.runs()) == 1


async def test_a_newer_commit_supersedes_also_when_the_older_one_s_event_comes_later(web, services, standin):
    newer = "beef" * 10
    for sha in (SHA, newer):
        standin.put_files("acme/bot", sha, {".evalwindow.yaml": CONFIG_FILE})
    for sha, time in ((newer, "2026-03-02T10:00:00Z"), (SHA, "2026-03-02T09:00:00Z")):
        async with web.post(HOOK, **signed(pull_request(sha=sha, updated_at=time), SECRET)):
            await _events_done(services)
    states = {run.source.head_sha: run.state for run in services.store.runs()}
    assert states == {newer: RunState.QUEUED, SHA: RunState.SUPERSEDED}


@pytest.mark.parametrize("header", ["X-Hub-Signature-256", "nothing"])
async def test_a_wrong_or_missing_signature_is_refused_and_nothing_is_written(web, services, header):
    request = signed(pull_request(), "another secret")
    request["headers"].pop(header, None)
    async with web.post(HOOK, **request) as answer:
        assert answer.status == 401
        assert (await answer.json(content_type=None))["kind"] == "Unauthorized"
    assert _events(services) == []


async def test_a_replayed_delivery_is_refused(web, services, standin):
    request = signed(pull_request(repo="acme/other"), SECRET, delivery="the same")
    async with web.post(HOOK, **request) as first, web.post(HOOK, **request) as second:
        assert (first.status, second.status) == (202, 409)
        assert "received before" in (await second.json(content_type=None))["error"]
    assert len(await _events_done(services)) == 1


@pytest.mark.parametrize(
    "body, says",
    [(b"{not json", "not JSON"), (b'{"a": "\xff"}', "not UTF-8"), (b"[" * 19_000, "nested too deeply")],
)
async def test_a_signed_body_that_is_no_json_is_400(web, body, says):
    async with web.post(HOOK, **signed(body, SECRET)) as answer:
        assert answer.status == 400
        assert says in (await answer.json(content_type=None))["error"]


async def test_a_payload_without_its_keys_is_422_and_names_one(web):
    async with web.post(HOOK, **signed({"action": "opened"}, SECRET)) as answer:
        assert answer.status == 422
        assert "repository" in (await answer.json(content_type=None))["error"]


async def test_ping_is_answered_and_other_events_start_nothing(web, services):
    async with web.post(HOOK, **signed({"zen": "x"}, SECRET, kind="ping")) as answer:
        assert (answer.status, (await answer.json())["message"]) == (200, "pong")
    async with web.post(HOOK, **signed({}, SECRET, kind="push")) as answer:
        assert answer.status == 200
    assert _events(services) == []


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"repo": "acme/other"}, "belongs to no team"),
        ({"head_repo": "stranger/bot"}, "needs the label"),
        ({"action": "closed"}, "starts nothing"),
        ({}, "no .evalwindow.yaml"),
    ],
)
async def test_what_asks_for_nothing_is_noted_with_its_reason(web, services, standin, changes, reason):
    async with web.post(HOOK, **signed(pull_request(**changes), SECRET)) as answer:
        assert answer.status == 202
    ((state, noted),) = await _events_done(services)
    assert state == "done"
    assert reason in noted
    assert standin.check_runs == []


@pytest.mark.parametrize(
    "text, says",
    [
        (b"suites: [sums-smok]\ncandidate: {model: tiny}\n", "did you mean 'sums-smoke'?"),
        (b"suites: [sums-smoke]\ncandidate: {model: tiny, adapter: ../x}\n", "'../x'"),
        (b"suites: [sums-smoke]\ncandidate: {model: tiny, template: '{{ inptu }}'}\n", "inptu"),
        (b"suites: [sums-smoke]\ncandidat: {}\n", "candidat"),
        (b"\xff\xfe", ".evalwindow.yaml"),
    ],
)
async def test_a_bad_file_is_told_to_the_pull_request_by_a_neutral_check(web, services, standin, text, says):
    standin.put_files("acme/bot", SHA, {".evalwindow.yaml": text})
    async with web.post(HOOK, **signed(pull_request(), SECRET)):
        ((state, noted),) = await _events_done(services)
    assert state == "refused"
    assert says in noted
    (check,) = standin.check_runs
    assert (check["name"], check["conclusion"], check["head_sha"]) == ("evalwindow/config", "neutral", SHA)
    assert says in check["output"]["summary"]


async def test_an_adapter_is_stored_by_its_content(web, services, standin, tmp_path: Path):
    text = b"suites: [sums-smoke]\ncandidate: {model: tiny, adapter: adapters/a}\n"
    standin.put_files("acme/bot", SHA, {".evalwindow.yaml": text, "adapters/a/adapter_model.safetensors": b"\x00\x01"})
    async with web.post(HOOK, **signed(pull_request(), SECRET)):
        ((state, noted),) = await _events_done(services)
    assert state == "refused"  # the model of this test is behind an API, which takes no adapter
    assert "takes no LoRA adapter" in noted


async def test_while_github_is_down_the_event_waits_for_the_dispatcher(web, services, standin):
    standin.failures.append(Failure(status=503))
    async with web.post(HOOK, **signed(pull_request(), SECRET)) as answer:
        assert answer.status == 202
    while not standin.requests:
        await asyncio.sleep(0.02)
    assert [state for state, _ in _events(services)] == ["processing"]


async def _chunks(total):
    for _ in range(total // 1000):
        yield b"x" * 1000


async def test_an_over_large_body_is_refused_with_a_length_and_chunked(web, services):
    async with web.post(HOOK, **signed(b"x" * 20_001, SECRET)) as answer:
        assert answer.status == 413
    headers = signed(b"", SECRET)["headers"]
    async with web.post(HOOK, data=_chunks(10_000_000), headers=headers) as answer:
        assert answer.status == 413
        assert "20000 bytes" in (await answer.json(content_type=None))["error"]
    assert _events(services) == []


FORK = {"head_repo": "stranger/bot", "labels": ["run-evals"]}


@pytest.mark.parametrize("may, says", [(True, "please set the label again"), (False, "take the label off and set it")])
async def test_a_fork_s_push_takes_its_label_off_and_asks_for_it_politely(web, services, standin, may, says):
    newer = "beef" * 10
    for sha in (SHA, newer):
        standin.put_files("acme/bot", sha, {".evalwindow.yaml": CONFIG_FILE})
    standin.labels["acme/bot", 7] = {"run-evals", "bug"}
    if not may:
        standin.failures.append(Failure(status=403, path="/labels/"))
    for event in (
        pull_request(action="labeled", label="run-evals", **FORK),
        pull_request(action="synchronize", sha=newer, **FORK),
    ):
        async with web.post(HOOK, **signed(event, SECRET)):
            await _events_done(services)
    assert [run.source.head_sha for run in services.store.runs()] == [SHA]
    assert standin.labels["acme/bot", 7] == ({"bug"} if may else {"run-evals", "bug"})
    (check,) = [check for check in standin.check_runs if check["head_sha"] == newer]
    assert check["conclusion"] == "neutral"
    assert says in check["output"]["summary"]
    again = pull_request(action="labeled", label="run-evals", sha=newer, **FORK)
    async with web.post(HOOK, **signed(again, SECRET)):
        await _events_done(services)
    assert {run.source.head_sha for run in services.store.runs()} == {SHA, newer}


async def test_of_an_adapter_s_folder_only_its_two_files_are_fetched(web, services, standin):
    text = b"suites: [sums-smoke]\ncandidate: {model: tiny, adapter: adapters/a}\n"
    names = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin", "optimizer.pt", "README.md")
    folder = {f"adapters/a/{name}": name.encode() for name in names}
    standin.put_files("acme/bot", SHA, {".evalwindow.yaml": text, **folder})
    async with web.post(HOOK, **signed(pull_request(), SECRET)):
        await _events_done(services)
    assert len([request for request in standin.requests if "/git/blobs/" in request["path"]]) == 2
