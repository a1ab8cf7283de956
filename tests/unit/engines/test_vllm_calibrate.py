"""What is measured, and what is made of noisy measurements. The measurement itself is shown on a real engine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalwindow.engines.vllm_calibrate import batch_sizes, in_words, monotone, prompt_lengths
from evalwindow.lanes.calibration import Calibration

MEASURED = st.dictionaries(st.integers(1, 512), st.floats(1e-4, 1.0), min_size=1)


@pytest.mark.parametrize(
    "slots, most, sizes",
    [
        (10, 64, (1, 10, 16, 32, 64)),
        (10, 100, (1, 10, 16, 32, 64, 100)),
        (16, 256, (1, 16, 32, 64, 128, 256)),
        (6, 16, (1, 6, 16)),
        (10, 8, (1, 8)),
        (1, 1, (1,)),
    ],
)
def test_steps_are_measured_from_one_sequence_to_as_many_as_the_engine_takes(
    slots: int, most: int, sizes: tuple[int, ...]
) -> None:
    assert batch_sizes(slots=slots, most=most) == sizes


@pytest.mark.parametrize(
    "context, lengths",
    [
        (512, (128, 511)),
        (2048, (128, 512, 2047)),
        (131072, (128, 512, 2048, 8192)),
        (129, (128,)),
        (64, (63,)),
        (2, (1,)),
    ],
)
def test_prompts_grow_until_the_context_is_full_but_for_one_token(context: int, lengths: tuple[int, ...]) -> None:
    assert prompt_lengths(context) == lengths


@given(best=MEASURED)
def test_no_step_is_dearer_than_a_wider_one_nor_than_it_was_measured(best: dict[int, float]) -> None:
    steps = monotone(best)
    assert [rows for rows, _ in steps] == sorted(best)
    assert [seconds for _, seconds in steps] == sorted(seconds for _, seconds in steps)
    assert all(seconds <= best[rows] for rows, seconds in steps)
    assert steps[-1] == (max(best), best[max(best)])


def test_a_busy_moment_of_a_narrow_step_is_no_reason_to_call_wider_ones_dear() -> None:
    assert monotone({1: 0.002, 10: 0.09, 64: 0.008}) == ((1, 0.002), (10, 0.008), (64, 0.008))


def test_the_log_says_what_was_measured_and_what_was_not() -> None:
    calibration = Calibration(steps=((1, 0.0021), (10, 0.0034)), prefill_s=5.2e-6, kv_tokens=65_536)
    assert in_words(calibration, wanted=(1, 10)) == (
        "steps of sequences take ms 1: 2.1, 10: 3.4; a prompt token 5 µs; KV cache 65,536 tokens"
    )
    assert "10: 3.4 (no time or room for 64); " in in_words(calibration, wanted=(1, 10, 64))
