import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalwindow.errors import SuiteInvalid
from evalwindow.model import Candidate, Sample
from evalwindow.suites import Suite, SuiteSpec, from_json, to_json

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)
names = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,9}", fullmatch=True)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
shares = st.floats(0.01, 0.99)
scorers = st.lists(
    st.sampled_from(["exact", "f1", "numeric", "includes"])
    | st.builds(lambda name, on: {"type": "exact", "name": name, "ignore_case": on}, names, st.booleans())
    | st.builds(lambda schema: {"type": "json_schema", "schema": {"const": schema}}, values)
    | st.builds(
        lambda options: {"type": "python", "function": "a:b", "options": options}, st.dictionaries(names, values)
    )
    | st.just({"type": "model_graded", "judge": "big", "rubric": "{{ target }}?"}),
    min_size=1,
    max_size=3,
)
targets = texts | st.integers(-9, 9) | st.booleans() | st.dictionaries(texts, values, min_size=1, max_size=2)


@st.composite
def specs(draw: st.DrawFn) -> SuiteSpec:
    shots = st.fixed_dictionaries({"input": texts, "target": targets})
    document: dict[str, Any] = {
        "suite": draw(names),
        "tier": draw(st.sampled_from(["smoke", "regression"])),
        "description": draw(texts),
        "dataset": {"path": draw(texts), "fields": {"input": draw(texts)}},
        "prompt": {"system": draw(st.none() | texts), "few_shots": draw(st.lists(shots, max_size=2))},
        "sampling": {"temperature": draw(shares), "stop": draw(st.lists(texts, max_size=2))},
        "scorers": draw(scorers),
        "policy": {"margin": draw(shares), "floors": draw(st.dictionaries(texts, shares, max_size=2))},
    }
    return SuiteSpec.model_validate(document)


samples = st.builds(
    Sample,
    id=texts,
    input=texts,
    target=values,
    choices=st.lists(texts, max_size=3).map(tuple),
    slices=st.lists(texts, max_size=3).map(tuple),
    must_pass=st.booleans(),
    cluster=st.none() | texts,
    fields=st.dictionaries(texts, values, max_size=3),
)
suites = st.builds(
    Suite,
    spec=specs(),
    samples=st.lists(samples, max_size=3).map(tuple),
    dataset_digest=st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
)


@given(suites)
def test_a_suite_comes_back_from_json_exactly(suite: Suite) -> None:
    again = from_json(json.loads(json.dumps(to_json(suite), allow_nan=False)))
    assert again == suite
    assert again.digest == suite.digest
    assert to_json(again) == to_json(suite)


@given(suites, suites)
def test_suites_with_one_digest_are_one_suite(left: Suite, right: Suite) -> None:
    specs = [json.dumps(suite.spec.canonical(), sort_keys=True) for suite in (left, right)]
    same = specs[0] == specs[1] and left.dataset_digest == right.dataset_digest
    assert (left.digest == right.digest) == same


def test_a_loaded_suite_comes_back_and_renders_the_same(desk):
    suite = desk.load(must_pass=["one"], prompt={"system": "Add.", "template": "Q: {{ input }}"})
    again = from_json(to_json(suite))
    assert again == suite
    assert again.path is None
    nobody = Candidate(model="demo")
    assert [again.render(s, nobody) for s in again.samples] == [suite.render(s, nobody) for s in suite.samples]


@pytest.mark.parametrize("key", ["spec", "samples", "dataset_digest"])
def test_half_a_suite_is_refused(desk, key):
    data = to_json(desk.load())
    del data[key]
    with pytest.raises(SuiteInvalid, match=key):
        from_json(data)


def test_an_unknown_field_of_a_sample_is_refused(desk):
    data = to_json(desk.load())
    data["samples"][0]["colour"] = "red"
    with pytest.raises(SuiteInvalid, match="colour"):
        from_json(data)
