"""Recorded outputs, and what is wrong with a recording."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from evalwindow.engines.replay import ReplayEngine
from evalwindow.errors import BadInput, EngineRefused
from evalwindow.model import CompletionRequest, Message, Sampling


def request(sample_id: str, *, epoch: int = 0, choices: tuple[str, ...] = ()) -> CompletionRequest:
    messages = (Message(role="user", content="hi"),)
    return CompletionRequest(
        model="recorded", messages=messages, sampling=Sampling(), sample_id=sample_id, epoch=epoch, choices=choices
    )


def recording(folder: Path, content: str | bytes) -> Path:
    path = folder / "outputs.jsonl"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


async def test_a_sample_and_epoch_get_what_was_recorded_for_them(tmp_path: Path) -> None:
    path = recording(tmp_path, '{"id": "a", "output": "one"}\n\n{"id": "a", "epoch": 1, "output": "two\\u0000"}\n')
    engine = ReplayEngine.load(path)
    assert (await engine.complete(request("a"))).text == "one"
    assert (await engine.complete(request("a", epoch=1))).text == "two\0"
    assert (await engine.info("any")).model_digest == hashlib.sha256(path.read_bytes()).hexdigest()


async def test_a_sample_without_a_recording_is_refused(tmp_path: Path) -> None:
    engine = ReplayEngine.load(recording(tmp_path, '{"id": "a", "output": ""}'))
    assert (await engine.complete(request("a"))).text == ""
    with pytest.raises(EngineRefused, match=r"no recorded output for sample 'b'$"):
        await engine.complete(request("b"))
    with pytest.raises(EngineRefused, match="sample 'a', epoch 1"):
        await engine.complete(request("a", epoch=1))
    with pytest.raises(EngineRefused, match="no log-likelihoods"):
        await engine.complete(request("a", choices=("x", "y")))


@pytest.mark.parametrize(
    "content, message",
    [
        ('{"id": "a", "output": "x"}\n{"id": "a", "output": "y"}', ":2: sample 'a', epoch 0, was recorded in line 1"),
        ('{"id": "a", "output": "x"}\n{"id": "bee", "output": "y"}', ":2: unknown sample 'bee'; did you mean 'be'"),
        ('{"id": "a", "ouput": "x"}', ":1: output: Field required"),
        ('{"id": "a", "output": "x", "score": 1}', ":1: score: Extra inputs"),
        ('{"id": "a", "output": 3}', ":1: output: Input should be a valid string"),
        ('{"id": "a", "output": "x", "epoch": -1}', ":1: epoch: "),
        ("[1]", ":1: line: "),
        ("{", ":1: not JSON"),
        (b'{"id": "a", "output": "\xff"}', ":1: invalid UTF-8 at byte 24"),
        ("\n \n", "no outputs are recorded"),
    ],
)
def test_a_bad_recording_is_refused_with_its_line(tmp_path: Path, content: str | bytes, message: str) -> None:
    path = recording(tmp_path, content)
    with pytest.raises(BadInput) as caught:
        ReplayEngine.load(path, samples={"a", "be"})
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)
