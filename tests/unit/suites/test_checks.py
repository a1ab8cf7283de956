import pytest

from evalwindow.config import Limits
from evalwindow.errors import TemplateInvalid


def some(count, **columns):
    return [{"id": f"s{number}", "input": f"q{number}", "target": "x", **columns} for number in range(count)]


@pytest.mark.parametrize("tier, limit", [("smoke", 10), ("regression", 500)])
def test_as_many_samples_as_the_limit_are_accepted(desk, tier, limit):
    desk.rows(*some(limit, must_pass=True))
    assert len(desk.load(tier=tier).samples) == limit


@pytest.mark.parametrize("tier, limit", [("smoke", 10), ("regression", 500)])
def test_one_more_is_refused_with_the_numbers(desk, tier, limit):
    desk.rows(*some(limit + 1, must_pass=True))
    refusal = desk.refusal(tier=tier)
    assert f"dataset: {limit + 1} samples; a {tier} suite may have {limit}: set dataset.limit" in refusal


def test_limits_come_from_the_config(desk):
    desk.rows(*some(3))
    assert "3 samples; a regression suite may have 2" in desk.refusal(Limits(regression_prompts=2))


def test_epochs_multiply_results_and_not_the_samples_that_are_limited(desk):
    desk.rows(*some(3))
    assert desk.load(Limits(regression_prompts=3), epochs=4).spec.epochs == 4
    assert "3 samples (12 results with 4 epochs)" in desk.refusal(Limits(regression_prompts=2), epochs=4)


def test_a_smoke_suite_needs_a_tripwire(desk):
    desk.rows(*some(2))
    assert "tier: a smoke suite needs a tripwire" in desk.refusal(tier="smoke")
    assert desk.load(tier="smoke", must_pass=["s1"])
    assert desk.load(tier="smoke", scorers=["exact", {"type": "f1", "assertion": True}])


def test_a_smoke_suite_has_one_epoch(desk):
    assert "epochs: a smoke suite has 1 epoch" in desk.refusal(tier="smoke", epochs=2)


def test_two_scorers_can_not_share_a_label(desk):
    assert "scorers[1]: two scorers are called 'exact'" in desk.refusal(
        scorers=["exact", {"type": "f1", "name": "exact"}]
    )
    assert desk.load(scorers=["exact", {"type": "exact", "name": "loose", "ignore_case": True}])


def test_the_judged_scorer_must_exist(desk):
    refusal = desk.refusal(policy={"scorer": "exat"})
    assert "policy.scorer: unknown scorer 'exat'; did you mean 'exact'?" in refusal


@pytest.mark.parametrize(
    "policy, complaint",
    [
        ({"blocking": ["esy"]}, "policy.blocking[0]: unknown slice 'esy'; did you mean 'easy'?"),
        ({"advisory": ["easy", "hart"]}, "policy.advisory[1]: unknown slice 'hart'; did you mean 'hard'?"),
        ({"floors": {"al": 0.5}}, "policy.floors.al: unknown slice 'al'; did you mean 'all'?"),
        ({"floors": {"easy": 1.5}}, "policy.floors.easy: a floor is a mean score from 0 to 1, not 1.5"),
        ({"blocking": ["easy"], "advisory": ["easy"]}, "policy.blocking[0]: slice 'easy' is listed more than once"),
        ({"blocking": ["all"]}, "policy.blocking[0]: unknown slice 'all'"),
    ],
)
def test_a_policy_can_only_name_slices_that_exist(desk, policy, complaint):
    assert complaint in desk.refusal(policy=policy)


def test_floors_may_name_all_samples_and_slices(desk):
    assert desk.load(policy={"floors": {"all": 0.5, "hard": 0.1}, "blocking": ["easy"], "advisory": ["hard"]})


def test_must_pass_can_only_name_samples_that_exist(desk):
    assert "must_pass[0]: unknown sample 'thre'; did you mean 'three'?" in desk.refusal(must_pass=["thre"])
    assert "must_pass[0]: no sample has the id 'zzz'" in desk.refusal(must_pass=["zzz"])


@pytest.mark.parametrize("shot", ["1 + 1", "  1  +  1 ", "1 + 1."])
def test_a_few_shot_from_the_dataset_is_a_leak(desk, shot):
    refusal = desk.refusal(prompt={"few_shots": [{"input": "5 + 5", "target": "10"}, {"input": shot, "target": "2"}]})
    assert "prompt.few_shots[1].input: " in refusal
    assert "is sample 'one' of the dataset, whose answer would leak into the prompt" in refusal


def test_inputs_that_differ_only_in_their_operator_are_no_leak(desk):
    assert desk.load(prompt={"few_shots": [{"input": "1 - 1", "target": "0"}]})


def test_a_sample_without_a_target_is_named_with_its_line(desk):
    desk.rows(*some(1), {"id": "bare", "input": "q"})
    assert desk.refusal() == "data/sums.jsonl:2: sample 'bare' has no target, which scorer 'exact' needs"


def test_no_target_is_needed_where_no_scorer_compares(desk):
    desk.rows({"id": "bare", "input": "q"})
    assert desk.load(scorers=[{"type": "json_schema", "schema": {}}]).samples[0].target is None


def test_choices_and_generated_text_do_not_mix(desk):
    desk.rows({"id": "a", "input": "q", "target": "x", "choices": ["x", "y"]})
    assert desk.load(scorers=["multiple_choice"]).scores_choices
    assert "scorers[0]: multiple_choice scores the choices" in desk.refusal(scorers=["exact", "multiple_choice"])
    refusal = desk.refusal(scorers=["multiple_choice"], prompt={"output_schema": {"type": "object"}})
    assert "prompt.output_schema: multiple_choice generates no text" in refusal


def test_a_missing_variable_names_template_sample_line_and_nearest_name(desk):
    desk.rows({"id": "a", "input": "q", "target": "x", "hint": "h"}, {"id": "b", "input": "q", "target": "x"})
    with pytest.raises(TemplateInvalid):
        desk.load(prompt={"template": "{{ input }} {{ hint }}"})
    refusal = desk.refusal(prompt={"template": "{{ input }} {{ hint }}"})
    assert refusal.startswith("sums.yaml:8: prompt.template: suite 'sums', sample 'b': ")
    assert "unknown variable 'hint'" in refusal
    assert refusal.endswith("data/sums.jsonl:2)")


def test_the_target_can_not_be_shown_under_any_name(desk):
    assert "'target' is the answer" in desk.refusal(prompt={"template": "{{ input }} {{ target }}"})
    desk.rows({"id": "a", "question": "q", "solution": "x"})
    dataset = {"path": "data/sums.jsonl", "fields": {"input": "question", "target": "solution"}}
    assert "unknown variable 'solution'" in desk.refusal(dataset=dataset, prompt={"template": "{{ solution }}"})
