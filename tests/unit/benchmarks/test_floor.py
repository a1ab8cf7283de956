"""What no scheduler can better, from step times."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.floor import Batch, floor
from evalwindow.lanes.calibration import Calibration

STEPS = Calibration(steps=((10, 0.010), (60, 0.060)), prefill_s=0.0)  # a millisecond a row
SMOKE = Batch(rows=10, tokens=4)


def test_rows_that_run_end_evenly_and_nothing_else_starts() -> None:
    """Of 40 rows with 4 tokens each, 40, 30, 20 and 10 are there in the smoke's four steps."""
    found = floor(STEPS, smoke=SMOKE, night=Batch(rows=40, tokens=4))
    assert found.alone_s == pytest.approx(0.040)
    assert found.beside_s == pytest.approx(0.050 + 0.040 + 0.030 + 0.020)
    assert found.added_s == pytest.approx(0.100)


def test_a_night_with_short_answers_is_gone_before_the_smoke_ends() -> None:
    found = floor(STEPS, smoke=SMOKE, night=Batch(rows=40, tokens=2))
    assert found.beside_s == pytest.approx(0.050 + 0.030 + 0.010 + 0.010)


def test_where_a_step_costs_the_same_whatever_is_in_it_smoke_loses_nothing() -> None:
    flat = Calibration(steps=((10, 0.02), (64, 0.02)), prefill_s=0.0)
    assert floor(flat, smoke=SMOKE, night=Batch(rows=54, tokens=64)).added_s == pytest.approx(0)


@given(rows=st.integers(0, 60), tokens=st.integers(1, 200), smoke=st.integers(1, 200))
def test_the_floor_lies_between_an_idle_engine_and_a_full_one(rows: int, tokens: int, smoke: int) -> None:
    found = floor(STEPS, smoke=Batch(rows=10, tokens=smoke), night=Batch(rows=rows, tokens=tokens))
    assert -1e-9 <= found.added_s <= smoke * (STEPS.step_s(10 + rows) - STEPS.step_s(10)) + 1e-9
