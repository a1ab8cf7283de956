"""One team submits thousands of runs; what two others notice of it.

Each of the two sends a smoke every few seconds, first alone and then while the third sends 4,000 submissions, half of
them smokes and half of 500 prompts, evenly over ten minutes, as in the incident that this is made after. The third has
the quota that is the default: most of the flood is refused, and what is admitted runs on the same engine.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import psutil
import psycopg
from sqlalchemy import make_url

from benchmarks.bench_engine import BenchEngine
from benchmarks.bench_stack import OTHER_TEAM, OWN, THIRD_TEAM, client_of, sized_stage, workshop
from benchmarks.bench_suites import NIGHT, SMOKE, write_bench_suite, write_smoke_suite
from benchmarks.runs import Taken, take, wish
from benchmarks.sizes import SIZES, Size
from benchmarks.table import ms, p50_p95, ratio, table
from demo.walkthrough.stage import Stage
from evalwindow.client import Client
from evalwindow.errors import BreakerOpen, EvalwindowError, QuotaExceeded

GAP_S = 2.5  # from one smoke of a team to its next
LIMIT = 1.2  # of the p95, to the quiet one
AT_ONCE = 32  # submissions of the flood that wait for their answer
WARM_UPS = 3
MIB = 2**20
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Weight:
    """What the database and two processes weigh."""

    database: int  # bytes, as the next ones
    web: int
    dispatcher: int

    def since(self, before: Weight) -> Weight:
        return Weight(
            database=self.database - before.database,
            web=self.web - before.web,
            dispatcher=self.dispatcher - before.dispatcher,
        )


@dataclass(frozen=True, kw_only=True)
class Split:
    """Seconds of one smoke."""

    admitted: float  # from the wish to the run's row
    waited: float  # -> the first claim
    worked: float  # -> the verdict

    @classmethod
    def of(cls, taken: Taken) -> Split:
        created = taken.run.created_at.timestamp()
        waited = taken.verdict_s - taken.working_s - (created - taken.submitted)
        return cls(admitted=created - taken.submitted, waited=waited, worked=taken.working_s)

    @classmethod
    def names(cls) -> list[str]:
        return list(cls.__dataclass_fields__)

    @property
    def total(self) -> float:
        return self.admitted + self.waited + self.worked


@dataclass(frozen=True, kw_only=True)
class Scene:
    stage: Stage
    engine: BenchEngine
    others: tuple[Client, Client]
    flooder: Client


@dataclass(kw_only=True)
class Answers:
    """To the flood."""

    count: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)


async def measure(size: str = "tiny", *, smokes: int = 40, submissions: int = 4_000, over: int = 600) -> None:
    """`smokes` of each of the two teams an arm; in the flooded one as many as come in `over` seconds, its length."""
    chosen = SIZES[size]
    with workshop() as home:
        write_smoke_suite(home / "suites", max_tokens=chosen.smoke_tokens)
        write_bench_suite(home / "suites", max_tokens=chosen.tokens)
        async with _scene(home / "stack", chosen, suites=home / "suites") as scene:
            quiet = await _others(scene, "quiet", smokes=smokes)
            async with _regression(scene):
                usual = await _others(scene, "usual", smokes=smokes)
            before, answers = weight(scene.stage), Answers()
            flooded, _ = await asyncio.gather(
                _others(scene, "flooded", smokes=max(1, round(over / GAP_S))),
                _flood(scene.flooder, submissions, over_s=over, answers=answers),
            )
            grown = weight(scene.stage).since(before)
    arms = {"quiet": quiet, "as usual": usual, "flooded": flooded}
    print(report({name: [*map(Split.of, arm)] for name, arm in arms.items()}, answers, grown), flush=True)


@asynccontextmanager
async def _scene(home: Path, size: Size, *, suites: Path) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        stage = await stack.enter_async_context(sized_stage(home, size, suites=suites))
        engine = await stack.enter_async_context(BenchEngine.of(stage))
        second = await stack.enter_async_context(client_of(stage, OTHER_TEAM))
        flooder = await stack.enter_async_context(client_of(stage, THIRD_TEAM))
        for number in range(WARM_UPS):  # every process has done its first time
            await take(stage.client, SMOKE, salt=f"warm{number}")
        yield Scene(stage=stage, engine=engine, others=(stage.client, second), flooder=flooder)


async def _others(scene: Scene, name: str, *, smokes: int) -> list[Taken]:
    """The two teams take turns."""

    async def smoke(number: int, team: int) -> Taken:
        return await take(scene.others[team], SMOKE, salt=f"{name}{team}x{number}")

    turns = itertools.product(range(smokes), range(len(scene.others)))
    taken = await _paced((partial(smoke, *turn) for turn in turns), gap_s=GAP_S / len(scene.others))
    print(f"  {name}: {len(taken)} smokes", flush=True)
    return taken


@asynccontextmanager
async def _regression(scene: Scene) -> AsyncIterator[None]:
    """The third team's regression runs, one after another, for as long as the block lasts."""

    async def one_after_another() -> None:
        for number in itertools.count():
            await take(scene.flooder, NIGHT, salt=f"usual{number}")

    working = asyncio.create_task(one_after_another())
    yield
    working.cancel()
    with suppress(asyncio.CancelledError):
        await working
    for run in (await scene.flooder.runs()).runs:
        if not run.state.final:
            await scene.flooder.cancel(run.id)
    await scene.engine.idle()


async def _flood(client: Client, submissions: int, *, over_s: float, answers: Answers) -> None:
    places = asyncio.Semaphore(AT_ONCE)

    async def submit(number: int) -> None:
        async with places:
            begun = time.perf_counter()
            answers.count[await _answer(client, number)] += 1
            answers.seconds.append(time.perf_counter() - begun)

    await _paced((partial(submit, number) for number in range(submissions)), gap_s=over_s / submissions)


async def _answer(client: Client, number: int) -> str:
    try:
        await client.submit(wish(SMOKE if number % 2 else NIGHT, salt=f"flood{number}"))
    except QuotaExceeded:
        return "refused by a quota"
    except BreakerOpen:
        return "refused by the breaker"
    except EvalwindowError as error:
        return type(error).__name__
    return "admitted"


async def _paced(calls: Iterable[Callable[[], Coroutine[Any, Any, T]]], *, gap_s: float) -> list[T]:
    """Begin one call every `gap_s`, whether or not those before have ended; what they gave."""
    begun, tasks = time.perf_counter(), []
    for number, call in enumerate(calls):
        await asyncio.sleep(max(0.0, begun + number * gap_s - time.perf_counter()))
        tasks.append(asyncio.create_task(call()))
    return await asyncio.gather(*tasks)


def weight(stage: Stage) -> Weight:
    """The database after its dead rows are swept away, and the memory of web app and dispatcher."""
    url = make_url(stage.stack.database_url)
    dsn = f"host='{url.query['host']}' user={url.username} dbname={url.database}"
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("VACUUM")
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    memory = dict.fromkeys(OWN.values(), 0)
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # PostgreSQL's come and go
            line = " ".join(process.cmdline())
            name = next((name for sign, name in OWN.items() if sign in line), None)
            if name is not None:
                memory[name] = max(memory[name], process.memory_info().rss)
    return Weight(database=row[0] if row else 0, web=memory["web"], dispatcher=memory["dispatcher"])


def report(arms: Mapping[str, Sequence[Split]], answers: Answers, grown: Weight) -> str:
    """Of the p95 the limit is for the flooded arm, to the quiet one."""
    quiet, usual = arms["quiet"], arms["as usual"]
    rows = [_row(name, splits, quiet=quiet, usual=usual) for name, splits in arms.items()]
    ratios = [f"p95 / quiet (limit {LIMIT})", "p95 / as usual"]
    head = ["smokes of the two others", "runs", "p50", "p95", *ratios, *(f"{part}, p95" for part in Split.names())]
    return "\n".join([table("Two teams' smokes beside a third team's flood", head, rows), _flood_table(answers, grown)])


def _row(name: str, splits: Sequence[Split], *, quiet: Sequence[Split], usual: Sequence[Split]) -> list[object]:
    (p50, p95), (_, quiet95), (_, usual95) = (p50_p95([split.total for split in arm]) for arm in (splits, quiet, usual))
    parts = [ms(p50_p95([getattr(split, part) for split in splits])[1]) for part in Split.names()]
    return [name, len(splits), ms(p50), ms(p95), ratio(p95 / quiet95), ratio(p95 / usual95), *parts]


def _flood_table(answers: Answers, grown: Weight) -> str:
    p50, p95 = p50_p95(answers.seconds)
    rows: list[list[object]] = [[name, count] for name, count in sorted(answers.count.items())]
    rows += [["answered in, p50", ms(p50)], ["answered in, p95", ms(p95)]]
    rows += [[f"{name} grew by", f"{grown_by / MIB:.1f} MiB"] for name, grown_by in vars(grown).items()]
    return table(f"A flood of {answers.count.total():,} submissions", ["what", ""], rows)
