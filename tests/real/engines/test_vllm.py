"""The warm engine, against a real vLLM and with transformers as the oracle of its numbers."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from evalwindow.engines.paths import EnginePaths
from evalwindow.engines.retry import Backoff
from evalwindow.engines.vllm import VllmEngine
from evalwindow.errors import EngineRefused, EngineUnavailable
from evalwindow.model import CompletionRequest, Sampling, Tier
from tests.real.engines.requests import ask
from tests.real.engines.unit import POOL, GpuUnit

pytestmark = pytest.mark.timeout(600)  # with the start of the engine


class Oracle:
    """The same weights in transformers."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)

    def prompt(self, request: CompletionRequest) -> str:
        chat = [{"role": message.role, "content": message.content} for message in request.messages]
        return str(self.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True))

    def ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def logprob(self, ids: list[int], *, start: int) -> float:
        """Log-likelihood of ids[start:] after ids[:start], nats."""
        with torch.no_grad():
            logprobs = self.model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        return float(sum(logprobs[place - 1, ids[place]] for place in range(start, len(ids))))


@pytest.fixture(scope="module")
def oracle(unit: GpuUnit) -> Iterator[Oracle]:
    return Oracle(unit.folder / "model")


async def test_temperature_zero_gives_the_same_answer_each_time(engine: VllmEngine) -> None:
    answers = [await engine.complete(ask("tell me", max_tokens=24)) for _ in range(3)]
    assert len({answer.text for answer in answers}) == 1
    assert answers[0].text


async def test_a_seed_repeats_a_draw_and_another_seed_is_another_draw(engine: VllmEngine) -> None:
    def draw(seed: int) -> CompletionRequest:
        return ask("tell me", sampling=Sampling(temperature=1.0, max_tokens=24, seed=seed))

    first, again, other = [(await engine.complete(draw(seed))).text for seed in (1, 1, 2)]
    assert first == again
    assert first != other


async def test_a_stop_string_ends_the_answer_before_it(engine: VllmEngine) -> None:
    whole = (await engine.complete(ask("tell me", max_tokens=24))).text
    stop = next(character for character in whole[1:] if character not in ("�", whole[0]))
    cut = await engine.complete(ask("tell me", sampling=Sampling(max_tokens=24, stop=(stop,))))
    assert cut.text == whole[: whole.index(stop)]
    assert cut.finish_reason == "stop"


async def test_usage_tells_tokens_and_times(engine: VllmEngine, oracle: Oracle) -> None:
    request = ask("how much was it?", max_tokens=5)
    usage = (await engine.complete(request)).usage
    assert usage.prompt_tokens == len(oracle.ids(oracle.prompt(request)))
    assert usage.output_tokens == 5
    assert usage.engine_s > 0
    assert usage.gpu_s == 0  # that is the governor's to say
    assert usage.queue_s > 0


async def test_a_prompt_longer_than_the_cache_block_is_found_in_the_prefix_cache(engine: VllmEngine) -> None:
    request = ask("z" * 300, max_tokens=1)
    first, second = await engine.complete(request), await engine.complete(request)
    assert first.usage.cached_tokens < second.usage.cached_tokens <= second.usage.prompt_tokens


async def test_choices_have_the_log_likelihood_that_transformers_computes(engine: VllmEngine, oracle: Oracle) -> None:
    request = ask("which one?", choices=("yes", "no", "perhaps not"))
    scored = await engine.complete(request)
    prompt = oracle.ids(oracle.prompt(request))
    for choice, logprob, tokens in zip(request.choices, scored.choice_logprobs, scored.choice_tokens, strict=True):
        ids = oracle.ids(oracle.prompt(request) + choice)
        assert ids[: len(prompt)] == prompt
        assert logprob == pytest.approx(oracle.logprob(ids, start=len(prompt)), abs=1e-3)
        assert tokens == len(ids) - len(prompt)
    best = max(range(3), key=lambda index: scored.choice_logprobs[index])
    assert scored.text == request.choices[best]


async def test_a_token_that_is_merged_over_the_boundary_is_counted_for_every_choice(
    engine: VllmEngine, oracle: Oracle
) -> None:
    request = ask("which one?", choices=("a", "yes"))  # the prompt's last space and "a" are one token
    prompt = oracle.ids(oracle.prompt(request))
    assert oracle.ids(oracle.prompt(request) + "a")[: len(prompt)] != prompt
    scored = await engine.complete(request)
    for choice, logprob in zip(request.choices, scored.choice_logprobs, strict=True):
        ids = oracle.ids(oracle.prompt(request) + choice)
        assert logprob == pytest.approx(oracle.logprob(ids, start=len(prompt) - 1), abs=1e-3)


async def test_choices_of_many_samples_at_once_are_what_each_is_alone(engine: VllmEngine) -> None:
    requests = [ask(f"which {n}?", choices=("yes", "no", "perhaps")) for n in range(12)]
    others = [engine.complete(ask(f"something else {n}", max_tokens=30)) for n in range(4)]
    alone = [await engine.complete(request) for request in requests[:3]]
    together = await asyncio.gather(*map(engine.complete, requests), *others)
    for one, same in zip(alone, together, strict=False):
        assert one.choice_logprobs == pytest.approx(same.choice_logprobs, abs=1e-3)


async def test_a_choice_without_tokens_is_refused(engine: VllmEngine) -> None:
    with pytest.raises(EngineRefused, match="'' has no tokens"):
        await engine.complete(ask("which one?", choices=("yes", "")))


async def test_a_schema_is_obeyed_with_its_keys_in_its_order(engine: VllmEngine) -> None:
    properties = {"z": {"enum": ["left", "right"]}, "a": {"type": "boolean"}}
    schema = {"type": "object", "properties": properties, "required": ["z", "a"], "additionalProperties": False}
    answer = await engine.complete(ask("go", max_tokens=60, schema=schema))
    parsed = json.loads(answer.text)
    assert list(parsed) == ["z", "a"]
    assert parsed["z"] in ("left", "right")


async def test_a_schema_that_no_grammar_can_follow_is_refused_in_the_engines_words(engine: VllmEngine) -> None:
    with pytest.raises(EngineRefused, match="objekt"):
        await engine.complete(ask("go", schema={"type": "objekt"}))


async def test_a_prompt_over_the_context_is_refused_and_says_the_limit(engine: VllmEngine) -> None:
    with pytest.raises(EngineRefused, match="maximum context length is 512"):
        await engine.complete(ask("x" * 600))
    with pytest.raises(EngineRefused, match="maximum context length is 512"):
        await engine.complete(ask("x" * 600, choices=("a", "b")))


async def test_a_model_of_another_pool_is_refused(engine: VllmEngine) -> None:
    with pytest.raises(EngineRefused, match="does not serve model 'elsewhere'"):
        await engine.complete(ask("hello", model="elsewhere"))


async def test_smoke_overtakes_the_regression_prompts_that_wait(engine: VllmEngine) -> None:
    backlog = [asyncio.create_task(engine.complete(ask(f"prompt {n}", max_tokens=60))) for n in range(80)]
    await asyncio.wait(backlog, return_when=asyncio.FIRST_COMPLETED)
    await engine.complete(ask("quick", max_tokens=4, tier=Tier.SMOKE))
    waiting = sum(not task.done() for task in backlog)
    await asyncio.gather(*backlog)
    assert waiting > 30  # first come, first served would have left fewer than max_num_seqs = 16


async def test_cancelling_a_call_aborts_it_in_the_engine(unit: GpuUnit, engine: VllmEngine) -> None:
    before = await generated(unit)
    calls = [asyncio.create_task(engine.complete(ask(f"long {n}", max_tokens=450))) for n in range(8)]
    await until_running(unit, 8)
    for call in calls:
        call.cancel()
    assert all(isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*calls, return_exceptions=True))
    await until_running(unit, 0)
    assert await generated(unit) - before < 8 * 450


async def test_an_engine_that_is_not_there_is_unavailable(unit: GpuUnit, tmp_path: Path) -> None:
    engine = VllmEngine(
        home=tmp_path, pool=POOL, config=unit.config, artifact=unit.artifact, backoff=Backoff(patience_s=0)
    )
    with pytest.raises(EngineUnavailable, match="is not running"):
        await engine.complete(ask("hello"))
    with pytest.raises(EngineUnavailable, match="'warm' is not ready"):
        await engine.info("tiny")


async def test_info_tells_what_answers(unit: GpuUnit, engine: VllmEngine) -> None:
    info = await engine.info("tiny")
    assert (info.engine, info.version, info.dtype) == ("vllm", "0.32.0", "float32")
    assert (info.max_model_len, info.max_num_seqs) == (512, 16)
    assert len(info.model_digest) == len(info.chat_template_digest) == 64
    assert info.details == {"arguments": list(unit.config.pools[POOL].arguments)}


async def metric(unit: GpuUnit, pattern: str) -> float:
    connector = aiohttp.UnixConnector(str(EnginePaths(home=unit.home, pool=POOL).socket))
    async with aiohttp.ClientSession(connector=connector) as session, session.get("http://engine/metrics") as response:
        found = re.search(pattern + r" ([\d.e+]+)$", await response.text(), re.MULTILINE)
    return float(found[1]) if found else 0.0


async def until_running(unit: GpuUnit, requests: int) -> None:
    while await metric(unit, r"^vllm:num_requests_running\{.*\}") != requests:
        await asyncio.sleep(0.02)


async def generated(unit: GpuUnit) -> float:
    return await metric(unit, r"^vllm:generation_tokens_total\{.*\}")
