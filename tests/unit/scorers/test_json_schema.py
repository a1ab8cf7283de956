import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pydantic import ValidationError

PERSON = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}


@pytest.mark.parametrize(
    "text, value",
    [
        ('{"age": 3}', 1),
        ('```json\n{"age": 3}\n```', 1),
        ('```\n{"age": 3}\n```\n', 1),
        ('{"age": "3"}', 0),
        ("{}", 0),
        ("[3]", 0),
        ('{"age": 3', 0),
        ('Here you are: {"age": 3}', 0),
        ('{"age": NaN}', 0),
        ("", 0),
        ("[" * 100_000, 0),
        ("1" * 300_000, 0),
    ],
)
def test_the_answer_is_json_that_follows_the_schema(bench, text, value):
    assert bench.value({"type": "json_schema", "schema": PERSON}, text) == value


def test_the_reason_says_what_is_wrong_and_where(bench):
    scorer = {"type": "json_schema", "schema": PERSON}
    assert bench.score(scorer, '{"age": "3"}').reason == "$.age: '3' is not of type 'integer'"
    assert bench.score(scorer, "{").reason.startswith("not JSON: ")


def test_a_schema_may_refer_to_itself(bench):
    tree = {"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}}
    assert bench.value({"type": "json_schema", "schema": tree}, "[[], [[]]]") == 1
    assert bench.value({"type": "json_schema", "schema": tree}, "[[1]]") == 0


class Visits(BaseHTTPRequestHandler):
    """Serves a schema that accepts anything, and counts who comes for it."""

    count = 0

    def do_GET(self):
        Visits.count += 1
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


def test_a_reference_to_the_network_is_never_followed(bench):
    with ThreadingHTTPServer(("127.0.0.1", 0), Visits) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/person.json"
        score = bench.score({"type": "json_schema", "schema": {"$ref": url}}, "{}")
        server.shutdown()
    assert Visits.count == 0
    assert score.value is None
    assert f"refers to {url!r}" in score.reason


def test_what_is_no_schema_is_refused_with_the_suite(bench):
    with pytest.raises(ValidationError, match="not a JSON schema"):
        bench.make({"type": "json_schema", "schema": {"type": "objekt"}})


def test_no_target_is_needed(bench):
    assert bench.objection({"type": "json_schema", "schema": {}}) is None
