"""The worked example of docs/suites.md does what the page says."""

import re
from pathlib import Path

import pytest

from evalwindow.config import Limits
from evalwindow.model import Candidate
from evalwindow.pr_config import parse_pr_config
from evalwindow.suites import json_schema, load_suite
from evalwindow.templates import ALLOWED_FILTERS

PAGE = (Path(__file__).parents[3] / "docs" / "suites.md").read_text()
SUITE, PR_CONFIG = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
(DATA,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
(PROMPT,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def suite(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "capitals.jsonl").write_text(DATA)
    (tmp_path / "capitals.yaml").write_text(SUITE)
    return load_suite(tmp_path / "capitals.yaml", Limits())


def test_the_example_loads_and_renders_as_shown(suite):
    messages = suite.render(suite.samples[0], Candidate(model="demo"))
    assert [message.role for message in messages] == ["system", "user", "assistant", "user"]
    assert messages[-1].content == PROMPT.rstrip("\n")


def test_the_pull_requests_example_is_read(suite):
    assert parse_pr_config(PR_CONFIG.encode()).suites == (suite.name,)


def test_every_scorer_and_every_filter_is_on_the_page():
    kinds = {each["properties"]["type"]["const"] for each in json_schema()["$defs"].values() if _is_scorer(each)}
    assert kinds
    for name in [*kinds, *ALLOWED_FILTERS]:
        assert f"`{name}`" in PAGE, name


def _is_scorer(definition):
    return "const" in definition.get("properties", {}).get("type", {})
