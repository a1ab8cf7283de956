import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from evalwindow.config import ApiModel, Config, ReplayModel, WarmModel
from evalwindow.config_file import read_config, unknown_suites
from evalwindow.errors import ConfigInvalid

CONFIG: dict[str, Any] = {
    "pools": {"warm": {"model": "models/base", "max_num_seqs": 64, "lora": {"max_adapters": 2}}},
    "models": {"demo": {"engine": "vllm", "pool": "warm"}},
}
ADAPTED = {"engine": "vllm", "pool": "warm", "adapter": "adapters/good"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("suites", "models/base", "adapters/good"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (tmp_path / "adapters" / "good" / name).touch()
    return tmp_path


def read(folder: Path, **changes: Any) -> Config:
    path = folder / "evalwindow.yaml"
    path.write_text(yaml.safe_dump({**CONFIG, **changes}, sort_keys=False))
    return read_config(path)


def refusal(folder: Path, **changes: Any) -> str:
    with pytest.raises(ConfigInvalid) as caught:
        read(folder, **changes)
    return str(caught.value).replace(str(folder) + "/", "")


def test_paths_start_at_the_configs_own_folder(folder: Path) -> None:
    config = read(folder, models={"demo": ADAPTED}, suites="suites")
    assert config.suites == folder / "suites"
    assert config.pools["warm"].model == str(folder / "models" / "base")
    model = config.models["demo"]
    assert isinstance(model, WarmModel)
    assert model.adapter == folder / "adapters" / "good"


def test_it_is_read_the_same_from_another_working_directory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = read(folder)
    monkeypatch.chdir(folder)
    assert read_config(Path("evalwindow.yaml")) == expected


def test_a_hub_name_stays_as_it_is(folder: Path) -> None:
    assert read(folder, pools={"warm": {"model": "org/model-8b"}}).pools["warm"].model == "org/model-8b"


def test_models_behind_an_api_and_replays_need_no_pool(folder: Path) -> None:
    (folder / "outputs.jsonl").touch()
    models = {
        "far": {"engine": "openai", "base_url": "https://api.example.com/v1", "model": "m"},
        "old": {"engine": "replay", "outputs": "outputs.jsonl"},
    }
    config = read(folder, pools={}, models=models)
    assert isinstance(config.models["far"], ApiModel)
    assert isinstance(config.models["old"], ReplayModel)
    assert config.models["old"].outputs == folder / "outputs.jsonl"


def test_a_misspelt_key_is_named_with_line_and_nearest(folder: Path) -> None:
    text = refusal(folder, models={"demo": {"engine": "vllm", "pol": "warm"}})
    assert text.splitlines() == [
        "evalwindow.yaml:8: models.demo: key 'pool' is missing",
        "evalwindow.yaml:10: models.demo.pol: unknown key 'pol'; did you mean 'pool'?",
    ]


def test_an_unknown_engine_is_named(folder: Path) -> None:
    text = refusal(folder, models={"demo": {"engine": "vlm", "pool": "warm"}})
    assert text.endswith("models.demo: unknown engine 'vlm'; did you mean 'vllm'?")


def test_an_unknown_pool_is_named_with_the_nearest(folder: Path) -> None:
    text = refusal(folder, models={"demo": {"engine": "vllm", "pool": "worm"}})
    assert text == "evalwindow.yaml:10: models.demo.pool: unknown pool 'worm'; did you mean 'warm'?"


def test_lanes_that_need_more_than_the_engine_runs_are_refused_with_the_sum(folder: Path) -> None:
    text = refusal(folder, lanes={"smoke": {"slots": 20}, "regression": {"slots": 50}})
    assert text.startswith("evalwindow.yaml:4: pools.warm.max_num_seqs: ")
    assert "lanes.smoke.slots 20 + lanes.regression.slots 50 = 70, more than max_num_seqs 64" in text
    assert read(folder, lanes={"smoke": {"slots": 20}, "regression": {"slots": 44}})


@pytest.mark.parametrize(
    "changes, complaint",
    [
        ({"suites": "siutes"}, "suites: there is no folder"),
        ({"pools": {"warm": {"model": "./models/none"}}}, "pools.warm.model: there is no folder './models/none'"),
        ({"pools": {"warm": {"model": "a/b/c"}}}, "pools.warm.model: there is no folder 'a/b/c'"),
        ({"pools": {"warm": {"model": "m"}, "api": {"model": "m"}}}, "pools.api: the name 'api' is kept"),
        ({"pools": {"warm": {"model": "m"}, "a b": {"model": "m"}}}, "'a b' is no name"),
        ({"pools": {"warm": {"model": "m"}}, "models": {"demo": ADAPTED}}, "pool 'warm' takes no adapters"),
        ({"models": {}}, "models: no model is defined"),
        (
            {"models": {"demo": {**ADAPTED, "adapter": "adapters/none"}}},
            "models.demo.adapter: there is no adapter_config",
        ),
        ({"models": {"demo": {"engine": "openai", "base_url": "api.com", "model": "m"}}}, "'api.com' is no URL"),
        ({"models": {"demo": {"engine": "replay", "outputs": "none.jsonl"}}}, "models.demo.outputs: there is no file"),
        ({"teams": {"a": {"repos": ["search"]}}}, "teams.a.repos[0]: 'search' is no repository; write owner/name"),
        (
            {"teams": {"a": {"repos": ["x/y"]}, "b": {"repos": ["X/Y"]}}},
            "teams.b.repos[0]: 'X/Y' belongs to team 'a' already",
        ),
        (
            {"quota": {"queued_samples": 400}},
            "quota.queued_samples: 400 is less than limits.regression_prompts 500: a suite of that size could never",
        ),
        (
            {"teams": {"a": {"quota": {"queued_samples": 499}}}},
            "teams.a.quota.queued_samples: 499 is less than limits.regression_prompts 500",
        ),
    ],
)
def test_what_does_not_fit_together_is_named_by_its_key(folder: Path, changes: dict[str, Any], complaint: str) -> None:
    assert complaint in refusal(folder, **changes)


@pytest.mark.parametrize("adapter", ["../outside", "{absolute}"])
def test_an_adapter_outside_of_the_folder_is_refused(folder: Path, tmp_path: Path, adapter: str) -> None:
    inner = folder / "inner"
    (inner / "suites").mkdir(parents=True)
    outside = folder / "outside"
    outside.mkdir()
    model = {**ADAPTED, "adapter": adapter.replace("{absolute}", str(outside))}
    pools = {"warm": {"model": "m", "lora": {}}}
    assert "lies outside of" in refusal(inner, pools=pools, models={"demo": model})


def test_an_adapter_that_is_a_link_to_elsewhere_is_refused(folder: Path) -> None:
    inner = folder / "inner"
    (inner / "suites").mkdir(parents=True)
    (inner / "link").symlink_to(folder / "adapters" / "good")
    pools = {"warm": {"model": "m", "lora": {}}}
    assert "lies outside of" in refusal(inner, pools=pools, models={"demo": {**ADAPTED, "adapter": "link"}})


NIGHTLY = {
    "cron": "0 22 * * *",
    "duration_minutes": 60,
    "timezone": "Europe/Berlin",
    "team": "a",
    "suites": ["echo"],
    "models": ["demo"],
    "mail": [{"to": ["a@b.example"], "suites": ["echo"]}],
}


def test_a_window_is_read_with_its_defaults(folder: Path) -> None:
    config = read(folder, teams={"a": {}}, windows={"nightly": NIGHTLY})
    assert config.windows["nightly"].branch == "main"
    assert config.windows["nightly"].aa


@pytest.mark.parametrize(
    "change, complaint",
    [
        ({"team": "b"}, "windows.nightly.team: unknown team 'b'; known: a"),
        ({"models": ["demo", "dmo"]}, "windows.nightly.models[1]: unknown model 'dmo'; did you mean 'demo'?"),
        ({"models": ["old"]}, "windows.nightly.models[0]: 'old' is a recording, which no engine answers"),
        ({"models": []}, "windows.nightly.models: tuple should have at least 1 item"),
        (
            {"timezone": "Europe/Brelin"},
            "windows.nightly.timezone: timezone 'Europe/Brelin' is unknown; write one",
        ),
        ({"cron": "0 25 * * *"}, "windows.nightly.cron: cron '0 25 * * *' can't be read"),
        ({"cron": "0 0 31 2 *"}, "windows.nightly.cron: cron '0 0 31 2 *' can't be read"),
        ({"cron": "@daily"}, "windows.nightly.cron: cron '@daily' needs five fields"),
        ({"duration_minutes": 0}, "windows.nightly.duration_minutes: input should be greater than 0"),
        ({"mail": [{"to": ["nobody"]}]}, "windows.nightly.mail[0].to[0]: string should match pattern"),
        (
            {"mail": [{"to": ["a@b.example"], "suites": ["eco"]}]},
            "windows.nightly.mail[0].suites[0]: unknown suite 'eco'; did you mean 'echo'?",
        ),
    ],
)
def test_what_a_window_names_has_to_be_there(folder: Path, change: dict[str, Any], complaint: str) -> None:
    (folder / "old.jsonl").touch()
    models = {**CONFIG["models"], "old": {"engine": "replay", "outputs": "old.jsonl"}}
    text = refusal(folder, teams={"a": {}}, models=models, windows={"nightly": NIGHTLY | change})
    assert re.match(r"evalwindow\.yaml:\d+: ", text)
    assert complaint in text
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize("name", ["a b", "upkeep:main"])
def test_a_window_s_name_becomes_a_dag_s_name(folder: Path, name: str) -> None:
    assert f"{name!r} is no name" in refusal(folder, teams={"a": {}}, windows={name: NIGHTLY})


def test_a_suite_of_a_window_that_nobody_has_written_is_said_with_its_line(folder: Path) -> None:
    window = NIGHTLY | {"suites": ["echo", "eccho"]}
    config = read(folder, teams={"a": {}}, windows={"nightly": window})
    path = folder / "evalwindow.yaml"
    [line] = [number for number, text in enumerate(path.read_text().splitlines(), 1) if "- eccho" in text]
    said = f"{path}:{line}: windows.nightly.suites[1]: unknown suite 'eccho'; did you mean 'echo'?"
    assert unknown_suites(path, config, ["echo", "other"]) == [said]
    assert unknown_suites(path, config, ["echo", "eccho"]) == []


def registered(**registry: Any) -> dict[str, Any]:
    place = {"tracking_uri": "http://mlflow:5000", "name": "support", "version": "7"}
    return {"demo": {"engine": "vllm", "pool": "warm", "registry": place | registry}}


@pytest.mark.parametrize(
    "uri", ["https://mlflow.example", "sqlite:////var/mlflow.db", "postgresql+psycopg://u@h/mlflow"]
)
def test_a_registry_lies_behind_http_or_in_a_database(folder: Path, uri: str) -> None:
    model = read(folder, models=registered(tracking_uri=uri)).models["demo"]
    assert isinstance(model, WarmModel) and model.registry is not None
    assert (model.registry.tracking_uri, model.registry.alias) == (uri, "production")


def test_a_registry_s_file_lies_beside_the_config(folder: Path) -> None:
    model = read(folder, models=registered(tracking_uri="sqlite:///mlflow.db")).models["demo"]
    assert isinstance(model, WarmModel) and model.registry is not None
    assert model.registry.tracking_uri == f"sqlite:///{folder}/mlflow.db"


@pytest.mark.parametrize("uri", ["mlruns", "/var/mlruns", "http://", "sqlite:///", "databricks"])
def test_another_place_of_a_registry_is_refused(folder: Path, uri: str) -> None:
    text = refusal(folder, models=registered(tracking_uri=uri))
    assert f"models.demo.registry.tracking_uri: {uri!r} is no place of an MLflow registry; write http" in text


def test_a_version_is_a_number(folder: Path) -> None:
    assert "models.demo.registry.version: " in refusal(folder, models=registered(version="latest"))


def test_what_is_kept_for_ever_is_null_and_no_day_is_none(folder: Path) -> None:
    config = read(folder, retention={"outputs_days": None, "cache_days": 3})
    assert (config.retention.outputs_days, config.retention.cache_days, config.retention.reports_days) == (None, 3, 30)
    assert "retention.cache_days: input should be greater than 0" in refusal(folder, retention={"cache_days": 0})
    assert "did you mean 'outputs_days'?" in refusal(folder, retention={"output_days": 3})


def test_all_complaints_come_at_once(folder: Path) -> None:
    lines = refusal(folder, suites="none", models={"demo": {"engine": "vllm", "pool": "worm"}}).splitlines()
    assert len(lines) == 2


def test_a_config_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"evalwindow\.yaml:1: can't be read: No such file"):
        read_config(tmp_path / "evalwindow.yaml")


def test_hours_in_which_an_engine_stays_warm_are_checked_as_windows_are(folder: Path) -> None:
    def keep(**hours: Any) -> dict[str, Any]:
        day = {"cron": "0 8 * * 1-5", "duration_minutes": 600, "timezone": "Europe/Berlin"}
        warm = {"idle_minutes": 20, "rest": "stop", "hours": [{**day, **hours}]}
        return {"warm": {**CONFIG["pools"]["warm"], "keep_warm": warm}}

    kept = read(folder, pools=keep()).pools["warm"].keep_warm
    assert kept is not None
    assert (kept.idle_minutes, kept.rest, kept.hours[0].timezone) == (20, "stop", "Europe/Berlin")
    text = refusal(folder, pools=keep(cron="0 25 * * *"))
    assert "pools.warm.keep_warm.hours[0].cron: cron '0 25 * * *' can't be read" in text
    text = refusal(folder, pools=keep(timezone="Europe/Berln"))
    assert "pools.warm.keep_warm.hours[0].timezone: timezone 'Europe/Berln' is unknown" in text


def test_gpus_that_pools_share_are_read(folder: Path) -> None:
    pools = {
        "warm": {"model": "m", "gpu": "a100", "memory_gib": 40},
        "other": {"model": "n", "gpu": "a100", "memory_gib": 39},
    }
    config = read(folder, gpus={"a100": {"memory_gib": 80}}, pools=pools)
    assert config.gpus[config.pools["other"].gpu or ""].memory_gib == 80


@pytest.mark.parametrize(
    "pool, complaint",
    [
        ({"gpu": "a10"}, "pools.warm.gpu: unknown gpu 'a10'; did you mean 'a100'?"),
        ({"memory_gib": 4}, "pools.warm.memory_gib: it is a share of a GPU's memory; name the GPU in `gpu`"),
        ({"gpu": "a100", "memory_gib": 81}, "memory_gib: 81 is more than the 80 GiB of gpu 'a100'"),
        (
            {"gpu": "a100", "memory_gib": 9, "arguments": ["--kv_cache_memory_bytes=1G"]},
            "pools.warm.memory_gib: with --kv-cache-memory-bytes in `arguments` vLLM pays no heed to it",
        ),
        ({"arguments": ["-tp", "some"]}, "pools.warm.arguments: --tensor-parallel-size 'some' is no number"),
        ({"step_tokens": 63}, "pools.warm.step_tokens: 63 is less than max_num_seqs 64"),
        (
            {"step_tokens": 64, "max_model_len": 65, "arguments": ["--no-enable-chunked-prefill"]},
            "pools.warm.step_tokens: 64 is less than max_model_len 65, and without chunked prefill",
        ),
    ],
)
def test_memory_that_nobody_can_give_is_refused(folder: Path, pool: dict[str, Any], complaint: str) -> None:
    gpus = {"a100": {"memory_gib": 80}}
    assert complaint in refusal(folder, gpus=gpus, pools={"warm": {"model": "m", "max_num_seqs": 64, **pool}})


def test_pools_that_a_gpu_can_not_hold_together_are_refused_with_the_sum(folder: Path) -> None:
    pools = {
        "warm": {"model": "m", "gpu": "a100", "memory_gib": 40},
        "next": {"model": "n", "gpu": "a100", "memory_gib": 40},
    }
    text = refusal(folder, gpus={"a100": {"memory_gib": 80}}, pools=pools)
    assert "pools.next.gpu: 40 (warm) + 40 (next) + 0.5 each for CUDA = 81, more than the 80 GiB of gpu 'a100'" in text
    assert text.endswith("lower memory_gib by 1")
    del pools["next"]["memory_gib"]
    text = refusal(folder, gpus={"a100": {"memory_gib": 80}}, pools=pools)
    assert "40 (warm) + 73.6 (next) + 0.5 each for CUDA = 114.6" in text
    assert text.endswith("give next a memory_gib")
