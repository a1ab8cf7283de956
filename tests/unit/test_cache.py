"""Two answers have one key only if everything that made them is the same."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalwindow.cache import cache_key
from evalwindow.model import CompletionRequest, EngineInfo, Message, Sampling, Tier

INFO = EngineInfo(
    engine="vllm", version="0.32.0", model_digest="m", dtype="float32", chat_template_digest="t", max_model_len=512
)
REQUEST = CompletionRequest(
    model="tiny",
    messages=(Message(role="system", content="be brief"), Message(role="user", content="hi")),
    sampling=Sampling(stop=("a", "b")),
)

OTHER_INFO: dict[str, Any] = {
    "engine": "openai",
    "version": "0.32.1",
    "model_digest": "n",
    "dtype": "bfloat16",
    "chat_template_digest": "u",
    "details": {"adapter": "x"},
}
OTHER_REQUEST: dict[str, Any] = {
    "adapter": "a",
    "messages": (Message(role="user", content="hi"),),
    "choices": ("yes", "no"),
    "schema": {"type": "object"},
    "epoch": 1,
}
OTHER_SAMPLING: dict[str, Any] = {"temperature": 0.5, "top_p": 0.9, "max_tokens": 65, "seed": 1, "stop": ("b", "a")}
WITHOUT_EFFECT: dict[str, Any] = {"model": "renamed", "tier": Tier.SMOKE, "sample_id": "s-2"}
CAPACITY: dict[str, Any] = {"max_model_len": 1024, "max_num_seqs": 8}


def test_every_field_is_either_in_the_key_or_known_to_have_no_effect() -> None:
    assert {field.name for field in fields(EngineInfo)} == OTHER_INFO.keys() | CAPACITY.keys()
    assert {field.name for field in fields(CompletionRequest)} == OTHER_REQUEST.keys() | WITHOUT_EFFECT.keys() | {
        "sampling"
    }
    assert {field.name for field in fields(Sampling)} == OTHER_SAMPLING.keys()


@given(
    info=st.sets(st.sampled_from(sorted(OTHER_INFO))),
    request=st.sets(st.sampled_from(sorted(OTHER_REQUEST))),
    sampling=st.sets(st.sampled_from(sorted(OTHER_SAMPLING))),
)
def test_any_change_of_what_makes_an_answer_changes_the_key(
    info: set[str], request: set[str], sampling: set[str]
) -> None:
    other_info = replace(INFO, **{name: OTHER_INFO[name] for name in info})
    other_sampling = replace(REQUEST.sampling, **{name: OTHER_SAMPLING[name] for name in sampling})
    other = replace(REQUEST, sampling=other_sampling, **{name: OTHER_REQUEST[name] for name in request})
    same = not (info or request or sampling)
    assert (cache_key(other_info, other) == cache_key(INFO, REQUEST)) is same


@given(st.text(max_size=6), st.text(max_size=6), st.text(max_size=6), st.text(max_size=6))
def test_texts_never_run_into_each_other(one: str, two: str, three: str, four: str) -> None:
    def key(role: str, content: str) -> str:
        return cache_key(INFO, replace(REQUEST, messages=(Message(role=role, content=content),)))

    assert (key(one, two) == key(three, four)) is ((one, two) == (three, four))


@pytest.mark.parametrize("name", WITHOUT_EFFECT)
def test_a_name_a_tier_or_a_sample_id_does_not_change_the_key(name: str) -> None:
    assert cache_key(INFO, replace(REQUEST, **{name: WITHOUT_EFFECT[name]})) == cache_key(INFO, REQUEST)


@pytest.mark.parametrize("name", CAPACITY)
def test_capacity_does_not_change_the_key(name: str) -> None:
    assert cache_key(replace(INFO, **{name: CAPACITY[name]}), REQUEST) == cache_key(INFO, REQUEST)


def test_a_whole_number_is_the_same_temperature() -> None:
    whole = replace(REQUEST, sampling=replace(REQUEST.sampling, temperature=0, top_p=1))
    assert cache_key(INFO, whole) == cache_key(INFO, REQUEST)


def test_the_order_of_a_schemas_keys_matters_because_output_follows_it() -> None:
    def key(*names: str) -> str:
        schema = {"type": "object", "properties": {name: {"type": "string"} for name in names}}
        return cache_key(INFO, replace(REQUEST, schema=schema))

    assert key("a", "b") != key("b", "a")


def test_a_lone_surrogate_has_a_key() -> None:
    assert cache_key(INFO, replace(REQUEST, messages=(Message(role="user", content="\ud800"),)))
