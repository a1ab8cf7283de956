"""The operator's commands about engines, on a real database."""

import json
import threading
from pathlib import Path

import pytest
import yaml

from evalwindow.model import EngineInfo
from evalwindow.store.engine_rows import EngineLoad, LaneLoad

INFO = EngineInfo(engine="vllm", version="0.32.0", model_digest="a" * 64)
LOAD = EngineLoad(
    busy_s=12.0,
    lost_s=2.0,
    held_back_s=0.5,
    lanes={"smoke": LaneLoad(prompts=10, gpu_s=4.0), "regression": LaneLoad(in_flight=54, waiting=446, gpu_s=6.0)},
    busy_share=0.75,
    output_tokens_s=1234.4,
    adapters=("lora-a",),
)


@pytest.fixture
def store(folder: Path, installation):
    path = folder / "evalwindow.yaml"
    config = yaml.safe_load(path.read_text())
    config["pools"] = {
        "warm": {"model": "org/model", "keep_warm": {"idle_minutes": 5}},
        "spare": {"model": "org/other"},
    }
    config["models"]["demo"] = {"engine": "vllm", "pool": "warm"}
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return installation.store


def take(store, worker: str) -> str | None:
    return store.take_turn("warm", worker, config_age_s=3600, model_digest="", lease_s=60)


def test_what_is_served_by_whom_is_listed(evalwindow, store):
    store.heartbeat("warm", "host:1", INFO, "ready", generation=3, load=LOAD)
    out = evalwindow("pools").out
    row = next(line for line in out.splitlines() if "host:1" in line).split()
    assert row[:3] == ["warm", "host:1", "ready"] and "a" * 12 in row
    assert row[-6:] == ["75.0", "%", "1234", "–", "54", "446"]
    assert next(line for line in out.splitlines() if line.startswith("spare")).split() == ["spare", "–", "no", "unit"]
    [warm, spare] = json.loads(evalwindow("pools", "--json").out)
    assert (warm["pool"], warm["models"], spare["engines"]) == ("warm", ["demo"], [])
    assert warm["engines"][0]["load"]["lanes"]["regression"]["waiting"] == 446


def test_one_pool_is_shown_with_what_its_engines_did(evalwindow, store):
    store.heartbeat("warm", "host:1", INFO, "resting", load=LOAD)
    out = evalwindow("pools", "show", "warm").out
    assert out.startswith("pool warm: org/model, sleeps after 5 min without a prompt; serves demo\n")
    assert "host:1: resting since" in out and "1 adapter: lora-a" in out
    assert "busy 12.0 s, of that 2.0 s for prompts without an answer; regression was held back 500 ms" in out
    assert evalwindow("pools", "show", "wram").err == "error: unknown pool 'wram'; did you mean 'warm'?\n"
    assert "start `python -m workers.gpu --pool spare`" in evalwindow("pools", "show", "spare").out


def test_a_rollout_is_asked_for_and_watched_to_its_end(evalwindow, store):
    store.heartbeat("warm", "host:1", INFO, "ready")
    store.heartbeat("warm", "host:2", INFO, "ready")

    def work() -> None:
        for worker in ("host:1", "host:2"):
            while (turn := take(store, worker)) is None:
                pass
            store.end_turn(turn, "warm", worker, model_digest="b" * 64)

    thread = threading.Thread(target=work)
    thread.start()
    done = evalwindow("pools", "roll", "warm", "--watch", "--reason", "release 4", "--by", "lea")
    thread.join()
    assert done.code == 0
    assert done.out.splitlines()[-3:] == ["done", f"  host:1: done {'b' * 12}", f"  host:2: done {'b' * 12}"]
    [listed] = json.loads(evalwindow("pools", "rollouts", "warm", "--json").out)
    assert (listed["state"], listed["reason"], listed["requested_by"]) == ("done", "release 4", "lea")
    assert "release 4" in evalwindow("pools", "rollouts").out


def test_a_halted_rollout_says_why_and_has_an_exit_code_of_its_own(evalwindow, store):
    store.heartbeat("warm", "host:1", INFO, "ready")

    def work() -> None:
        while (turn := take(store, "host:1")) is None:
            pass
        store.halt_rollout(turn, "warm", "host:1", error="wrong answer to the canary")

    thread = threading.Thread(target=work)
    thread.start()
    done = evalwindow("pools", "roll", "warm", "--watch")
    thread.join()
    assert done.code == 1
    assert "halted: host:1: wrong answer to the canary" in done.out
    assert "halted" in evalwindow("pools", "show", "warm").out


def test_a_pool_without_a_living_unit_can_not_be_rolled(evalwindow, store):
    done = evalwindow("pools", "roll", "warm")
    assert done.code == 2
    assert done.err.startswith("error: no unit of pool 'warm' lives")
    assert "unknown pool 'cold'" in evalwindow("pools", "roll", "cold").err
    assert evalwindow("pools", "rollouts").out.startswith("no model was changed yet")
