import pytest

GOOD = {"id": "a", "input": "hi", "target": "x"}


def test_every_column_arrives(desk):
    row = {
        **GOOD,
        "choices": ["x", "y"],
        "slices": ["s", "t"],
        "must_pass": True,
        "cluster": "page-1",
        "page": {"number": 3},
    }
    desk.rows(row)
    (sample,) = desk.load().samples
    assert (sample.id, sample.input, sample.target) == ("a", "hi", "x")
    assert (sample.choices, sample.slices, sample.must_pass, sample.cluster) == (("x", "y"), ("s", "t"), True, "page-1")
    assert sample.fields == row


def test_columns_may_have_other_names(desk):
    desk.rows({"key": 7, "question": "hi", "answer": "x", "tags": ["t"], "document": "d"})
    fields = {"id": "key", "input": "question", "target": "answer", "slices": "tags", "cluster": "document"}
    (sample,) = desk.load(dataset={"path": "data/sums.jsonl", "fields": fields}).samples
    assert (sample.id, sample.input, sample.target) == ("7", "hi", "x")
    assert (sample.slices, sample.cluster) == (("t",), "d")


def test_the_target_is_what_the_pattern_finds(desk):
    desk.rows({**GOOD, "target": "2 * 9 = 18\n#### 18 "})
    (sample,) = desk.load(dataset={"path": "data/sums.jsonl", "target_pattern": r"####\s*(.+)$"}).samples
    assert sample.target == "18"


@pytest.mark.parametrize("target", ["no marker", 18, "#### "])
def test_a_target_without_the_pattern_is_named(desk, target):
    desk.rows(GOOD | {"target": "#### 1"}, GOOD | {"id": "b", "target": target})
    refusal = desk.refusal(dataset={"path": "data/sums.jsonl", "target_pattern": r"####\s*(.+)$"})
    assert refusal.startswith("data/sums.jsonl:2: ")
    assert "target_pattern" in refusal


@pytest.mark.parametrize(
    "columns, complaint",
    [
        ({"inptu": "hi"}, "field 'input' is missing; did you mean 'inptu'?"),
        ({"input": ""}, "field 'input' must be a text that is not empty, not ''"),
        ({"input": 3}, "field 'input' must be a text that is not empty, not 3"),
        ({"input": "hi", "id": " "}, "field 'id' must be a printable text"),
        ({"input": "hi", "id": "a\nb"}, "field 'id' must be a printable text"),
        ({"input": "hi", "id": "x" * 201}, "field 'id' must be a printable text of 1 to 200 characters"),
        ({"input": "hi", "id": True}, "field 'id' must be a printable text"),
        ({"input": "hi", "slices": "easy"}, "field 'slices' must be a list of texts"),
        ({"input": "hi", "slices": ["a", "a"]}, "field 'slices' has the same text twice"),
        ({"input": "hi", "slices": ["all"]}, "field 'slices' has the tag 'all', which means every sample"),
        ({"input": "hi", "choices": ["a", ""]}, "field 'choices' must be a list of texts"),
        ({"input": "hi", "must_pass": "yes"}, "field 'must_pass' must be true or false, not 'yes'"),
        ({"input": "hi", "cluster": 3}, "field 'cluster' must be a text that is not empty, not 3"),
    ],
)
def test_a_bad_column_is_named_with_its_line(desk, columns, complaint):
    desk.rows(GOOD, {"id": "b", "target": "x", **columns})
    assert desk.refusal().startswith(f"data/sums.jsonl:2: {complaint}")


def test_a_missing_column_says_which_there_are(desk):
    desk.rows({"prompt": "hi", "id": "a"})
    assert desk.refusal() == "data/sums.jsonl:1: field 'input' is missing; the line has prompt, id"


def test_a_duplicate_id_names_both_lines(desk):
    desk.rows(GOOD, {**GOOD, "id": "b"}, "", GOOD)
    assert desk.refusal() == "data/sums.jsonl:4: id 'a' is used twice; it is first on line 1"


def test_a_number_and_a_text_can_not_be_the_same_id(desk):
    desk.rows({**GOOD, "id": 7}, {**GOOD, "id": "7"})
    assert "id '7' is used twice" in desk.refusal()


def test_must_pass_may_stand_in_the_yaml(desk):
    suite = desk.load(must_pass=["three"])
    assert [sample.must_pass for sample in suite.samples] == [False, True, True]


def test_only_the_first_samples_count_with_a_limit(desk):
    suite = desk.load(dataset={"path": "data/sums.jsonl", "limit": 2})
    assert [sample.id for sample in suite.samples] == ["one", "two"]
