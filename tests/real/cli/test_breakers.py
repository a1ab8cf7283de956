"""The operator's commands about breakers, on a real database."""

import json

import pytest

from evalwindow.circuit import Circuit
from evalwindow.config_file import read_config


@pytest.fixture
def circuit(folder, installation):
    return Circuit(installation.store, read_config(folder / "evalwindow.yaml"))


def trip(circuit, breaker_id):
    for _ in range(10):
        circuit.failed(breaker_id, "no engine [bold]answers")


def test_what_is_open_is_listed_with_its_reason(evalwindow, circuit):
    assert "nothing fails" in evalwindow("breakers").out
    trip(circuit, "provider:big")
    circuit.check_team("ads")  # a count of submissions is no news
    [row] = [line for line in evalwindow("breakers").out.splitlines() if "provider:" in line]
    assert "open" in row and "the API of model big" in row and "no engine [bold]answers" in row
    [found] = json.loads(evalwindow("breakers", "--json").out)
    assert (found["id"], found["state"], found["failures"], found["openings"]) == ("provider:big", "open", 5, 1)
    assert found["retry_at"] > found["since"]


def test_a_reset_closes_it_and_is_written_down(evalwindow, circuit):
    trip(circuit, "pool:warm")
    assert evalwindow("breakers", "reset", "pool:warm", "--by", "lea", "--reason", "restarted").code == 0
    assert "nothing fails" in evalwindow("breakers").out
    assert json.loads(evalwindow("breakers", "reset", "pool:warm", "--json").out) == {"id": "pool:warm", "reset": False}
    reset, opened = json.loads(evalwindow("breakers", "events", "--json").out)
    assert (reset["what"], reset["by"], reset["reason"]) == ("reset", "lea", "restarted")
    assert (opened["what"], opened["breaker"], opened["by"]) == ("opened", "pool:warm", None)
    assert "lea" in evalwindow("breakers", "events").out


def test_what_is_no_breaker_is_refused(evalwindow, circuit):
    done = evalwindow("breakers", "reset", "warm")
    assert done.code == 2
    assert "an id like pool:warm" in done.err


def test_without_events_there_is_nothing_to_tell(evalwindow, circuit):
    assert "no breaker has ever opened" in evalwindow("breakers", "events").out
