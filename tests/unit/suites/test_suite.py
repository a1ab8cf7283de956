import dataclasses

import pytest

from evalwindow.errors import CandidateInvalid, NotFound, TemplateInvalid
from evalwindow.model import Candidate, Message, Sampling

NOBODY = Candidate(model="demo")


def turns(messages):
    return [(message.role, message.content) for message in messages]


def test_a_sample_is_one_user_turn_by_default(desk):
    suite = desk.load()
    assert suite.render(suite.samples[0], NOBODY) == (Message(role="user", content="1 + 1"),)


def test_system_few_shots_and_question_become_turns_by_one_template(desk):
    prompt = {
        "system": "Add.",
        "template": "Q: {{ input }}",
        "few_shots": [{"input": "5 + 5", "target": 10}, {"input": "6 + 6", "target": {"sum": 12}}],
    }
    suite = desk.load(prompt=prompt)
    assert turns(suite.render(suite.samples[1], NOBODY)) == [
        ("system", "Add."),
        ("user", "Q: 5 + 5"),
        ("assistant", "10"),
        ("user", "Q: 6 + 6"),
        ("assistant", '{"sum": 12}'),
        ("user", "Q: 17 + 25"),
    ]


def test_columns_and_choices_are_variables(desk):
    desk.rows({"id": "a", "input": "q", "target": "x", "choices": ["x", "y"], "page": {"number": 3}})
    suite = desk.load(prompt={"template": "{{ page.number }}: {{ input }} {{ choices|join('/') }}"})
    assert suite.render(suite.samples[0], NOBODY)[0].content == "3: q x/y"


def test_few_shots_bring_their_own_columns(desk):
    desk.rows({"id": "a", "input": "q", "target": "x", "page": 3})
    shot = {"input": "p", "target": "y", "fields": {"page": 7}}
    suite = desk.load(prompt={"template": "{{ page }}: {{ input }}", "few_shots": [shot]})
    assert [content for _, content in turns(suite.render(suite.samples[0], NOBODY))] == ["7: p", "y", "3: q"]


def test_a_candidate_replaces_system_and_template(desk):
    suite = desk.load(prompt={"system": "Add.", "few_shots": [{"input": "5 + 5", "target": "10"}]})
    candidate = Candidate(model="demo", system="Be quick.", template="<{{ input }}>")
    contents = [content for _, content in turns(suite.render(suite.samples[0], candidate))]
    assert contents == ["Be quick.", "<5 + 5>", "10", "<1 + 1>"]


def test_an_empty_system_prompt_of_a_candidate_takes_the_suites_away(desk):
    suite = desk.load(prompt={"system": "Add."})
    assert turns(suite.render(suite.samples[0], Candidate(model="demo", system=""))) == [("user", "1 + 1")]


@pytest.mark.parametrize(
    "template, complaint",
    [
        ("{{ inptu }}", "unknown variable 'inptu'; did you mean 'input'?"),
        ("{{ target }}", "'target' is the answer; a prompt can't show it"),
        ("{{ input.upper() }}", "line 1: 'call' is not allowed"),
        ("  ", "gives an empty prompt"),
    ],
)
def test_a_candidates_bad_template_names_suite_and_sample(desk, template, complaint):
    suite = desk.load()
    with pytest.raises(TemplateInvalid) as caught:
        suite.render(suite.samples[1], Candidate(model="demo", template=template))
    assert str(caught.value).startswith(f"suite 'sums', sample 'two': candidate.template: {complaint}")


def test_sampling_is_the_suites_with_the_candidates_changes(desk):
    suite = desk.load(sampling={"temperature": 0.5, "max_tokens": 9, "seed": 100, "stop": ["\n"]})
    assert suite.sampling(NOBODY, 0) == Sampling(temperature=0.5, max_tokens=9, seed=100, stop=("\n",))
    candidate = Candidate(model="demo", sampling={"temperature": 1, "stop": ["a", "b"]})
    assert suite.sampling(candidate, 3) == Sampling(temperature=1.0, max_tokens=9, seed=103, stop=("a", "b"))


@pytest.mark.parametrize(
    "overrides, complaint",
    [
        ({"temprature": 1}, "candidate.sampling.temprature: unknown key 'temprature'; did you mean 'temperature'?"),
        ({"temperature": -1}, "candidate.sampling.temperature: input should be greater than or equal to 0, not -1"),
        ({"max_tokens": "many"}, "candidate.sampling.max_tokens: input should be a valid integer"),
        ({"stop": [""]}, "candidate.sampling.stop[0]: "),
        ({"temperature": float("nan")}, "candidate.sampling.temperature: "),
    ],
)
def test_an_override_that_can_not_be_is_named(desk, overrides, complaint):
    with pytest.raises(CandidateInvalid) as caught:
        desk.load().sampling(Candidate(model="demo", sampling=overrides), 0)
    assert str(caught.value).startswith(complaint)


def test_the_first_scorer_is_judged_unless_the_policy_says_otherwise(desk):
    scorers = ["exact", {"type": "f1", "name": "overlap"}]
    assert desk.load(scorers=scorers).primary == "exact"
    assert desk.load(scorers=scorers, policy={"scorer": "overlap"}).primary == "overlap"


def test_a_sample_is_found_by_its_id(desk):
    suite = desk.load()
    assert suite.sample("two") is suite.samples[1]
    with pytest.raises(NotFound, match="There is no sample of suite 'sums' 'four'"):
        suite.sample("four")


def test_a_suite_names_the_judges_it_asks(desk):
    graded = {"type": "model_graded", "judge": "big", "rubric": "Is it {{ target }}?"}
    assert desk.load(scorers=["exact", graded]).judges == {"big"}
    assert desk.load().judges == frozenset()


CHANGES = [
    {"description": "other"},
    {"tier": "smoke"},
    {"suite": "other"},
    {"epochs": 2},
    {"must_pass": ["one"]},
    {"sampling": {"seed": 1}},
    {"scorers": ["includes"]},
    {"scorers": [{"type": "exact", "ignore_case": True}]},
    {"prompt": {"system": "s"}},
    {"prompt": {"template": "{{ input }}!"}},
    {"prompt": {"few_shots": [{"input": "a", "target": "b"}]}},
    {"prompt": {"output_schema": {"type": "string"}}},
    {"policy": {"margin": 0.1}},
    {"policy": {"floors": {"all": 0.5}}},
    {"dataset": {"path": "data/sums.jsonl", "limit": 2}},
]


def test_each_change_of_the_yaml_gives_a_digest_of_its_own(desk):
    digests = [desk.load(**change).digest for change in [{}, *CHANGES]]
    assert len(set(digests)) == len(CHANGES) + 1


def test_a_change_of_the_data_changes_the_digest(desk):
    suite = desk.load()
    assert dataclasses.replace(suite, dataset_digest="0" * 64).digest != suite.digest
    desk.data.write_text(desk.data.read_text().replace("17 + 25", "17 + 26"))
    assert desk.load().digest != suite.digest


def test_layout_and_place_of_the_files_leave_the_digest(desk, make_desk):
    suite = desk.load(scorers=["exact"], epochs=1)
    elsewhere = make_desk("elsewhere")
    same = elsewhere.load(scorers=[{"type": "exact"}])
    assert same.path != suite.path
    assert same.digest == suite.digest
    assert same == suite
