import asyncio

import pytest

from evalwindow.model import Completion, Sample

CHOICES = ("yes", "certainly not", "maybe")


def judged(bench, logprobs, *, target="yes", normalise="none", tokens=(), choices=CHOICES):
    scorer = bench.make({"type": "multiple_choice", "normalise": normalise})
    sample = Sample(id="s", input="q", target=target, choices=choices)
    completion = Completion(text="", choice_logprobs=tuple(logprobs), choice_tokens=tuple(tokens))
    return asyncio.run(scorer.score(sample, completion, None))


def test_the_likeliest_choice_is_the_answer(bench):
    score = judged(bench, [-1, -2, -3])
    assert (score.value, score.answer) == (1, "yes")
    score = judged(bench, [-3, -2, -1])
    assert (score.value, score.answer) == (0, "maybe")


@pytest.mark.parametrize("target", ["certainly not", "B", 1])
def test_the_target_is_a_choices_text_letter_or_index(bench, target):
    assert judged(bench, [-2, -1, -3], target=target).value == 1


def test_a_choice_that_reads_like_a_letter_is_the_choice(bench):
    assert judged(bench, [-1, -2], target="B", choices=("B", "A")).value == 1


def test_length_can_be_taken_out(bench):
    logprobs = [-3, -6, -9]  # per token -3, -2, -9; per character -1, -0.46, -1.8
    assert judged(bench, logprobs, target=1).value == 0
    assert judged(bench, logprobs, target=1, normalise="tokens", tokens=[1, 3, 1]).value == 1
    assert judged(bench, logprobs, target=1, normalise="chars").value == 1


def test_a_tie_with_the_right_choice_is_wrong(bench):
    score = judged(bench, [-1, -1, -2])
    assert (score.value, score.reason) == (0, "a tie with the right choice")


@pytest.mark.parametrize(
    "logprobs, normalise, tokens",
    [([], "none", ()), ([-1, -2], "none", ()), ([-1, float("nan"), -2], "none", ()), ([-1, -2, -3], "tokens", (1,))],
)
def test_what_the_engine_did_not_score_is_unscored(bench, logprobs, normalise, tokens):
    assert judged(bench, logprobs, normalise=normalise, tokens=tokens).value is None


def test_an_impossible_choice_is_only_unlikely(bench):
    assert judged(bench, [-1, float("-inf"), -2]).value == 1


@pytest.mark.parametrize(
    "target, choices, complaint",
    [
        ("x", (), "has 0 choices"),
        ("x", ("x",), "has 1 choices"),
        ("no", CHOICES, "has target 'no', which is no choice"),
        (3, CHOICES, "has target 3"),
        (-1, CHOICES, "has target -1"),
        (True, CHOICES, "has target True"),
        ("D", CHOICES, "has target 'D'"),
        (None, CHOICES, "has target None"),
    ],
)
def test_a_sample_without_a_right_choice_is_objected_to(bench, target, choices, complaint):
    assert bench.objection("multiple_choice", target, choices=choices).startswith(complaint)
