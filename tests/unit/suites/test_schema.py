import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from evalwindow.errors import BadInput
from evalwindow.suites import json_schema
from evalwindow.suites.schema import as_text

ROOT = Path(__file__).parents[3]
SCORERS = {
    "exact": {},
    "includes": {"match": "all"},
    "regex": {"pattern": "(x)"},
    "extract": {"take": "boxed"},
    "numeric": {"tolerance": 0.5},
    "json_schema": {"schema": {"type": "object"}},
    "json_field": {"partial": True},
    "f1": {"assertion": True},
    "rouge_l": {"beta": 2},
    "multiple_choice": {"normalise": "chars"},
    "model_graded": {"judge": "big", "rubric": "Good?"},
    "python": {"function": "a:b"},
}


@pytest.fixture(scope="module")
def editor() -> Draft202012Validator:
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def spec(**changes):
    return {"suite": "s", "tier": "smoke", "dataset": {"path": "data/sums.jsonl"}, "scorers": ["exact"], **changes}


def test_the_published_file_is_up_to_date():
    published = (ROOT / "schemas" / "suite.schema.json").read_text()
    assert published == as_text(), "run: python -m evalwindow.suites > schemas/suite.schema.json"


@pytest.mark.parametrize("kind", SCORERS)
def test_the_schema_knows_every_scorer_with_its_options(editor, kind):
    assert editor.is_valid(spec(scorers=[{"type": kind, **SCORERS[kind]}]))
    assert not editor.is_valid(spec(scorers=[{"type": kind, **SCORERS[kind], "colour": "red"}]))


def test_no_scorer_is_left_out():
    mapping = json_schema()["$defs"]
    kinds = {
        each["properties"]["type"]["const"]
        for each in mapping.values()
        if "const" in each.get("properties", {}).get("type", {})
    }
    assert kinds == set(SCORERS)


CASES = [
    ({}, True),
    ({"epochs": 3, "tier": "regression"}, True),
    ({"scorers": ["f1", {"type": "regex", "pattern": "(.*)"}]}, True),
    ({"policy": {"floors": {"all": 0.5}, "smoke": {"red_at": 3}}}, True),
    ({"prompt": {"few_shots": [{"input": "a", "target": {"b": 1}}]}}, True),
    ({"tier": "nightly"}, False),
    ({"scorers": []}, False),
    ({"scorers": ["exakt"]}, False),
    ({"scorers": ["regex"]}, False),
    ({"scorers": [{"type": "numeric", "tolerance": -1}]}, False),
    ({"scorers": [{"type": "json_schema", "schema_": {}}]}, False),
    ({"epochs": 0}, False),
    ({"epoch": 1}, False),
    ({"suite": "Upper"}, False),
    ({"sampling": {"temperature": 3}}, False),
    ({"dataset": {"path": "data/sums.jsonl", "fields": {"inputs": "x"}}}, False),
    ({"dataset": {}}, False),
    ({"policy": {"margin": 0}}, False),
    ({"prompt": {"few_shots": [{"input": "a"}]}}, False),
]


@pytest.mark.parametrize("changes, valid", CASES)
def test_editor_and_loader_give_the_same_verdict(editor, desk, changes, valid):
    changes = spec(**changes)
    assert editor.is_valid(changes) == valid
    if valid:
        assert desk.load(**changes)
    else:
        with pytest.raises(BadInput):
            desk.load(**changes)


def test_the_published_file_names_its_dialect():
    assert json.loads(as_text())["$schema"] == "https://json-schema.org/draft/2020-12/schema"
