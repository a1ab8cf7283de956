"""`evalwindow datasets check`."""

import json

import pytest
import yaml

from evalwindow.cli import main
from evalwindow.datasets import from_document
from tests.real.datasets.cases import CASES, MODEL, Case, write_all

PERFECT = Case(name="perfect", check="")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A config with three suites, one of them broken."""
    (tmp_path / "suites").mkdir()
    write_all(tmp_path / "suites", [PERFECT, next(case for case in CASES if case.name == "bad-json")])
    (tmp_path / "suites" / "broken.yaml").write_text("suite: broken\ntier: regresion\n")
    window = {"cron": "0 1 * * *", "duration_minutes": 60, "team": "t", "suites": ["perfect"], "models": ["short"]}
    document = {
        "pools": {"warm": {"model": str(MODEL)}, "short": {"model": str(MODEL), "max_model_len": 999}},
        "models": {
            "demo": {"engine": "vllm", "pool": "warm"},
            "short": {"engine": "vllm", "pool": "short"},
            "api": {"engine": "openai", "base_url": "http://127.0.0.1:9", "model": "x"},
        },
        "teams": {"t": {}},
        "windows": {"nightly": window},
    }
    (tmp_path / "evalwindow.yaml").write_text(yaml.safe_dump(document))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_findings_have_file_and_line_and_the_pages_are_named(place, capsys):
    assert main(["datasets", "check"]) == 1
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert err == ""
    assert "broken: can't be loaded" in lines
    assert "  error: suites/broken.yaml:2: tier: unknown value 'regresion'; did you mean 'regression'?" in lines
    assert "  error: 2 lines can't be read: each must be one JSON object of clean UTF-8 text" in lines
    assert "    suites/data/bad-json.jsonl:5: a list, not a JSON object" in lines
    assert "  tokens are not counted for api: no tokenizer of it is on this machine" in lines
    (perfect,) = [line for line in lines if line.startswith("perfect: ")]
    assert perfect.startswith("perfect: ok · 40 samples · ")
    assert perfect.endswith(" of 991 tokens (short)")  # the window's model, and no other
    pages = [line.removeprefix("  pages: ") for line in lines if line.startswith("  pages: ")]
    assert len(pages) == 2
    assert all((place / page).read_text() for page in pages)


def test_one_file_for_programs(place, capsys):
    assert main(["datasets", "check", "suites/perfect.yaml", "--model", "demo", "--json"]) == 0
    (document,) = json.loads(capsys.readouterr().out)["datasets"]
    report = from_document(document)
    assert (report.suite, report.ok, report.tokens[0].models) == ("perfect", True, ("demo",))


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        (["perfekt"], "error: suites: unknown suite 'perfekt'; did you mean 'perfect'?"),
        (["perfect", "--model", "dmo"], "error: unknown model 'dmo'; did you mean 'demo'?"),
    ],
)
def test_what_can_not_be_checked_is_one_line_and_code_two(place, capsys, arguments, complaint):
    assert main(["datasets", "check", *arguments]) == 2
    assert capsys.readouterr().err.strip() == complaint


def test_a_check_that_fails_by_itself_is_code_two(place, capsys, monkeypatch):
    (place / "home").write_text("no folder")
    monkeypatch.setenv("EVALWINDOW_HOME", str(place / "home"))
    assert main(["datasets", "check", "perfect"]) == 2
    assert "perfect: the dataset of suite 'perfect' could not be checked: " in capsys.readouterr().out


def test_an_empty_folder_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["datasets", "check"]) == 2
    assert "there is no *.yaml in this folder" in capsys.readouterr().err
