"""pools, pools show, pools roll, pools rollouts."""

from __future__ import annotations

import datetime as dt
import getpass
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from pydantic_core import to_jsonable_python

from evalwindow.cli.local import local_database
from evalwindow.cli.show import AsJson, say, say_json, say_table
from evalwindow.config import Config
from evalwindow.config_file import read_config
from evalwindow.errors import UnknownName
from evalwindow.report import words
from evalwindow.report.pools import EngineView, PoolView, gather_pools, short
from evalwindow.store import Store
from evalwindow.store.engine_rows import Rollout, RolloutStep

HALTED = 1  # exit code of a rollout that did not get through
LOOK_S = 0.5  # between two looks at a rollout that goes on
NUMBERS = ("gen", "busy", "tokens/s", "KV", "in flight", "waiting", "preempted", "prefix hits", "adapters")

PoolName = Annotated[str, typer.Argument(metavar="POOL", help="A pool of evalwindow.yaml.", show_default=False)]

app = typer.Typer(help="Warm engines: what they serve and do, and how their model is changed. For operators.")


@app.callback(invoke_without_command=True)
def pools(context: typer.Context, json: AsJson = False) -> None:
    """Without a command: what is served by which worker."""
    if context.invoked_subcommand is None:
        _list(json=json)


def _list(*, json: bool) -> None:
    with _store() as (store, config):
        views = _views(store, config)
    if json:
        say_json([_plain(view) for view in views])
    elif not views:
        say("no pool is configured; a warm engine is added under pools: in evalwindow.yaml")
    else:
        heads = ("pool", "worker", "state", "since", "model", "version", "gen", "roll", *NUMBERS[1:6])
        say_table(heads, [row for view in views for row in _engine_rows(view)], right=NUMBERS)


@app.command()
def show(pool: PoolName, json: AsJson = False) -> None:
    """One pool: its engines, what they did, and the latest change of its model."""
    with _store() as (store, config):
        view = _view(store, config, pool)
    if json:
        say_json(_plain(view))
        return
    say(f"pool {view.name}: {view.pool.model}, {view.warmth}; serves {', '.join(view.models) or 'no model'}")
    if not view.engines:
        say("no unit serves it: start `python -m workers.gpu --pool " + view.name + "`", style="red")
    for engine in view.engines:
        _say_engine(engine)
    _say_work(view)
    if view.rollouts:
        _say_rollout(view.rollouts[0])


@app.command()
def roll(
    pool: PoolName,
    reason: Annotated[str, typer.Option(help="Why, for whoever looks at it later.")] = "",
    by: Annotated[str, typer.Option(help="Who asks for it; default: the user of this machine.")] = "",
    watch: Annotated[bool, typer.Option("--watch", help="Wait until it is through; exit code 1 if not.")] = False,
    json: AsJson = False,
) -> int:
    """Replace the engines of a pool, one after another, by what evalwindow.yaml says on their hosts now.

    Each unit reads the file again, loads the next model, asks its canary, switches over and lets the old engine end;
    then it is the next unit's turn. A canary that fails halts it: nobody else tries, what served before goes on.
    """
    with _store() as (store, config):
        _known(config, pool)
        rollout = store.request_rollout(pool, by=by or getpass.getuser(), reason=reason)
        if watch:
            rollout = _watch(store, rollout, quiet=json)
    if json:
        say_json(to_jsonable_python(rollout))
    elif not watch:
        say(f"rollout {rollout.id} of pool {pool} is asked for; see `evalwindow pools show {pool}`")
    return 0 if rollout.open or rollout.state == "done" else HALTED


@app.command()
def rollouts(
    pool: Annotated[str, typer.Argument(metavar="[POOL]", help="Only this pool's.", show_default=False)] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    json: AsJson = False,
) -> None:
    """Changes of the model, the newest first."""
    with _store() as (store, config):
        if pool:
            _known(config, pool)
        found = store.rollouts(pool or None, limit=limit)
    if json:
        say_json(to_jsonable_python(found))
    elif not found:
        say("no model was changed yet; `evalwindow pools roll POOL` does")
    else:
        say_table(("id", "pool", "asked for", "by", "reason", "state", "workers", "why"), map(_rollout_row, found))


@contextmanager
def _store() -> Iterator[tuple[Store, Config]]:
    with local_database() as settings:
        store = Store(settings.database_url)
        try:
            yield store, read_config(settings.config)
        finally:
            store.close()


def _known(config: Config, pool: str) -> None:
    if pool not in config.pools:
        raise UnknownName("pool", pool, config.pools)


def _views(store: Store, config: Config) -> list[PoolView]:
    return gather_pools(store, config, now=dt.datetime.now(dt.UTC))


def _view(store: Store, config: Config, pool: str) -> PoolView:
    _known(config, pool)
    return next(view for view in _views(store, config) if view.name == pool)


def _watch(store: Store, rollout: Rollout, *, quiet: bool) -> Rollout:
    """Tell every news of it until it has ended."""
    told: Rollout | None = None
    while True:
        if rollout != told and not quiet:
            _say_steps(rollout)
        if not rollout.open:
            return rollout
        told = rollout
        time.sleep(LOOK_S)
        rollout = store.rollout(rollout.id)


def _engine_rows(view: PoolView) -> list[tuple[str, ...]]:
    if not view.engines:
        return [(view.name, words.NOTHING, "no unit", *[""] * 10)]
    return [_engine_row(view.name, engine) for engine in view.engines]


def _engine_row(pool: str, engine: EngineView) -> tuple[str, ...]:
    load, lanes = engine.load, engine.load.lanes.values()
    return (
        pool,
        engine.row.worker,
        engine.state,
        words.moment(engine.row.since),
        engine.digest,
        engine.version,
        str(engine.row.generation),
        engine.roll,
        words.percent(load.busy_share),
        words.rate(load.output_tokens_s),
        words.percent(load.kv_usage),
        str(sum(lane.in_flight for lane in lanes)),
        str(sum(lane.waiting for lane in lanes)),
    )


def _say_engine(engine: EngineView) -> None:
    load = engine.load
    say(
        f"{engine.row.worker}: {engine.state} since {words.moment(engine.row.since)}, {engine.digest}, {engine.version}"
    )
    say(
        f"  busy {words.percent(load.busy_share)}, {words.rate(load.prompt_tokens_s)} prompt and "
        f"{words.rate(load.output_tokens_s)} output tokens/s, KV cache {words.percent(load.kv_usage)}, "
        f"prefix hits {words.percent(load.prefix_hit_rate)}, {_count(load.preemptions)} preemptions, "
        f"{words.counted(len(load.adapters), 'adapter')}{': ' if load.adapters else ''}{', '.join(load.adapters)}"
    )


def _say_work(view: PoolView) -> None:
    heads = ("lane", "in flight", "waiting", "prompts", "prompt tokens", "cached", "output tokens", "GPU time")
    rows = [
        (
            tier,
            *map(str, (lane.in_flight, lane.waiting, lane.prompts)),
            *map(str, (lane.prompt_tokens, lane.cached_tokens, lane.output_tokens)),
            words.seconds(lane.gpu_s),
        )
        for tier, lane in view.lanes.items()
    ]
    say_table(heads, rows, right=heads[1:])
    say(
        f"busy {words.seconds(view.busy_s)}, of that {words.seconds(view.lost_s)} for prompts without an answer; "
        f"regression was held back {words.seconds(view.held_back_s)}"
    )


def _say_rollout(rollout: Rollout) -> None:
    reason = f": {rollout.reason}" if rollout.reason else ""
    say(f"rollout {rollout.id}, {words.moment(rollout.requested_at)}, by {rollout.requested_by}{reason}")
    _say_steps(rollout)


def _say_steps(rollout: Rollout) -> None:
    style = {"done": "green", "halted": "red"}.get(rollout.state)
    say(f"{rollout.state}{f': {rollout.error}' if rollout.error else ''}", style=style)
    for step in rollout.steps:
        say(f"  {_step(step)}")


def _step(step: RolloutStep) -> str:
    what = short(step.model_digest) if step.model_digest else step.error or ""
    return f"{step.worker}: {step.state} {what}".rstrip()


def _rollout_row(rollout: Rollout) -> tuple[str, ...]:
    asked = (rollout.id, rollout.pool, words.moment(rollout.requested_at), rollout.requested_by, rollout.reason)
    return (*asked, rollout.state, ", ".join(_step(step) for step in rollout.steps), rollout.error or "")


def _count(number: int | None) -> str:
    return words.NOTHING if number is None else str(number)


def _plain(view: PoolView) -> dict[str, Any]:
    return {
        "pool": view.name,
        "models": list(view.models),
        "engines": [_plain_engine(engine) for engine in view.engines],
        "rollouts": to_jsonable_python(view.rollouts),
    }


def _plain_engine(engine: EngineView) -> dict[str, Any]:
    row: dict[str, Any] = to_jsonable_python(engine.row)
    return {**row, "state": engine.state, "roll": engine.roll}
