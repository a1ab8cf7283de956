"""Smoke under load: ten prompts to a verdict while 500 saturate the engine, against the same on an idle engine.

Arms, on one engine in one run:

idle        smokes one after another, before and after everything else
lanes       evalwindow as it is configured by default: smokes come every few seconds, all through the night
one queue   the same ten prompts as a regression, so that they wait in the night's own queue
first come  a small client without lanes: night and smokes straight to the engine, as many at once as it has sequences,
            in the order of their arrival; to the last answer, without scoring or verdict
floor       computed from step times that are measured on this engine: what no scheduler can better that throws nothing
            out which runs already
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from itertools import count

from benchmarks.bench_engine import BenchEngine
from benchmarks.bench_stack import sized_stage, workshop
from benchmarks.bench_suites import NIGHT, QUEUED, SMOKE, write_bench_suite, write_queued_suite, write_smoke_suite
from benchmarks.floor import Batch, Floor, floor
from benchmarks.load import ApiNight, FirstCome, Night, all_through
from benchmarks.runs import Taken, answers, take
from benchmarks.sizes import SIZES, Size
from benchmarks.table import p50_p95, ratio, seconds, table
from demo.walkthrough.stage import Stage
from evalwindow.lanes.calibration import Calibration
from evalwindow.suites import Suite

AIM = "aim on a GPU: at most 1.25"
SETTLED_S = 0.5
LOOK_S = 0.05
STILL_FULL = 1.5  # a smoke counts when so many times the engine's sequences were still to be answered as it came


@dataclass(frozen=True, kw_only=True)
class Arm:
    name: str
    smokes: list[float] = field(default_factory=list)  # seconds to the verdict
    nights: list[float] = field(default_factory=list)  # seconds of all prompts of one, meanwhile


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What every arm plays with."""

    size: Size
    stage: Stage
    engine: BenchEngine
    night: Suite
    smoke: Suite
    gap_s: float
    salts: Iterator[str] = field(default_factory=lambda: (f"n{number}" for number in count()))

    async def take(self, suite: str, *, salted: bool = False, tokens: int | None = None) -> Taken:
        sampling = {"max_tokens": tokens} if tokens else {}
        return await take(self.stage.client, suite, salt=next(self.salts) if salted else "", sampling=sampling)

    async def smoke_s(self, suite: str) -> float:
        return (await self.take(suite)).verdict_s

    async def api_night(self) -> Night:
        return await ApiNight.begin(self.stage.client, NIGHT, salt=next(self.salts))


async def measure(size: str, *, smokes: int = 20, prompts: int = 500, gap_s: float | None = None) -> None:
    """`smokes` of each arm at least, one every `gap_s`, beside nights of `prompts`."""
    chosen = SIZES[size]
    with workshop() as home:
        suites = home / "suites"
        night = write_bench_suite(suites, max_tokens=chosen.tokens, prompts=prompts)
        smoke = write_smoke_suite(suites, max_tokens=chosen.smoke_tokens)
        write_queued_suite(suites, max_tokens=chosen.smoke_tokens)
        async with (
            sized_stage(home / "stack", chosen, suites=suites) as stage,
            BenchEngine.of(stage) as engine,
        ):
            gap = gap_s or chosen.gap_s
            scene = Scene(size=chosen, stage=stage, engine=engine, night=night, smoke=smoke, gap_s=gap)
            print(await _arms(scene, smokes=smokes), flush=True)


async def _arms(scene: Scene, *, smokes: int) -> str:
    for suite in (NIGHT, SMOKE, QUEUED):  # every process has done its first time
        await scene.take(suite, salted=True, tokens=1)
    warm = await scene.take(SMOKE)
    idle = Arm(name="on the idle engine")
    await _idle(scene, idle, smokes=(smokes + 1) // 2)
    loaded = [
        await _beside(scene, "evalwindow's lanes", scene.api_night, lambda: scene.smoke_s(SMOKE), smokes),
        await _beside(scene, "one queue", scene.api_night, lambda: scene.smoke_s(QUEUED), smokes),
        await _beside(scene, "first come, first served", *_first_come(scene), smokes),
    ]
    night = await _idle(scene, idle, smokes=smokes // 2)
    steps = await scene.engine.steps(_widths(scene))
    smoke_batch = Batch(rows=len(scene.smoke.samples), tokens=_longest(scene.stage, warm))
    night_batch = Batch(rows=scene.size.slots[1], tokens=night.summary.output_tokens // night.summary.results)
    best = floor(steps, smoke=smoke_batch, night=night_batch)
    return report(scene.size, idle, loaded, best, gap_s=scene.gap_s) + "\n" + _steps_table(scene, steps)


async def _idle(scene: Scene, arm: Arm, *, smokes: int) -> Taken:
    """Smokes without a night, then a night without smokes."""
    for _ in range(smokes):
        await scene.engine.idle()
        await asyncio.sleep(SETTLED_S)
        arm.smokes.append(await scene.smoke_s(SMOKE))
    night = await scene.take(NIGHT, salted=True)
    arm.nights.append(night.verdict_s)
    return night


def _first_come(scene: Scene) -> tuple[Callable[[], Awaitable[Night]], Callable[[], Awaitable[float]]]:
    """A night, and a smoke beside it, of one client without lanes."""
    client = FirstCome(scene.engine, places=scene.size.max_num_seqs)

    async def night() -> Night:
        return client.night(scene.night, salt=next(scene.salts))

    async def smoke() -> float:
        return max(await client.smoke(scene.smoke))

    return night, smoke


async def _beside(
    scene: Scene,
    name: str,
    begin: Callable[[], Awaitable[Night]],
    smoke: Callable[[], Awaitable[float]],
    smokes: int,
) -> Arm:
    """Nights one after another, smokes all through each of them, until there are enough."""
    arm = Arm(name=name)
    still_full = round(STILL_FULL * scene.size.max_num_seqs)
    while len(arm.smokes) < smokes:
        await scene.engine.idle()
        night = await begin()
        await _full(scene)
        taken = await all_through(night, smoke, gap_s=scene.gap_s, until_left=still_full)
        arm.nights.append(await night.end())
        if not taken:
            raise RuntimeError(f"{name}: the night was over before a smoke came; take more prompts or longer answers")
        arm.smokes.extend(taken)
    print(f"  {name}: {len(arm.smokes)} smokes in {len(arm.nights)} nights", flush=True)
    return arm


async def _full(scene: Scene) -> None:
    """Wait until the night fills the engine, or as much of it as it ever will."""
    until = time.monotonic() + scene.gap_s
    while (await scene.engine.figures()).running < scene.size.slots[1]:
        if time.monotonic() > until:
            return
        await asyncio.sleep(LOOK_S)


def _longest(stage: Stage, smoke: Taken) -> int:
    """Tokens of the smoke's longest answer: it takes that many steps."""
    results = answers(stage, smoke.run.id)
    return max(result.completion.usage.output_tokens for result in results if result.completion)


def _widths(scene: Scene) -> list[int]:
    """Sequences to measure a step with: the smoke's alone, up to all of the engine's."""
    smoke, full = len(scene.smoke.samples), scene.size.max_num_seqs
    return [smoke + round((full - smoke) * part / 4) for part in range(5)]


def report(size: Size, idle: Arm, loaded: list[Arm], best: Floor, *, gap_s: float) -> str:
    """p50 and p95 of every arm, and as ratios to the idle engine's."""
    (p50, p95), alone = p50_p95(idle.smokes), p50_p95(idle.nights)[0]
    rows = [_row(arm, p50=p50, p95=p95, alone=alone) for arm in (idle, *loaded)]
    at_best = p50 + best.added_s
    rows.append(["floor, computed from step times", "-", seconds(at_best), "-", ratio(at_best / p50), "-", "-", "-"])
    head = ["smoke", "taken", "p50", "p95", "p50 / idle", "p95 / idle", "a night meanwhile", "night / without smoke"]
    return table(f"10 prompts to a verdict, {size.name} model, one smoke every {gap_s:g} s; {AIM}", head, rows)


def _row(arm: Arm, *, p50: float, p95: float, alone: float) -> list[str]:
    own50, own95 = p50_p95(arm.smokes)
    night = p50_p95(arm.nights)[0]
    smokes = [str(len(arm.smokes)), seconds(own50), seconds(own95), ratio(own50 / p50), ratio(own95 / p95)]
    return [arm.name, *smokes, seconds(night), ratio(night / alone)]


def _steps_table(scene: Scene, steps: Calibration) -> str:
    """What the floor rests on, beside what the engine's own record says of its steps."""
    kept = getattr(scene.engine.record, "calibration", None)
    narrow = steps.steps[0][1]
    rows = []
    for width, step in steps.steps:
        own = f"{1e3 * kept.step_s(width):.2f} ms" if kept else "-"
        rows.append([str(width), f"{1e3 * step:.2f} ms", ratio(step / narrow), own])
    return table("A decode step by its sequences", ["sequences", "a step", "ratio", "in the engine's record"], rows)
