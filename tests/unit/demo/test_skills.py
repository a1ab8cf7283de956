"""The synthetic skills: deterministic, split by prompt, and right by an independent check."""

import hashlib
import json
import random
import re
from collections import Counter
from itertools import islice

import pytest

from demo.skills import SKILLS, STRETCH, Sample, draw, split_of, unique
from demo.words import CLASSES

CLASS_OF = {word: name for name, pool in CLASSES.items() for word in pool}
CHECKED = 300


def expected_copy(sample: Sample) -> str:
    return sample.prompt.removeprefix("Repeat: ")


def expected_sort(sample: Sample) -> str:
    letters = set(sample.prompt.removeprefix("Sort: ").split(" "))
    return " ".join(letter for letter in "abcdefghijklmnopqrstuvwxyz" if letter in letters)


def expected_arithmetic(sample: Sample) -> str:
    left, sign, right = re.fullmatch(r"What is (\d+) ([+-]) (\d+)\?", sample.prompt).groups()
    return str(int(left) + int(sign + right))


def expected_extract(sample: Sample) -> str:
    text, question = sample.prompt.split("\n")
    key = re.fullmatch(r"What is the (\w+)\?", question)[1]
    return re.search(rf"\b{key}=(\w+)", text)[1]


SENTENCES = (
    r"(?P<name>\w+) is (?P<age>\d+), lives in (?P<city>\w+) and has a (?P<pet>\w+)\.",
    r"In (?P<city>\w+) lives (?P<name>\w+), aged (?P<age>\d+), with a (?P<pet>\w+)\.",
    r"The (?P<pet>\w+) of (?P<name>\w+) from (?P<city>\w+) is (?P<age>\d+)\.",
)


def expected_json(sample: Sample) -> str:
    sentence = sample.prompt.removeprefix("As JSON: ")
    (found,) = [match for form in SENTENCES if (match := re.fullmatch(form, sentence))]
    person = found.groupdict() | {"age": int(found["age"])}
    return json.dumps({key: person[key] for key in ("name", "age", "city", "pet")})


def expected_classify(sample: Sample) -> str:
    words = sample.prompt.removeprefix("Most of these are? ").split(", ")
    (first, most), (_, second) = Counter(CLASS_OF[word] for word in words).most_common(2)
    assert most > second
    return first


def expected_choose(sample: Sample) -> str:
    question, options = re.fullmatch(r"Which is the (\w+)\? (.*)", sample.prompt).groups()
    assert options.split(", ") == list(sample.choices)
    if question == "largest":
        return str(max(map(int, sample.choices)))
    (fitting,) = [option for option in sample.choices if CLASS_OF[option] == question]
    return fitting


SIZES = {
    "copy": lambda sample: len(sample.target.split()),
    "sort": lambda sample: len(sample.target.split()),
    "arithmetic": lambda sample: min(len(number) for number in re.findall(r"\d+", sample.prompt)),
    "json": lambda sample: len(json.loads(sample.target)["name"]),
    "classify": lambda sample: sample.prompt.count(",") + 1,
}

EXPECTED = {
    "copy": expected_copy,
    "sort": expected_sort,
    "arithmetic": expected_arithmetic,
    "extract": expected_extract,
    "json": expected_json,
    "classify": expected_classify,
    "choose": expected_choose,
}


def test_every_skill_has_an_independent_check() -> None:
    assert EXPECTED.keys() == SKILLS.keys()


@pytest.mark.parametrize("skill", SKILLS)
def test_target_is_right(skill: str) -> None:
    for sample in islice(unique(skill, random.Random(5), "test"), CHECKED):
        assert sample.target == EXPECTED[skill](sample), sample


@pytest.mark.parametrize("skill", STRETCH)
def test_target_of_a_stretch_is_right(skill: str) -> None:
    for sample in islice(unique(skill, random.Random(5), "test", stretch=True), CHECKED):
        assert sample.target == EXPECTED[skill](sample), sample
        assert split_of(sample.prompt) == "test"


@pytest.mark.parametrize("skill", STRETCH)
def test_every_stretch_is_larger_than_anything_trained_on(skill: str) -> None:
    trained = islice(unique(skill, random.Random(6), "train"), 10 * CHECKED)
    stretched = islice(unique(skill, random.Random(6), "test", stretch=True), CHECKED)
    assert max(map(SIZES[skill], trained)) < min(map(SIZES[skill], stretched))


@pytest.mark.parametrize("skill", STRETCH)
def test_no_stretch_is_drawn_for_training(skill: str) -> None:
    with pytest.raises(ValueError, match="test split"):
        draw(skill, random.Random(1), "train", stretch=True)


TRAINING_DRAWS = "d987d290b93df5b29bd14f0fb46ba26017f92250db8a124bfdfee3107986dbb1"


def test_the_prompts_of_training_are_the_ones_the_committed_weights_saw() -> None:
    """Another sequence of draws would retrain to other weights than the committed ones."""
    rng = random.Random(0)
    drawn = [draw(skill, rng, "train") for _ in range(CHECKED) for skill in SKILLS]
    text = json.dumps([(sample.prompt, sample.target) for sample in drawn])
    assert hashlib.sha256(text.encode()).hexdigest() == TRAINING_DRAWS


@pytest.mark.parametrize("skill", SKILLS)
def test_same_seed_same_samples(skill: str) -> None:
    first, second = ([draw(skill, random.Random(3), "train") for _ in range(9)] for _ in range(2))
    assert first == second


@pytest.mark.parametrize("skill", SKILLS)
def test_splits_are_disjoint(skill: str) -> None:
    drawn = {
        split: {s.prompt for s in islice(unique(skill, random.Random(8), split), CHECKED)}
        for split in ("train", "test")
    }
    assert not drawn["train"] & drawn["test"]
    assert {split_of(prompt) for prompt in drawn["test"]} == {"test"}


@pytest.mark.parametrize("skill", SKILLS)
def test_choices_hold_the_target(skill: str) -> None:
    sample = draw(skill, random.Random(1), "test")
    assert bool(sample.choices) == (skill == "choose")
    assert not sample.choices or sample.choices.count(sample.target) == 1


def test_word_classes_do_not_overlap() -> None:
    assert len(CLASS_OF) == sum(len(pool) for pool in CLASSES.values())
