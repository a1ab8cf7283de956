"""Admission: whatever can be wrong is said before any GPU time is spent."""

from pathlib import Path

import pytest

from evalwindow.admission import Submission, decide
from evalwindow.config import ApiModel, Config, Lane, Lanes, Lora, Pool, Team, WarmModel
from evalwindow.errors import CandidateInvalid, PromptTooLong, TemplateInvalid, UnknownName
from evalwindow.model import Candidate
from tests.unit.worlds import ROOT, make_suite, rows

CONFIG = Config(
    lanes=Lanes(regression=Lane(slots=54, shard_size=25)),
    pools={
        "warm": Pool(model="somewhere", max_model_len=20, lora=Lora()),
        "plain": Pool(model="elsewhere"),
    },
    models={
        "base": WarmModel(engine="vllm", pool="warm"),
        "tuned": WarmModel(engine="vllm", pool="warm", adapter=Path("a")),
        "plain": WarmModel(engine="vllm", pool="plain"),
        "api": ApiModel(engine="openai", base_url="http://localhost", model="gpt"),
    },
    teams={"search": Team()},
)


class Characters:
    """Counts a character as a token."""

    context = None

    def count(self, messages):
        return sum(len(message.content) for message in messages)


def wish(**fields):
    candidate = Candidate(**({"model": "base"} | fields.pop("candidate", {})))
    return Submission(**{"key": "k", "team": "search", "suite": "echo", "candidate": candidate, **fields})


def admit(suite, submission, counter=None, files=None, config=CONFIG):
    artifacts = {"0" * 64: files or {}}
    return decide(
        submission,
        config=config,
        suites={suite.name: suite},
        artifact=artifacts.__getitem__,
        counter_of=lambda pool: counter,
    )


@pytest.fixture
def suite(tmp_path):
    return make_suite(tmp_path, rows(60), sampling={"max_tokens": 10})


def test_a_regression_run_is_cut_into_shards_of_the_lanes_size(suite):
    shards = admit(suite, wish()).shards
    assert [len(shard) for shard in shards] == [25, 25, 10]
    assert {sample_id for shard in shards for sample_id in shard} == {sample.id for sample in suite.samples}


def test_samples_that_ask_about_one_document_are_asked_one_after_another(tmp_path):
    asked = [{"id": f"s{n}", "passage": f"document {n % 3}", "input": f"{n}?", "target": "x"} for n in range(60)]
    suite = make_suite(tmp_path, asked, sampling={"max_tokens": 10}, prompt={"template": "{{ passage }}: {{ input }}"})
    order = [int(sample_id[1:]) % 3 for shard in admit(suite, wish()).shards for sample_id in shard]
    assert order == [0] * 20 + [1] * 20 + [2] * 20


def test_each_prompt_is_counted_once_and_its_tokens_bound_its_shard(tmp_path):
    class Once(Characters):
        counted = 0

        def count(self, messages):
            self.counted += 1
            return super().count(messages)

    suite = make_suite(tmp_path, rows(60), sampling={"max_tokens": 10})
    few = Lanes(regression=Lane(slots=54, shard_size=25, shard_tokens=18))
    counter = Once()
    shards = admit(suite, wish(), counter, config=CONFIG.model_copy(update={"lanes": few})).shards
    assert {len(shard) for shard in shards} == {3}  # "say 17" has six characters
    assert counter.counted == 60


def test_a_smoke_run_is_one_shard(tmp_path):
    suite = make_suite(tmp_path, rows(10, must_pass=True), tier="smoke")
    assert len(admit(suite, wish()).shards) == 1


@pytest.mark.parametrize(
    "fields, hint",
    [
        ({"team": "serch"}, "unknown team 'serch'; did you mean 'search'"),
        ({"suite": "ecko"}, "unknown suite 'ecko'; did you mean 'echo'"),
        ({"candidate": {"model": "bas"}}, "unknown model 'bas'; did you mean 'base'"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(suite, fields, hint):
    with pytest.raises(UnknownName, match=hint):
        admit(suite, wish(**fields))


@pytest.mark.parametrize(
    "model, what",
    [("api", "behind an API"), ("tuned", "itself an adapter"), ("plain", r"set pools\.plain\.lora")],
)
def test_an_adapter_is_refused_where_none_can_be_served(suite, model, what):
    with pytest.raises(CandidateInvalid, match=what):
        admit(suite, wish(candidate={"model": model, "adapter": "0" * 64}))


def test_an_adapter_that_is_none_is_refused_before_it_reaches_an_engine(suite):
    with pytest.raises(CandidateInvalid, match=r"candidate\.adapter: .*adapter_config\.json.*got: run\.sh"):
        admit(suite, wish(candidate={"adapter": "0" * 64}), files={"run.sh": b"#!"})


def test_an_adapter_that_fits_is_admitted(suite):
    folder = ROOT / "demo/adapters/as-good"
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert admit(suite, wish(candidate={"adapter": "0" * 64}), files=files).pool == "warm"


def test_a_template_with_a_missing_variable_is_refused(suite):
    with pytest.raises(TemplateInvalid, match="inptu"):
        admit(suite, wish(candidate={"template": "{{ inptu }}"}))


def test_an_unknown_sampling_key_is_refused(suite):
    with pytest.raises(CandidateInvalid, match="temprature"):
        admit(suite, wish(candidate={"sampling": {"temprature": 1}}))


def test_a_prompt_longer_than_the_context_is_refused_with_the_arithmetic(suite):
    long = wish(candidate={"template": "{{ input }}" + "!" * 20})
    with pytest.raises(PromptTooLong, match=r"s0.*needs 25 tokens.*room for 10 \(context 20 less max_tokens 10\)"):
        admit(suite, long, Characters())


def test_a_prompt_that_just_fits_is_admitted(suite):
    exactly = wish(candidate={"template": "{{ input }}"})  # "say 59" and 10 of output in 20
    assert admit(suite, exactly, Characters()).pool == "warm"


def test_a_judge_must_be_known_and_within_reach(tmp_path):
    def judged_by(name):
        grader = {"type": "model_graded", "judge": name, "rubric": "Good?"}
        return make_suite(tmp_path, rows(2), scorers=["exact", grader])

    with pytest.raises(UnknownName, match=r"suite 'echo', judge: unknown model 'apy'; did you mean 'api'"):
        admit(judged_by("apy"), wish())
    with pytest.raises(CandidateInvalid, match="'plain' is warm in pool 'plain'"):
        admit(judged_by("plain"), wish())
    assert admit(judged_by("api"), wish()).pool == "warm"
