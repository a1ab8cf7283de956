"""Exact-match accuracy on held-out prompts, by greedy decoding in batches."""

import random

import torch
from transformers import PreTrainedTokenizerFast

from demo.skills import SKILLS, STRETCH, Sample, unique

MAX_NEW_TOKENS = 64

STRETCH_SHARE = 0.1
"""Share of the held-out prompts that are harder than anything trained on, in the skills that have such prompts."""


def held_out(per_skill: int, seed: int, *, stretch: bool = True) -> list[Sample]:
    """`per_skill` distinct test samples of each skill, skill by skill, STRETCH_SHARE of them stretch if wanted."""
    samples = []
    for number, skill in enumerate(SKILLS):
        ordinary = unique(skill, random.Random(seed * 1000 + number), "test")
        harder = unique(skill, random.Random(seed * 1000 + 500 + number), "test", stretch=True)
        mixed = stretch and skill in STRETCH
        samples += [next(harder if mixed and is_stretch(place) else ordinary) for place in range(per_skill)]
    return samples


def is_stretch(place: int) -> bool:
    """Whether the prompt at this 0-based place is a stretch: evenly spread, every tenth for a share of 0.1."""
    every = round(1 / STRETCH_SHARE)
    return place % every == every - 1


@torch.inference_mode()
def answers(
    model: torch.nn.Module,
    tokenizer: PreTrainedTokenizerFast,
    prompts: list[str],
    batch_size: int = 100,
) -> list[str]:
    """The model's greedy answer to each prompt, asked as a single user turn."""
    found: list[str] = []
    for start in range(0, len(prompts), batch_size):
        texts = [
            tokenizer.apply_chat_template(
                [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
            )
            for prompt in prompts[start : start + batch_size]
        ]
        inputs = tokenizer(texts, return_tensors="pt", padding=True, return_token_type_ids=False)
        inputs = inputs.to(next(model.parameters()).device)
        output = model.generate(**inputs, max_new_tokens=MAX_NEW_TOKENS, do_sample=False)
        new = output[:, inputs["input_ids"].shape[1] :]
        found += tokenizer.batch_decode(new, skip_special_tokens=True)
    return found


def accuracy(samples: list[Sample], given: list[str]) -> dict[str, float]:
    """Share of exact answers per skill, and 'overall', from 0 to 1."""
    right = [sample.target == answer.strip() for sample, answer in zip(samples, given, strict=True)]
    result = {}
    for skill in SKILLS:
        marks = [ok for sample, ok in zip(samples, right, strict=True) if sample.skill == skill]
        result[skill] = round(sum(marks) / len(marks), 4)
    return result | {"overall": round(sum(right) / len(right), 4)}
