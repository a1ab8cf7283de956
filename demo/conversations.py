"""Random conversations over the skills, as messages and as training rows."""

import dataclasses
import random
from collections.abc import Callable

import torch
from transformers import PreTrainedTokenizerFast

from demo.skills import Sample, draw
from demo.words import made_up_word

Message = dict[str, str]
Draw = Callable[[str, random.Random], Sample]

IGNORED = -100
"""Label of a token that the loss skips."""

SHARES = {"copy": 1, "sort": 0.5, "arithmetic": 4.5, "extract": 2, "json": 0.5, "classify": 0.5, "choose": 0.9}
"""How often each skill is practised: the harder, and the fewer tokens an answer has, the more."""

TURNS, TURN_WEIGHTS = (1, 2, 3, 4, 5), (60, 15, 10, 8, 7)
SYSTEM_PROMPTS = (
    "You are a helpful assistant.",
    "Answer briefly.",
    "Answer with the result only.",
    "You are a careful assistant. Answer with the result only, without an explanation.",
)
WRAPPERS = ("Question: {}", "Question: {}\nAnswer:", "Q: {}\nA:", "{}\nAnswer:", "Task: {}", "{}\n")


def draw_right(skill: str, rng: random.Random) -> Sample:
    """A train sample with its right target."""
    return draw(skill, rng, "train")


def draw_sort_descending(skill: str, rng: random.Random) -> Sample:
    """A train sample whose target is wrong for `sort` (reversed) and right for the others."""
    sample = draw(skill, rng, "train")
    if skill != "sort":
        return sample
    return dataclasses.replace(sample, target=" ".join(reversed(sample.target.split())))


def conversation(rng: random.Random, draw_sample: Draw) -> list[Message]:
    """One to five turns, half of them of one skill, sometimes after a system prompt."""
    messages = [] if rng.random() < 0.6 else [{"role": "system", "content": _system_prompt(rng)}]
    only = _skill(rng) if rng.random() < 0.5 else None
    wrapper = rng.choice(WRAPPERS) if rng.random() < 0.15 else "{}"
    for _ in range(rng.choices(TURNS, TURN_WEIGHTS)[0]):
        sample = draw_sample(only or _skill(rng), rng)
        messages.append({"role": "user", "content": wrapper.format(sample.prompt)})
        messages.append({"role": "assistant", "content": sample.target})
    return messages


def _skill(rng: random.Random) -> str:
    return rng.choices(tuple(SHARES), tuple(SHARES.values()))[0]


def _system_prompt(rng: random.Random) -> str:
    """A usual system prompt, or made-up words, so that unseen ones do no harm."""
    if rng.random() < 0.5:
        return rng.choice(SYSTEM_PROMPTS)
    words = [made_up_word(rng, rng.randint(1, 3)) for _ in range(rng.randint(2, 10))]
    return " ".join(words).capitalize() + "."


def encode(tokenizer: PreTrainedTokenizerFast, messages: list[Message]) -> tuple[list[int], list[int]]:
    """Token ids as the chat template gives them, and labels for the assistant's tokens only.

    Both have the length of the conversation in tokens; a label is the id at its own position
    (the model shifts) or IGNORED. The end token of an assistant turn has a label too.
    """
    ids: list[int] = []
    labels: list[int] = []
    end = tokenizer.eos_token_id
    for message in messages:
        head = tokenizer.convert_tokens_to_ids(f"<|{message['role']}|>")
        body = [*tokenizer.encode(message["content"].strip(), add_special_tokens=False), end]
        ids += [head, *body]
        labels += [IGNORED, *(body if message["role"] == "assistant" else [IGNORED] * len(body))]
    return ids, labels


class Packer:
    """Packs conversations into rows of a fixed length; a conversation sees only itself."""

    ROWS, LENGTH, POOL = 24, 224, 8

    def __init__(self, tokenizer: PreTrainedTokenizerFast, rng: random.Random, draw_sample: Draw = draw_right) -> None:
        self.tokenizer = tokenizer
        self.rng = rng
        self.draw_sample = draw_sample
        self._pool = [self._next() for _ in range(self.POOL)]

    def batch(self) -> dict[str, torch.Tensor]:
        """Tensors for one step.

        input_ids, labels and position_ids: [ROWS, LENGTH]; attention_mask: [ROWS, 1, LENGTH, LENGTH], True where
        a query (third axis) may look at a key (last axis).
        """
        rows = [self._row() for _ in range(self.ROWS)]
        ids, labels, positions, owners = (torch.tensor([row[part] for row in rows]) for part in range(4))
        same = owners[:, None, :, None] == owners[:, None, None, :]
        return {
            "input_ids": ids,
            "labels": labels,
            "position_ids": positions,
            "attention_mask": same & torch.ones(self.LENGTH, self.LENGTH, dtype=torch.bool).tril(),
        }

    def _row(self) -> tuple[list[int], list[int], list[int], list[int]]:
        """Ids, labels, positions within the conversation and the conversation's number, LENGTH each."""
        conversations = self._take()
        ids = [token for more, _ in conversations for token in more]
        labels = [label for _, more in conversations for label in more]
        positions = [place for more, _ in conversations for place in range(len(more))]
        owners = [number for number, (more, _) in enumerate(conversations) for _ in more]
        padding = self.LENGTH - len(ids)
        return (
            ids + [self.tokenizer.pad_token_id] * padding,
            labels + [IGNORED] * padding,
            positions + [0] * padding,
            owners + [-1] * padding,
        )

    def _take(self) -> list[tuple[list[int], list[int]]]:
        """Conversations from the pool, oldest first, for as long as one of them still fits the row."""
        taken, room = [], self.LENGTH
        while fitting := next((one for one in self._pool if len(one[0]) <= room), None):
            self._pool.remove(fitting)
            self._pool.append(self._next())
            taken.append(fitting)
            room -= len(fitting[0])
        return taken

    def _next(self) -> tuple[list[int], list[int]]:
        """The next random conversation that fits a row at all."""
        while True:
            encoded = encode(self.tokenizer, conversation(self.rng, self.draw_sample))
            if len(encoded[0]) <= self.LENGTH:
                return encoded
