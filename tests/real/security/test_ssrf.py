"""Whatever a pull request or a job writes, and wherever it writes a URL: no process of ours asks that URL anything."""

from __future__ import annotations

import asyncio
import base64
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

import aiohttp
import pytest
import pytest_asyncio
import yaml

from evalwindow.config import Lora, Quota
from evalwindow.engines.adapters import CONFIG, check_adapter
from evalwindow.errors import CandidateInvalid
from evalwindow.store.rows import Scope
from evalwindow.web.app import create_app
from tests.real.github.serving import serving
from tests.real.web.conftest import SECRET
from tests.real.web.helpers import signed
from tests.unit.engines.test_adapters import adapter
from tests.unit.github.examples import pull_request


@dataclass
class Trap:
    """A host that nobody has a reason to ask, and what this process asked the network for."""

    port: int
    asked: list[str] = field(default_factory=list)
    listening: bool = False

    @property
    def urls(self) -> list[str]:
        """As a URL, as what clients take for one, and without its scheme."""
        host = f"127.0.0.1:{self.port}"
        names = [f"http://{host}/x", f"{host}/x", f"//{host}/x", f"http://trap.invalid:{self.port}", f"hf://{host}/x"]
        return [*names, f"file://{host}/etc/passwd", f"sqlite:////tmp/{self.port}", f"postgresql://u:p@{host}/x"]

    def hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.listening and event in ("socket.connect", "socket.getaddrinfo", "open", "sqlite3.connect"):
            text = repr(arguments[1:] if event == "socket.connect" else arguments)
            if str(self.port) in text or "trap.invalid" in text or "/etc/passwd" in text:
                self.asked.append(f"{event} {text}")


TRAPS: list[Trap] = []
sys.addaudithook(lambda event, arguments: [trap.hear(event, arguments) for trap in TRAPS] and None)


@contextmanager
def _listening() -> Iterator[Trap]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        trap = Trap(listener.getsockname()[1], listening=True)
        TRAPS.append(trap)
        try:
            yield trap
        finally:
            TRAPS.remove(trap)


@pytest.fixture
def trap() -> Iterator[Trap]:
    with _listening() as trap:
        yield trap


@pytest_asyncio.fixture
async def web(services) -> AsyncIterator[aiohttp.ClientSession]:
    """The app with room for all that is asked here."""
    config = services.config.model_copy(update={"quota": Quota(smoke_runs=10_000, submissions_per_minute=10_000)})
    async with serving(create_app(replace(services, config=config))) as url, aiohttp.ClientSession(url) as session:
        yield session


@pytest_asyncio.fixture
async def submit(web, services) -> AsyncIterator[Callable[..., Awaitable[int]]]:
    headers = {"Authorization": f"Bearer {services.store.add_token('search', scopes=[Scope.SUBMIT, Scope.PROMOTE])}"}

    async def send(body: object, path: str = "/v1/runs") -> int:
        async with web.post(path, json=body, headers=headers) as answer:
            return answer.status

    yield send


def test_the_trap_hears(trap) -> None:
    with socket.create_connection(("127.0.0.1", trap.port)):
        pass
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("trap.invalid", 80)
    assert len(trap.asked) == 3  # the first looks its host up, too


async def test_a_job_s_words_are_not_asked(submit, trap, services) -> None:
    good = {"suite": "sums-smoke", "candidate": {"model": "tiny"}}
    for url in trap.urls:
        for body, status in [
            ({**good, "suite": url}, 422),
            ({**good, "candidate": {"model": url}}, 422),
            ({**good, "candidate": {"model": "tiny", "adapter": url}}, 422),
            ({**good, "candidate": {"model": "tiny", "base_url": url}}, 422),
            ({**good, "candidate": {"model": "tiny", "registry": {"tracking_uri": url}}}, 422),
            ({**good, "candidate": {"model": "tiny", "sampling": {"base_url": url}}}, 422),
            ({**good, "candidate": {"model": "tiny", "sampling": {"stop": [url]}}}, 202),
            ({**good, "candidate": {"model": "tiny", "system": url, "template": url + " {{ input }}"}}, 202),
            ({**good, "candidate": {"model": "tiny", "template": f"{{% include '{url}' %}}"}}, 422),
            ({**good, "source": {"repo": url}}, 422),
            ({**good, "source": {"branch": url[:100]}}, 202),
        ]:
            assert await submit(body) == status, body
        assert await submit({"run": url, "reason": url}, "/v1/baselines") in (404, 422)
        weights = {name: base64.b64encode(b"x").decode() for name in (url, CONFIG)}
        assert await submit({"name": url, "files": weights}, "/v1/adapters") == 422
    assert await submit({**good, "source": {"url": trap.urls[0]}}) == 202  # shown as a link, asked by nobody here
    assert trap.asked == []


async def test_a_pull_request_s_file_is_not_asked(web, services, standin, trap) -> None:
    good = {"suites": ["sums-smoke"], "candidate": {"model": "tiny"}}
    documents = []
    for url in trap.urls:
        for key in ("model", "adapter", "template_file", "template", "system", "base_url", "tracking_uri", "judge"):
            documents.append({**good, "candidate": {"model": "tiny", key: url}})
        documents += [{**good, "suites": [url]}, {**good, "registry": {"tracking_uri": url}}, {**good, "include": url}]
    for number, document in enumerate(documents):
        sha = f"{number:040x}"
        standin.put_files("acme/bot", sha, {".evalwindow.yaml": yaml.safe_dump(document).encode()})
        payload = pull_request(number=1000 + number, sha=sha)
        async with web.post("/webhooks/github", **signed(payload, SECRET)) as answer:
            assert answer.status == 202, await answer.text()
        await _handled(services, number + 1)
    states = [state for (state,) in _rows(services, "SELECT state FROM event")]
    assert len(states) == len(documents)
    assert set(states) <= {"done", "refused"}
    assert states.count("refused") > len(documents) // 2
    assert trap.asked == []


async def _handled(services, events: int) -> None:
    """The web app's own task takes it: one at a time, as a few more are left to the dispatcher."""
    ended = "SELECT count(*) FROM event WHERE state IN ('done', 'refused', 'failed')"
    while await asyncio.to_thread(_rows, services, ended) != [(events,)]:
        await asyncio.sleep(0.02)


def _rows(services, statement: str) -> list[tuple[object, ...]]:
    with services.store._transaction() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(statement).all()]


def test_an_adapter_that_names_its_base_model_by_url_is_only_read(trap) -> None:
    for url in trap.urls:
        for config in (
            {"base_model_name_or_path": url},
            {"auto_mapping": {"base_model_class": url}},
            {"revision": url},
        ):
            with suppress(CandidateInvalid):
                check_adapter(adapter(**config), lora=Lora(max_rank=8), base=None)
    assert trap.asked == []
