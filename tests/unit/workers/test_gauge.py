"""Rates between two readings of an engine's counts."""

from dataclasses import fields, replace

import pytest

from evalwindow.engines.vllm_metrics import EngineFigures
from workers.gauge import _rates, _Reading
from workers.turns import _shortened

COUNTED = {"preemptions": 2, "prefix_queries": 100, "prefix_hits": 10, "prompt_tokens": 1000, "generation_tokens": 500}
FIGURES = EngineFigures(**{field.name: 0 for field in fields(EngineFigures)} | COUNTED)
BEFORE = _Reading(at=100.0, busy_s=50.0, generation=1, figures=FIGURES)
LATER = replace(FIGURES, preemptions=3, prefix_queries=300, prefix_hits=60, prompt_tokens=1200, generation_tokens=1500)


def test_rates_are_of_the_time_between_two_readings():
    rates = _rates(BEFORE, _Reading(at=110.0, busy_s=57.5, generation=1, figures=LATER))
    assert rates == {
        "interval_s": 10.0,
        "busy_share": pytest.approx(0.75),
        "prompt_tokens_s": 20.0,
        "output_tokens_s": 100.0,
        "preempted": 1,
        "prefix_hit_rate": 0.25,
    }


def test_another_engine_began_to_count_anew():
    rates = _rates(BEFORE, _Reading(at=110.0, busy_s=55.0, generation=2, figures=LATER))
    assert rates == {"interval_s": 10.0, "busy_share": pytest.approx(0.5)}


def test_what_was_not_asked_or_not_told_has_no_rate():
    assert _rates(None, BEFORE) == {}
    assert _rates(BEFORE, replace(BEFORE, at=101.0))["prefix_hit_rate"] is None
    silent = replace(BEFORE, at=101.0, figures=None)
    assert _rates(BEFORE, silent) == {"interval_s": 1.0, "busy_share": 0.0}


def test_of_an_engines_last_words_the_first_line_and_the_advice_are_for_everybody():
    words = (
        "engine of pool 'warm' ended with status 2. The end of engine.log:\n    secret\n    Killed\nlower max_model_len"
    )
    assert _shortened(words) == "engine of pool 'warm' ended with status 2. The end of engine.log: lower max_model_len"
    assert _shortened("one line") == "one line"
    assert _shortened("first\n    quoted") == "first"
    assert len(_shortened("x" * 10_000)) == 500
