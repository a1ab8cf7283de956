"""Straight to the engine of a stage, past everything of ours: its counters, its steps, prompts of one small client."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.bench_suites import salted
from benchmarks.runs import MODEL
from demo.walkthrough.stage import Stage
from evalwindow.engines.paths import EnginePaths
from evalwindow.engines.record import EngineRecord, read_record
from evalwindow.engines.vllm import chat_body
from evalwindow.engines.vllm_http import VllmHttp
from evalwindow.lanes.calibration import Calibration
from evalwindow.model import Candidate, CompletionRequest
from evalwindow.suites import Suite

POOL_NAME = "warm"
PAUSE_S = 0.1
STEPS = 32  # of one measurement
TIMES = 3


@dataclass(frozen=True, kw_only=True)
class Counters:
    """Of the engine, since its start; `running` and `waiting` are of now."""

    prompt_tokens: float
    output_tokens: float
    running: int
    waiting: int

    @classmethod
    def read(cls, text: str) -> Counters:
        """From the text of /metrics; sums over labels."""

        def total(name: str) -> float:
            return sum(map(float, re.findall(rf"^vllm:{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)))

        return cls(
            prompt_tokens=total("prompt_tokens_total"),
            output_tokens=total("generation_tokens_total"),
            running=int(total("num_requests_running")),
            waiting=int(total("num_requests_waiting")),
        )


class BenchEngine:
    """One stage's engine."""

    def __init__(self, stage: Stage) -> None:
        self._paths = EnginePaths(home=stage.stack.home, pool=POOL_NAME)
        self._http = VllmHttp(self._paths.socket, timeout_s=3600.0)

    @classmethod
    @asynccontextmanager
    async def of(cls, stage: Stage) -> AsyncIterator[BenchEngine]:
        engine = cls(stage)
        try:
            yield engine
        finally:
            await engine._http.aclose()

    @property
    def record(self) -> EngineRecord:
        record = read_record(self._paths.record)
        if record is None:
            raise RuntimeError(f"the engine of pool {POOL_NAME!r} is gone")
        return record

    async def counters(self) -> Counters:
        return Counters.read(await self._http.get("/metrics"))

    async def idle(self) -> None:
        """Wait until nothing is in the engine."""
        while (now := await self.counters()).running or now.waiting:  # noqa: ASYNC110 - the engine tells nobody
            await asyncio.sleep(PAUSE_S)

    async def ask(self, body: dict[str, Any]) -> int:
        """POST one prompt; output tokens of its answer."""
        answer = await self._http.post("/v1/chat/completions", body)
        return int(answer["usage"]["completion_tokens"])

    async def steps(self, widths: Sequence[int]) -> Calibration:
        """Seconds of a decode step by its sequences: as many prompts at once, answers of many tokens against one."""
        await self._together(max(widths), tokens=2, salt="w")
        measured = [(width, await self._step_s(width)) for width in widths]
        return Calibration(steps=tuple(measured), prefill_s=await self._prefill_s())

    async def _step_s(self, width: int) -> float:
        """Median of TIMES: what else runs on the machine disturbs single ones."""
        taken = []
        for again in range(TIMES):
            short = await self._together(width, tokens=1, salt=f"s{again} {width}")
            long = await self._together(width, tokens=1 + STEPS, salt=f"l{again} {width}")
            taken.append(max(0.0, long - short) / STEPS)
        return median(taken)

    async def _prefill_s(self) -> float:
        """Of one prompt token: a prompt of many against one of few, an answer of one token each."""
        few_tokens, few_s = await self._read(8)
        many_tokens, many_s = await self._read(400)
        return max(0.0, many_s - few_s) / (many_tokens - few_tokens)

    async def _read(self, words: int) -> tuple[int, float]:
        begun = time.perf_counter()
        answer = await self._http.post("/v1/chat/completions", _exactly("read " * words, tokens=1))
        return int(answer["usage"]["prompt_tokens"]), time.perf_counter() - begun

    async def _together(self, width: int, *, tokens: int, salt: str) -> float:
        """Seconds until all of `width` prompts are answered with exactly so many tokens."""
        begun = time.perf_counter()
        await asyncio.gather(*(self.ask(_exactly(f"{salt} number {n}", tokens=tokens)) for n in range(width)))
        return time.perf_counter() - begun


def bodies(suite: Suite, *, salt: str) -> list[dict[str, Any]]:
    """The suite's prompts as the engine's own API takes them, all of one priority."""
    candidate = Candidate(model=MODEL, template=salted(salt) if salt else None)
    sampling = suite.sampling(candidate, 0)
    requests = (
        CompletionRequest(model=MODEL, messages=suite.render(sample, candidate), sampling=sampling)
        for sample in suite.samples
    )
    return [chat_body(request, model=POOL_NAME, priority=0) for request in requests]


def _exactly(text: str, *, tokens: int) -> dict[str, Any]:
    return {
        "model": POOL_NAME,
        "messages": [{"role": "user", "content": text}],
        "temperature": 0,
        "max_tokens": tokens,
        "ignore_eos": True,
    }
