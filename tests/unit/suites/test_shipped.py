"""The suites that come with the project."""

from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from evalwindow.config import Limits
from evalwindow.model import Candidate, Tier
from evalwindow.suites import json_schema, load_suite

ROOT = Path(__file__).parents[3]
SUITES = sorted((ROOT / "suites").glob("*.yaml"))
CONTEXT = yaml.safe_load((ROOT / "evalwindow.yaml").read_text())["pools"]["warm"]["max_model_len"]


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_an_editor_accepts_it(path):
    text = path.read_text()
    assert text.startswith("# yaml-language-server: $schema=../schemas/suite.schema.json\n")
    Draft202012Validator(json_schema()).validate(yaml.safe_load(text))


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_it_loads_under_its_files_name(path):
    suite = load_suite(path, Limits())
    assert suite.name == path.stem
    assert suite.spec.description


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_every_prompt_fits_the_demo_models_context(path):
    """The demo's tokenizer never makes more tokens than there are bytes, and one for each role and end of a turn."""
    suite = load_suite(path, Limits())
    for sample in suite.samples:
        messages = suite.render(sample, Candidate(model="demo"))
        most = sum(len(message.content.encode()) + 2 for message in messages)
        assert most + suite.spec.sampling.max_tokens < CONTEXT, sample.id


def test_the_demo_has_what_its_walk_needs():
    suites = {path.stem: load_suite(path, Limits()) for path in SUITES}
    smoke, regression, gsm8k = (suites[name] for name in ("demo-smoke", "demo-regression", "gsm8k"))
    assert smoke.tier is Tier.SMOKE
    assert all(sample.must_pass for sample in smoke.samples)
    assert len(regression.samples) == len(gsm8k.samples) == 500
    assert set(regression.spec.policy.blocking) == {tag for sample in regression.samples for tag in sample.slices}
    assert not {sample.input for sample in smoke.samples} & {sample.input for sample in regression.samples}
