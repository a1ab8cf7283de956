"""The files that a soak's processes read: evalwindow.yaml and small suites."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from demo.walkthrough.stage import ROOT

TEAM, REPO = "search", "acme/search"
ALERTS = "alerts@acme.example"
Engine = Literal["tiny", "api"]
SMOKES, REGRESSIONS = 5, 120  # samples


@dataclass(frozen=True, kw_only=True)
class Task:
    """A model with the suites that suit it."""

    model: str
    smoke: str
    regression: str


PARROT = Task(model="parrot", smoke="echo-smoke", regression="echo-regression")
TINY = Task(model="demo", smoke="demo-smoke", regression="demo-regression")


def tasks(engine: Engine) -> tuple[Task, ...]:
    """The provider's always, the GPU unit's where there is one."""
    return (TINY, PARROT) if engine == "tiny" else (PARROT,)


def furnish(folder: Path, *, engine: Engine, parrot_url: str) -> Path:
    """Write evalwindow.yaml and the suites; the config's path."""
    suites = folder / "suites"
    suites.mkdir(parents=True)
    _write_echo(suites, PARROT.smoke, tier="smoke", samples=SMOKES)
    _write_echo(suites, PARROT.regression, tier="regression", samples=REGRESSIONS)
    if engine == "tiny":
        _copy(suites, TINY.smoke, samples=SMOKES)
        _copy(suites, TINY.regression, samples=REGRESSIONS)
    path = folder / "evalwindow.yaml"
    path.write_text(yaml.safe_dump(_config(suites, engine=engine, parrot_url=parrot_url)))
    return path


def _config(suites: Path, *, engine: Engine, parrot_url: str) -> dict[str, Any]:
    soon = {"cooldown_s": 2, "longest_s": 10}
    parrot = {"engine": "openai", "base_url": parrot_url, "model": "parrot", "timeout_s": 10, "api_key_env": "PARROT"}
    config: dict[str, Any] = {
        "suites": str(suites),
        "models": {"parrot": parrot},
        "teams": {TEAM: {"repos": [REPO]}},
        "lanes": {
            "smoke": {"slots": 10, "priority": -10, "consumers": 4},
            "regression": {"slots": 16, "shard_size": 20, "consumers": 4, "team_shards": 4},
        },
        "quota": {"smoke_runs": 200, "submissions_per_minute": 2000},
        "breakers": dict.fromkeys(("engines", "providers", "notifiers", "team_errors"), soon),
        "alerts": {"to": [ALERTS]},
    }
    if engine == "tiny":
        pool = yaml.safe_load((ROOT / "evalwindow.yaml").read_text())["pools"]["warm"]
        own = {"model": str(ROOT / pool["model"]), "hang_s": 10, "shutdown_s": 5, "calibrate": False}
        config["pools"] = {"warm": {**pool, **own}}
        config["models"]["demo"] = {"engine": "vllm", "pool": "warm"}
    return config


def _write_echo(folder: Path, name: str, *, tier: str, samples: int) -> None:
    rows = [
        {"id": f"s{n}", "input": f"say {n}", "target": str(n), "must_pass": tier == "smoke"} for n in range(samples)
    ]
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    spec = {"suite": name, "tier": tier, "scorers": ["exact"], "dataset": {"path": f"{name}.jsonl"}}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(spec))


def _copy(folder: Path, name: str, *, samples: int) -> None:
    """The first of the demo's samples."""
    spec = yaml.safe_load((ROOT / "suites" / f"{name}.yaml").read_text())
    lines = (ROOT / "suites" / spec["dataset"]["path"]).read_text().splitlines(keepends=True)
    (folder / f"{name}.jsonl").write_text("".join(lines[:samples]))
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(spec | {"dataset": {"path": f"{name}.jsonl"}, "policy": {}}))
