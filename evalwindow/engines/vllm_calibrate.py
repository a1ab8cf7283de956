"""What do this engine's steps cost on this machine? Measured in seconds after each start, before anybody's prompt.

Decode: so many sequences of one prompt token each get TOKENS output tokens; a step's time is the engine's own mean time
between two tokens of a sequence. Contexts are short: attention over long ones comes on top.
Prefill: prompts that get longer, until one takes LONG_S; what the last took longer than the one before, by token.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evalwindow.config import Lanes, Pool
from evalwindow.engines.vllm_http import EngineFault, VllmHttp
from evalwindow.engines.vllm_metrics import EngineFigures, read_figures
from evalwindow.errors import EngineRefused
from evalwindow.lanes.calibration import Calibration

log = logging.getLogger(__name__)

BUDGET_S = 3.0  # of decode steps; prompts come on top
REPEATS = 2  # of each prompt; the least counts: whatever else a machine does, it makes nothing faster
TOKENS = 16  # of each sequence
TOGETHER = 0.9  # share of its sequences that a step must have had on average
SHORTEST, GROWTH, LONGEST = 128, 4, 8192  # prompts, tokens
LONG_S = 0.25  # a prompt that takes so long is long enough
WORDS = "The quick brown fox jumps over the lazy dog. 0123456789 {}[]()<>; pack my box with five dozen liquor jugs!"


async def calibrate(http: VllmHttp, *, name: str, pool: Pool, lanes: Lanes, context: int) -> Calibration | None:
    """None, with a warning, for an engine that can't be measured. `name` is the served model's, `context` in tokens.

    Raises EngineUnavailable when the engine goes away meanwhile. Nobody else may be using it.
    """
    wanted = batch_sizes(slots=lanes.smoke.slots, most=pool.max_num_seqs)
    try:
        calibration = await Calibrator(http, name=name, context=context).measure(wanted)
    except (EngineRefused, EngineFault) as error:
        log.warning("engine of pool %s can't be calibrated, nothing runs beside its smoke: %s", name, error)
        return None
    log.info("engine of pool %s: %s", name, in_words(calibration, wanted=wanted))
    return calibration


def batch_sizes(*, slots: int, most: int) -> tuple[int, ...]:
    """1, smoke's slots, 16, 32, 64, ... and `most`."""
    powers = (2**exponent for exponent in range(4, most.bit_length()))
    return tuple(sorted({size for size in (1, slots, *powers) if size < most} | {most}))


def prompt_lengths(context: int) -> tuple[int, ...]:
    """Of prompts that leave room for one token, each several times as long as the one before."""
    longest = min(LONGEST, context - 1)
    lengths = [SHORTEST]
    while lengths[-1] < longest:
        lengths.append(min(GROWTH * lengths[-1], longest))
    return tuple(length for length in lengths if length <= longest) or (longest,)


def monotone(best: Mapping[int, float]) -> tuple[tuple[int, float], ...]:
    """By sequences, none dearer than a wider one: noise only ever adds, so the wider step bounds the narrower."""
    steps: list[tuple[int, float]] = []
    least = float("inf")
    for rows in sorted(best, reverse=True):
        least = min(least, best[rows])
        steps.append((rows, least))
    return tuple(reversed(steps))


def in_words(calibration: Calibration, *, wanted: Sequence[int]) -> str:
    """One line for the log."""
    steps = ", ".join(f"{rows}: {seconds * 1e3:.1f}" for rows, seconds in calibration.steps)
    widest = calibration.steps[-1][0]
    unmeasured = f" (no time or room for {wanted[-1]})" if widest < wanted[-1] else ""
    cache = f"{calibration.kv_tokens:,} tokens" if calibration.kv_tokens is not None else "no bound"
    return (
        f"steps of sequences take ms {steps}{unmeasured}; "
        f"a prompt token {calibration.prefill_s * 1e6:.0f} µs; KV cache {cache}"
    )


@dataclass
class Calibrator:
    """One measurement of one engine."""

    http: VllmHttp
    name: str
    context: int
    budget_s: float = BUDGET_S
    _ids: list[int] = field(default_factory=list)  # token ids that the model knows
    _best: dict[int, float] = field(default_factory=dict)  # seconds a step by sequences

    async def measure(self, wanted: Sequence[int]) -> Calibration:
        """Raises EngineRefused when the engine takes no such prompts or tells no such times."""
        self._ids = (await self.http.post("/tokenize", {"model": self.name, "prompt": WORDS}))["tokens"]
        figures = await self._steps(wanted)
        return Calibration(steps=monotone(self._best), prefill_s=await self._prefill_s(), kv_tokens=figures.kv_tokens)

    async def _steps(self, wanted: Sequence[int]) -> EngineFigures:
        """Up and down again over all sizes: a busy moment of the machine does not spoil all repeats of one."""
        figures, ends, took = await read_figures(self.http), time.monotonic() + self.budget_s, 0.0
        for rows in (*wanted, *reversed(wanted)):
            begun = time.monotonic()
            if self._best and begun + took > ends:
                break
            before, figures = figures, await self._decode(rows)
            self._keep(rows, before, figures)
            took = time.monotonic() - begun
        return figures

    async def _decode(self, rows: int) -> EngineFigures:
        tokens = min(TOKENS, self.context - 1)
        await self._ask([self._prompt(1) for _ in range(rows)], tokens=tokens)
        return await read_figures(self.http)

    def _keep(self, rows: int, before: EngineFigures, after: EngineFigures) -> None:
        """Unless the sequences missed each other: then the steps had fewer."""
        steps, gaps = after.steps - before.steps, after.gaps - before.gaps
        if gaps == 0:
            raise EngineRefused("the engine gave no token after the first")
        if after.generation_tokens - before.generation_tokens < TOGETHER * rows * steps:
            return
        self._best[rows] = min(self._best.get(rows, float("inf")), (after.gaps_s - before.gaps_s) / gaps)

    async def _prefill_s(self) -> float:
        """A token's share of what a longer prompt takes more than a shorter one."""
        measured: list[tuple[int, float]] = []
        for length in prompt_lengths(self.context):
            measured.append((length, min([await self._first_s(length) for _ in range(REPEATS)])))
            if measured[-1][1] > LONG_S and len(measured) > 1:
                break
        (short, short_s), (long, long_s) = ((0, 0.0), *measured)[-2:]
        return (long_s - short_s) / (long - short) if long_s > short_s else long_s / long  # the latter is noise

    async def _ask(self, prompts: list[list[int]], *, tokens: int) -> dict[str, Any]:
        """One request with all of them, so that they reach the engine together."""
        body = {"model": self.name, "prompt": prompts, "max_tokens": tokens, "ignore_eos": True, "temperature": 0.0}
        answer: dict[str, Any] = await self.http.post("/v1/completions", body)
        return answer

    async def _first_s(self, tokens: int) -> float:
        """From being scheduled to the first token, of a prompt that no cache knows."""
        answer = await self._ask([self._prompt(tokens)], tokens=1)
        milliseconds = (answer.get("metrics") or {}).get("time_to_first_token_ms")
        if milliseconds is None:
            raise EngineRefused("the engine does not tell the time to the first token")
        return float(milliseconds) / 1e3

    def _prompt(self, tokens: int) -> list[int]:
        return random.choices(self._ids, k=tokens)  # noqa: S311 - no secret
