"""Straight to the engine of a stage, past everything of ours: its counters, its steps, prompts of one small client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.bench_suites import salted
from benchmarks.runs import MODEL
from demo.walkthrough.stage import Stage
from evalwindow.engines.paths import EnginePaths
from evalwindow.engines.record import EngineRecord, read_record
from evalwindow.engines.vllm import chat_body
from evalwindow.engines.vllm_calibrate import Calibrator
from evalwindow.engines.vllm_http import VllmHttp
from evalwindow.engines.vllm_metrics import EngineFigures, read_figures
from evalwindow.lanes.calibration import Calibration
from evalwindow.model import Candidate, CompletionRequest
from evalwindow.suites import Suite

POOL_NAME = "warm"
PAUSE_S = 0.1
STEPS_S = 60.0  # for all widths, up and down again


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

    async def figures(self) -> EngineFigures:
        return await read_figures(self._http)

    async def idle(self) -> None:
        """Wait until nothing is in the engine."""
        while (now := await self.figures()).running or now.waiting:  # noqa: ASYNC110 - the engine tells nobody
            await asyncio.sleep(PAUSE_S)

    async def ask(self, body: dict[str, Any]) -> int:
        """POST one prompt; output tokens of its answer."""
        answer = await self._http.post("/v1/chat/completions", body)
        return int(answer["usage"]["completion_tokens"])

    async def steps(self, widths: Sequence[int]) -> Calibration:
        """What its steps cost now: measured as at an engine's start, but with more time.

        Nobody else may be using it.
        """
        context = self.record.info.max_model_len
        assert context is not None
        return await Calibrator(self._http, name=POOL_NAME, context=context, budget_s=STEPS_S).measure(widths)


def bodies(suite: Suite, *, salt: str) -> list[dict[str, Any]]:
    """The suite's prompts as the engine's own API takes them, all of one priority."""
    candidate = Candidate(model=MODEL, template=salted(salt) if salt else None)
    sampling = suite.sampling(candidate, 0)
    requests = (
        CompletionRequest(model=MODEL, messages=suite.render(sample, candidate), sampling=sampling)
        for sample in suite.samples
    )
    return [chat_body(request, model=POOL_NAME, priority=0) for request in requests]
