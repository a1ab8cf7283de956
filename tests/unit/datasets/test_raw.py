"""The key that an outcome is kept under."""

import shutil
import subprocess
import sys

import pytest

from evalwindow.config import ApiModel, Config, Limits, Pool, WarmModel
from evalwindow.datasets import Asked, asked, suite_paths
from evalwindow.datasets.raw import key_of, open_raw
from evalwindow.errors import SuiteInvalid, UnknownName
from tests.unit.worlds import ROOT, rows, write_suite

MODEL = ROOT / "demo/models/baseline"


@pytest.fixture
def suite(tmp_path):
    return write_suite(tmp_path, rows(3))


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "config.json"):
        shutil.copy(MODEL / name, folder)
    return folder


def key(path, limits=Limits(), **changes):  # noqa: B008 - frozen
    models = (Asked(**{"models": ("m",), "context": 100, **changes}),)
    return key_of(open_raw(path), limits=limits, models=models)


def test_it_is_the_same_for_the_same(suite, model):
    assert key(suite, folder=model) == key(suite, folder=model)


def test_everything_that_the_outcome_depends_on_changes_it(suite, model):
    def changed(path, text):
        path.write_text(path.read_text() + text)
        return key(suite, folder=model)

    keys = [
        key(suite, folder=model),
        key(suite, folder=model, context=200),
        key(suite, folder=model, models=("n",)),
        key(suite, limits=Limits(regression_prompts=7), folder=model),
        key(suite),
        changed(suite.with_suffix(".jsonl"), "\n"),
        changed(suite, "# a line more\n"),
        changed(model / "chat_template.jinja", " "),
        changed(model / "tokenizer_config.json", " "),
        changed(model / "tokenizer.json", " "),
    ]
    assert len(set(keys)) == len(keys)


def test_it_costs_neither_polars_nor_great_expectations(suite):
    """Nor does anything that the web app, the workers or a DAG import."""
    program = f"""
import sys
from pathlib import Path
import evalwindow.datasets
from evalwindow.cli.app import make_app
make_app()
from evalwindow.config import Limits
from evalwindow.datasets.raw import key_of, open_raw
key_of(open_raw(Path({str(suite)!r})), limits=Limits(), models=())
print({{"polars", "great_expectations", "pandas", "scipy"}} & set(sys.modules))
"""
    told = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert told.stdout == "set()\n"


def test_a_yaml_that_can_not_be_used_says_where(suite):
    suite.write_text("suite: echo\n")
    with pytest.raises(SuiteInvalid, match=r"echo\.yaml:1: key 'tier' is missing"):
        open_raw(suite)


def test_suites_are_found_by_name_broken_ones_too(tmp_path):
    good = write_suite(tmp_path, rows(1), suite="good")
    (tmp_path / "b.yaml").write_text("suite: bad\n: :\n")
    (tmp_path / "nameless.yaml").write_text("{")
    assert suite_paths(tmp_path) == {
        "bad": tmp_path / "b.yaml",
        "good": good,
        "nameless": tmp_path / "nameless.yaml",
    }


def test_models_that_count_alike_are_asked_together():
    config = Config(
        pools={
            "warm": Pool(model=str(MODEL)),
            "short": Pool(model=str(MODEL), max_model_len=64),
            "hub": Pool(model="o/n"),
        },
        models={
            **{"a": WarmModel(engine="vllm", pool="warm"), "b": WarmModel(engine="vllm", pool="short")},
            **{"c": WarmModel(engine="vllm", pool="warm"), "d": WarmModel(engine="vllm", pool="hub")},
            "e": ApiModel(engine="openai", base_url="http://x", model="x", context=9),
        },
    )
    own = next(iter(asked(config, ["a"]))).context
    assert own is not None and own > 64
    assert asked(config, "abcdeaa") == (
        Asked(models=("a", "c"), folder=MODEL, context=own),
        Asked(models=("b",), folder=MODEL, context=64),
        Asked(models=("d",)),
        Asked(models=("e",), context=9),
    )
    with pytest.raises(UnknownName, match="unknown model 'f'"):
        asked(config, ["f"])
