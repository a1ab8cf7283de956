"""The suites of the benchmarks are real ones, and measure one round of prompts each."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer

from benchmarks.bench_suites import made_up, salted, write_bench_suite, write_queued_suite, write_smoke_suite
from benchmarks.sizes import TINY
from evalwindow.gate import next_reask
from evalwindow.gate.smoke import smoke_checks
from evalwindow.model import Answer, Candidate, Completion, Sample, SampleResult, Score, Tier
from evalwindow.suites import Suite


async def _scored(suite: Suite, sample: Sample, *, text: str) -> SampleResult:
    completion = Completion(text=text)
    scores: dict[str, Score] = {}
    for scorer in suite.spec.scorers:
        scores[scorer.label] = await scorer.score(sample, completion, _nobody)
    return SampleResult(sample_id=sample.id, epoch=0, scores=scores, completion=completion)


async def _nobody(*_: object) -> Completion:
    raise AssertionError("no scorer here asks a judge")


async def test_the_smoke_passes_whatever_is_answered_and_asks_nothing_again(tmp_path: Path) -> None:
    suite = write_smoke_suite(tmp_path, max_tokens=64)
    results = [await _scored(suite, sample, text=text) for sample, text in zip(suite.samples, [""] * 10, strict=True)]
    assert {check.answer for check in smoke_checks(suite, results)} == {Answer.PASS}
    assert next_reask(suite, results) is None


def test_the_queued_smoke_has_the_same_prompts_in_the_other_lane(tmp_path: Path) -> None:
    smoke, queued = write_smoke_suite(tmp_path, max_tokens=64), write_queued_suite(tmp_path, max_tokens=64)
    candidate = Candidate(model="bench")
    assert (smoke.tier, queued.tier) == (Tier.SMOKE, Tier.REGRESSION)
    assert [smoke.render(sample, candidate) for sample in smoke.samples] == [
        queued.render(sample, candidate) for sample in queued.samples
    ]


def test_a_trial_takes_fewer_prompts(tmp_path: Path) -> None:
    assert len(write_bench_suite(tmp_path, max_tokens=8, prompts=20).samples) == 20


def test_salted_prompts_differ_from_their_first_word_on(tmp_path: Path) -> None:
    suite = write_bench_suite(tmp_path, max_tokens=8, prompts=1)
    [sample] = suite.samples
    first, second = (suite.render(sample, Candidate(model="bench", template=salted(salt))) for salt in "ab")
    assert first[-1].content == f"a {sample.input}"
    assert second[-1].content == f"b {sample.input}"


def test_made_up_prompts_have_about_the_tokens_that_were_asked_for() -> None:
    words = Tokenizer.from_file(str(TINY / "tokenizer.json"))
    rows = made_up(50, tokens=(1500, 3000), tokenizer=TINY, seed=1)
    lengths = [len(words.encode(row["input"])) for row in rows]
    assert 1400 <= min(lengths) < 1800
    assert 2700 < max(lengths) <= 3100
    assert len({row["input"] for row in rows}) == 50
