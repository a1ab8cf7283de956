"""Shards: bounded, complete, and ordered so that what begins alike is asked together."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from evalwindow.config import Lane
from evalwindow.model import Message
from evalwindow.sharding import Prompt, cut

WORDS = st.sampled_from(["system", "other", "", "say"])
PROMPTS = st.lists(st.tuples(WORDS, WORDS, st.integers(1, 50)), max_size=60).map(
    lambda found: [
        Prompt(sample_id=f"s{number}", text=(system, user), tokens=tokens)
        for number, (system, user, tokens) in enumerate(found)
    ]
)
LANES = st.builds(
    lambda size, tokens: Lane(slots=1, shard_size=size, shard_tokens=tokens), st.integers(1, 9), st.integers(1, 99)
)


@given(prompts=PROMPTS, lane=LANES | st.none())
def test_every_sample_is_in_exactly_one_shard_and_no_shard_is_empty(prompts: list[Prompt], lane: Lane | None) -> None:
    shards = cut(prompts, lane=lane)
    assert sorted(name for shard in shards for name in shard) == sorted(prompt.sample_id for prompt in prompts)
    assert all(shards)


@given(prompts=PROMPTS, lane=LANES)
def test_a_shard_keeps_both_bounds_unless_it_is_one_long_sample(prompts: list[Prompt], lane: Lane) -> None:
    tokens = {prompt.sample_id: prompt.tokens for prompt in prompts}
    for shard in cut(prompts, lane=lane):
        assert len(shard) <= lane.shard_size
        assert len(shard) == 1 or sum(tokens[name] for name in shard) <= lane.shard_tokens


@given(prompts=PROMPTS, lane=LANES)
def test_no_two_neighbouring_shards_would_fit_into_one(prompts: list[Prompt], lane: Lane) -> None:
    tokens = {prompt.sample_id: prompt.tokens for prompt in prompts}
    shards = cut(prompts, lane=lane)
    for shard, follower in pairwise(shards):
        full = len(shard) == lane.shard_size
        assert full or sum(tokens[name] for name in (*shard, follower[0])) > lane.shard_tokens


@given(prompts=PROMPTS, lane=LANES)
def test_what_begins_alike_stays_together(prompts: list[Prompt], lane: Lane) -> None:
    system = {prompt.sample_id: prompt.text[0] for prompt in prompts}
    order = [system[name] for shard in cut(prompts, lane=lane) for name in shard]
    changes = sum(one != other for one, other in pairwise(order))
    assert changes == max(0, len(set(order)) - 1)


@given(prompts=PROMPTS)
def test_without_a_lane_there_is_one_shard(prompts: list[Prompt]) -> None:
    assert len(cut(prompts, lane=None)) == bool(prompts)


def test_a_prompt_is_counted_by_the_models_tokenizer_or_estimated() -> None:
    class Counter:
        def count(self, messages: object) -> int:
            return 7

    turns = (Message(role="system", content="be brief"), Message(role="user", content="how far is it?"))
    assert Prompt.of("s", turns, counter=Counter()).tokens == 7  # type: ignore[arg-type]
    assert Prompt.of("s", turns, counter=None).tokens == 5  # of 22 characters
