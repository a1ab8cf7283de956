import hashlib

import pytest

from evalwindow.config import Limits
from evalwindow.errors import SuiteInvalid
from evalwindow.suites import load_suite, load_suites


def test_a_suite_knows_its_name_tier_and_file(desk):
    suite = desk.load()
    assert (suite.name, suite.tier, suite.path) == ("sums", "regression", desk.yaml)


def test_a_pin_that_matches_is_accepted(desk):
    desk.load()
    digest = hashlib.sha256(desk.data.read_bytes()).hexdigest()
    assert desk.load(dataset={"path": "data/sums.jsonl", "sha256": digest}).dataset_digest == digest


def test_a_pin_that_does_not_match_tells_the_actual_digest(desk):
    digest = desk.load().dataset_digest
    refusal = desk.refusal(dataset={"path": "data/sums.jsonl", "sha256": "0" * 64})
    assert refusal.startswith("sums.yaml:5: dataset.sha256: the pin does not match")
    assert f"has sha256 {digest}" in refusal


@pytest.mark.parametrize("path", ["../outside.jsonl", "data/../../outside.jsonl", "{absolute}"])
def test_a_dataset_outside_of_the_folder_is_refused(desk, path):
    outside = desk.folder.parent / "outside.jsonl"
    outside.write_text('{"id": "a", "input": "b", "target": "c"}\n')
    refusal = desk.refusal(dataset={"path": path.replace("{absolute}", str(outside))})
    assert "dataset.path: " in refusal
    assert "lies outside of the folder" in refusal


def test_a_link_that_leads_outside_is_refused(desk):
    outside = desk.folder.parent / "outside.jsonl"
    outside.write_text('{"id": "a", "input": "b", "target": "c"}\n')
    desk.data.symlink_to(outside)
    assert "lies outside of the folder" in desk.refusal()


def test_a_dataset_that_is_not_there_is_named(desk):
    assert "dataset.path: there is no file" in desk.refusal(dataset={"path": "data/none.jsonl"})


def test_a_folder_loads_all_its_suites_by_name(desk):
    desk.load()
    (desk.folder / "more.yaml").write_text(desk.yaml.read_text().replace("suite: sums", "suite: more"))
    suites = load_suites(desk.folder, Limits())
    assert {name: suite.name for name, suite in suites.items()} == {"more": "more", "sums": "sums"}


def test_two_suites_with_one_name_are_refused(desk):
    desk.load()
    (desk.folder / "more.yaml").write_text(desk.yaml.read_text())
    with pytest.raises(SuiteInvalid, match=r"sums\.yaml:1: suite: the name 'sums' is taken by .*more\.yaml"):
        load_suites(desk.folder, Limits())


def test_a_folder_complains_of_every_suite_at_once(desk):
    desk.load()
    for name in ("a", "b"):
        (desk.folder / f"{name}.yaml").write_text(f"suite: {name}\n")
    with pytest.raises(SuiteInvalid) as caught:
        load_suites(desk.folder, Limits())
    assert "/a.yaml:1: " in str(caught.value)
    assert "/b.yaml:1: " in str(caught.value)


def test_a_misspelt_scorer_is_named_with_the_nearest(desk):
    assert desk.refusal(scorers=["exakt"]) == "sums.yaml:6: scorers[0]: unknown type 'exakt'; did you mean 'exact'?"


def test_a_misspelt_option_of_a_scorer_is_named_with_the_nearest(desk):
    refusal = desk.refusal(scorers=[{"type": "numeric", "tolerence": 1}])
    assert refusal.endswith("scorers[0].tolerence: unknown key 'tolerence'; did you mean 'tolerance'?")


def test_an_option_of_another_scorer_is_not_offered(desk):
    refusal = desk.refusal(scorers=[{"type": "exact", "tolerance": 1}])
    assert "scorers[0].tolerance: unknown key 'tolerance'; known: assertion, ignore_case" in refusal
    assert "relative" not in refusal


def test_a_misspelt_key_deep_in_the_policy_is_named(desk):
    refusal = desk.refusal(policy={"smoke": {"redat": 3}})
    assert refusal.endswith("policy.smoke.redat: unknown key 'redat'; did you mean 'red_at'?")


@pytest.mark.parametrize(
    "changes, complaint",
    [
        ({"suite": "Sums"}, "suite: "),
        ({"tier": "nightly"}, "tier: unknown value 'nightly'; known: regression, smoke"),
        ({"epochs": 0}, "epochs: "),
        ({"scorers": []}, "scorers: "),
        ({"scorers": ["regex"]}, "scorers[0]: key 'pattern' is missing"),
        ({"scorers": [{"name": "x"}]}, "scorers[0]: key 'type' is missing"),
        ({"prompt": {"template": "{{ f() }}"}}, "prompt.template: line 1: 'call' is not allowed"),
        ({"prompt": {"output_schema": {"type": "objekt"}}}, "prompt.output_schema: not a JSON schema"),
        ({"sampling": {"max_tokens": 0}}, "sampling.max_tokens: "),
        ({"dataset": {"path": "x", "sha256": "abc"}}, "dataset.sha256: "),
        ({"dataset": {"path": "x", "target_pattern": "("}}, "dataset.target_pattern: not a regular expression"),
    ],
)
def test_a_bad_value_is_named_by_its_key(desk, changes, complaint):
    assert complaint in desk.refusal(**changes)


def test_a_suite_that_is_no_file_is_refused(tmp_path):
    with pytest.raises(SuiteInvalid, match="can't be read"):
        load_suite(tmp_path / "none.yaml", Limits())
