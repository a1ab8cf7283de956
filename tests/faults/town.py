"""Three teams, a web app, a dispatcher and a consumer: one team may flood it while the others work as usual."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import yaml
from sqlalchemy import create_engine, text

from evalwindow.client import Client
from evalwindow.model import Tier
from evalwindow.processes import free_port
from evalwindow.report.document import RunDocument
from evalwindow.store import Store
from evalwindow.store.tables import metadata
from tests.real.house import House, launch, until

FLOODER, OTHERS = "ads", ("search", "shop")
SHARD, SLOTS, TEAM_SHARDS = 5, 4, 3  # of each lane: samples a shard, shards at once, one team's of these
SAMPLES: Mapping[Tier, int] = {Tier.SMOKE: 3, Tier.REGRESSION: 40}  # of the house's suites
SUITES: Mapping[Tier, str] = {Tier.SMOKE: "trip", Tier.REGRESSION: "echo"}
PATIENCE_S = 240.0
PAUSE_S = 2.5  # of a team that works as usual, between two rounds: fewer than its quota's submissions in a minute
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "web": ("-m", "evalwindow.web"),
    "dispatcher": ("-m", "workers.dispatcher"),
    "consumer": (
        *("-m", "celery", "-A", "workers.app", "worker", "-P", "threads", "-c", str(2 * SLOTS), "-l", "INFO"),
        *("-Q", "regression.api,smoke.api", "--without-gossip", "--without-mingle"),
    ),
}


class Town:
    """Over a house: its config for three teams, its processes, and what they and the database weigh."""

    def __init__(
        self, house: House, store: Store, *, quota: Mapping[str, Any], environ: Mapping[str, str] | None = None
    ) -> None:
        self.store = store
        self.url = f"http://127.0.0.1:{free_port('127.0.0.1', 0)}"
        self.tokens = {team: store.add_token(team) for team in (FLOODER, *OTHERS)}
        self._folder = house.folder
        self._environ = {
            **house.environ,
            **(environ or {}),
            "EVALWINDOW_PORT": self.url.rpartition(":")[2],
            "EVALWINDOW_LOG_LEVEL": "WARNING",
            "EVALWINDOW_LEASE_S": "20",
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._engine = create_engine(store.url)
        _settle(house.folder / "evalwindow.yaml", quota=quota)

    def open(self) -> None:
        """Start everything; it answers when this returns."""
        for kind, command in COMMANDS.items():
            line = [sys.executable, *command]
            self._processes[kind] = launch(line, environ=self._environ, log=self._log(kind))
        until(self._answers)
        until(lambda: "ready." in self._log("consumer").read_text())

    def close(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()
        self._engine.dispose()

    def said(self) -> str:
        return "\n".join(self._log(kind).read_text(errors="replace") for kind in COMMANDS)

    def memory(self) -> dict[str, int]:
        """Bytes of memory that each process has."""
        return {kind: psutil.Process(process.pid).memory_info().rss for kind, process in self._processes.items()}

    def rows(self) -> dict[str, int]:
        """Rows of each table."""
        with self._engine.begin() as connection:
            return {
                table.name: connection.execute(text(f"SELECT count(*) FROM {table.name}")).scalar_one()  # noqa: S608
                for table in metadata.sorted_tables
            }

    def database_bytes(self) -> int:
        """What the database takes on disk once dead rows are swept away."""
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM"))
            size: int = connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one()
        return size

    def select(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        with self._engine.begin() as connection:
            return [tuple(row) for row in connection.execute(text(statement), values)]

    def _answers(self) -> bool:
        assert all(process.poll() is None for process in self._processes.values()), self.said()
        try:
            with urllib.request.urlopen(f"{self.url}/healthz") as answer:  # noqa: S310 - our own, by http
                return bool(answer.status == 200)
        except OSError:
            return False

    def _log(self, kind: str) -> Path:
        return self._folder / f"{kind}.log"


def _settle(path: Path, *, quota: Mapping[str, Any]) -> None:
    """Lay three teams, one of them with a quota of its own, over the house's config."""
    config = yaml.safe_load(path.read_text())
    lane = {"slots": 2 * SHARD * SLOTS, "shard_size": SHARD, "consumers": SLOTS, "team_shards": TEAM_SHARDS}
    config["limits"] = {"regression_prompts": SAMPLES[Tier.REGRESSION]}
    config["lanes"] = {"smoke": lane, "regression": lane}
    config["teams"] = {team: {"repos": [f"acme/{team}"]} for team in (FLOODER, *OTHERS)}
    config["teams"][FLOODER]["quota"] = dict(quota)
    path.write_text(yaml.safe_dump(config))


def wish(tier: Tier, *, note: str, use_cache: bool = True) -> dict[str, Any]:
    """A run that differs from every other by its note."""
    return {"suite": SUITES[tier], "candidate": {"model": "parrot", "system": note}, "use_cache": use_cache}


async def usual_work(town: Town, team: str, *, over: asyncio.Event, least: int) -> list[RunDocument]:
    """Smoke and regression runs of a team one after another, `least` of each, and on until `over`."""
    done: list[RunDocument] = []
    async with Client.open(town.url, town.tokens[team]) as client:
        while not (over.is_set() and len(done) >= 2 * least):
            for tier in Tier:
                accepted = await client.submit(wish(tier, note=f"{team} {len(done)}"))
                done.append(await client.wait(accepted.id, timeout_s=PATIENCE_S))
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), 0 if over.is_set() else PAUSE_S)
    return done
