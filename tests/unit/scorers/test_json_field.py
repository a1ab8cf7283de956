import pytest

TARGET = {"name": "Ada", "age": 36, "home": {"city": "London"}}


@pytest.mark.parametrize(
    "options, text, value",
    [
        ({}, '{"home": {"city": "London"}, "age": 36.0, "name": "Ada", "more": 1}', 1),
        ({}, '{"name": "Ada", "age": 37, "home": {"city": "London"}}', 0),
        ({"partial": True}, '{"name": "Ada", "age": 37, "home": {"city": "London"}}', 2 / 3),
        ({"partial": True}, "{}", 0),
        ({"partial": True}, "[]", 0),
        ({"fields": ["name"]}, '{"name": "Ada"}', 1),
        ({"fields": ["name", "home.city"], "partial": True}, '{"name": "Ada", "home": {"city": "Rome"}}', 0.5),
        ({"fields": ["home.city"]}, '{"home": "London"}', 0),
        ({}, "not JSON", 0),
        ({}, "```json\n" + '{"name": "Ada", "age": 36, "home": {"city": "London"}}' + "\n```", 1),
    ],
)
def test_fields_are_compared(bench, options, text, value):
    assert bench.value({"type": "json_field", **options}, text, TARGET) == pytest.approx(value)


def test_the_target_may_be_json_text(bench):
    assert bench.value("json_field", '{"a": [1, 2]}', '{"a": [1, 2]}') == 1


@pytest.mark.parametrize(
    "target, answer", [({"a": True}, '{"a": 1}'), ({"a": 1}, '{"a": true}'), ({"a": [1]}, '{"a": [true]}')]
)
def test_true_is_not_one(bench, target, answer):
    assert bench.value("json_field", answer, target) == 0


def test_a_null_is_not_the_same_as_nothing(bench):
    assert bench.value("json_field", "{}", {"a": None}) == 0
    assert bench.value("json_field", '{"a": null}', {"a": None}) == 1


def test_a_key_with_a_dot_is_compared_as_it_is(bench):
    assert bench.value("json_field", '{"a.b": 1}', {"a.b": 1}) == 1


def test_the_reason_names_the_wrong_fields(bench):
    assert bench.score("json_field", '{"name": "Ada"}', TARGET).reason == "wrong: age, home"


@pytest.mark.parametrize("target", ["text", [1], {}, 3, "[1]"])
def test_a_target_without_fields_is_objected_to(bench, target):
    assert "not a JSON object" in bench.objection("json_field", target)


def test_a_field_that_the_target_lacks_is_objected_to(bench):
    assert bench.objection({"type": "json_field", "fields": ["agee"]}, TARGET) == "has no field 'agee' in its target"
