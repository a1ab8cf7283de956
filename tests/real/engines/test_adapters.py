"""LoRA adapters on the warm engine, with PEFT as the oracle."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from evalwindow.config import Lora
from evalwindow.content import digest_of
from evalwindow.engines.adapters import materialise
from evalwindow.engines.residents import resident_adapters, served_name
from evalwindow.engines.vllm import VllmEngine
from evalwindow.engines.vllm_http import VllmHttp
from evalwindow.engines.vllm_metrics import read_figures
from evalwindow.errors import EngineRefused, EngineUnavailable
from tests.real.engines.requests import ask
from tests.real.engines.tiny import adapter_files
from tests.real.engines.unit import POOL, GpuUnit

pytestmark = pytest.mark.timeout(600)  # with the start of the engine


@pytest.fixture(scope="module")
def digests(unit: GpuUnit) -> Iterator[list[str]]:
    """Three adapters in the store, one more than the engine has places for."""
    yield [keep(unit, adapter_files(seed=seed)) for seed in (1, 2, 3)]
    unit.adapters.clear()


def keep(unit: GpuUnit, files: Mapping[str, bytes]) -> str:
    digest = digest_of(files)
    unit.adapters[digest] = files
    return digest


async def resident(unit: GpuUnit) -> set[str]:
    http = VllmHttp(unit.paths.socket)
    try:
        return set(await resident_adapters(http))
    finally:
        await http.aclose()


async def test_an_adapter_answers_as_peft_computes_it(
    unit: GpuUnit, engine: VllmEngine, digests: list[str], tmp_path: Path
) -> None:
    request = ask("which one?", choices=("yes", "no"), adapter=digests[0])
    scored = await engine.complete(request)
    folder = materialise(tmp_path, digest=digests[0], files=unit.adapters[digests[0]])
    tokenizer = AutoTokenizer.from_pretrained(unit.folder / "model")
    base = AutoModelForCausalLM.from_pretrained(unit.folder / "model", dtype=torch.float32)
    adapted = PeftModel.from_pretrained(base, folder)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "which one?"}], tokenize=False, add_generation_prompt=True
    )
    start = len(tokenizer(prompt, add_special_tokens=False)["input_ids"])
    for choice, logprob in zip(request.choices, scored.choice_logprobs, strict=True):
        ids = tokenizer(prompt + choice, add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            logprobs = adapted(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        wanted = float(sum(logprobs[place - 1, ids[place]] for place in range(start, len(ids))))
        assert logprob == pytest.approx(wanted, abs=1e-2)


async def test_each_adapter_answers_for_itself_and_the_base_for_none(engine: VllmEngine, digests: list[str]) -> None:
    adapters = (None, *digests)
    first = [(await engine.complete(ask("go on", max_tokens=16, adapter=adapter))).text for adapter in adapters]
    again = [(await engine.complete(ask("go on", max_tokens=16, adapter=adapter))).text for adapter in adapters]
    assert first == again
    assert len(set(first)) == 4


async def test_the_least_recently_used_adapter_makes_room(
    unit: GpuUnit, engine: VllmEngine, digests: list[str]
) -> None:
    for digest in digests:
        await engine.complete(ask("hello", adapter=digest))
    assert await resident(unit) == {served_name(digest) for digest in digests[1:]}


async def test_two_adapters_that_share_one_place_take_turns_and_the_engine_counts_them(
    unit: GpuUnit, digests: list[str]
) -> None:
    one_place = unit.config.pools[POOL].model_copy(update={"lora": Lora(max_adapters=1, max_rank=8)})
    config = unit.config.model_copy(update={"pools": {POOL: one_place}})
    engine = VllmEngine(home=unit.home, pool=POOL, config=config, artifact=unit.artifact)
    first = [await engine.complete(ask("go on", max_tokens=16, adapter=digest)) for digest in digests[:2]]
    before = await read_figures(engine._http)
    for _ in range(3):
        for digest, known in zip(digests[:2], first, strict=True):
            again = await engine.complete(ask("go on", max_tokens=16, adapter=digest))
            assert again.text == known.text
            assert await resident_adapters(engine._http) == [served_name(digest)]
    after = await read_figures(engine._http)
    assert after.adapter_evictions - before.adapter_evictions == 6
    await engine.aclose()


async def test_an_adapter_in_use_is_never_unloaded(unit: GpuUnit, digests: list[str]) -> None:
    engine, other = unit.engine(patience_s=0.5), unit.engine(patience_s=0.5)  # as of two processes
    assert engine._residents is not None
    async with AsyncExitStack() as uses:
        for digest in digests[:2]:
            await uses.enter_async_context(engine._residents.use(digest))
        with pytest.raises(EngineUnavailable, match="all 2 adapter places of pool 'warm' are in use"):
            await other.complete(ask("hello", adapter=digests[2]))
        assert await resident(unit) == {served_name(digest) for digest in digests[:2]}
    assert (await other.complete(ask("hello", adapter=digests[2]))).text
    await engine.aclose()
    await other.aclose()


async def test_two_processes_that_compete_for_the_places_get_right_answers(unit: GpuUnit, digests: list[str]) -> None:
    engines = [unit.engine(patience_s=60), unit.engine(patience_s=60)]
    wanted = {digest: (await engines[0].complete(ask("go on", adapter=digest))).text for digest in digests}

    async def one(number: int) -> bool:
        digest = digests[number % 3]
        return (await engines[number % 2].complete(ask("go on", adapter=digest))).text == wanted[digest]

    assert all(await asyncio.gather(*map(one, range(36))))
    for engine in engines:
        await engine.aclose()


async def test_an_adapter_that_was_unloaded_behind_our_back_is_loaded_again(
    unit: GpuUnit, engine: VllmEngine, digests: list[str]
) -> None:
    assert engine._residents is not None
    async with engine._residents.use(digests[0]) as name:
        await engine._http.post("/v1/unload_lora_adapter", {"lora_name": name})
        assert (await engine.complete(ask("hello", adapter=digests[0]))).text
        assert name in await resident(unit)


async def test_an_adapter_that_nobody_stored_is_refused(engine: VllmEngine) -> None:
    with pytest.raises(EngineRefused, match="There is no artifact"):
        await engine.complete(ask("hello", adapter="0" * 64))


async def test_an_adapter_of_too_high_a_rank_is_refused_before_the_engine_sees_it(
    unit: GpuUnit, engine: VllmEngine
) -> None:
    with pytest.raises(EngineRefused, match="r=16: the pool takes ranks up to 8"):
        await engine.complete(ask("hello", adapter=keep(unit, adapter_files(seed=9, rank=16))))


async def test_files_that_changed_in_the_store_are_refused(unit: GpuUnit, engine: VllmEngine) -> None:
    unit.adapters["1" * 64] = adapter_files(seed=8)
    with pytest.raises(EngineRefused, match="its stored files have the digest"):
        await engine.complete(ask("hello", adapter="1" * 64))


async def test_what_the_engine_itself_refuses_is_told_in_its_words_and_leaves_it_alive(
    unit: GpuUnit, engine: VllmEngine
) -> None:
    files = adapter_files(seed=7)
    config = json.loads(files["adapter_config.json"]) | {"init_lora_weights": "pissa"}
    digest = keep(unit, {**files, "adapter_config.json": json.dumps(config).encode()})
    with pytest.raises(EngineRefused, match="init_lora_weights"):
        await engine.complete(ask("hello", adapter=digest))
    assert (await engine.complete(ask("hello"))).text
