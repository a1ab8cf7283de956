"""What evalwindow.yaml and the environment say together."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from evalwindow.errors import ConfigInvalid
from evalwindow.services import build
from evalwindow.settings import read_settings

WARM = {"engine": "vllm", "pool": "warm"}
API = {"engine": "openai", "base_url": "https://api.example.com/v1", "model": "big"}


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "suites").mkdir()
    return {
        "EVALWINDOW_DATABASE_URL": "postgresql+psycopg://nobody@localhost/none",
        "EVALWINDOW_REDIS_URL": "redis://localhost:1/0",
        "EVALWINDOW_CONFIG": str(tmp_path / "evalwindow.yaml"),
        "EVALWINDOW_HOME": str(tmp_path),
    }


def write(environ: dict[str, str], model: dict[str, str], **failures: int) -> None:
    breakers = {kind: {"failures": count} for kind, count in failures.items()}
    config = {"suites": "suites", "pools": {"warm": {"model": "acme/m", "revision": "1"}}, "models": {"m": model}}
    Path(environ["EVALWINDOW_CONFIG"]).write_text(yaml.safe_dump({**config, "breakers": breakers}))


@pytest.mark.parametrize("model, kind", [(WARM, "engines"), (API, "providers")], ids=["engines", "providers"])
async def test_a_breaker_that_would_open_after_the_last_attempt_is_refused(
    environ: dict[str, str], model: dict[str, str], kind: str
) -> None:
    write(environ, model, **{kind: 6})
    words = (
        f"{environ['EVALWINDOW_CONFIG']}: breakers.{kind}.failures: 6 is more than EVALWINDOW_MAX_ATTEMPTS (5), "
        f"so an outage could fail a shard before the breaker opens; set it to 5 or less, or EVALWINDOW_MAX_ATTEMPTS "
        f"to 6 or more"
    )
    with pytest.raises(ConfigInvalid, match=f"^{re.escape(words)}$"):
        build(read_settings(environ))
    await build(read_settings({**environ, "EVALWINDOW_MAX_ATTEMPTS": "6"})).aclose()


async def test_what_no_model_is_guarded_by_may_count_as_far_as_it_likes(environ: dict[str, str]) -> None:
    write(environ, WARM, engines=5, providers=6, notifiers=60, team_errors=60)
    await build(read_settings(environ)).aclose()


def test_a_process_says_so_in_one_line(environ: dict[str, str]) -> None:
    write(environ, API)
    few = {**environ, "EVALWINDOW_MAX_ATTEMPTS": "4"}
    command = [sys.executable, "-m", "workers.dispatcher"]
    ended = subprocess.run(command, env=os.environ | few, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "breakers.providers.failures: 5 is more than EVALWINDOW_MAX_ATTEMPTS (4)" in ended.stderr
    assert "Traceback" not in ended.stderr
