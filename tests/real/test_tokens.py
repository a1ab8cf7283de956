"""Counting tokens without the model agrees with transformers, which renders and encodes by its own code."""

import pytest
from transformers import AutoTokenizer

from evalwindow.config import Limits
from evalwindow.errors import ConfigInvalid
from evalwindow.model import Candidate, Message
from evalwindow.suites import load_suite
from evalwindow.tokens import PromptCounter
from tests.unit.worlds import ROOT

MODEL = ROOT / "demo/models/baseline"


@pytest.fixture(scope="module")
def peer():
    return AutoTokenizer.from_pretrained(MODEL)


@pytest.fixture(scope="module")
def counter():
    found = PromptCounter.of(str(MODEL))
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["demo-smoke", "gsm8k"])
def test_every_prompt_of_a_suite_has_as_many_tokens_as_transformers_says(peer, counter, name):
    suite = load_suite(ROOT / f"suites/{name}.yaml", Limits())
    for sample in suite.samples[:60]:
        messages = suite.render(sample, Candidate(model="demo"))
        turns = [{"role": message.role, "content": message.content} for message in messages]
        ids = peer.apply_chat_template(turns, add_generation_prompt=True, tokenize=True, return_dict=True)["input_ids"]
        assert counter.count(messages) == len(ids)


def test_a_system_turn_is_counted(counter):
    user = Message(role="user", content="hi")
    assert counter.count([Message(role="system", content="be brief"), user]) > counter.count([user])


def test_the_context_is_the_models(counter):
    assert counter.context == 4096


def test_a_model_that_is_not_on_this_host_has_no_counter():
    assert PromptCounter.of("somewhere/a-model") is None


def test_a_model_without_a_chat_template_is_a_clear_error(tmp_path):
    (tmp_path / "tokenizer.json").write_bytes((MODEL / "tokenizer.json").read_bytes())
    counter = PromptCounter.of(str(tmp_path))
    assert counter is not None
    with pytest.raises(ConfigInvalid, match="has no chat template"):
        counter.count([Message(role="user", content="hi")])
