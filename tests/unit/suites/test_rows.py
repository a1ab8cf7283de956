import hashlib
import json

import pytest

from evalwindow.suites.rows import MAX_LINE

GOOD = {"id": "a", "input": "hi", "target": "x"}


def test_the_digest_is_the_files(desk):
    desk.rows(GOOD, "", {**GOOD, "id": "b"})
    suite = desk.load()
    assert suite.dataset_digest == hashlib.sha256(desk.data.read_bytes()).hexdigest()
    assert [sample.id for sample in suite.samples] == ["a", "b"]


def test_the_digest_covers_what_lies_beyond_the_limit(desk):
    desk.rows(GOOD, {**GOOD, "id": "b"})
    first = desk.load(dataset={"path": "data/sums.jsonl", "limit": 1})
    desk.rows(GOOD, {**GOOD, "id": "c"})
    second = desk.load(dataset={"path": "data/sums.jsonl", "limit": 1})
    assert first.samples == second.samples
    assert first.dataset_digest != second.dataset_digest


def test_a_last_line_needs_no_newline(desk):
    desk.data.write_text(json.dumps(GOOD))
    assert len(desk.load().samples) == 1


@pytest.mark.parametrize(
    "line, complaint",
    [
        ("{'id': 1}", "not valid JSON: Expecting property name"),
        ('{"id": "b"', "not valid JSON: Expecting ',' delimiter"),
        ("[1, 2]", "a list, not a JSON object"),
        (b'{"id": "\xff"}', "byte 0xff at column 9 is not UTF-8"),
        ('{"id": "b", "input": "a\\u0000b"}', "a text holds the character NUL"),
        ('{"id": "b", "input": {"x": ["a\\u0000b"]}}', "a text holds the character NUL"),
        ('{"id": "b", "input": "\\ud800"}', "a text holds half of a surrogate pair"),
        ('{"id": "b", "id": "c"}', "key 'id' is given twice"),
        ('{"id": "b", "input": NaN}', "NaN is not JSON"),
        ('{"id": "b", "input": 1e999}', "a number is too large"),
        ("[" * 100_000, "nested too deep"),
        ("x" * (MAX_LINE + 1), f"the line is longer than {MAX_LINE} bytes"),
    ],
)
def test_a_bad_line_is_named_by_file_and_line(desk, line, complaint):
    desk.rows(GOOD, line)
    assert desk.refusal().startswith(f"data/sums.jsonl:2: {complaint}")


def test_a_byte_order_mark_is_named(desk):
    desk.rows(b"\xef\xbb\xbf" + json.dumps(GOOD).encode())
    assert desk.refusal().startswith("data/sums.jsonl:1: starts with a byte order mark")


@pytest.mark.parametrize("lines", [[], ["", "   "]])
def test_an_empty_dataset_is_refused(desk, lines):
    desk.rows(*lines)
    assert desk.refusal() == "data/sums.jsonl:1: the dataset is empty; it needs a line for each sample"
