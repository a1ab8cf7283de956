"""A real installed package: metadata on the import path, as pip leaves it."""

import asyncio
import importlib
import textwrap

import pytest

from evalwindow.model import Completion, Sample
from evalwindow.scorers.entry_point import loaded
from evalwindow.scorers.run import score_all

CODE = """
from evalwindow.model import Score

def polite(sample, completion, word="please"):
    return word in completion.text

async def length(sample, completion):
    return min(len(completion.text) / 10, 1)

def careful(sample, completion):
    return Score.unscored("not my field")

def broken(sample, completion):
    raise RuntimeError("no dictionary")

def loud(sample, completion):
    return 7

def mute(sample, completion):
    return "good"

hidden = polite
number = 3
"""
NAMES = ("polite", "length", "careful", "broken", "loud", "mute", "number")


@pytest.fixture
def package(tmp_path, monkeypatch):
    (tmp_path / "acme_scorers.py").write_text(textwrap.dedent(CODE))
    info = tmp_path / "acme_scorers-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-scorers\nVersion: 1.0\n")
    lines = [f"{name} = acme_scorers:{name}" for name in NAMES]
    (info / "entry_points.txt").write_text("\n".join(["[evalwindow.scorers]", *lines, ""]))
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    loaded.cache_clear()
    yield
    loaded.cache_clear()


def judged(bench, function, text, **options):
    scorer = bench.make({"type": "python", "function": function, "options": options})
    scores = asyncio.run(score_all([scorer], Sample(id="s", input="q"), Completion(text=text), None))
    return scores["python"]


@pytest.mark.usefixtures("package")
def test_a_function_is_found_by_its_path_or_its_name(bench):
    assert judged(bench, "acme_scorers:polite", "yes please").value == 1
    assert judged(bench, "polite", "yes").value == 0


@pytest.mark.usefixtures("package")
def test_options_arrive_and_async_functions_are_awaited(bench):
    assert judged(bench, "polite", "merci", word="merci").value == 1
    assert judged(bench, "length", "12345").value == 0.5


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    "function, reason",
    [
        ("careful", "not my field"),
        ("broken", "python failed: RuntimeError: no dictionary"),
        ("loud", "the value 7.0 is not in 0..1"),
        ("mute", "the function returned str, not a number, a truth value or a Score"),
        ("number", "python failed: TypeError: number is not a function"),
    ],
)
def test_a_function_that_fails_leaves_the_sample_unscored(bench, function, reason):
    score = judged(bench, function, "x")
    assert (score.value, score.reason) == (None, reason)


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("function", ["acme_scorers:hidden", "os:system", "acme_scorers", "shutil:rmtree"])
def test_what_is_not_declared_can_not_be_named(bench, function):
    objection = bench.objection({"type": "python", "function": function})
    assert f"group 'evalwindow.scorers': unknown entry point {function!r}" in objection
    score = judged(bench, function, "x")
    assert score.value is None
    assert "UnknownName" in score.reason


@pytest.mark.usefixtures("package")
def test_the_nearest_declared_name_is_offered(bench):
    assert "did you mean 'acme_scorers:polite'?" in bench.objection(
        {"type": "python", "function": "acme_scorers:polit"}
    )
    assert bench.objection({"type": "python", "function": "polite"}) is None
