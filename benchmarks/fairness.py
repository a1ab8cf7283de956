"""One tenant's long prompts beside another's short ones, in the same lane.

Team L asks hundreds of long prompts; meanwhile team S asks 50 short ones, several times. Arms:

alone              S has the engine for itself
with limits        L is a team of its own and held to its share of shards and of the KV cache; long prompts are read in
                   chunks
without limits     nothing bounds L's shards or its tokens, and the engine reads as it does by default; turns still go
                   to the team that had fewer tokens
two clients        the usual way: L and S each with a small client of their own, straight to that engine, as many
                   prompts at once as it has sequences; without scoring or verdict
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.bench_engine import BenchEngine
from benchmarks.bench_stack import OTHER_TEAM, Lanes, client_of, sized_stage, workshop
from benchmarks.bench_suites import made_up, write_suite
from benchmarks.load import ApiNight, FirstCome, Night
from benchmarks.runs import answers, take
from benchmarks.sizes import SIZES, TINY, Size
from benchmarks.table import p50_p95, ratio, seconds, table
from demo.walkthrough.stage import Stage
from evalwindow.client import Client
from evalwindow.config import Lanes as LaneConfig
from evalwindow.model import Tier
from evalwindow.suites import Suite

SHORT, LONG = "short", "long"
SHORT_TOKENS = (20, 60)
NIGHTS = 2  # runs of L that are submitted at once: it never runs dry while S is there
SETTLED_S = 0.5
LOOK_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Arm:
    """Team S's runs, one after another."""

    name: str
    walls: list[float] = field(default_factory=list)  # seconds from the wish to the verdict
    latencies: list[float] = field(default_factory=list)  # of each prompt: from asking for its turn to its answer
    rates: list[float] = field(default_factory=list)  # of the whole engine meanwhile: tokens a second, prompts' too


@dataclass(frozen=True, kw_only=True)
class Scene:
    stage: Stage
    engine: BenchEngine
    other: Client  # of team L


async def measure(size: str, *, runs: int = 5, shorts: int = 50, longs: int = 400) -> None:
    """`runs` of S's `shorts` prompts an arm; L has twice `longs`, more than it gets done."""
    chosen = SIZES[size].for_long_prompts()
    whole = {"regression": {"shard_tokens": chosen.long.shard_tokens}}
    boundless = {"regression": {**whole["regression"], **_boundless()}}
    with workshop() as home:
        suites = home / "suites"
        short, long = _write_suites(suites, chosen, shorts=shorts, longs=longs)
        limited = {"step_tokens": chosen.long.step_tokens}
        async with _scene(home / "limits", chosen, suites=suites, pool=limited, lanes=whole) as scene:
            alone = await _alone(scene, "S alone", runs=runs)
            beside = await _beside(scene, "beside L, with limits", runs=runs, other=scene.other)
        async with _scene(home / "naive", chosen, suites=suites, pool={}, lanes=boundless) as scene:
            naive_alone = await _alone(scene, "S alone, engine and lanes without limits", runs=runs)
            naive = await _beside(scene, "beside L, without limits", runs=runs, other=scene.other)
            clients = await _two_clients(scene, chosen, short=short, long=long, runs=runs)
    print(report(chosen, [[alone, beside], [naive_alone, naive, clients]], shorts=shorts), flush=True)


@asynccontextmanager
async def _scene(
    home: Path, size: Size, *, suites: Path, pool: Mapping[str, Any], lanes: Lanes
) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        stage = await stack.enter_async_context(sized_stage(home, size, suites=suites, pool=pool, lanes=lanes))
        engine = await stack.enter_async_context(BenchEngine.of(stage))
        other = await stack.enter_async_context(client_of(stage, OTHER_TEAM))
        await take(stage.client, SHORT, salt="warm")  # every process has done its first time
        yield Scene(stage=stage, engine=engine, other=other)


def _write_suites(folder: Path, size: Size, *, shorts: int, longs: int) -> tuple[Suite, Suite]:
    few = made_up(shorts, tokens=SHORT_TOKENS, tokenizer=TINY, seed=1)
    many = made_up(longs, tokens=size.long.tokens, tokenizer=TINY, seed=2)
    return (
        write_suite(folder, SHORT, tier=Tier.REGRESSION, rows=few, max_tokens=size.smoke_tokens),
        write_suite(folder, LONG, tier=Tier.REGRESSION, rows=many, max_tokens=size.long.max_tokens),
    )


def _boundless() -> dict[str, Any]:
    return {"team_tokens": 1.0, "team_shards": LaneConfig().regression.consumers}


async def _alone(scene: Scene, name: str, *, runs: int) -> Arm:
    arm = Arm(name=name)
    for number in range(runs):
        await scene.engine.idle()
        await asyncio.sleep(SETTLED_S)
        await _one(scene, arm, salt=f"alone{number}")
    return arm


async def _beside(scene: Scene, name: str, *, runs: int, other: Client) -> Arm:
    """S comes once L has had its first answers; L goes on all the while."""
    salt = name.replace(" ", "").replace(",", "")
    nights = [await ApiNight.begin(other, LONG, salt=f"{salt}{number}") for number in range(NIGHTS)]
    await _started(nights)
    arm = Arm(name=name)
    for number in range(runs):
        await _one(scene, arm, salt=f"{salt}{number}")
        if not sum([await night.left() for night in nights]):
            raise RuntimeError(f"{name}: L was done before S; give it more prompts")
    for night in nights:
        await night.cancel()
    await scene.engine.idle()
    print(f"  {name}: {len(arm.walls)} runs", flush=True)
    return arm


async def _two_clients(scene: Scene, size: Size, *, short: Suite, long: Suite, runs: int) -> Arm:
    arm = Arm(name="beside L, two clients without evalwindow")
    own, other = (FirstCome(scene.engine, places=size.max_num_seqs) for _ in range(2))
    night = other.night(long, salt="clients")
    await _started([night])
    for number in range(runs):
        async with _counted(scene.engine, arm):
            arm.latencies.extend(await own.smoke(short, salt=f"clients{number}"))
        if not await night.left():
            raise RuntimeError(f"{arm.name}: L was done before S; give it more prompts")
    await night.cancel()
    await scene.engine.idle()
    print(f"  {arm.name}: {len(arm.walls)} runs", flush=True)
    return arm


async def _started(nights: Sequence[Night]) -> None:
    begun = await nights[0].left()
    while await nights[0].left() == begun:  # noqa: ASYNC110 - the API tells nobody
        await asyncio.sleep(LOOK_S)


async def _one(scene: Scene, arm: Arm, *, salt: str) -> None:
    async with _counted(scene.engine, arm):
        short = await take(scene.stage.client, SHORT, salt=salt)
    arm.walls[-1] = short.verdict_s  # the client heard of it a little later
    arm.latencies.extend(result.latency_s for result in answers(scene.stage, short.run.id))


@asynccontextmanager
async def _counted(engine: BenchEngine, arm: Arm) -> AsyncIterator[None]:
    """The block's wall, and the tokens of the whole engine in it."""
    before, begun = await engine.figures(), time.perf_counter()
    yield
    after, took = await engine.figures(), time.perf_counter() - begun
    spent = after.prompt_tokens + after.generation_tokens - before.prompt_tokens - before.generation_tokens
    arm.walls.append(took)
    arm.rates.append(spent / took)


def report(size: Size, groups: Sequence[Sequence[Arm]], *, shorts: int) -> str:
    """Of each group the first is S alone on the same engine: the others' ratios are to it."""
    rows = [_row(arm, group[0]) for group in groups for arm in group]
    low, high = size.long.tokens
    title = (
        f"{shorts} short prompts of team S beside team L's of {low:,} to {high:,} tokens, {size.name} model, "
        f"{len(groups[0][0].walls)} runs each; limits: {_limits(size)}"
    )
    head = ["S", "wall p50", "/ alone", "prompt p50", "prompt p95", "p95 / alone", "engine's tokens/s"]
    return table(title, head, rows)


def _limits(size: Size) -> str:
    lane = LaneConfig().regression
    return f"team_tokens {lane.team_tokens:g}, team_shards {lane.team_shards}, step_tokens {size.long.step_tokens}"


def _row(arm: Arm, alone: Arm) -> list[str]:
    wall, alone_wall = p50_p95(arm.walls)[0], p50_p95(alone.walls)[0]
    (p50, p95), alone_p95 = p50_p95(arm.latencies), p50_p95(alone.latencies)[1]
    times = [seconds(wall), ratio(wall / alone_wall), seconds(p50), seconds(p95), ratio(p95 / alone_p95)]
    return [arm.name, *times, f"{p50_p95(arm.rates)[0]:.0f}"]
