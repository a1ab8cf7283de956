"""Processes of the Procfile are kept running and end when asked."""

import os
import queue
import socket
import time
from pathlib import Path

import psutil
import pytest

from evalwindow.errors import ServiceDown
from evalwindow.processes import Exit, Process, await_ready, free_port, read_procfile, run_once, stop_all


def process(tmp_path: Path, command: str, seen: "queue.Queue[Exit]", *, name: str = "one") -> Process:
    log = tmp_path / "logs" / f"{name}.log"
    return Process(name=name, command=command, environ=os.environ, log=log, notify=seen.put)


def test_a_procfile_gives_names_and_commands_in_order(tmp_path: Path) -> None:
    path = tmp_path / "Procfile"
    path.write_text("# what runs\nweb: python -m web --at a:b\n\nworker : run\n")
    assert read_procfile(path) == {"web": "python -m web --at a:b", "worker": "run"}
    assert list(read_procfile(path)) == ["web", "worker"]


def test_a_process_that_ends_is_reported_with_its_last_words_and_started_again(tmp_path: Path) -> None:
    seen: queue.Queue[Exit] = queue.Queue()
    one = process(tmp_path, "bash -c 'echo no room; exit 4'", seen)
    one.start()
    first, second = seen.get(), seen.get()
    one.ask()
    one.wait()
    assert (first.name, first.code, first.last_words) == ("one", 4, "no room")
    assert second.pause_s > first.pause_s


def test_a_killed_process_comes_back_under_a_new_pid(tmp_path: Path) -> None:
    seen: queue.Queue[Exit] = queue.Queue()
    one = process(tmp_path, "sleep 300", seen)
    one.start()
    before = _pid(one)
    psutil.Process(before).kill()
    assert seen.get().code == 128 + 9
    after = _pid(one, other_than=before)
    one.ask()
    one.wait()
    assert after != before
    assert not psutil.pid_exists(after)


def test_a_process_that_was_asked_to_stop_is_not_reported(tmp_path: Path) -> None:
    seen: queue.Queue[Exit] = queue.Queue()
    one = process(tmp_path, "sleep 300", seen)
    one.start()
    pid = _pid(one)
    one.ask()
    one.wait()
    assert seen.empty()
    assert one.pid is None
    assert not psutil.pid_exists(pid)


def test_stopping_does_not_wait_for_the_pause_before_a_restart(tmp_path: Path) -> None:
    seen: queue.Queue[Exit] = queue.Queue()
    one = process(tmp_path, "bash -c 'exit 1'", seen)
    one.start()
    for _ in range(3):
        seen.get()
    one.ask()
    one.wait()
    assert one.pid is None


def test_the_last_one_is_asked_when_the_others_have_ended(tmp_path: Path) -> None:
    seen: queue.Queue[Exit] = queue.Queue()
    order = tmp_path / "order"
    slow = f"""bash -c 'trap "sleep 0.3; echo slow >>{order}; exit" TERM; while :; do sleep 0.05; done'"""
    last = f"""bash -c 'trap "echo last >>{order}; exit" TERM; while :; do sleep 0.05; done'"""
    both = {name: process(tmp_path, command, seen, name=name) for name, command in (("last", last), ("slow", slow))}
    for one in both.values():
        one.start()
        _until_bash_listens(one)
    stop_all(both, last="last")
    assert order.read_text().split() == ["slow", "last"]


def test_processes_that_were_never_started_are_stopped_at_once(tmp_path: Path) -> None:
    seen: queue.Queue[Exit] = queue.Queue()
    stop_all({"one": process(tmp_path, "sleep 300", seen)})


def test_a_command_is_run_to_its_end_and_says_why_it_failed(tmp_path: Path) -> None:
    log = tmp_path / "log" / "migrate"
    run_once(name="migrate", command="bash -c 'echo $WORD'", environ={**os.environ, "WORD": "done"}, log=log)
    assert log.read_text() == "done\n"
    with pytest.raises(ServiceDown, match=r"migrate.*exit code 3.*no room.*see .*migrate"):
        run_once(name="migrate", command="bash -c 'echo no room; exit 3'", environ=os.environ, log=log)


def test_the_wait_ends_when_nothing_is_missing(tmp_path: Path) -> None:
    answers = iter(["one", None])
    await_ready({}, lambda: next(answers), ready_s=60)


def test_the_wait_ends_with_the_name_and_the_words_of_who_is_missing(tmp_path: Path) -> None:
    seen: queue.Queue[Exit] = queue.Queue()
    one = process(tmp_path, "bash -c 'echo still loading; exec sleep 300'", seen)
    one.start()
    while not one.last_words():
        time.sleep(0.01)
    with pytest.raises(ServiceDown, match=r"one at .*not ready.*still loading"):
        await_ready({"one": one}, lambda: "one", ready_s=0)
    stop_all({"one": one})


def test_a_taken_port_is_moved() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert free_port("127.0.0.1", port) not in (0, port)
    assert free_port("127.0.0.1", port) == port


def _until_bash_listens(one: Process) -> None:
    """Its signal handler is set: it has begun to sleep."""
    while not psutil.Process(_pid(one)).children():
        time.sleep(0.01)


def _pid(one: Process, *, other_than: int | None = None) -> int:
    while (pid := one.pid) is None or pid == other_than:
        time.sleep(0.01)
    return pid
