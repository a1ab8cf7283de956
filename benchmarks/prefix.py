"""Prompts of a run that begin alike, asked one after another: what that does to the engine's prefix cache.

500 questions about 20 passages, shuffled in their dataset, on an engine whose KV cache holds half of the passages.
Asked in the dataset's order, as runners of evals do, and in the order that admission gives them; with several shards at
once and as many prompts in flight as the lane has slots, as a consumer asks.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.sizes import ON_CPU, TINY
from benchmarks.table import ratio, seconds, table
from evalwindow.config import Lane
from evalwindow.config_file import read_config
from evalwindow.engines.paths import EnginePaths
from evalwindow.engines.record import read_record
from evalwindow.engines.vllm import VllmEngine
from evalwindow.model import CompletionRequest, Message, Sampling, Usage
from evalwindow.sharding import Prompt, cut
from evalwindow.tokens import PromptCounter

POOL, MODEL = "warm", "bench"
PASSAGES, QUESTIONS = 20, 25
PASSAGE_CHARS, OUTPUT_TOKENS = 800, 8
BLOCK_TOKENS, TOKEN_BYTES = 128, 7680  # on a CPU; of the demo model: keys and values of a token in float32
CACHE_BLOCKS, SLOTS = 48, 4  # the cache; prompts in flight
LANE = Lane(slots=SLOTS)
ROUNDS = 2

Prompts = Mapping[str, tuple[Message, ...]]  # by sample id, in the dataset's order
Shards = Sequence[Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One way through all prompts."""

    seconds: float
    prompt_tokens: int
    cached_tokens: int

    @property
    def hit_rate(self) -> float:
        return self.cached_tokens / self.prompt_tokens


async def measure(*, rounds: int = ROUNDS) -> None:
    """Both orders in turns, `rounds` times; each time other passages, that no cache knows."""
    counter = PromptCounter(TINY)
    ways: dict[str, list[Asked]] = {"the dataset's order": [], "ordered by admission": []}
    async with _engine() as engine:
        for number in range(rounds):
            for way, (name, asked) in enumerate(ways.items()):
                prompts = made_up(seed=2 * number + way)
                shards = ordered(prompts, counter) if way else in_order(prompts)
                asked.append(await ask(engine, prompts, shards))
                print(f"  {name}: {asked[-1].hit_rate:.1%} in {asked[-1].seconds:.2f} s", flush=True)
    print(_report(ways, tokens=counter.count(prompts["s000"])), flush=True)


def made_up(*, seed: int, passages: int = PASSAGES, questions: int = QUESTIONS) -> Prompts:
    """Questions about passages of random words, shuffled."""
    draw = random.Random(seed)
    texts = [_words(draw, PASSAGE_CHARS) for _ in range(passages)]
    asked = [f"{text}\nQuestion {number}: {_words(draw, 40)}?" for text in texts for number in range(questions)]
    draw.shuffle(asked)
    return {f"s{index:03}": (Message(role="user", content=text),) for index, text in enumerate(asked)}


def ordered(prompts: Prompts, counter: PromptCounter) -> Shards:
    return cut([Prompt.of(name, messages, counter=counter) for name, messages in prompts.items()], lane=LANE)


def in_order(prompts: Prompts) -> Shards:
    names = list(prompts)
    return [names[start : start + LANE.shard_size] for start in range(0, len(names), LANE.shard_size)]


async def ask(engine: VllmEngine, prompts: Prompts, shards: Shards) -> Asked:
    """As a consumer does: so many shards of a team at once, so many prompts in flight."""
    places, slots, begun = asyncio.Semaphore(LANE.team_shards), asyncio.Semaphore(SLOTS), time.monotonic()

    async def one(name: str) -> Usage:
        request = CompletionRequest(
            model=MODEL, messages=prompts[name], sampling=Sampling(max_tokens=OUTPUT_TOKENS), sample_id=name
        )
        async with slots:
            return (await engine.complete(request)).usage

    async def shard(names: Sequence[str]) -> list[Usage]:
        async with places:
            return await asyncio.gather(*map(one, names))

    usages = [usage for done in await asyncio.gather(*map(shard, shards)) for usage in done]
    return Asked(
        seconds=time.monotonic() - begun,
        prompt_tokens=sum(usage.prompt_tokens for usage in usages),
        cached_tokens=sum(usage.cached_tokens for usage in usages),
    )


@asynccontextmanager
async def _engine() -> AsyncIterator[VllmEngine]:
    """A unit without consumers, of the demo model with a small KV cache."""
    with tempfile.TemporaryDirectory(prefix="ewb-") as folder:
        home, config = Path(folder) / "home", Path(folder) / "evalwindow.yaml"
        (Path(folder) / "suites").mkdir()
        config.write_text(yaml.safe_dump(_config()))
        engine = VllmEngine(home=home, pool=POOL, config=read_config(config), artifact=lambda digest: {})
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "workers.gpu", "--pool", POOL, "--engine-only"),
            env={**os.environ, "EVALWINDOW_HOME": str(home), "EVALWINDOW_CONFIG": str(config)},
        )
        try:
            await _ready(home, process)
            yield engine
        finally:
            await engine.aclose()
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            await process.wait()


async def _ready(home: Path, process: asyncio.subprocess.Process) -> None:
    paths = EnginePaths(home=home, pool=POOL)
    while read_record(paths.record) is None:
        if process.returncode is not None:
            raise RuntimeError(f"the unit ended with status {process.returncode}")
        await asyncio.sleep(0.2)


def _config() -> dict[str, object]:
    cache = CACHE_BLOCKS * BLOCK_TOKENS * TOKEN_BYTES
    pool = {
        "model": str(TINY.resolve()),
        "dtype": "float32",
        "max_model_len": 2048,
        "max_num_seqs": 16,
        "arguments": ["--enforce-eager", "--kv-cache-memory-bytes", str(cache)],
        "environment": dict(ON_CPU),
    }
    lanes = {"smoke": {"slots": SLOTS, "priority": -10}, "regression": {"slots": SLOTS}}
    models = {MODEL: {"engine": "vllm", "pool": POOL}}
    return {"suites": "suites", "lanes": lanes, "pools": {POOL: pool}, "models": models}


def _report(ways: Mapping[str, Sequence[Asked]], *, tokens: int) -> str:
    first = min(asked.seconds for asked in next(iter(ways.values())))
    rows = []
    for name, asked in ways.items():
        rate = sum(one.cached_tokens for one in asked) / sum(one.prompt_tokens for one in asked)
        best = min(one.seconds for one in asked)
        rows.append([name, len(asked), f"{rate:.1%}", seconds(best), ratio(first / best)])
    title = (
        f"Prefix cache: {PASSAGES} passages x {QUESTIONS} questions, {tokens} tokens a prompt, a KV cache of "
        f"{CACHE_BLOCKS * BLOCK_TOKENS} tokens, {SLOTS} prompts in flight"
    )
    return table(title, ["500 prompts", "times", "prompt tokens in the cache", "best wall", "pace"], rows)


def _words(draw: random.Random, chars: int) -> str:
    return " ".join("".join(draw.choices("abcdefghijklmnoprstuvwz", k=3)) for _ in range(chars // 4))
