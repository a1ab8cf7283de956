"""What a batch does to answers at temperature 0: prompts alone in the engine against prompts in company.

The same weights, prompts and sampling; only how many prompts share a step is another. A change of the last bit can
choose another token where two were nearly as likely, and what follows is another text. Whether that changes a score is
what a gate has to know: this is where a noise floor (docs/gates.md) comes from.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from benchmarks.sizes import SIZES, Size
from benchmarks.table import table
from demo.walkthrough.stage import ROOT
from evalwindow.config import Limits
from evalwindow.config_file import read_config
from evalwindow.engines.paths import EnginePaths
from evalwindow.engines.record import read_record
from evalwindow.engines.retry import Backoff
from evalwindow.engines.vllm import VllmEngine
from evalwindow.gate.distributions import rate_at_least, rate_at_most
from evalwindow.model import Candidate, Completion, CompletionRequest, Message, Sample, Sampling
from evalwindow.scorers.run import score_all
from evalwindow.suites import Suite, load_suite

SUITE = ROOT / "suites/demo-regression.yaml"
POOL, MODEL = "warm", "bench"
TOGETHER = 64
DTYPES = ("float32", "bfloat16")
ALPHA = 0.025  # each side of a 95 % interval
POLL_S = 0.2
STOP_S = 120


@dataclass(frozen=True, kw_only=True)
class Pass:
    """All prompts once."""

    outputs: tuple[str, ...]
    scores: tuple[float | None, ...]  # by the suite's judged scorer


@dataclass(frozen=True, kw_only=True)
class Changed:
    """Two passes side by side."""

    outputs: int
    down: int  # scores
    up: int
    n: int

    @classmethod
    def between(cls, one: Pass, other: Pass) -> Changed:
        scored = [(a, b) for a, b in zip(one.scores, other.scores, strict=True) if a is not None and b is not None]
        return cls(
            outputs=sum(a != b for a, b in zip(one.outputs, other.outputs, strict=True)),
            down=sum(b < a for a, b in scored),
            up=sum(b > a for a, b in scored),
            n=len(one.outputs),
        )


async def measure(size: str, *, prompts: int = 200) -> None:
    """One engine after another, one for each data type; a table of what changed."""
    suite = load_suite(SUITE, Limits())
    samples = suite.samples[:prompts]
    rows: list[tuple[str, ...]] = []
    for dtype in DTYPES:
        with tempfile.TemporaryDirectory(prefix="batch-") as folder:
            async with _engine(replace(SIZES[size], dtype=dtype), Path(folder)) as engine:
                rows += [(dtype, *row) for row in await _compared(engine, suite, samples)]
    title = (
        f"Batch effects at temperature 0, {size} model: the first {len(samples)} prompts of {suite.name}, alone and "
        f"{TOGETHER} at once"
    )
    head = ("dtype", "compared", "outputs changed", "95 %", "scores changed", "down", "up", "95 %", "mean score")
    print(table(title, head, rows), flush=True)


async def _compared(engine: VllmEngine, suite: Suite, samples: Sequence[Sample]) -> list[tuple[str, ...]]:
    """Rows without their dtype. The first pass is thrown away: after it the prefix cache is the same for all."""
    await _pass(engine, suite, samples, at_once=TOGETHER)
    alone, alone_again = [await _pass(engine, suite, samples, at_once=1) for _ in range(2)]
    batched, batched_again = [await _pass(engine, suite, samples, at_once=TOGETHER) for _ in range(2)]
    return [
        _row("alone, alone again", alone, alone_again),
        _row("batched, batched again", batched, batched_again),
        _row("alone, batched", alone, batched),
    ]


async def _pass(engine: VllmEngine, suite: Suite, samples: Sequence[Sample], *, at_once: int) -> Pass:
    """Every prompt once, so many at a time, in the suite's order."""
    places = asyncio.Semaphore(at_once)
    candidate = Candidate(model=MODEL, sampling={"temperature": 0.0})

    async def one(sample: Sample) -> tuple[str, float | None]:
        request = CompletionRequest(
            model=MODEL,
            messages=suite.render(sample, candidate),
            sampling=suite.sampling(candidate, 0),
            choices=sample.choices if suite.scores_choices else (),
            sample_id=sample.id,
        )
        async with places:
            completion = await engine.complete(request)
        scores = await score_all(suite.spec.scorers, sample, completion, _no_judge)
        return completion.text, scores[suite.primary].value

    answered = await asyncio.gather(*map(one, samples))
    return Pass(outputs=tuple(text for text, _ in answered), scores=tuple(value for _, value in answered))


async def _no_judge(
    model: str, messages: tuple[Message, ...], sampling: Sampling, schema: Mapping[str, Any] | None
) -> Completion:
    raise RuntimeError("this suite asks no judge")


def _row(name: str, one: Pass, other: Pass) -> tuple[str, ...]:
    changed = Changed.between(one, other)
    scores = changed.down + changed.up
    return (
        name,
        f"{changed.outputs} of {changed.n}",
        _interval(changed.outputs, changed.n),
        f"{scores} of {changed.n}",
        str(changed.down),
        str(changed.up),
        _interval(scores, changed.n),
        f"{_mean(one):.3f}, {_mean(other):.3f}",
    )


def _interval(count: int, n: int) -> str:
    low, high = rate_at_least(count, n, ALPHA), rate_at_most(count, n, ALPHA)
    return f"{100 * low:.1f} to {100 * high:.1f} %"


def _mean(done: Pass) -> float:
    scored = [value for value in done.scores if value is not None]
    return sum(scored) / len(scored) if scored else float("nan")


@asynccontextmanager
async def _engine(size: Size, folder: Path) -> AsyncIterator[VllmEngine]:
    """A GPU unit without consumers, as users start it, and its engine once it is ready. Raises RuntimeError."""
    config = _write_config(size, folder)
    home = folder / "home"
    environment = {**os.environ, "EVALWINDOW_HOME": str(home), "EVALWINDOW_CONFIG": str(config)}
    guard = [sys.executable, "-m", "evalwindow.guard", str(STOP_S)]  # ends it with us, whatever ends us
    command = [*guard, sys.executable, "-m", "workers.gpu", "--pool", POOL, "--engine-only"]
    with (folder / "unit.log").open("wb") as log:
        unit = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, env=environment, stdin=asyncio.subprocess.PIPE, stdout=log, stderr=log
        )
    try:
        await _ready(unit, EnginePaths(home=home, pool=POOL), log=folder / "unit.log")
        engine = VllmEngine(
            home=home,
            pool=POOL,
            config=read_config(config),
            artifact=lambda digest: {},
            backoff=Backoff(patience_s=60.0),
        )
        try:
            yield engine
        finally:
            await engine.aclose()
    finally:
        if unit.returncode is None:
            unit.terminate()
        await unit.wait()


def _write_config(size: Size, folder: Path) -> Path:
    (folder / "suites").mkdir()
    pool = {**size.pool, "model": str(size.write(folder / "model").resolve()), "calibrate": False}
    document = {
        "suites": str(folder / "suites"),
        "pools": {POOL: pool},
        "models": {MODEL: {"engine": "vllm", "pool": POOL}},
        "lanes": size.lanes,
    }
    path = folder / "evalwindow.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


async def _ready(unit: asyncio.subprocess.Process, paths: EnginePaths, *, log: Path) -> None:
    while read_record(paths.record) is None:
        if unit.returncode is not None:
            raise RuntimeError(f"the engine did not start:\n{log.read_text(errors='replace')[-4000:]}")
        await asyncio.sleep(POLL_S)
