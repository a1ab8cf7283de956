"""When an engine rests and wakes, as its unit waits for it: by a file that changes, and by prompts that ask."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from evalwindow.config import Lanes, Pool
from evalwindow.lanes.client import GovernorClient
from evalwindow.lanes.hold import Ticket
from evalwindow.lanes.limits import LaneLimits
from evalwindow.lanes.server import GovernorServer
from evalwindow.model import Tier
from workers import rest
from workers.rest import Calendar, has_to_wake, may_rest

ALWAYS = {"cron": "* * * * *", "duration_minutes": 60}
TICKET = Ticket(tier=Tier.SMOKE, team="search", chars=10, max_tokens=4)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "suites").mkdir()
    return tmp_path / "evalwindow.yaml"


@pytest.fixture
async def governor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rest, "LOOK_S", 0.01)
    limits = LaneLimits.of(Lanes(), Pool(model="m"), None)
    governor = GovernorServer(tmp_path / "g.sock", limits, patience_s=600)
    await governor.start()
    yield governor
    await governor.stop()


def write(file: Path, keep_warm: dict[str, Any] | None, *, version: int) -> None:
    pools = {"warm": {"model": "org/m", "keep_warm": keep_warm}}
    file.write_text(yaml.safe_dump({"pools": pools, "models": {"demo": {"engine": "vllm", "pool": "warm"}}}))
    os.utime(file, (version, version))  # two changes within one tick of the clock are two


def test_the_calendar_follows_its_file_and_outlives_a_broken_one(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    calendar = Calendar(file, pool="warm")
    assert calendar.warmth is None
    write(file, {"idle_minutes": 1}, version=1)
    assert calendar.warmth is not None and calendar.warmth.idle_s == 60
    write(file, {"idle_minutes": -1}, version=2)
    assert calendar.warmth is not None and calendar.warmth.idle_s == 60
    assert "hours of pool warm stay as they were" in caplog.text
    write(file, {"idle_minutes": 2, "rest": "stop"}, version=3)
    assert calendar.warmth is not None and (calendar.warmth.idle_s, calendar.warmth.rest) == (120, "stop")
    write(file, None, version=4)
    assert calendar.warmth is None


async def test_an_engine_that_nobody_asks_may_rest_as_the_file_says(file: Path, governor: GovernorServer) -> None:
    write(file, {"idle_minutes": 1e-6, "rest": "stop", "hours": [ALWAYS]}, version=1)
    calendar = Calendar(file, pool="warm")
    with pytest.raises(TimeoutError):  # its hours keep it awake
        await asyncio.wait_for(may_rest(calendar, governor, ready_at=0.0), 0.2)
    write(file, {"idle_minutes": 1e-6, "rest": "stop"}, version=2)
    assert await may_rest(calendar, governor, ready_at=0.0) == "stop"


async def test_a_prompt_wakes_it_and_so_do_its_hours(file: Path, governor: GovernorServer, tmp_path: Path) -> None:
    write(file, {"idle_minutes": 1}, version=1)
    calendar = Calendar(file, pool="warm")
    waking = asyncio.create_task(has_to_wake(calendar, governor))
    client = GovernorClient(tmp_path / "g.sock", pool="warm", retry=lambda call: call())

    async def ask() -> str:
        async with client.hold("demo", TICKET) as hold:
            return hold.engine

    asking = asyncio.create_task(ask())
    await waking
    governor.open(LaneLimits.of(Lanes(), Pool(model="m"), None), engine="abc")
    assert await asking == "abc"
    governor.shut()
    assert not governor.wanted.is_set()
    waking = asyncio.create_task(has_to_wake(calendar, governor))
    write(file, {"idle_minutes": 1, "hours": [ALWAYS]}, version=2)
    await waking
    client.close()
