"""evalwindow.yaml from disk: checked in itself, and against the files that it names."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from evalwindow.config import (
    API_POOL,
    REPLAY_POOL,
    ApiModel,
    Config,
    Hours,
    ModelConfig,
    Pool,
    Registered,
    ReplayModel,
    WarmModel,
    Window,
)
from evalwindow.errors import ConfigInvalid, UnknownName
from evalwindow.faults import Fault, Key
from evalwindow.fit.config import memory_faults
from evalwindow.windows import check_times
from evalwindow.yamlfile import read_yaml

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_REPO = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")
_SQLITE = "sqlite:///"
_TRACKING = re.compile(r"https?://[^/\s]+.*|sqlite:///.+|(postgresql|mysql|mssql)(\+\w+)?://.+")
_ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")


def read_config(path: Path) -> Config:
    """The config with its paths made absolute; raises ConfigInvalid with file:line for each thing wrong.

    Relative paths start at the config's own folder.
    """
    file = read_yaml(path, error=ConfigInvalid)
    config = _absolute(file.validate(Config), folder=path.parent.resolve())
    checks = (
        _names,
        _suites,
        _lanes,
        _pools,
        memory_faults,
        _warm_hours,
        _models,
        _registries,
        _teams,
        _quotas,
        _windows,
    )
    faults = [fault for check in checks for fault in check(config)]
    faults += _adapters(config, folder=path.parent.resolve())
    if faults:
        raise file.refuse(faults)
    return config


def unknown_suites(path: Path, config: Config, known: Collection[str]) -> list[str]:
    """A line for each suite that a window or a team names and nobody has written.

    Suites are another folder, which may be mended until the window opens: it is no reason to refuse the config.
    """
    named = [
        *((("windows", name, "suites"), window.suites) for name, window in config.windows.items()),
        *((("teams", name, "owns"), team.owns) for name, team in config.teams.items()),
    ]
    faults = [
        Fault(path=(*path, index), what=str(UnknownName("suite", suite, known)))
        for path, suites in named
        for index, suite in enumerate(suites)
        if suite not in known
    ]
    file = read_yaml(path, error=ConfigInvalid)
    return str(file.refuse(faults)).splitlines() if faults else []


def _absolute(config: Config, *, folder: Path) -> Config:
    pools = {name: pool.model_copy(update={"model": _weights(pool, folder)}) for name, pool in config.pools.items()}
    models = {name: _placed(model, folder) for name, model in config.models.items()}
    return config.model_copy(update={"suites": folder / config.suites, "pools": pools, "models": models})


def _weights(pool: Pool, folder: Path) -> str:
    """A folder that exists beside the config, as an absolute path; else the text as it is: a hub name."""
    local = folder / pool.model
    return str(local) if local.exists() else pool.model


def _placed(model: ModelConfig, folder: Path) -> ModelConfig:
    if isinstance(model, ReplayModel):
        return model.model_copy(update={"outputs": folder / model.outputs})
    changes: dict[str, Any] = {}
    if isinstance(model, WarmModel) and model.adapter is not None:
        changes["adapter"] = folder / model.adapter
    if model.registry is not None:
        changes["registry"] = _placed_registry(model.registry, folder)
    return model.model_copy(update=changes)


def _placed_registry(registry: Registered, folder: Path) -> Registered:
    """The file behind sqlite:///mlflow.db lies beside the config, as every relative path does."""
    kind, _, path = registry.tracking_uri.partition(_SQLITE)
    if kind or not path:
        return registry
    return registry.model_copy(update={"tracking_uri": f"{_SQLITE}{folder / path}"})


def _names(config: Config) -> Iterator[Fault]:
    groups: dict[str, dict[str, Any]] = {
        "gpus": config.gpus,
        "pools": config.pools,
        "models": config.models,
        "teams": config.teams,
        "windows": config.windows,
    }
    for group, entries in groups.items():
        for name in entries:
            if not _NAME.fullmatch(name):
                what = f"{name!r} is no name: letters, digits, . _ - and at most 64 characters"
                yield Fault(path=(group, name), what=what)
    if not config.models:
        yield Fault(path=("models",), what="no model is defined; there is nothing to evaluate")
    for name in {API_POOL, REPLAY_POOL} & config.pools.keys():
        yield Fault(path=("pools", name), what=f"the name {name!r} is kept for models that no pool serves")


def _suites(config: Config) -> Iterator[Fault]:
    if not config.suites.is_dir():
        yield Fault(path=("suites",), what=f"there is no folder {str(config.suites)!r}")


def _lanes(config: Config) -> Iterator[Fault]:
    """The lanes share one engine: together they may not have more prompts in flight than it runs at once."""
    smoke, regression = config.lanes.smoke.slots, config.lanes.regression.slots
    for name, pool in config.pools.items():
        if smoke + regression > pool.max_num_seqs:
            what = (
                f"lanes.smoke.slots {smoke} + lanes.regression.slots {regression} = {smoke + regression}, more than "
                f"max_num_seqs {pool.max_num_seqs}; lower the slots or raise max_num_seqs"
            )
            yield Fault(path=("pools", name, "max_num_seqs"), what=what)


def _pools(config: Config) -> Iterator[Fault]:
    for name, pool in config.pools.items():
        looks_local = pool.model.startswith((".", "/", "~")) or pool.model.count("/") > 1
        if looks_local and not Path(pool.model).is_dir():
            yield Fault(path=("pools", name, "model"), what=f"there is no folder {pool.model!r} beside this file")


def _warm_hours(config: Config) -> Iterator[Fault]:
    for name, pool in config.pools.items():
        for index, hours in enumerate(pool.keep_warm.hours if pool.keep_warm else ()):
            for key, what in _timed(hours):
                yield Fault(path=("pools", name, "keep_warm", "hours", index, *key), what=what)


def _models(config: Config) -> Iterator[Fault]:
    for name, model in config.models.items():
        faults = _warm(model, config) if isinstance(model, WarmModel) else _outside(model)
        for key, what in faults:
            yield Fault(path=("models", name, key), what=what)


def _warm(model: WarmModel, config: Config) -> Iterator[tuple[str, str]]:
    if model.pool not in config.pools:
        yield "pool", str(UnknownName("pool", model.pool, config.pools))
    elif model.adapter is not None and config.pools[model.pool].lora is None:
        yield "adapter", f"pool {model.pool!r} takes no adapters; give it `lora: {{}}`"


def _outside(model: ApiModel | ReplayModel) -> Iterator[tuple[str, str]]:
    if isinstance(model, ApiModel) and not re.match(r"https?://[^/\s]+", model.base_url):
        yield "base_url", f"{model.base_url!r} is no URL; it starts with http:// or https://"
    if isinstance(model, ApiModel) and "@" in model.base_url:  # it is shown in reports
        yield "base_url", "holds a user or password; name the variable of a key by api_key_env"
    if isinstance(model, ReplayModel) and not model.outputs.is_file():
        yield "outputs", f"there is no file {str(model.outputs)!r}"


def _registries(config: Config) -> Iterator[Fault]:
    for name, model in config.models.items():
        registry = None if isinstance(model, ReplayModel) else model.registry
        if registry is not None and not _TRACKING.fullmatch(registry.tracking_uri):
            what = (
                f"{registry.tracking_uri!r} is no place of an MLflow registry; write http://host:5000, "
                f"sqlite:///mlflow.db or postgresql://... (MLflow writes no folders any more)"
            )
            yield Fault(path=("models", name, "registry", "tracking_uri"), what=what)


def _adapters(config: Config, *, folder: Path) -> Iterator[Fault]:
    """An adapter is copied to workers, so it is a folder of this checkout and never of the rest of the machine."""
    for name, model in config.models.items():
        if isinstance(model, WarmModel) and model.adapter is not None:
            what = _adapter(model.adapter, folder=folder)
            if what:
                yield Fault(path=("models", name, "adapter"), what=what)


def _adapter(adapter: Path, *, folder: Path) -> str | None:
    if not adapter.resolve().is_relative_to(folder):
        return f"{str(adapter)!r} lies outside of {str(folder)!r}"
    missing = [file for file in _ADAPTER_FILES if not (adapter / file).is_file()]
    return f"there is no {missing[0]} in {str(adapter)!r}; an adapter's folder holds it" if missing else None


def _teams(config: Config) -> Iterator[Fault]:
    owner: dict[str, str] = {}
    for team, entry in config.teams.items():
        for index, repo in enumerate(entry.repos):
            path = ("teams", team, "repos", index)
            if not _REPO.fullmatch(repo):
                yield Fault(path=path, what=f"{repo!r} is no repository; write owner/name")
            elif owner.setdefault(repo.lower(), team) != team:
                yield Fault(path=path, what=f"{repo!r} belongs to team {owner[repo.lower()]!r} already")


def _quotas(config: Config) -> Iterator[Fault]:
    """A run that is larger than its team's quota would be told to try again for ever."""
    largest = config.limits.regression_prompts
    own = [(("teams", name, "quota"), team.quota) for name, team in config.teams.items() if team.quota is not None]
    for path, quota in ((("quota",), config.quota), *own):
        if quota.queued_samples is not None and quota.queued_samples < largest:
            what = (
                f"{quota.queued_samples} is less than limits.regression_prompts {largest}: a suite of that size could "
                f"never run; raise it, or lower the limit"
            )
            yield Fault(path=(*path, "queued_samples"), what=what)


def _windows(config: Config) -> Iterator[Fault]:
    for name, window in config.windows.items():
        for key, what in (*_named(window, config), *_mailed(window), *_timed(window)):
            yield Fault(path=("windows", name, *key), what=what)


def _named(window: Window, config: Config) -> Iterator[tuple[Key, str]]:
    if window.team not in config.teams:
        yield ("team",), str(UnknownName("team", window.team, config.teams))
    for index, name in enumerate(window.models):
        if name not in config.models:
            yield ("models", index), str(UnknownName("model", name, config.models))
        elif isinstance(config.models[name], ReplayModel):
            yield ("models", index), f"{name!r} is a recording, which no engine answers; use `evalwindow score`"


def _mailed(window: Window) -> Iterator[tuple[Key, str]]:
    for index, mail in enumerate(window.mail):
        for place, suite in enumerate(mail.suites):
            if suite not in window.suites:
                yield ("mail", index, "suites", place), str(UnknownName("suite", suite, window.suites))


def _timed(hours: Window | Hours) -> Iterator[tuple[Key, str]]:
    try:
        check_times(hours)
    except ConfigInvalid as invalid:  # its message starts with the key
        yield (str(invalid).partition(" ")[0],), str(invalid)
