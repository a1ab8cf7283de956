import asyncio

import pytest
from pydantic import SecretStr

from demo.github_standin import Failure
from evalwindow.errors import BadInput, CandidateInvalid, ConfigInvalid, GitHubRefused, GitHubUnavailable, TooLarge
from evalwindow.github.auth import TokenAuth
from evalwindow.github.checks import put_check
from evalwindow.github.client import GitHub
from evalwindow.github.comments import put_comment
from evalwindow.settings import Settings

REPO = "acme/bot"
SHA = "c0ffee" * 6 + "abcd"
MARKER = "<!-- ours -->"
BODY = {"name": "evalwindow/demo", "external_id": "run-1", "status": "completed", "conclusion": "success"}
STATUS = {"context": "evalwindow/demo", "state": "success", "description": "fine", "target_url": "http://x"}


async def test_an_app_writes_a_check_run_and_a_second_time_edits_it(app_client, standin):
    async with app_client.open(REPO) as repo:
        first = await put_check(repo, SHA, BODY, status=STATUS)
        again = await put_check(repo, SHA, {**BODY, "conclusion": "failure"}, status=STATUS, known_id=first)
    assert again == first
    assert [(run["head_sha"], run["conclusion"]) for run in standin.check_runs] == [(SHA, "failure")]


async def test_a_check_whose_record_was_lost_is_found_by_its_external_id(app_client, standin):
    async with app_client.open(REPO) as repo:
        await put_check(repo, SHA, {**BODY, "external_id": "another run"}, status=STATUS)
        first = await put_check(repo, SHA, BODY, status=STATUS)
        assert await put_check(repo, SHA, BODY, status=STATUS, known_id=None) == first
    assert len(standin.check_runs) == 2


async def test_a_check_that_is_gone_is_made_anew(app_client, standin):
    async with app_client.open(REPO) as repo:
        await put_check(repo, SHA, BODY, status=STATUS, known_id="12345")
    assert len(standin.check_runs) == 1


async def test_a_check_that_github_took_late_is_completed_with_its_twin(app_client, standin):
    queued = {key: value for key, value in BODY.items() if key != "conclusion"} | {"status": "queued"}
    async with app_client.open(REPO) as repo:
        own = await put_check(repo, SHA, queued, status=STATUS)
        standin.check_runs.append({"id": 999, "repo": REPO, "head_sha": SHA, **queued})
        await put_check(repo, SHA, BODY, status=STATUS, known_id=own)
    assert [run["conclusion"] for run in standin.check_runs] == ["success", "success"]


async def test_a_plain_token_falls_back_to_a_commit_status(token_client, standin):
    async with token_client.open(REPO) as repo:
        known = await put_check(repo, SHA, BODY, status=STATUS)
        await put_check(repo, SHA, BODY, status={**STATUS, "state": "failure"}, known_id=known)
    assert standin.check_runs == []
    assert [(status["sha"], status["state"]) for status in standin.statuses] == [(SHA, "success"), (SHA, "failure")]


async def test_the_app_s_token_is_asked_for_once(app_client, standin):
    for _ in range(3):
        async with app_client.open(REPO) as repo:
            await repo.comments(7)
    paths = [request["path"] for request in standin.requests]
    assert paths.count("/app/installations/99/access_tokens") == 1


async def test_a_token_that_github_knows_no_more_is_a_later_try_with_another(app_client, standin):
    async with app_client.open(REPO) as repo:
        await repo.comments(7)
    standin.failures.append(Failure(status=401, path="/comments"))
    with pytest.raises(GitHubUnavailable, match="the next try has a new one"):
        async with app_client.open(REPO) as repo:
            await repo.comments(7)
    async with app_client.open(REPO) as repo:
        await repo.comments(7)
    paths = [request["path"] for request in standin.requests]
    assert paths.count("/app/installations/99/access_tokens") == 2


async def test_three_times_told_there_is_one_comment_with_the_last_text(any_client, standin):
    for text in ("first", "second", "third"):
        async with any_client.open(REPO) as repo:
            await put_comment(repo, 7, f"{MARKER} {text}", marker=MARKER, known_id=None)
    assert [comment["body"] for comment in standin.comments] == [f"{MARKER} third"]


async def test_a_known_comment_is_edited_without_a_search_and_a_deleted_one_written_anew(token_client, standin):
    async with token_client.open(REPO) as repo:
        known = await put_comment(repo, 7, f"{MARKER} 1", marker=MARKER, known_id=None)
        standin.requests.clear()
        await put_comment(repo, 7, f"{MARKER} 2", marker=MARKER, known_id=known)
        assert [request["method"] for request in standin.requests] == ["PATCH"]
        standin.comments.clear()
        await put_comment(repo, 7, f"{MARKER} 3", marker=MARKER, known_id=known)
    assert [comment["body"] for comment in standin.comments] == [f"{MARKER} 3"]


async def test_somebody_else_s_comment_with_our_marker_is_left_alone(app_client, token_client, standin):
    async with token_client.open(REPO) as repo:
        await repo.create_comment(7, f"{MARKER} not the app's")
    async with app_client.open(REPO) as repo:
        await put_comment(repo, 7, f"{MARKER} ours", marker=MARKER, known_id=None)
    assert [comment["body"] for comment in standin.comments] == [f"{MARKER} not the app's", f"{MARKER} ours"]


async def test_publishers_at_the_same_moment_leave_one_comment(app_client, standin):
    async def publish(text):
        async with app_client.open(REPO) as repo:
            await put_comment(repo, 7, f"{MARKER} {text}", marker=MARKER, known_id=None)

    await asyncio.gather(*(publish(number) for number in range(4)))
    assert len(standin.comments) == 1


async def test_a_file_is_read_at_its_commit(token_client, standin):
    standin.put_files(REPO, SHA, {"prompts/über uns.txt": b"\x00\xff binary"})
    async with token_client.open(REPO) as repo:
        assert await repo.file("prompts/über uns.txt", ref=SHA, limit=100) == b"\x00\xff binary"
        assert await repo.file("prompts/über uns.txt", ref="another", limit=100) is None


async def test_a_file_over_a_megabyte_comes_as_a_blob(token_client, standin):
    large = bytes(range(256)) * 5000
    standin.put_files(REPO, SHA, {"adapter/weights.bin": large, "adapter/config.json": b"{}", "adapter/x/y": b""})
    async with token_client.open(REPO) as repo:
        assert await repo.file("adapter/weights.bin", ref=SHA, limit=2_000_000) == large
        folder = await repo.folder("adapter/", ref=SHA, limit=2_000_000)
    assert folder == {"weights.bin": large, "config.json": b"{}"}


async def test_what_is_too_large_is_refused_before_it_is_fetched(token_client, standin):
    standin.put_files(REPO, SHA, {"adapter/a.bin": b"x" * 60, "adapter/b.bin": b"y" * 60})
    async with token_client.open(REPO) as repo:
        with pytest.raises(TooLarge, match="120 bytes"):
            await repo.folder("adapter", ref=SHA, limit=100)
    assert not any("/blobs/" in request["path"] for request in standin.requests)


@pytest.mark.parametrize("path", ["../other/secret", "/etc/passwd", "a/../../b", "x?ref=main", ".git/config"])
async def test_no_path_leads_out_of_the_repository(token_client, standin, path):
    async with token_client.open(REPO) as repo:
        with pytest.raises(CandidateInvalid):
            await repo.file(path, ref=SHA, limit=100)
    assert standin.requests == []


@pytest.mark.parametrize("name", ["acme", "acme/bot/../x", "acme/bot?x", "{+x}/y"])
async def test_a_repository_s_name_is_owner_and_name(token_client, name):
    with pytest.raises(BadInput, match="owner/name"):
        async with token_client.open(name):
            pass


@pytest.mark.parametrize(
    "failure, wait",
    [
        (Failure(status=429, headers={"Retry-After": "17"}), 17),
        (Failure(status=403, headers={"Retry-After": "60"}), 60),
        (Failure(status=500), None),
        (Failure(status=503, headers={"Retry-After": "5"}), 5),
    ],
)
async def test_a_busy_github_is_a_later_try_with_the_pause_that_it_asks_for(app_client, standin, failure, wait):
    failure.path = "/check-runs"
    standin.failures.append(failure)
    with pytest.raises(GitHubUnavailable, match=str(failure.status)) as caught:
        async with app_client.open(REPO) as repo:
            await put_check(repo, SHA, BODY, status=STATUS)
    assert caught.value.retry_after == wait
    assert standin.statuses == []


async def test_a_spent_rate_limit_waits_until_it_starts_anew(token_client, standin):
    headers = {"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "4102444800"}
    standin.failures.append(Failure(status=403, headers=headers))
    with pytest.raises(GitHubUnavailable) as caught:
        async with token_client.open(REPO) as repo:
            await put_check(repo, SHA, BODY, status=STATUS)
    assert caught.value.retry_after > 1_000_000


async def test_a_slow_github_is_a_later_try(github_url, standin):
    standin.failures.append(Failure(delay_s=1))
    client = GitHub(api_url=github_url, auth=TokenAuth("ghp_x"), timeout_s=0.2)
    with pytest.raises(GitHubUnavailable, match="no answer"):
        async with client.open(REPO) as repo:
            await repo.comments(7)
    await client.aclose()


async def test_a_github_that_is_not_there_is_a_later_try():
    client = GitHub(api_url="http://127.0.0.1:9", auth=TokenAuth("ghp_x"))
    with pytest.raises(GitHubUnavailable, match="no answer"):
        async with client.open(REPO) as repo:
            await repo.comments(7)
    await client.aclose()


async def test_what_can_never_work_is_no_later_try(token_client, standin):
    standin.failures.append(Failure(status=401))
    with pytest.raises(GitHubRefused, match="HTTP 401") as caught:
        async with token_client.open(REPO) as repo:
            await repo.comments(7)
    assert caught.value.status == 401


async def test_a_key_that_can_t_sign_is_named(github_url):
    settings = Settings(github_api_url=github_url, github_app_id="1", github_private_key=SecretStr("no key"))
    client = GitHub.from_settings(settings)
    with pytest.raises(ConfigInvalid, match="EVALWINDOW_GITHUB_PRIVATE_KEY"):
        async with client.open(REPO):
            pass
    await client.aclose()


def test_half_of_an_app_s_credentials_is_refused():
    with pytest.raises(ConfigInvalid, match="go together"):
        GitHub.from_settings(Settings(github_app_id="1"))


def test_without_credentials_there_is_no_client():
    assert GitHub.from_settings(Settings()) is None
