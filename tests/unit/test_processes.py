"""Processes of the Procfile are kept running and end when asked."""

import os
import queue
import time
from pathlib import Path

import psutil

from evalwindow.processes import Exit, Process, read_procfile


def process(tmp_path: Path, command: str, seen: "queue.Queue[Exit]") -> Process:
    log = tmp_path / "logs" / "one.log"
    return Process(name="one", command=command, environ=os.environ, log=log, notify=seen.put)


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


def _pid(one: Process, *, other_than: int | None = None) -> int:
    while (pid := one.pid) is None or pid == other_than:
        time.sleep(0.01)
    return pid
