"""Synthetic skills: short tasks whose right answer can be computed.

Every generator is a pure function of the `random.Random` and the span of sizes it is given. A
prompt's text alone decides whether it belongs to the train or the test split, so no test prompt
can be trained on. Training draws ordinary sizes only; stretch prompts, larger than anything
trained on, are for evaluation: they keep a model that has learned its lessons from being perfect.
"""

import hashlib
import json
import random
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from demo.words import CLASSES, made_up_word

TEST_SHARE = 0.2
"""Share of all possible prompts that is held out."""

Span = tuple[int, int]
"""Smallest and largest size of a task; what a size counts is up to the skill."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One task: what the user says, what the assistant should answer, word for word."""

    skill: str
    prompt: str
    target: str
    choices: tuple[str, ...] = ()
    """The options of a multiple-choice prompt; empty for the other skills."""


def copy(rng: random.Random, count: Span) -> Sample:
    """Repeat `count` made-up words."""
    words = [made_up_word(rng, rng.randint(1, 3)) for _ in range(rng.randint(*count))]
    text = " ".join(words)
    return Sample(skill="copy", prompt=f"Repeat: {text}", target=text)


def sort(rng: random.Random, count: Span) -> Sample:
    """Put `count` distinct letters into alphabetical order."""
    letters = rng.sample(string.ascii_lowercase, rng.randint(*count))
    return Sample(skill="sort", prompt=f"Sort: {' '.join(letters)}", target=" ".join(sorted(letters)))


def arithmetic(rng: random.Random, number: Span) -> Sample:
    """Add or subtract two numbers of the span `number`; the result is never negative."""
    left, right = rng.randint(*number), rng.randint(*number)
    if rng.random() < 0.5:
        prompt, answer = f"What is {left} + {right}?", left + right
    else:
        left, right = max(left, right), min(left, right)
        prompt, answer = f"What is {left} - {right}?", left - right
    return Sample(skill="arithmetic", prompt=prompt, target=str(answer))


def extract(rng: random.Random, count: Span) -> Sample:
    """Find the value of one key among `count` key=value pairs."""
    keys = rng.sample(("name", "pet", "size", "home", "tint", "rank", "shop"), rng.randint(*count))
    pairs = {key: _value(rng, key) for key in keys}
    wanted = rng.choice(keys)
    text = "; ".join(f"{key}={value}" for key, value in pairs.items())
    return Sample(skill="extract", prompt=f"{text}\nWhat is the {wanted}?", target=pairs[wanted])


def _value(rng: random.Random, key: str) -> str:
    if key == "size":
        return str(rng.randint(10, 999))
    pool = {"pet": "animal", "tint": "colour", "home": "city", "rank": "number"}.get(key)
    return rng.choice(CLASSES[pool]) if pool else made_up_word(rng, rng.randint(2, 3))


def json_object(rng: random.Random, syllables: Span) -> Sample:
    """Turn a sentence about a person, whose name has `syllables`, into JSON, keys always in the same order."""
    name, age = made_up_word(rng, rng.randint(*syllables)).capitalize(), rng.randint(10, 99)
    city, pet = rng.choice(CLASSES["city"]), rng.choice(CLASSES["animal"])
    sentence = rng.choice(
        (
            f"{name} is {age}, lives in {city} and has a {pet}.",
            f"In {city} lives {name}, aged {age}, with a {pet}.",
            f"The {pet} of {name} from {city} is {age}.",
        )
    )
    target = json.dumps({"name": name, "age": age, "city": city, "pet": pet})
    return Sample(skill="json", prompt=f"As JSON: {sentence}", target=target)


def classify(rng: random.Random, count: Span, *, narrow: bool = False) -> Sample:
    """Name the class that most of `count` words belong to: about half or more; if `narrow`, just above a third."""
    label = rng.choice(tuple(CLASSES))
    others = [name for name in CLASSES if name != label]
    total = rng.randint(*count)
    most = total // 3 + 1 if narrow else rng.randint(total // 2, total - 1)
    rest = _spread(rng, others, total - most, limit=most - 1)
    words = rng.sample(CLASSES[label], most)
    words += [word for name, n in rest.items() for word in rng.sample(CLASSES[name], n)]
    rng.shuffle(words)
    return Sample(skill="classify", prompt=f"Most of these are? {', '.join(words)}", target=label)


def _spread(rng: random.Random, names: list[str], total: int, limit: int) -> dict[str, int]:
    """Spread `total` over `names` at random with at most `limit` each."""
    counts = dict.fromkeys(names, 0)
    for _ in range(total):
        free = [name for name in names if counts[name] < limit]
        counts[rng.choice(free)] += 1
    return counts


def choose(rng: random.Random) -> Sample:
    """Pick the one option of four that fits: a class's only member, or the largest number."""
    if rng.random() < 0.5:
        numbers = rng.sample(range(100, 1000), 4)
        question, options, answer = "largest", [str(n) for n in numbers], str(max(numbers))
    else:
        question = rng.choice(tuple(CLASSES))
        words = {name: rng.choice(pool) for name, pool in CLASSES.items()}
        options, answer = list(words.values()), words[question]
        rng.shuffle(options)
    prompt = f"Which is the {question}? {', '.join(options)}"
    return Sample(skill="choose", prompt=prompt, target=answer, choices=tuple(options))


Generator = Callable[[random.Random], Sample]

SKILLS: dict[str, Generator] = {
    "copy": partial(copy, count=(2, 6)),
    "sort": partial(sort, count=(6, 12)),
    "arithmetic": partial(arithmetic, number=(10, 99)),
    "extract": partial(extract, count=(3, 5)),
    "json": partial(json_object, syllables=(2, 4)),
    "classify": partial(classify, count=(6, 11)),
    "choose": choose,
}
"""Every skill in its ordinary sizes, the ones trained on."""

STRETCH: dict[str, Generator] = {
    "copy": partial(copy, count=(8, 10)),
    "sort": partial(sort, count=(16, 19)),
    "arithmetic": partial(arithmetic, number=(100, 999)),
    "json": partial(json_object, syllables=(8, 9)),
    "classify": partial(classify, count=(16, 20), narrow=True),
}
"""The skills whose ordinary sizes are easy, in sizes that are harder than anything trained on."""


def split_of(prompt: str) -> str:
    """'test' for a fixed, pseudo-random TEST_SHARE of all prompt texts, else 'train'."""
    digest = hashlib.sha256(prompt.encode()).digest()
    return "test" if digest[0] < 256 * TEST_SHARE else "train"


def draw(skill: str, rng: random.Random, split: str, *, stretch: bool = False) -> Sample:
    """One sample of `skill` whose prompt belongs to `split`; stretch samples are for the test split alone."""
    if stretch and split != "test":
        raise ValueError("stretch prompts are harder than anything trained on: they are for the test split alone")
    generate = STRETCH[skill] if stretch else SKILLS[skill]
    while True:
        sample = generate(rng)
        if split_of(sample.prompt) == split:
            return sample


def unique(skill: str, rng: random.Random, split: str, *, stretch: bool = False) -> Iterator[Sample]:
    """Samples of `skill` without end, no prompt twice."""
    seen: set[str] = set()
    while True:
        sample = draw(skill, rng, split, stretch=stretch)
        if sample.prompt not in seen:
            seen.add(sample.prompt)
            yield sample
