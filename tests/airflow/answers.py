"""What the seed's models answer: the same sample is as hard for each of them."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from evalwindow.model import Sample
from evalwindow.suites import Suite


def evenly(samples: Sequence[Sample], count: int) -> tuple[Sample, ...]:
    """So many of them, from every part of the dataset."""
    step = max(1, len(samples) // count)
    return tuple(samples[::step][:count])


def skill_of(suite: Suite, model: str, number: int) -> float:
    """Share that the model answers rightly: candidates are trained on, a little, every night."""
    if suite.name == "gsm8k":
        return {"demo": 0.41, "demo-as-good": 0.42 + 0.004 * number, "demo-lost-sort": 0.38}[model]
    return {"demo": 0.925, "demo-as-good": 0.925 + 0.002 * number, "demo-lost-sort": 0.93}[model]


def difficulty(sample: Sample) -> float:
    """0..1, the same for every model."""
    return random.Random(sample.id).random()


def answer_to(sample: Sample, *, right: bool) -> str:
    steps = sample.fields.get("answer")
    if not isinstance(steps, str):
        return str(sample.target) if right else " ".join(reversed(str(sample.target).split())) + " x"
    told = re.sub(r"<<[^>]*>>", "", steps).replace("####", "The answer is")
    return told if right else re.sub(r"\d+", lambda number: str(int(number.group()) + 3), told)
