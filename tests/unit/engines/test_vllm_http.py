"""What the engine's answers mean."""

from __future__ import annotations

import json

import pytest

from evalwindow.engines.vllm_http import EngineFault, UnknownModel, _judged
from evalwindow.errors import EngineRefused, EngineUnavailable


def test_an_aborted_answer_of_a_draining_engine_is_no_answer() -> None:
    for reasons in (["abort"], ["stop", "abort"]):
        answer = {"choices": [{"finish_reason": reason} for reason in reasons]}
        with pytest.raises(EngineUnavailable, match="draining"):
            _judged(200, json.dumps(answer))


@pytest.mark.parametrize(
    "status, error",
    [
        (400, EngineRefused),
        (404, UnknownModel),
        (408, EngineFault),
        (422, EngineRefused),
        (500, EngineFault),
        (503, EngineFault),
    ],
)
def test_a_status_says_whether_trying_again_can_help(status: int, error: type[Exception]) -> None:
    with pytest.raises(error, match="its own words") as caught:
        _judged(status, json.dumps({"error": {"message": "its own words"}}))
    assert isinstance(caught.value, EngineUnavailable) is (error is EngineFault)


@pytest.mark.parametrize("text", ["plain words", '"words"', "[1]", '{"detail": "words"}', ""])
def test_an_error_of_any_shape_is_told(text: str) -> None:
    with pytest.raises(EngineRefused):
        _judged(400, text)


def test_long_words_are_shortened() -> None:
    with pytest.raises(EngineRefused) as caught:
        _judged(400, json.dumps({"error": {"message": "x" * 5000}}))
    assert len(str(caught.value)) < 400
    assert str(caught.value).endswith("…")
