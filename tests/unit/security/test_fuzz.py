"""Whatever comes in, what comes out is an answer or one of our errors; never another exception, never a hang."""

import json
import struct
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from evalwindow.config import Limits, Lora
from evalwindow.engines.adapters import CONFIG, WEIGHTS, check_adapter
from evalwindow.engines.vllm import completion_of
from evalwindow.engines.vllm_http import _judged
from evalwindow.errors import (
    BadInput,
    CandidateInvalid,
    EngineRefused,
    EngineUnavailable,
    TemplateInvalid,
)
from evalwindow.github.payload import read_payload
from evalwindow.model import Candidate, Completion
from evalwindow.pr_config import PrConfig, parse_pr_config, repo_path
from evalwindow.scorers.jsontext import read_json
from evalwindow.suites.load import load_suite
from evalwindow.suites.rows import read_row
from evalwindow.templates import check_template, render
from tests.unit.engines.test_adapters import adapter, safetensors
from tests.unit.github.examples import pull_request
from tests.unit.security.strategies import changed, json_values

QUICK = settings(max_examples=150, deadline=5_000, suppress_health_check=list(HealthCheck))

PR = {
    "suites": ["smoke"],
    "candidate": {
        "model": "m",
        "system": "s",
        "template": "{{ input }}",
        "sampling": {"temperature": 0, "stop": ["x"]},
    },
}
SUITE = {
    "suite": "sums",
    "tier": "regression",
    "dataset": {"path": "rows.jsonl", "limit": 5, "target_pattern": "(.*)"},
    "prompt": {"system": "s", "template": "{{ input }}"},
    "scorers": ["exact", {"type": "regex", "pattern": "a+"}, {"type": "json_schema", "schema": {"type": "object"}}],
    "sampling": {"temperature": 0, "max_tokens": 5},
    "policy": {"promotion": "never"},
}
ROW = {"id": "a", "input": "1 + 1", "target": "2", "slices": ["sum"], "must_pass": True, "extra": {"deep": [1, 2]}}
ANSWER = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "4"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 1}},
    "metrics": {"queue_time_ms": 1.0, "time_to_first_token_ms": 2.0, "generation_time_ms": 3.0},
}


def _yaml(value: object) -> bytes:
    with suppress(UnicodeEncodeError, yaml.YAMLError):
        return yaml.safe_dump(value, allow_unicode=True).encode()
    return json.dumps(value).encode()


@QUICK
@given(changed(pull_request(label="run-evals", labels=["x"])))
def test_webhook_payloads(payload):
    with suppress(BadInput):
        event = read_payload(payload)
        assert int(event.pull_request.updated_at.timestamp()) >= 0
        assert event.source.head_sha


@QUICK
@given(st.binary(max_size=200) | changed(PR).map(_yaml))
@example(b"a: &a [*a]")
@example(b"[" * 100_000)
@example(b"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]")
@example(b"suites: [" + b"1" * 5_000 + b"]")
@example(b"!!python/object/apply:os.system [id]")
def test_the_file_of_a_pull_request(raw):
    with suppress(BadInput):
        assert isinstance(parse_pr_config(raw), PrConfig)


@given(st.text(alphabet="./~%\\:a \x00-?#", max_size=30) | st.text(max_size=30))
def test_no_path_leads_out_of_a_repository(text):
    with suppress(CandidateInvalid):
        path = repo_path(text)
        assert (Path("/repo") / path).resolve().is_relative_to("/repo")
        assert not set(path) & set("%\\?#:\x00")
        assert ".git" not in path.lower().split("/")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("suites")


@QUICK
@given(st.data())
def test_suites_and_their_datasets(folder, data):
    rows = data.draw(st.lists(changed(ROW), min_size=1, max_size=3))
    (folder / "rows.jsonl").write_bytes(b"\n".join(json.dumps(row).encode() for row in rows))
    (folder / "suite.yaml").write_bytes(_yaml(data.draw(changed(SUITE))))
    with suppress(BadInput):
        suite = load_suite(folder / "suite.yaml", Limits())
        for sample in suite.samples:
            suite.render(sample, Candidate(model="m"))


def test_a_dataset_s_name_that_no_file_can_have(folder):
    suite = {**SUITE, "dataset": {**SUITE["dataset"], "path": "a" * 5_000}}
    (folder / "long.yaml").write_bytes(_yaml(suite))
    with pytest.raises(BadInput, match=r"dataset\.path"):
        load_suite(folder / "long.yaml", Limits())


@QUICK
@given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()))
@example(b'{"id": ' + b"1" * 5_000 + b"}")
@example(b"[" * 100_000)
def test_lines_of_a_dataset(raw):
    with suppress(BadInput):
        assert isinstance(read_row(raw, where="x:1", line=1).columns, dict)


@QUICK
@given(st.data())
def test_adapters(data):
    files = adapter()
    files[CONFIG] = json.dumps(data.draw(changed(json.loads(files[CONFIG])))).encode()
    length = struct.unpack("<Q", files[WEIGHTS][:8])[0]
    header = data.draw(changed(json.loads(files[WEIGHTS][8 : 8 + length])))
    text = data.draw(st.just(json.dumps(header).encode()) | st.binary(max_size=50))
    claimed = data.draw(st.just(len(text)) | st.integers(0, 2**64 - 1))
    files[WEIGHTS] = struct.pack("<Q", claimed) + text + files[WEIGHTS][8 + length :]
    with suppress(CandidateInvalid):
        check_adapter(files, lora=Lora(max_rank=8), base=None)


@pytest.mark.parametrize("deep", [CONFIG, WEIGHTS])
def test_an_adapter_that_is_nested_without_end(deep):
    text = b"[" * 100_000
    files = {**adapter(), deep: text if deep == CONFIG else struct.pack("<Q", len(text)) + text}
    with pytest.raises(CandidateInvalid):
        check_adapter(files, lora=Lora(max_rank=8), base=None)


@pytest.mark.parametrize("config", [{"alpha_pattern": 7}, {"alpha_pattern": [1]}, {"rank_pattern": [1]}, {"r": 1e400}])
def test_a_config_of_other_types_than_peft_writes(config):
    with pytest.raises(CandidateInvalid):
        check_adapter(adapter(**config), lora=Lora(max_rank=8), base=None)


@pytest.mark.parametrize(
    "entry", ['{"dtype":"F32","shape":[Infinity],"data_offsets":[0,4]}', '{"dtype":{},"shape":7}', "7"]
)
def test_a_header_of_other_types(entry):
    text = f'{{"x": {entry}}}'.encode()
    with pytest.raises(CandidateInvalid):
        check_adapter({**adapter(), WEIGHTS: struct.pack("<Q", len(text)) + text}, lora=Lora(), base=None)


def test_a_header_larger_than_any_adapter_s_is_not_parsed():
    tensors = {f"base_model.model.{'x' * 200}{n}.lora_A.weight": (0, 0) for n in range(20_000)}
    with pytest.raises(CandidateInvalid, match="header"):
        check_adapter({**adapter(), WEIGHTS: safetensors(tensors)}, lora=Lora(max_rank=8), base=None)


TEMPLATES = ["{{ ", " }}", "{% for x in ", " %}", "{% endfor %}", "input", "x", "|join", "|list", "|sort", "|tojson"]
TEMPLATES += [
    "{% if ",
    "{% endif %}",
    "[0]",
    ".__class__",
    "()",
    "|upper",
    "**",
    "9" * 30,
    "'a'",
    "~",
    "|attr('x')",
    " ",
]
TEMPLATES += [
    "|default('y' * 9)",
    "|int",
    "{%- ",
    "loop.index",
    "[::1]",
    "|items",
    "{{ input.format(1) }}",
    "|batch(1)",
]


@QUICK
@given(st.lists(st.sampled_from(TEMPLATES), max_size=12).map("".join))
@example("{{ [1]*99999999 }}")
@example("{% for a in input %}{% for b in input %}{% for c in input %}{% for d in input %}x" + "{% endfor %}" * 4)
@example("{{ " + "(" * 500 + "input" + ")" * 500 + " }}")
@example("{{ 'a'.__class__.__mro__ }}")
@example("{{ input" + "|list" * 5_000 + " }}")
def test_templates(text):
    with suppress(TemplateInvalid, ValueError):
        check_template(text)
        assert len(render(text, {"input": "x" * 200})) <= 200_000


@QUICK
@given(st.sampled_from([200, 400, 404, 408, 429, 500]), st.text(max_size=50) | changed(ANSWER).map(json.dumps))
@example(200, "[" * 100_000)
@example(500, '{"error": {"message": null}}')
@example(200, '{"choices": [{"finish_reason": "abort"}]}')
def test_answers_of_an_engine(status, text):
    with suppress(EngineRefused, EngineUnavailable):
        completion = completion_of(_judged(status, text))
        assert isinstance(completion, Completion)
        assert isinstance(completion.text, str)


@QUICK
@given(st.text(max_size=100) | json_values.map(json.dumps))
@example("1" * 5_000)
def test_json_of_a_model(text):
    with suppress(ValueError):
        read_json(text)
