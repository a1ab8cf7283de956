"""JSON targets against schemas."""

import pytest

from evalwindow.datasets.targets import TargetSchemas
from evalwindow.suites import SuiteSpec

SCHEMA = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}


def schemas(scorers, **prompt):
    return TargetSchemas.of(
        SuiteSpec.model_validate(
            {"suite": "s", "tier": "regression", "dataset": {"path": "x"}, "scorers": scorers, "prompt": prompt}
        )
    )


@pytest.mark.parametrize(
    "target, wrong",
    [
        ({"a": 1}, None),
        ({"a": "1"}, "$.a: '1' is not of type 'integer'"),
        ({}, "$: 'a' is a required property"),
        ('{"a": 1}', None),
        ('{"b": 1}', "$: 'a' is a required property"),
        ("Paris", "the target is no JSON"),
        ([{"a": 1}, {"a": 2}], None),
        ([{"a": 1}, {"b": 2}], "$: 'a' is a required property"),
        (None, None),
        ("[" * 100_000, "the target is no JSON"),
    ],
)
def test_a_target_that_is_all_of_the_answer_follows_the_schema(target, wrong):
    assert schemas(["json_field"], output_schema=SCHEMA).objection(target) == wrong
    assert schemas(["exact", {"type": "json_schema", "schema": SCHEMA}]).objection(target) == wrong


@pytest.mark.parametrize("target", ["Paris", "42", ["Paris", "42"]])
def test_a_text_that_is_looked_for_in_the_answer_needs_no_schema(target):
    assert schemas(["includes"], output_schema=SCHEMA).objection(target) is None


def test_but_what_is_json_all_the_same_is_checked():
    assert schemas(["includes"], output_schema=SCHEMA).objection('{"b": 1}') == "$: 'a' is a required property"


def test_a_list_may_be_the_one_value_that_the_schema_asks_for():
    listing = {"type": "array", "items": {"type": "integer"}}
    assert schemas(["json_field"], output_schema=listing).objection([1, 2]) is None


def test_both_schemas_count():
    both = schemas(["json_field", {"type": "json_schema", "schema": {"required": ["b"]}}], output_schema=SCHEMA)
    assert both.objection({"a": 1}) == "$: 'b' is a required property"


def test_a_reference_to_elsewhere_is_told_and_never_fetched():
    outside = schemas(["json_field"], output_schema={"$ref": "http://localhost:9/none.json"})
    assert outside.objection({"a": 1}) == "the schema refers to 'http://localhost:9/none.json', which is not in it"


def test_without_a_schema_everything_will_do():
    assert schemas(["exact"]).objection("Paris") is None
