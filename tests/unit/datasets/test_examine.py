"""Every fault of every line is found, and nothing that the strict loader refuses gets through."""

import copy
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from evalwindow.config import Limits
from evalwindow.datasets.raw import open_raw
from evalwindow.datasets.validate import look
from evalwindow.errors import BadInput
from evalwindow.suites import load_suite
from tests.unit.worlds import rows, write_suite

FLAGS = (
    *("readable", "undamaged", "id", "prompt", "target", "choices", "schema"),
    *("columns", "template", "duplicates", "few_shots"),
)


def seen_in(path: Path):
    return look(open_raw(path), limits=Limits(), models=(), before=None)


def objections(path: Path) -> set[str]:
    """Names of the checks that this dataset doesn't meet, without asking Great Expectations."""
    seen, faults = seen_in(path)
    found = {name for name in FLAGS if not all(seen.flags.columns[f"{name}_ok"])}
    found |= {"slices" for each in seen.slices if each.samples == 0}
    too_many = seen.samples > Limits().regression_prompts
    return found | ({"suite"} if faults else set()) | ({"samples"} if too_many or not seen.samples else set())


def faults_of_lines(path: Path) -> dict[tuple[str, int], str]:
    return dict(seen_in(path)[0].flags.reasons)


def test_every_line_is_read_though_many_are_broken(tmp_path):
    path = write_suite(tmp_path, rows(2))
    long = b'{"id": "long", "input": "' + b"x" * 1_000_001 + b'"}'
    bad = [b'{"id": "a", "input": "\xff"}', b"{", b"", b"[1]", long, b'{"id": "b", "input": "\\ud800", "target": "x"}']
    path.with_suffix(".jsonl").write_bytes(b"\n".join([*bad, json.dumps(rows(1)[0]).encode()]))
    found = faults_of_lines(path)
    assert {line for check, line in found if check == "readable"} == {1, 2, 4, 5, 6}
    assert found["readable", 1] == "byte 0xff at column 23 is not UTF-8"
    assert found["readable", 4] == "a list, not a JSON object"
    assert found["readable", 5] == "the line is longer than 1,000,000 bytes"
    assert "surrogate" in found["readable", 6]
    assert {check for check, _ in found} == {"readable"}
    seen, _ = seen_in(path)
    assert seen.flags.columns["line"] == [1, 2, 4, 5, 6, 7]  # what follows a line that is too long is still a line
    assert seen.flags.columns["id"][-1] == "s0"


def test_only_as_many_lines_as_the_suite_takes(tmp_path):
    path = write_suite(tmp_path, rows(2), dataset={"path": "echo.jsonl", "limit": 2})
    with path.with_suffix(".jsonl").open("a") as file:
        file.write("no JSON at all\n")
    assert objections(path) == set()


def test_what_was_lost_in_decoding_is_found_wherever_it_stands(tmp_path):
    lost = [{"a": ["\ufffd"]}, {"a": {"\ufffd": 1}}, {"\ufffd": 1}, {"a": "\\ufffd"}, {"a": "fine"}]
    path = write_suite(tmp_path, [{**row, **extra} for row, extra in zip(rows(5), lost, strict=True)])
    assert set(faults_of_lines(path)) == {("undamaged", 1), ("undamaged", 2), ("undamaged", 3)}


def test_a_few_shot_that_can_not_be_rendered_is_said_once_and_of_the_yaml(tmp_path):
    shot = {"input": "x", "target": "y"}
    path = write_suite(tmp_path, rows(3, extra="e"), prompt={"template": "{{ input }}{{ extra }}", "few_shots": [shot]})
    seen, faults = seen_in(path)
    assert [fault.path for fault in faults] == [("prompt", "template")]
    assert "few_shots[0]" in faults[0].what
    assert all(seen.flags.columns["template_ok"])


def test_a_function_that_is_not_installed_is_the_yamls_fault(tmp_path):
    path = write_suite(tmp_path, rows(3), scorers=[{"type": "python", "function": "none:such"}])
    seen, faults = seen_in(path)
    assert [fault.path for fault in faults] == [("scorers", 0, "function")]
    assert not seen.flags.reasons


def test_a_tripwire_may_be_named_in_the_yaml(tmp_path):
    assert objections(write_suite(tmp_path, rows(3), tier="smoke", must_pass=["s1"])) == set()
    assert objections(write_suite(tmp_path, rows(3), tier="smoke", must_pass=["s9"])) == {"suite"}


GOOD: dict[str, Any] = {
    **{"id": "a", "input": "1 + 1", "target": "2", "choices": ["1", "2"], "slices": ["easy"]},
    **{"must_pass": True, "cluster": "c", "unit": "m"},
}
VALUES = st.sampled_from(
    [None, "", " ", "a", "2", "3", "all", 0, 1, -1, 1.5, True, [], ["a"], ["a", "a"], [""], [1], {}, {"a": 1}, "\ufffd"]
)
SPECS = st.fixed_dictionaries(
    {
        "scorers": st.sampled_from(
            [["exact"], ["numeric"], ["multiple_choice"], ["json_field"], ["includes"], ["exact", "exact"]]
        ),
        "template": st.sampled_from(
            ["{{ input }}", "{{ input }} {{ unit }}", "{% for c in choices %}{{ c }}{% endfor %}"]
        ),
        "policy": st.sampled_from(
            [{}, {"blocking": ["easy"]}, {"blocking": ["easy", "easy"]}, {"floors": {"easy": 2}}, {"scorer": "f1"}]
        ),
        "target_pattern": st.sampled_from([None, r"(\d)$"]),
        "few_shots": st.sampled_from([[], [{"input": "A + 1.", "target": "2", "fields": {"unit": "m"}}]]),
        "epochs": st.sampled_from([1, 2]),
        "tier": st.sampled_from(["smoke", "regression"]),
        "must_pass": st.sampled_from([[], ["a"], ["z"]]),
    }
)
CHANGES = st.lists(st.tuples(st.integers(0, 2), st.sampled_from(sorted(GOOD)), VALUES, st.booleans()), max_size=3)


PLAIN: dict[str, Any] = {
    **{"scorers": ["exact"], "template": "{{ input }} {{ unit }}", "policy": {}, "target_pattern": None},
    **{"few_shots": [], "epochs": 1, "tier": "regression", "must_pass": []},
}
SHOT = {"input": "a + 1", "target": "2", "fields": {"unit": "m"}}


@given(spec=SPECS, changes=CHANGES)
@example(spec=PLAIN, changes=[(1, "unit", None, True)])
@example(spec={**PLAIN, "few_shots": [SHOT]}, changes=[])
@settings(max_examples=250, deadline=None)
def test_what_the_loader_refuses_is_never_found_good(spec, changes):
    """And what has no fault here loads: a night would else be refused after it was found valid."""
    with tempfile.TemporaryDirectory() as name:
        path = _written(Path(name), spec, changes)
        assert objections(path) or _loads(path)


def _loads(path: Path) -> bool:
    try:
        load_suite(path, Limits())
    except BadInput:
        return False
    return True


def _written(folder: Path, spec: dict[str, Any], changes) -> Path:
    samples = [{**copy.deepcopy(GOOD), "id": name, "input": f"{name} + 1"} for name in ("a", "b", "c")]
    for row, column, value, remove in changes:
        samples[row][column] = value
        if remove:
            del samples[row][column]
    prompt = {"template": spec["template"], "few_shots": spec["few_shots"]}
    dataset = {"path": "echo.jsonl", "target_pattern": spec["target_pattern"]}
    rest = {key: spec[key] for key in ("scorers", "policy", "epochs", "tier", "must_pass")}
    document = {"suite": "echo", "dataset": dataset, "prompt": prompt, **rest}
    (folder / "echo.jsonl").write_text("".join(json.dumps(row) + "\n" for row in samples))
    (folder / "echo.yaml").write_text(yaml.safe_dump(document))
    return folder / "echo.yaml"


@pytest.mark.parametrize("depth", [200, 600, 5_000])
def test_a_line_nested_however_deep_crashes_nothing(tmp_path, depth):
    path = write_suite(tmp_path, rows(1))
    deep = '{"id": "deep", "input": "x", "target": "y", "a": ' + "[" * depth + '"\\ufffd"' + "]" * depth + "}"
    path.with_suffix(".jsonl").write_text(deep + "\n")
    assert objections(path) in ({"undamaged"}, {"readable"})


def test_the_same_question_with_other_choices_is_another_prompt(tmp_path):
    asks = [{"id": name, "input": "Which?", "choices": [name, "z"], "target": name} for name in ("a", "b")]
    assert objections(write_suite(tmp_path, asks, scorers=["multiple_choice"])) == set()
    assert objections(write_suite(tmp_path, asks)) == {"duplicates"}  # where the choices are not shown


def test_the_same_question_about_another_document_is_another_prompt(tmp_path):
    asks = [{**row, "input": "Sum up.", "text": f"Text {n}"} for n, row in enumerate(rows(3))]
    assert objections(write_suite(tmp_path, asks, prompt={"template": "{{ text }}\n{{ input }}"})) == set()
    assert objections(write_suite(tmp_path, asks)) == {"duplicates"}


def test_samples_of_one_cluster_may_repeat(tmp_path):
    assert objections(write_suite(tmp_path, [{**row, "input": "x", "cluster": "c"} for row in rows(3)])) == set()
