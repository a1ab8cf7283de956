"""Nothing of a guarded command outlives its starter, whatever ends whom."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

#: A process that drains: it notes SIGTERM, ends its child, ends itself. The child ignores SIGTERM.
DRAINS = "trap 'echo drained >> $0; kill -9 $!; exit 3' TERM; (trap '' TERM; sleep 300) & echo $! > $0.child; wait"
#: One that hears nothing, with a child in a session of its own.
DEAF = "trap '' TERM; setsid sleep 300 & echo $! > $0.child; wait; while true; do sleep 1; done"


def guarded(script: str, note: Path, *, grace_s: float = 60) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "evalwindow.guard", str(grace_s), "bash", "-c", script, str(note)]
    guard = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    until(lambda: child_of(note) > 0)
    return guard


def child_of(note: Path) -> int:
    """Pid of the grandchild, 0 before it has said so."""
    path = note.with_name(f"{note.name}.child")
    return int(path.read_text() or 0) if path.exists() else 0


def until(true: Callable[[], bool]) -> None:
    """Wait for it; the test's own time limit ends a vain wait."""
    while not true():
        time.sleep(0.01)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_closed_pipe_lets_the_command_drain_in_its_own_order(tmp_path: Path) -> None:
    note = tmp_path / "note"
    guard = guarded(DRAINS, note)
    guard.stdin.close()
    assert guard.wait() == 3
    assert note.read_text() == "drained\n"
    assert gone(child_of(note))


def test_sigterm_to_the_guard_lets_the_command_drain(tmp_path: Path) -> None:
    note = tmp_path / "note"
    guard = guarded(DRAINS, note)
    guard.terminate()
    assert guard.wait() == 3
    assert note.read_text() == "drained\n"


def test_a_deaf_command_is_killed_after_the_grace_with_a_child_in_another_session(tmp_path: Path) -> None:
    note = tmp_path / "note"
    guard = guarded(DEAF, note, grace_s=0.1)
    guard.stdin.close()
    assert guard.wait() == 128 + signal.SIGKILL
    assert gone(child_of(note))


def test_a_second_request_does_not_wait_for_the_grace(tmp_path: Path) -> None:
    note = tmp_path / "note"
    guard = guarded(DEAF, note)
    guard.stdin.close()
    guard.terminate()
    assert guard.wait() == 128 + signal.SIGKILL
    assert gone(child_of(note))


def test_orphans_of_a_killed_command_are_killed(tmp_path: Path) -> None:
    note = tmp_path / "note"
    guard = guarded(DEAF, note)
    psutil.Process(guard.pid).children()[0].kill()
    assert guard.wait() == 128 + signal.SIGKILL
    assert gone(child_of(note))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_starter_that_dies_takes_everything_along(tmp_path: Path, number: int) -> None:
    note = tmp_path / "note"
    start = (
        "import subprocess, sys, time\n"
        "subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, start_new_session=True)\n"
        "time.sleep(300)"
    )
    command = [sys.executable, "-m", "evalwindow.guard", "0.1", "bash", "-c", DEAF, str(note)]
    starter = subprocess.Popen([sys.executable, "-c", start, *command])
    until(lambda: child_of(note) > 0)
    os.kill(starter.pid, number)
    starter.wait()
    until(lambda: gone(child_of(note)))


def test_the_exit_code_comes_through() -> None:
    command = [sys.executable, "-m", "evalwindow.guard", "1", "bash", "-c", "exit 7"]
    assert subprocess.Popen(command, stdin=subprocess.PIPE).wait() == 7
